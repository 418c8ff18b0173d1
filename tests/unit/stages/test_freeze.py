"""Frozen runs against plain Hugging Face hooks, and what freezing must not change."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plateaus.curves import geometry
from plateaus.curves.endpoints import path_at
from plateaus.curves.rows import Columns, with_pair
from plateaus.curves.sweep import Group, sweep
from plateaus.data import tables
from plateaus.model.freezing import CONDITIONS
from plateaus.model.transformer import Transformer
from plateaus.prompts.pairs import Pair, tokenise_with_file
from plateaus.stages.extract import endpoints
from plateaus.stages.freeze import baselines, freeze_pair
from tests import oracle
from tests.unit.stages.test_interpolate import curve as plain_curve
from tests.unit.stages.test_interpolate import sweep_of

PAIR = Pair("house-big-in", "The house was", "big", "in", "")
STEPS = 9
LAYERS = [0, 2]


def frozen(folder, conditions=CONDITIONS, layers=LAYERS, **given) -> tuple[Columns, Transformer]:
    model = Transformer.load(folder, device="cpu")
    (pair,) = tokenise_with_file([PAIR], folder / "tokenizer.json", "model")
    ((residuals, _),) = endpoints(model, [pair])
    columns = freeze_pair(
        model,
        pair,
        residuals,
        conditions=list(conditions),
        layers=list(layers),
        steps=STEPS,
        path="spherical",
        memory_gb=1.0,
        **given,
    )
    return columns, model


def curve(rows: Columns, condition: str, layer: int, record_layer: int, site: str = "logits") -> dict[str, np.ndarray]:
    chosen = (rows["condition"] == condition) & (rows["interp_layer"] == layer)
    chosen &= (rows["record_layer"] == record_layer) & (rows["site"] == site)
    assert chosen.sum() == STEPS
    return {name: values[chosen] for name, values in rows.items()}


def test_secant_conditions_equal_plain_hooks_on_the_embedded_model(embedded_folder):
    rows, model = frozen(embedded_folder, ("mlp_mean", "attn_secant"), [0])
    plain, tokenizer = oracle.load(embedded_folder)
    ids_a, ids_b = (tokenizer(PAIR.prompt(word), add_special_tokens=False).input_ids for word in (PAIR.a, PAIR.b))
    for condition in ("mlp_mean", "attn_secant"):
        logits = oracle.freeze(plain, "llama", ids_a, ids_b, 0, STEPS, condition)
        found = curve(rows, condition, 0, model.n_layers)["distance"]
        np.testing.assert_allclose(found, oracle.relative_distance(logits).numpy(), atol=1e-5)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "opt", "neox"])
def test_secant_freezing_keeps_both_endpoints_logits(kind, tiny_folder):
    model = Transformer.load(tiny_folder(kind), device="cpu")
    (pair,) = tokenise_with_file([PAIR], tiny_folder(kind) / "tokenizer.json", "model")
    ((residuals, _),) = endpoints(model, [pair])
    path = path_at(residuals, 0, geometry.alphas(STEPS), path="spherical", pair="x")
    groups = [Group(0, path, condition) for condition in ("attn_secant", "mlp_secant", "mlp_mean")]
    *_, last = sweep(model, model.prefix(list(pair.prefix)), groups, memory_gb=1.0)
    errors = {}
    for group, rows in zip(last.groups, last.resid_post, strict=True):
        ends = model.logits(rows[[0, -1]])
        plain = [model.run([*pair.prefix, token])[1][-1] for token in (pair.token_a, pair.token_b)]
        errors[group.condition] = float((ends - torch.stack(plain)).abs().max())
    assert errors["attn_secant"] < 1e-3
    assert errors["mlp_secant"] < 1e-3
    assert errors["mlp_mean"] > 1e-3  # the mean moves the endpoints, which is why there are secant conditions


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_secant_freezing_keeps_both_endpoints(kind, tiny_folder):
    """The ends of a secant run are the unpatched prompts, so the norms at the ends equal those of the baseline."""
    rows, model = frozen(tiny_folder(kind))
    for layer in LAYERS:
        baseline = curve(rows, "none", layer, model.n_layers)
        for condition in ("attn_secant", "mlp_secant"):
            found = curve(rows, condition, layer, model.n_layers)
            np.testing.assert_allclose(found["norm"][[0, -1]], baseline["norm"][[0, -1]], rtol=1e-5)
            np.testing.assert_allclose(found["distance_b"][0], baseline["distance_b"][0], rtol=1e-5)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "neox"])
def test_with_attention_and_mlps_frozen_the_path_arrives_as_it_left(kind, tiny_folder):
    """All that later layers add is then constant along the path, so every later distance equals the path's own."""
    rows, model = frozen(tiny_folder(kind))
    for layer in LAYERS:
        path = curve(rows, "attn_mlp_mean", layer, layer, "resid_post")["distance"]
        for record_layer in range(layer, model.n_layers):
            found = curve(rows, "attn_mlp_mean", layer, record_layer, "resid_post")["distance"]
            np.testing.assert_allclose(found, path, atol=1e-5)


def test_the_baseline_is_the_interpolation_and_is_not_computed_again(tiny_folder, tmp_path):
    """Curves that `interpolate` has are taken from its table; those at other layers are computed, and all agree."""
    rows, model = frozen(tiny_folder("gpt2"))
    found, _ = sweep_of(tiny_folder("gpt2"), [LAYERS[0]], steps=STEPS)
    tables.write(tmp_path / "one.parquet", tables.INTERPOLATE, with_pair(found.interpolate, PAIR.id), {})
    known = baselines(tmp_path / "one.parquet", LAYERS, [PAIR.id])[PAIR.id]
    assert set(known["interp_layer"]) == {LAYERS[0]}
    reused, _ = frozen(tiny_folder("gpt2"), baseline=known)
    for layer in LAYERS:
        for site, record_layer in [*(("resid_post", one) for one in range(layer, model.n_layers)), ("logits", 5)]:
            computed, taken = (curve(one, "none", layer, record_layer, site) for one in (rows, reused))
            for name in ("distance", "norm", "detour", "step_size"):
                np.testing.assert_allclose(taken[name], computed[name], atol=1e-5, rtol=1e-4)
                if layer == LAYERS[0]:
                    np.testing.assert_array_equal(
                        taken[name], plain_curve(found, layer, site, record_layer)[name].astype(np.float32)
                    )
    alone, _ = frozen(tiny_folder("gpt2"), ["none"], [LAYERS[0]], baseline=known)
    assert len(alone["step"]) == len(known["step"])


def test_freezing_one_group_leaves_its_neighbours_alone(tiny_folder):
    together, model = frozen(tiny_folder("llama"))
    alone, _ = frozen(tiny_folder("llama"), ["mlp_mean"])
    for layer in LAYERS:
        np.testing.assert_allclose(
            curve(together, "mlp_mean", layer, model.n_layers)["distance"],
            curve(alone, "mlp_mean", layer, model.n_layers)["distance"],
            atol=1e-5,
        )


def test_hooks_are_gone_after_a_run(tiny_folder):
    model = Transformer.load(tiny_folder("gpt2"), device="cpu")
    (pair,) = tokenise_with_file([PAIR], tiny_folder("gpt2") / "tokenizer.json", "model")
    before = model.run([*pair.prefix, pair.token_a])[1]
    ((residuals, _),) = endpoints(model, [pair])
    freeze_pair(model, pair, residuals, conditions=list(CONDITIONS), layers=[0], steps=5, path="linear", memory_gb=1.0)
    assert torch.equal(before, model.run([*pair.prefix, pair.token_a])[1])
