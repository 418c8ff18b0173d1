"""Run all stages on a tiny random model of one architecture and compare them with plain models and autograd.

    python -m tests.architectures        (or: make architectures)

prints the table of supported architectures with the errors; tests/unit/model/test_architectures.py bounds the errors.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from plateaus.data import canonical, tables
from plateaus.data.results import table_path
from plateaus.mechanism import mlp_jacobian, splines
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
from plateaus.stages.spline import spline
from tests import oracle, tiny

PAIR = Pair("house-big-in", "The house was", "big", "in", "published")
STEPS = 7
LAYERS = (0, 2)
STAGES = {
    "extract": extract, "interpolate": interpolate, "freeze": freeze, "jacobian": jacobian, "spline": spline,
}  # fmt: skip


HINGES = ("gate_proj", "fc1", "c_fc", "dense_h_to_4h")
"""Names of the modules whose output is the pre-activation of the MLP."""


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
    """

    kind: str
    distance: float
    frozen: float
    mlp: float
    block: float
    attention: str
    residual: float
    codes: int


def run_stages(source: Path, folder: Path, pair: Pair = PAIR) -> dict[str, Any]:
    """Run fetch, extract, interpolate, freeze, jacobian and spline as their commands do; return the tables by name."""
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
            model_folder=folder / "model", extra={"prompts": section}, threads=1, device="cpu",
            memory_gb=1.0, progress=lambda _: None,
        )  # fmt: skip

    fetch(job("fetch", {"source": "local", "path": str(source)}))
    for stage, function in STAGES.items():
        function(job(stage, slices[stage]))
    return {
        declared.name: tables.read(declared, [table_path(folder, "tiny", declared, shard_of(pair.id, 1))])
        for declared in tables.TABLES.values()
        if declared.stage in STAGES
    }


def ids(tokenizer: Any, pair: Pair) -> tuple[list[int], list[int]]:
    """Return the token ids of both prompts."""
    found = [list(tokenizer(pair.prompt(word), add_special_tokens=False).input_ids) for word in (pair.a, pair.b)]
    return found[0], found[1]


def distance_error(rows: Any, plain: torch.nn.Module, both: tuple[list[int], list[int]]) -> float:
    """Return the largest absolute error of the distances in the table `interpolate`."""
    frame, worst = rows.to_pandas(), 0.0
    for layer in LAYERS:
        recorded, logits = oracle.interpolate(plain, *both, layer, STEPS)
        of_layer = frame[frame["interp_layer"] == layer]
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
    """Return the same branch in float64."""

    def double(record: Any) -> Any:
        return record._replace(
            **{name: value.double() for name, value in record._asdict().items() if isinstance(value, torch.Tensor)}
        )

    post = None if mlp.post_norm is None else double(mlp.post_norm)
    return Mlp(**{**double(mlp)._asdict(), "norm": double(mlp.norm), "post_norm": post})


def mlp_errors(model: Transformer, plain: torch.nn.Module, kind: str, layer: int = 2) -> Iterator[float]:
    """Yield relative errors of the branch, its Jacobian's norms and matrix, and its product with a direction, in float64."""
    mlp = in_float64(model.mlp(layer))
    branch = oracle.mlp_branch(oracle.blocks_of(plain)[layer].double(), kind)
    torch.manual_seed(3)
    x = 2 * torch.randn(6, model.d_model, dtype=torch.float64) + 0.3
    matrices = torch.stack([torch.autograd.functional.jacobian(lambda one: branch(one[None])[0], row) for row in x])
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
    expected = torch.stack(
        [torch.autograd.functional.jacobian(lambda u: bare(mlp.norm.centre(u)[None])[0], row) for row in normalised]
    )
    expected = expected.flatten(1).norm(dim=1)
    yield float((found.mlp_fc - expected).norm() / expected.norm())
    norm, read = mlp_jacobian.separate_norm(mlp, x)
    expected = torch.stack(
        [torch.autograd.functional.jacobian(lambda one: norm(one[None])[0], row).norm() for row in read]
    )
    yield float((found.norm - expected).norm() / expected.norm())


def plain_block(plain: torch.nn.Module, ids_: list[int], at: torch.Tensor, first: int, last: int) -> torch.Tensor:
    """Return d resid_post[last] / d resid_post[first] at the last token, by autograd through the full sequence."""
    blocks = oracle.blocks_of(plain)

    def run(x: torch.Tensor) -> torch.Tensor:
        kept: list[torch.Tensor] = []

        def patch(_: object, __: object, out: Any) -> Any:
            hidden = (out[0] if isinstance(out, tuple) else out).clone()
            hidden[0, -1] = x
            return (hidden, *out[1:]) if isinstance(out, tuple) else hidden

        def keep(_: object, __: object, out: Any) -> None:
            kept.append((out[0] if isinstance(out, tuple) else out)[0, -1])

        handles = [blocks[first].register_forward_hook(patch), blocks[last].register_forward_hook(keep)]
        plain(torch.tensor([ids_]), use_cache=False)
        for handle in handles:
            handle.remove()
        return kept[0]

    found: torch.Tensor = torch.autograd.functional.jacobian(run, at)
    return found


def block_errors(found: dict[str, Any], plain: torch.nn.Module, ids_: list[int], n_layers: int) -> Iterator[float]:
    """Yield the relative errors of block and chain norms in the table `jacobian`, at three steps."""
    frame = found["jacobian"].to_pandas()
    post = tables.vectors(found["trace"], "resid_post").reshape(n_layers - 1, STEPS, -1)
    for step in (0, STEPS // 2, STEPS - 1):
        for component, first, last in (("block", 2, 3), ("chain", 1, n_layers - 1)):
            rows = frame[(frame["component"] == component) & (frame["step"] == step)]
            matrix = plain_block(plain, ids_, torch.from_numpy(post[first - 1][step].copy()), first, last)
            if component == "chain":  # the chain starts at the interpolation layer, one block earlier
                start = oracle_path(plain, ids_, found)[step]
                matrix = matrix @ plain_block(plain, ids_, start, 0, 1)
            value = float(rows[rows["layer"] == last]["frobenius"].iloc[0])
            yield abs(value / float(matrix.norm()) - 1)


def oracle_path(plain: torch.nn.Module, ids_: list[int], found: dict[str, Any]) -> torch.Tensor:
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


def code_errors(found: dict[str, Any], model: Transformer, prefix: list[int], layer: int = 2) -> int:
    """Count the units whose spline code differs from the sign of the plain module's pre-activation."""
    along = {
        name: torch.from_numpy(tables.vectors(found["trace"], name).copy()).reshape(model.n_layers - 1, STEPS, -1)
        for name in ("mlp_input", "resid_post")
    }
    seen: list[torch.Tensor] = []
    names = dict(oracle.blocks_of(model.bridge.original_model)[layer].named_modules())
    module = next(names[name] for end in HINGES for name in names if name.split(".")[-1] == end)
    handle = module.register_forward_hook(lambda _, __, out: seen.append(out.reshape(-1, out.shape[-1])))
    try:
        model.block(layer, along["resid_post"][layer - 2], model.prefix(prefix))
    finally:
        handle.remove()
    found_codes = splines.codes(model.mlp(layer), along["mlp_input"][layer - 1])
    return int(np.bitwise_count(np.packbits((seen[-1] > 0).numpy(), axis=-1) ^ found_codes).sum())


def measure(kind: str, source: Path, folder: Path, pair: Pair = PAIR) -> Row:
    """Run all stages on one model folder and measure every error.

    Args:
        kind: The architecture, as in `tests.tiny`.
        source: A Hugging Face folder.
        folder: The folder for results.
        pair: The prompts; it must not have the tag `suite`, for which the block and chain norms are not computed.
    """
    found = run_stages(source, folder, pair)
    plain, tokenizer = oracle.load(source)
    both = ids(tokenizer, pair)
    model = Transformer.load(folder / "model", device="cpu")
    card = json.loads((folder / "model" / "card.json").read_text(encoding="utf-8"))
    assert card["layers"] == model.n_layers
    assert canonical.digest(card["files"])
    from plateaus.mechanism.closed_attention import read_affine

    exact = read_affine(model, 2, model.prefix(both[0][:-1])) is not None
    return Row(
        kind=kind,
        distance=distance_error(found["interpolate"], plain, both),
        frozen=frozen_error(found["freeze"], plain, kind, both),
        block=max(block_errors(found, plain, both[0], model.n_layers)),
        attention="closed form" if exact else "differentiated",
        residual=residual_error(model, both),
        codes=code_errors(found, model, both[0][:-1]),
        mlp=max(mlp_errors(model, plain, kind)),  # last, because it converts the plain model to float64
    )


def main() -> None:
    """Print the table of supported architectures."""
    os.environ.update(OFFLINE)
    heads = ("d", "frozen d", "J mlp", "J block", "sum", "codes")
    print(f"{'architecture':<13}" + "".join(f"{head:>10}" for head in heads) + f"  {'attention':<15} models")
    for kind, family in architecture.SUPPORTED.items():
        with tempfile.TemporaryDirectory() as folder, quiet_libraries():
            row = measure(kind, tiny.save(kind, Path(folder) / "source"), Path(folder) / "run")
        print(
            f"{kind:<13}{row.distance:>10.1e}{row.frozen:>10.1e}{row.mlp:>10.1e}{row.block:>10.1e}"
            f"{row.residual:>10.1e}{row.codes:>10}  {row.attention:<15} {family.models}: {family.layout}; {family.mlp}"
        )


if __name__ == "__main__":
    main()
