"""jacobian: how strongly each component responds to its input, at every step of the traced path."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from plateaus import block_jacobian, tables
from plateaus import mlp as closed
from plateaus.architecture import mlp_of
from plateaus.canonical import digest
from plateaus.curves import Columns, stack, with_pair
from plateaus.prompts import SUITE
from plateaus.quiet import go_offline
from plateaus.results import table_path
from plateaus.stages.runner import Job, run
from plateaus.trace import Trace, read_traces, tangents
from plateaus.transformer import Prefix, Transformer

COMPONENTS = ("mlp", "mlp_fc", "norm", "attn", "block", "chain")

TOGETHER = 16
"""How many pairs go through an MLP in one product: more are not faster, and their hidden units have to fit."""


class _Measured(NamedTuple):
    """Frobenius norm, its standard error (NaN where it is exact) and directional gain, at every step."""

    frobenius: Tensor
    frobenius_error: Tensor
    gain: Tensor


class PairState(NamedTuple):
    """What is carried from layer to layer for one pair.

    Attributes:
        trace: Its trace.
        prefix: Its prefix.
        chain: The product of the block Jacobians so far (steps, d_model, d_model), or the images of random sign
            vectors under it (probes, steps, d_model) where it is estimated; None before the first block.
        direction: The image under the chain of the path's unit tangent (steps, d_model).
        whole: Whether the norms of attention, block and chain are computed, or just the gains of the first two.
    """

    trace: Trace
    prefix: Prefix
    chain: Tensor | None
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
    """All components of one layer, for all pairs, which share the layer's Gram matrices.

    Args:
        model: The model.
        layer: A layer after the interpolation layer.
        states: One per pair.
        components: Which of `COMPONENTS`.
        exact: Whether block and chain are exact; otherwise estimated from `probes` random directions.
        probes: Number of random sign vectors.
        memory_gb: Budget for intermediate results.

    Returns:
        The rows of the `jacobian` table per pair, and the states after this layer.
    """
    mlp = mlp_of(model.bridge, layer)
    matrices = closed.gram(mlp) if {"mlp", "mlp_fc"} & set(components) else None
    rows, after = [], []
    for first in range(0, len(states), TOGETHER):
        some = states[first : first + TOGETHER]
        reads = [_at_layer(state.trace, layer, state.trace.mlp_input, model.device) for state in some]
        read = torch.cat(reads)
        at = mlp.linearise(read)
        of_mlp: dict[str, _Measured] = {}
        if matrices is not None:
            of_mlp = _of_mlp(mlp, matrices, read, at, torch.cat([tangents(one) for one in reads]))
        for number, (state, own_read) in enumerate(zip(some, reads, strict=True)):
            own = slice(number * len(own_read), (number + 1) * len(own_read))  # all paths have as many steps
            found = {name: _Measured(*(values[own] for values in measured)) for name, measured in of_mlp.items()}
            if {"attn", "block", "chain"} & set(components):
                measured, state = _of_block(
                    model, layer, mlp, state, own_read, at.of_rows(own), exact, probes, memory_gb
                )
                found |= measured
            named = [_columns(state.trace, layer, name, found[name]) for name in components if name in found]
            rows.append(stack(named))
            after.append(state)
    return rows, after


def _at_layer(trace: Trace, layer: int, values: Tensor, device: torch.device) -> Tensor:
    return values[trace.layers.index(layer)].to(device)


def _of_mlp(
    mlp: closed.Mlp, matrices: closed.Gram, read: Tensor, at: closed.Linearisation, v: Tensor
) -> dict[str, _Measured]:
    norms = closed.jacobian_norms(mlp, matrices, read, at)
    through_norm = mlp.norm.push(read, v)
    unit = torch.nn.functional.normalize(through_norm, dim=-1, eps=1e-30)
    return {
        "mlp": _exact(norms.mlp, closed.push(mlp, read, at, v)),
        "mlp_fc": _exact(norms.mlp_fc, closed.push_fc(mlp, at, unit)),
        "norm": _exact(norms.norm, closed.push_norm(mlp, read, at, v)),
    }


def _of_block(
    model: Transformer,
    layer: int,
    mlp: closed.Mlp,
    state: PairState,
    read: Tensor,
    at: closed.Linearisation,
    exact: bool,
    probes: int,
    memory_gb: float,
) -> tuple[dict[str, _Measured], PairState]:
    before = _at_layer(state.trace, layer, state.trace.resid_pre, model.device)
    v = tangents(before)
    chunk = int(memory_gb * 1e9 / (len(before) * model.bytes_per_row(state.prefix.length)))

    def push_block(directions: Tensor) -> block_jacobian.Pushed:
        return block_jacobian.block_push(model, layer, mlp, before, read, at, state.prefix, directions, chunk)

    if not state.whole:
        pushed = push_block(v[None])
        return {"attn": _gain(pushed.attn[0]), "block": _gain(pushed.block[0])}, state
    pushed = push_block(torch.stack([v, state.direction]))
    attn_gain, (block_gain, direction) = pushed.attn[0], pushed.block
    if exact:
        trial = block_jacobian.Trial(v, pushed.attn[0])
        found = block_jacobian.exact_norms(
            model, layer, mlp, before, read, state.prefix, state.chain, trial, memory_gb=memory_gb / 4
        )
        chain = found.product
        norms = {
            "attn": _exact(found.attn, attn_gain),
            "block": _exact(found.block, block_gain),
            "chain": _exact(found.chain, direction),
        }
    else:
        seed = int(digest([state.trace.pair.pair.id, layer])[:8], 16)
        signs = block_jacobian.random_signs(probes, before, seed)
        of_signs = push_block(signs)
        chain = of_signs.block if state.chain is None else push_block(state.chain).block
        norms = {
            "attn": _estimated(of_signs.attn, attn_gain),
            "block": _estimated(of_signs.block, block_gain),
            "chain": _estimated(chain, direction),
        }
    return norms, state._replace(chain=chain, direction=direction)


def _gain(moved: Tensor) -> _Measured:
    gain = torch.linalg.vector_norm(moved, dim=-1)
    return _Measured(torch.full_like(gain, torch.nan), torch.full_like(gain, torch.nan), gain)


def _exact(frobenius: Tensor, moved: Tensor) -> _Measured:
    return _Measured(frobenius, torch.full_like(frobenius, torch.nan), torch.linalg.vector_norm(moved, dim=-1))


def _estimated(pushed: Tensor, moved: Tensor) -> _Measured:
    return _Measured(*block_jacobian.frobenius_estimate(pushed), torch.linalg.vector_norm(moved, dim=-1))


def _columns(trace: Trace, layer: int, component: str, measured: _Measured) -> Columns:
    steps = len(trace.alphas)
    return {
        "layer": np.full(steps, layer),
        "step": np.arange(steps),
        "alpha": trace.alphas.numpy(),
        "component": np.full(steps, component),
        **{name: values.float().cpu().numpy() for name, values in measured._asdict().items()},
    }


def start(model: Transformer, trace: Trace, *, whole: bool = True) -> PairState:
    """A pair's state before the first block after the interpolation layer."""
    prefix = model.prefix(list(trace.pair.prefix))
    return PairState(trace, prefix, None, tangents(trace.resid_pre[0]).to(model.device), whole)


def jacobian(job: Job) -> None:
    """Write the table `jacobian` of one shard."""
    go_offline()
    torch.set_num_threads(job.threads)
    settings = job.slice
    traces = read_traces(
        job.root, job.model, job.shard, job.model_folder, trace_layer=settings["trace_layer"], path=settings["path"]
    )
    model = Transformer.load(job.model_folder, device=job.device, centre=settings["centre"])
    suite = settings["suite_matrices"]
    states = [start(model, trace, whole=suite or SUITE not in trace.pair.pair.labels) for trace in traces]
    components = [name for name in COMPONENTS if name in settings["components"]]
    rows: list[list[Columns]] = [[] for _ in states]
    layers = traces[0].layers
    for number, layer in enumerate(layers, start=1):
        job.progress(f"layer {number} of {len(layers)}, {len(states)} pairs")
        found, states = jacobian_layer(
            model, layer, states, components=components, exact=model.d_model <= settings["exact_up_to"],
            probes=settings["probes"], memory_gb=job.memory_gb,
        )  # fmt: skip
        for own, new in zip(rows, found, strict=True):
            own.append(new)
    parts = [with_pair(stack(own), state.trace.pair.pair.id) for own, state in zip(rows, states, strict=True)]
    data = tables.build(tables.JACOBIAN, stack(parts))
    steps = len(traces[0].alphas)
    measured = sum(len(components) - ("chain" in components and not state.whole) for state in states)
    tables.check_grid(tables.JACOBIAN, data, measured * len(layers) * steps, "pairs x layers x components x steps")
    tables.write_table(
        table_path(job.root, job.model, tables.JACOBIAN, job.shard), tables.JACOBIAN, data, job.metadata()
    )


if __name__ == "__main__":
    run("jacobian", jacobian)
