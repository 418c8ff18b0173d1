"""Run all stages on a tiny random model of one architecture and compare them with plain models and autograd.

    python -m tests.architectures        (or: make architectures)

prints the table of supported architectures with the errors; tests/unit/model/test_architectures.py bounds the errors.
"""

from __future__ import annotations

import copy
import functools
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch

from plateaus.data import canonical, tables
from plateaus.data.results import table_path
from plateaus.mechanism import mlp_jacobian, splines
from plateaus.mechanism.attention_jacobian import LayerAttention
from plateaus.model import architecture
from plateaus.model.freezing import CONDITIONS
from plateaus.model.mlp import Mlp
from plateaus.model.transformer import Transformer
from plateaus.prompts.pairs import COLUMNS, SEPARATOR, Pair, pairs_digest, shard_of
from plateaus.sources.quiet import OFFLINE, quiet_libraries
from plateaus.stages.extract import extract
from plateaus.stages.fetch import fetch
from plateaus.stages.freeze import freeze
from plateaus.stages.interpolate import interpolate
from plateaus.stages.jacobian import COMPONENTS, jacobian
from plateaus.stages.job import Job
from plateaus.stages.selfcheck import measure as selfcheck
from plateaus.stages.spline import spline
from tests import oracle, tiny

PAIR = Pair("car-big-in", "The old red car was", "big", "in", "published")
"""The prompts are longer than the sliding windows of the tiny models."""
STEPS = 7
LAYERS = (0, 2)
STAGES = {
    "extract": extract, "interpolate": interpolate, "freeze": freeze, "jacobian": jacobian, "spline": spline,
}  # fmt: skip

HINGES = ("gate_proj", "gate_up_proj", "up_proj", "fc1", "fc_in", "c_fc", "dense_h_to_4h")
"""Names of the modules whose output is the pre-activation of the MLP, or its first half; the first one found is it."""


class Row(NamedTuple):
    """The results of one architecture; each error is the largest one of all comparisons.

    Attributes:
        kind: The architecture.
        distance: Absolute error of relative distances at every layer and at the logits, against plain hooks.
        frozen: Absolute error of relative distances at the logits under every freezing condition, against plain hooks.
        mlp: Relative error of the MLP branch and its closed-form Jacobian, against autograd in float64.
        block: Relative error of block and chain norms, against autograd through the plain model in float32.
        attention: Whether attention's Jacobian has a closed form or is differentiated.
        residual: Error of resid_pre + attn_out + mlp_out = resid_post, relative to the largest element.
        codes: Number of units whose spline code differs from that of the plain modules.
        check: Largest error of the check that every run makes before it uses a model.
    """

    kind: str
    distance: float
    frozen: float
    mlp: float
    block: float
    attention: str
    residual: float
    codes: int
    check: float


def loaded_once() -> AbstractContextManager[Any]:
    """Let all jobs in a `with` block use one model instead of loading it again, which would take most of the time."""
    return mock.patch.object(Transformer, "load", functools.cache(Transformer.load))


class Results(NamedTuple):
    """What the stages wrote, by name of the table, the model that all of them used, and the largest error of its check."""

    tables: dict[str, Any]
    model: Transformer
    check: float


def run_stages(source: Path, folder: Path, pair: Pair = PAIR) -> Results:
    """Run fetch, the model's check, extract, interpolate, freeze, jacobian and spline as their commands do."""
    table = folder / "pairs.tsv"
    folder.mkdir(parents=True, exist_ok=True)
    table.write_text("\t".join((*COLUMNS, SEPARATOR)) + "\n" + "\t".join(pair) + "\n", encoding="utf-8")
    curves = {"centre": False, "bos": "auto", "steps": STEPS, "path": "spherical"}
    traced = {"centre": False, "bos": "auto", "path": "spherical", "trace_layer": 0}
    slices: dict[str, dict[str, Any]] = {
        "extract": {"centre": False, "bos": "auto", "pairs": pairs_digest([pair])},
        "interpolate": {
            **curves, "layers": list(LAYERS), "suite_stride": 5, "trace_layer": 0, "top_tokens": 3, "endpoint_tolerance": 1e-3,
            "trained": True,
        },
        "freeze": {**curves, "trained": True, "conditions": list(CONDITIONS), "layers": list(LAYERS)},
        "jacobian": {**traced, "trained": True, "components": list(COMPONENTS), "suite_matrices": False, "exact_up_to": 1024, "probes": 4},
        "spline": {**traced, "top_neurons": 3},
    }  # fmt: skip

    section = {"table": str(table), "suite": "", "sample": 0, "seed": 0, "shards": 1}

    def job(stage: str, slice_: dict[str, Any]) -> Job:
        return Job(
            stage=stage, root=folder, model="tiny", shard=shard_of(pair.id, 1), slice=slice_,
            model_folder=folder / "model", extra={"prompts": section, "check": list(pair)}, threads=1, device="cpu",
            memory_gb=1.0, progress=lambda _: None,
        )  # fmt: skip

    fetch(job("fetch", {"source": "local", "path": str(source)}))
    with loaded_once():
        errors = selfcheck(job("extract", slices["extract"]))
        for stage, function in STAGES.items():
            function(job(stage, slices[stage]))
        model = Transformer.load(folder / "model", device="cpu", centre=False)
    written = {
        declared.name: tables.read(declared, [table_path(folder, "tiny", declared, shard_of(pair.id, 1))])
        for declared in tables.TABLES.values()
        if declared.stage in STAGES
    }
    return Results(written, model, max(error.error for error in errors))


def ids(tokenizer: Any, pair: Pair) -> tuple[list[int], list[int]]:
    """Return the token ids of both prompts."""
    found = [list(tokenizer(pair.prompt(word), add_special_tokens=False).input_ids) for word in (pair.a, pair.b)]
    return found[0], found[1]


def distance_error(rows: Any, plain: torch.nn.Module, both: tuple[list[int], list[int]]) -> float:
    """Return the largest absolute error of the distances in the table `interpolate`."""
    frame, worst = rows.to_pandas(), 0.0
    for layer in LAYERS:
        recorded, logits = oracle.interpolate(plain, *both, layer, STEPS)
        of_layer = frame[(frame["interp_layer"] == layer) & (frame["site"] != "next_token")]
        for record_layer, vectors in [*recorded.items(), (len(oracle.blocks_of(plain)), logits)]:
            found = of_layer[of_layer["record_layer"] == record_layer]["distance"].to_numpy()
            assert len(found) == STEPS
            worst = max(worst, float(np.abs(found - oracle.relative_distance(vectors).numpy()).max()))
    return worst


def frozen_error(rows: Any, plain: torch.nn.Module, kind: str, both: tuple[list[int], list[int]]) -> float:
    """Return the largest absolute error of the distances at the logits in the table `freeze`."""
    frame, worst = rows.to_pandas(), 0.0
    frame = frame[frame["site"] == "logits"]
    for condition in CONDITIONS:
        for layer in LAYERS:
            found = frame[(frame["condition"] == condition) & (frame["interp_layer"] == layer)]["distance"].to_numpy()
            expected = oracle.relative_distance(oracle.freeze(plain, kind, *both, layer, STEPS, condition)).numpy()
            worst = max(worst, float(np.abs(found - expected).max()))
    return worst


def in_float64(mlp: Mlp) -> Mlp:
    """Return the same branch in float64; an activation function may have parameters of its own (Apertus)."""

    def double(record: Any) -> Any:
        return record._replace(
            **{name: value.double() for name, value in record._asdict().items() if isinstance(value, torch.Tensor)}
        )

    post = None if mlp.post_norm is None else double(mlp.post_norm)
    function = mlp.activation
    if isinstance(function, torch.nn.Module):
        function = copy.deepcopy(function).double()
    return Mlp(**{**double(mlp)._asdict(), "norm": double(mlp.norm), "post_norm": post, "activation": function})


def jacobians(function: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
    """Return the Jacobian at every row, (rows, out, in), by autograd of the sum of a function that maps row by row."""
    found: torch.Tensor = torch.autograd.functional.jacobian(lambda x: function(x).sum(0), rows, vectorize=True)
    return found.transpose(0, 1)


def mlp_errors(model: Transformer, plain: torch.nn.Module, kind: str, layer: int = 2) -> Iterator[float]:
    """Yield relative errors of the branch, its Jacobian's norms and matrix, and its product with a direction, in float64."""
    mlp = in_float64(model.mlp(layer))
    branch = oracle.mlp_branch(oracle.blocks_of(plain)[layer].double(), kind)
    torch.manual_seed(3)
    x = 2 * torch.randn(6, model.d_model, dtype=torch.float64) + 0.3
    matrices = jacobians(branch, x)
    v = torch.randn_like(x)
    found = mlp_jacobian.jacobian_norms(mlp, mlp_jacobian.gram(mlp), x, mlp.linearise(x))
    for value, expected in (
        (mlp(x), branch(x)),
        (found.mlp, matrices.flatten(1).norm(dim=1)),
        (mlp_jacobian.jacobian(mlp, x), matrices),
        (mlp_jacobian.push(mlp, x, mlp.linearise(x), v), (matrices @ v[:, :, None]).squeeze(-1)),
    ):
        yield float((value - expected).norm() / expected.norm())
    # The branch without its norms, W_out act(W_in (gain u + bias)), is differentiated with respect to a (centred) u.
    normalised = mlp.norm.normalise(x)[0]

    class Affine(NamedTuple):
        gain: torch.Tensor = mlp.norm.gain
        bias: torch.Tensor = mlp.norm.bias

        def __call__(self, u: torch.Tensor) -> torch.Tensor:
            return u * self.gain + self.bias

    bare = mlp._replace(norm=Affine(), post_norm=None)
    expected = jacobians(lambda u: bare(mlp.norm.centre(u)), normalised).flatten(1).norm(dim=1)
    yield float((found.mlp_fc - expected).norm() / expected.norm())
    norm, read = mlp_jacobian.separate_norm(mlp, x)
    expected = jacobians(norm, read).flatten(1).norm(dim=1)
    yield float((found.norm - expected).norm() / expected.norm())


def plain_block(plain: torch.nn.Module, ids_: list[int], at: torch.Tensor, first: int, last: int) -> torch.Tensor:
    """Return d resid_post[last] / d resid_post[first] at every row of `at`, by autograd through the full sequences."""
    blocks = oracle.blocks_of(plain)

    def run(x: torch.Tensor) -> torch.Tensor:
        kept: list[torch.Tensor] = []

        def patch(_: object, __: object, out: Any) -> Any:
            hidden = (out[0] if isinstance(out, tuple) else out).clone()
            hidden[:, -1] = x
            return (hidden, *out[1:]) if isinstance(out, tuple) else hidden

        def keep(_: object, __: object, out: Any) -> None:
            kept.append((out[0] if isinstance(out, tuple) else out)[:, -1])

        handles = [blocks[first].register_forward_hook(patch), blocks[last].register_forward_hook(keep)]
        plain(torch.tensor([ids_] * len(x)), use_cache=False)
        for handle in handles:
            handle.remove()
        return kept[0]

    return jacobians(run, at)


def block_errors(found: dict[str, Any], plain: torch.nn.Module, ids_: list[int], n_layers: int) -> Iterator[float]:
    """Yield the relative errors of block and chain norms in the table `jacobian`, at three steps."""
    frame = found["jacobian"].to_pandas()
    steps = [0, STEPS // 2, STEPS - 1]
    post = torch.from_numpy(tables.vectors(found["trace"], "resid_post").copy()).reshape(n_layers - 1, STEPS, -1)
    path = oracle_path(found)
    for component, at, first, last in (("block", post[1], 2, 3), ("chain", path, 0, n_layers - 1)):
        norms = plain_block(plain, ids_, at[steps], first, last).flatten(1).norm(dim=1)
        rows = frame[(frame["component"] == component) & (frame["layer"] == last)].set_index("step")
        for step, norm in zip(steps, norms, strict=True):
            yield abs(float(rows.loc[step, "frobenius"]) / float(norm) - 1)


def oracle_path(found: dict[str, Any]) -> torch.Tensor:
    """Return the path at layer 0, from the vectors that extract wrote."""
    vectors = torch.from_numpy(tables.vectors(found["extract"], "vector").copy())
    layers = len(vectors) // 2
    return oracle.slerp(vectors[0], vectors[layers], STEPS)


@torch.no_grad()
def residual_error(model: Transformer, both: tuple[list[int], list[int]]) -> float:
    """Return the largest relative error of resid_pre + attn_out + mlp_out = resid_post over all blocks."""
    prefix, worst = model.prefix(both[0][:-1]), 0.0
    rows = torch.stack([model.run(list(one))[0][0] for one in both])
    for layer in range(1, model.n_layers):
        output = model.block(layer, rows, prefix, parts=True)
        summed = rows + output.parts["attn_out"] + output.parts["mlp_out"]
        worst = max(worst, float((summed - output.resid_post).abs().max() / output.resid_post.abs().max()))
        rows = output.resid_post
    return worst


def code_errors(
    found: dict[str, Any], model: Transformer, plain: torch.nn.Module, ids_: list[int], layer: int = 2
) -> int:
    """Count the units whose spline code differs from the sign of the plain module's pre-activation."""
    along = {
        name: torch.from_numpy(tables.vectors(found["trace"], name).copy()).reshape(model.n_layers - 1, STEPS, -1)
        for name in ("mlp_input", "resid_post")
    }
    names = [name for name, _ in oracle.blocks_of(plain)[layer].named_modules()]
    hinge = next(name for end in HINGES for name in names if name.split(".")[-1] == end)
    expected = oracle.output_of(plain, ids_, layer, along["resid_post"][layer - 2], hinge)[:, : model.d_mlp]
    found_codes = splines.codes(model.mlp(layer), along["mlp_input"][layer - 1])
    return int(np.bitwise_count(np.packbits((expected > 0).numpy(), axis=-1) ^ found_codes).sum())


def has_closed_attention(model: Transformer, ids_: list[int], layer: int = 2) -> bool:
    """Return whether attention's Jacobian has a closed form, which a trial confirms."""
    rows = model.run(ids_)[0][[layer - 1]]
    return LayerAttention(model, layer, memory_gb=1.0).at(rows, model.prefix(ids_[:-1])).affine is not None


def measure(kind: str, source: Path, folder: Path, pair: Pair = PAIR) -> Row:
    """Run all stages on one model folder and measure every error.

    Args:
        kind: The architecture, as in `tests.tiny`.
        source: A Hugging Face folder.
        folder: The folder for results.
        pair: The prompts; it must not have the tag `suite`, for which the block and chain norms are not computed.
    """
    found, model, check = run_stages(source, folder, pair)
    plain, tokenizer = oracle.load(source)
    both = ids(tokenizer, pair)
    card = json.loads((folder / "model" / "card.json").read_text(encoding="utf-8"))
    assert card["layers"] in (model.n_layers, None)  # GPT-Neo and MPT give it by a name that the card does not know
    assert canonical.digest(card["files"])
    return Row(
        kind=kind,
        distance=distance_error(found["interpolate"], plain, both),
        frozen=frozen_error(found["freeze"], plain, kind, both),
        block=max(block_errors(found, plain, both[0], model.n_layers)),
        attention="closed form" if has_closed_attention(model, both[0]) else "differentiated",
        residual=residual_error(model, both),
        codes=code_errors(found, model, plain, both[0]),
        check=check,
        mlp=max(mlp_errors(model, plain, kind)),  # last, because it converts the plain model to float64
    )


def readme_table() -> str:
    """Return the table of supported architectures as docs/models.md has it, with a row for all that have the same parts."""
    groups: dict[tuple[str, str], list[str]] = {}
    for kind, family in architecture.SUPPORTED.items():
        groups.setdefault((family.layout, family.mlp), []).append(kind)
    rows = ["| architecture | models | norms | MLP |", "|---|---|---|---|"]
    for (layout, mlp), kinds in groups.items():
        names = ", ".join(f"`{kind}`" for kind in kinds)
        models = ", ".join(architecture.SUPPORTED[kind].models for kind in kinds)
        rows.append(f"| {names} | {models} | {layout} | {mlp} |")
    return "\n".join(rows)


def main() -> None:
    """Print the table of supported architectures."""
    os.environ.update(OFFLINE)
    heads = ("d", "frozen d", "J mlp", "J block", "sum", "codes", "check")
    print(f"{'architecture':<13}" + "".join(f"{head:>10}" for head in heads) + f"  {'attention':<15} models")
    for kind, family in architecture.SUPPORTED.items():
        with tempfile.TemporaryDirectory() as folder, quiet_libraries():
            row = measure(kind, tiny.save(kind, Path(folder) / "source"), Path(folder) / "run")
        print(
            f"{kind:<13}{row.distance:>10.1e}{row.frozen:>10.1e}{row.mlp:>10.1e}{row.block:>10.1e}"
            f"{row.residual:>10.1e}{row.codes:>10}{row.check:>10.1e}  {row.attention:<15} {family.models}: {family.layout}; {family.mlp}"
        )


if __name__ == "__main__":
    main()
