"""jacobian: measure how strongly each component responds to its input, at every step of the traced path."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from plateaus.curves.rows import Columns, stack, with_pair, words
from plateaus.curves.trace import Trace, read_traces, tangents
from plateaus.data import tables
from plateaus.data.canonical import digest
from plateaus.data.results import table_path
from plateaus.mechanism import block_jacobian, mlp_jacobian, nodes
from plateaus.mechanism.attention_jacobian import LayerAttention
from plateaus.mechanism.block_jacobian import Branches, Chain, Pushed
from plateaus.model.mlp import Linearisation, Mlp
from plateaus.model.prefix import Prefix
from plateaus.model.transformer import Transformer
from plateaus.prompts import depth
from plateaus.prompts.pairs import SUITE
from plateaus.sources.quiet import go_offline
from plateaus.stages.job import Job
from plateaus.stages.runner import run

COMPONENTS = ("mlp", "mlp_fc", "norm", "attn", "block", "chain")

TOGETHER = 16
"""How many pairs go through an MLP in one product: more are not faster, and their hidden units must fit in memory."""


class _Measured(NamedTuple):
    """Frobenius norm, its standard error (NaN where it is exact) and directional gain, at every step."""

    frobenius: Tensor
    frobenius_error: Tensor
    gain: Tensor


class PairState(NamedTuple):
    """What is carried from layer to layer for one pair.

    Attributes:
        trace: The pair's trace.
        prefix: The pair's prefix.
        chain: The product of the block Jacobians so far; None before the first block, and always None if norms are
            estimated.
        images: (k, steps, d_model), the images of random sign vectors under the product; None before the first block.
        direction: (steps, d_model), the image of the path's unit tangent under the product.
        whole: Whether norms and gains of attention, block and chain are computed; otherwise only the gains of
            attention and block are.
    """

    trace: Trace
    prefix: Prefix
    chain: Chain | None
    images: Tensor | None
    direction: Tensor
    whole: bool


def jacobian_layer(
    model: Transformer,
    layer: int,
    states: list[PairState],
    *,
    components: list[str],
    exact: bool,
    probes: int,
    memory_gb: float,
) -> tuple[list[Columns], list[PairState]]:
    """Measure all components of one layer, for all pairs, which share the layer's Gram matrices.

    Args:
        model: The model.
        layer: A layer after the interpolation layer.
        states: The states before this layer, one per pair.
        components: Which of `COMPONENTS` to measure.
        exact: Whether the norms of attention, block and chain are computed from matrices; otherwise they are estimated
            from `probes` random directions.
        probes: Number of random sign vectors.
        memory_gb: Memory budget in GB for intermediate results.

    Returns:
        The rows of the `jacobian` table per pair, and the states after this layer.
    """
    mlp, parallel = model.mlp(layer), model.layout(layer).parallel
    attention = LayerAttention(model, layer, memory_gb=memory_gb / 8)
    matrices = mlp_jacobian.gram(mlp) if {"mlp", "mlp_fc"} & set(components) else None
    rows: list[Columns] = []
    after: list[PairState] = []
    for some in _batches(states):
        steps = len(some[0].trace.alphas)  # all paths have the same number of steps
        own_rows = [slice(number * steps, (number + 1) * steps) for number in range(len(some))]
        read = torch.cat([_at_layer(state.trace, layer, state.trace.mlp_input, model.device) for state in some])
        at = mlp.linearise(read)
        found: list[dict[str, _Measured]] = [{} for _ in some]
        if matrices is not None:
            v = torch.cat([tangents(read[own]) for own in own_rows])
            _share_out(_of_mlp(mlp, matrices, read, at, v), found, own_rows)
        if {"attn", "block", "chain"} & set(components):
            before = [_at_layer(state.trace, layer, state.trace.resid_pre, model.device) for state in some]
            directions = [tangents(one) for one in before]
            paths = [attention.at(one, state.prefix) for one, state in zip(before, some, strict=True)]
            if not some[0].whole:
                pushed = block_jacobian.push_paths(parallel, paths, mlp, read, at, torch.cat(directions))
                _share_out({"attn": _gain(pushed.attn[0]), "block": _gain(pushed.block[0])}, found, own_rows)
            else:
                for number, own in enumerate(own_rows):
                    of = Branches(parallel, paths[number], mlp, read[own], at.at(own))
                    measured, some[number] = _of_block(
                        of, directions[number], some[number], layer, exact=exact, probes=probes, memory_gb=memory_gb
                    )
                    found[number] |= measured
        for state, of_pair in zip(some, found, strict=True):
            named = [_columns(state.trace, layer, name, of_pair[name]) for name in components if name in of_pair]
            rows.append(stack(named))
            after.append(state)
    return rows, after


def _batches(states: Sequence[PairState]) -> Iterator[list[PairState]]:
    """Yield the states in lists of at most `TOGETHER` whose norms are computed, or of which only gains are."""
    for _, group in itertools.groupby(states, lambda state: state.whole):
        listed = list(group)
        yield from (listed[first : first + TOGETHER] for first in range(0, len(listed), TOGETHER))


def _share_out(
    measured: dict[str, _Measured], found: Sequence[dict[str, _Measured]], own_rows: Sequence[slice]
) -> None:
    """Add to what was found of each pair what was measured at its own rows."""
    for of_pair, own in zip(found, own_rows, strict=True):
        of_pair |= {name: _Measured(*(values[own] for values in of_all)) for name, of_all in measured.items()}


def _at_layer(trace: Trace, layer: int, values: list[Tensor], device: torch.device) -> Tensor:
    return values[trace.layers.index(layer)].to(device)


def _of_mlp(mlp: Mlp, matrices: mlp_jacobian.Gram, read: Tensor, at: Linearisation, v: Tensor) -> dict[str, _Measured]:
    norms = mlp_jacobian.jacobian_norms(mlp, matrices, read, at)
    through_norm = mlp.norm.push(read, v)
    length = torch.linalg.vector_norm(through_norm, dim=-1, keepdim=True)
    moved = mlp_jacobian.push_fc(mlp, at, through_norm / length.clamp_min(1e-30))
    return {
        "mlp": _exact(norms.mlp, mlp_jacobian.push_post_norm(mlp, read, moved * length)),
        "mlp_fc": _exact(norms.mlp_fc, moved),
        "norm": _exact(norms.norm, mlp_jacobian.push_norm(mlp, read, at, v)),
    }


def _of_block(
    of: Branches, v: Tensor, state: PairState, layer: int, *, exact: bool, probes: int, memory_gb: float
) -> tuple[dict[str, _Measured], PairState]:
    """Measure norms and gains of attention, block and chain for one pair, and return the state after the block.

    Args:
        of: The block along the pair's path.
        v: (steps, d_model), the unit tangent of the path that the block reads.
        state: The pair's state before this block.
        layer: Index of the block.
        exact: See `jacobian_layer`.
        probes: See `jacobian_layer`.
        memory_gb: See `jacobian_layer`.
    """
    seed = int(digest([state.trace.pair.pair.id, layer])[:8], 16)
    signs = block_jacobian.random_signs(nodes.directions(*v.shape) if exact else probes, v, seed)
    images = [] if state.images is None else [state.images]
    groups = [v[None], state.direction[None], signs, *images]
    pushed = block_jacobian.push(of, torch.cat(groups))
    (attn_gain, _, attn, *_), (block_gain, direction, block, *images) = (
        values.split([len(group) for group in groups]) for values in pushed
    )
    image = images[0] if images else block  # before the first block, the product is the identity
    chain = state.chain
    if exact:
        found = block_jacobian.exact_norms(of, chain, Pushed(attn, block), image, memory_gb=memory_gb / 16)
        chain = found.chain
        frobenius = [_exactly(values) for values in (found.attn, found.block, found.of_chain)]
    else:
        frobenius = [block_jacobian.frobenius_estimate(values) for values in (attn, block, image)]
    moved = (attn_gain[0], block_gain[0], direction[0])
    norms = {
        name: _Measured(*norm, torch.linalg.vector_norm(along, dim=-1))
        for name, norm, along in zip(("attn", "block", "chain"), frobenius, moved, strict=True)
    }
    return norms, state._replace(chain=chain, images=image, direction=direction[0])


def _gain(moved: Tensor) -> _Measured:
    gain = torch.linalg.vector_norm(moved, dim=-1)
    return _Measured(torch.full_like(gain, torch.nan), torch.full_like(gain, torch.nan), gain)


def _exactly(frobenius: Tensor) -> tuple[Tensor, Tensor]:
    return frobenius, torch.full_like(frobenius, torch.nan)


def _exact(frobenius: Tensor, moved: Tensor) -> _Measured:
    return _Measured(*_exactly(frobenius), torch.linalg.vector_norm(moved, dim=-1))


def _columns(trace: Trace, layer: int, component: str, measured: _Measured) -> Columns:
    steps = len(trace.alphas)
    return {
        "layer": np.full(steps, layer),
        "step": np.arange(steps),
        "alpha": trace.alphas.numpy(),
        "component": words(steps, component),
        **{name: values.float().cpu().numpy() for name, values in measured._asdict().items()},
    }


def start(model: Transformer, trace: Trace, *, whole: bool = True) -> PairState:
    """Return a pair's state before the first block after the interpolation layer."""
    prefix = model.prefix(list(trace.pair.prefix))
    return PairState(trace, prefix, None, None, tangents(trace.resid_pre[0]).to(model.device), whole)


def jacobian(job: Job) -> None:
    """Write the table `jacobian` of one shard."""
    go_offline()
    torch.set_num_threads(job.threads)
    settings = job.slice
    traces = read_traces(
        job.root,
        job.model,
        job.shard,
        job.model_folder,
        settings["bos"],
        trace_layer=settings["trace_layer"],
        path=settings["path"],
    )
    traces = [one for one in traces if depth.goes_into(one.pair.pair, "jacobian", trained=settings["trained"])]
    model = Transformer.load(job.model_folder, device=job.device, centre=settings["centre"])
    suite = settings["suite_matrices"]
    states = [start(model, trace, whole=suite or SUITE not in trace.pair.pair.labels) for trace in traces]
    components = [name for name in COMPONENTS if name in settings["components"]]
    rows: list[list[Columns]] = [[] for _ in states]
    layers = traces[0].layers if traces else ()
    for number, layer in enumerate(layers, start=1):
        job.progress(f"layer {number} of {len(layers)}, {len(states)} pairs")
        found, states = jacobian_layer(
            model, layer, states, components=components, exact=model.d_model <= settings["exact_up_to"],
            probes=settings["probes"], memory_gb=job.memory_gb,
        )  # fmt: skip
        for own, new, state in zip(rows, found, states, strict=True):
            own.append(new)
            state.trace.free(layer)
    parts = [with_pair(stack(own), state.trace.pair.pair.id) for own, state in zip(rows, states, strict=True)]
    data = tables.build(tables.JACOBIAN, stack(parts) if parts else tables.no_rows(tables.JACOBIAN, model.d_model))
    steps = len(traces[0].alphas) if traces else 0
    measured = sum(len(components) - ("chain" in components and not state.whole) for state in states)
    tables.check_grid(tables.JACOBIAN, data, measured * len(layers) * steps, "pairs x layers x components x steps")
    tables.write_table(
        table_path(job.root, job.model, tables.JACOBIAN, job.shard), tables.JACOBIAN, data, job.metadata()
    )


if __name__ == "__main__":
    run("jacobian", jacobian)
