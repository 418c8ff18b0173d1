"""The sweep against one full-sequence run per layer without a bridge, and identities that every run must satisfy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plateaus.curves import logits
from plateaus.errors import InputError
from plateaus.model.transformer import Transformer
from plateaus.prompts.pairs import Pair, tokenise_with_file
from plateaus.stages.extract import endpoints
from plateaus.stages.interpolate import Ends, PairResult, interpolate, interpolate_pairs
from plateaus.stages.job import Job
from tests import oracle

PAIR = Pair("house-big-in", "The house was", "big", "in", "")
STEPS = 11


def sweep_of(
    folder, layers, *, pair=PAIR, path="spherical", steps=STEPS, memory_gb=1.0
) -> tuple[PairResult, Transformer]:
    model = Transformer.load(folder, device="cpu")
    (tokenised,) = tokenise_with_file([pair], folder / "tokenizer.json", "model")
    ((residuals, _),) = endpoints(model, [tokenised])
    (result,) = interpolate_pairs(
        model, [Ends(tokenised, residuals)], steps=steps, path=path, layers=layers or list(range(model.n_layers)),
        trace_layer=(layers or [0])[0], top_tokens=3, memory_gb=memory_gb,
    )  # fmt: skip
    return result, model


def curve(result: PairResult, layer: int, site: str, record_layer: int) -> dict[str, np.ndarray]:
    rows = result.interpolate
    chosen = (rows["interp_layer"] == layer) & (rows["site"] == site) & (rows["record_layer"] == record_layer)
    return {name: values[chosen] for name, values in rows.items()}


def compare_with_oracle(folder, layers, steps=STEPS) -> float:
    result, model = sweep_of(folder, layers, steps=steps)
    plain, tokenizer = oracle.load(folder)
    ids_a, ids_b = (tokenizer(PAIR.prompt(word), add_special_tokens=False).input_ids for word in (PAIR.a, PAIR.b))
    worst = 0.0
    for layer in layers or range(model.n_layers):
        recorded, logits = oracle.interpolate(plain, ids_a, ids_b, layer, steps)
        sites = [("resid_post", index, vectors) for index, vectors in recorded.items()]
        for site, index, vectors in [*sites, ("logits", model.n_layers, logits)]:
            found = curve(result, layer, site, index)["distance"]
            assert len(found) == steps
            worst = max(worst, float(np.abs(found - oracle.relative_distance(vectors).numpy()).max()))
    return worst


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_every_distance_equals_the_slow_route_on_tiny_models(kind, tiny_folder):
    assert compare_with_oracle(tiny_folder(kind), None) < 1e-5


def test_distances_equal_the_slow_route_on_the_embedded_model(embedded_folder):
    assert compare_with_oracle(embedded_folder, [0, 11, 28], steps=6) < 1e-5


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_patched_endpoints_reproduce_the_prompts_logits(kind, tiny_folder):
    result, model = sweep_of(tiny_folder(kind), None)
    assert result.endpoint_check["logit_error"].max() < 1e-4
    assert len(result.endpoint_check["logit_error"]) == 2 * model.n_layers


def test_distance_is_0_at_a_and_1_at_b_everywhere(tiny_folder):
    rows = sweep_of(tiny_folder("gpt2"), None)[0].interpolate
    assert (rows["distance"][rows["step"] == 0] == 0).all()
    assert (rows["distance"][rows["step"] == STEPS - 1] == 1).all()
    assert np.isnan(rows["step_size"]).sum() == (rows["step"] == STEPS - 1).sum()


def test_swapping_the_prompts_mirrors_every_curve(tiny_folder):
    there = sweep_of(tiny_folder("llama"), None)[0].interpolate
    back = sweep_of(tiny_folder("llama"), None, pair=PAIR._replace(a=PAIR.b, b=PAIR.a))[0].interpolate
    for name in ("interp_layer", "record_layer"):
        np.testing.assert_array_equal(there[name], back[name])
    mirrored = back["distance"].reshape(-1, STEPS)[:, ::-1]
    np.testing.assert_allclose(there["distance"].reshape(-1, STEPS), 1 - mirrored, atol=2e-5)


def test_chunks_change_nothing_but_rounding(tiny_folder):
    whole = sweep_of(tiny_folder("gpt2"), None)[0]
    cut = sweep_of(tiny_folder("gpt2"), None, memory_gb=1e-9)[0]
    for table in PairResult._fields:
        for name, values in getattr(whole, table).items():
            if values.dtype.kind == "f":
                np.testing.assert_allclose(values, getattr(cut, table)[name], atol=1e-5, rtol=1e-4)


def test_pairs_of_one_context_together_equal_each_alone(tiny_folder):
    folder = tiny_folder("llama")
    model = Transformer.load(folder)
    words = [("big", "in"), ("large", "old"), ("in", "large")]
    listed = [Pair(f"{a}-{b}", PAIR.context, a, b, "") for a, b in words]
    tokenised = tokenise_with_file(listed, folder / "tokenizer.json", "model")
    settings = {
        "steps": STEPS,
        "path": "spherical",
        "layers": [0, 2],
        "trace_layer": 0,
        "top_tokens": 3,
        "memory_gb": 1,
    }

    def run(pairs: list) -> list[PairResult]:
        return interpolate_pairs(model, [Ends(pair, ends[0]) for pair, ends in pairs], **settings)

    ends = list(zip(tokenised, endpoints(model, tokenised), strict=True))
    alone = [(pair, endpoints(model, [pair])[0]) for pair in tokenised]
    for (_, one), (_, other) in zip(ends, alone, strict=True):
        torch.testing.assert_close(one.residuals, other.residuals, atol=1e-5, rtol=1e-5)
        numbers = [name for name, value in one.row.items() if isinstance(value, float)]
        assert [one.row[name] for name in numbers] == pytest.approx([other.row[name] for name in numbers], rel=1e-4)
        assert {**one.row, **dict.fromkeys(numbers)} == {**other.row, **dict.fromkeys(numbers)}
    for found, pair in zip(run(ends), alone, strict=True):
        (expected,) = run([pair])
        for table in PairResult._fields:
            for name, values in getattr(found, table).items():
                if values.dtype.kind == "f":
                    np.testing.assert_allclose(values, getattr(expected, table)[name], atol=1e-5, rtol=1e-4)
                else:
                    np.testing.assert_array_equal(values, getattr(expected, table)[name])


CAPPED = "gemma2"  # its logits have no coordinates, so full ones are measured


def test_logits_in_blocks_equal_logits_at_once(tiny_folder, monkeypatch):
    whole, model = sweep_of(tiny_folder(CAPPED), [1])
    monkeypatch.setattr(logits, "LOGIT_BLOCK", 3)
    cut = sweep_of(tiny_folder(CAPPED), [1])[0]
    for name in ("distance", "step_size", "projection", "detour"):
        found, expected = (curve(one, 1, "logits", model.n_layers)[name] for one in (cut, whole))
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_logits_of_paths_together_equal_those_of_each(tiny_folder, monkeypatch):
    calls: list[int] = []
    of_rows = Transformer.logits
    monkeypatch.setattr(
        Transformer, "logits", lambda self, rows, *more: calls.append(len(rows)) or of_rows(self, rows, *more)
    )
    together, model = sweep_of(tiny_folder(CAPPED), None)
    assert max(calls) == model.n_layers * STEPS  # the paths of all interpolation layers in one product
    monkeypatch.setattr(logits, "LOGIT_BYTES", 1.0)
    calls.clear()
    alone = sweep_of(tiny_folder(CAPPED), None)[0]
    assert max(calls) == STEPS
    for layer in range(model.n_layers):
        for name in ("distance", "step_size", "projection", "detour"):
            found, expected = (curve(one, layer, "logits", model.n_layers)[name] for one in (together, alone))
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_empty_context_has_no_prefix_and_still_equals_the_slow_route(tiny_folder):
    folder = tiny_folder("llama")
    result, model = sweep_of(folder, [0], pair=Pair("x", "", "big", "in", ""))
    plain, tokenizer = oracle.load(folder)
    ids = [tokenizer(f" {word}", add_special_tokens=False).input_ids for word in ("big", "in")]
    assert [len(one) for one in ids] == [1, 1]
    _, logits = oracle.interpolate(plain, *ids, 0, STEPS)
    found = curve(result, 0, "logits", model.n_layers)["distance"]
    np.testing.assert_allclose(found, oracle.relative_distance(logits).numpy(), atol=1e-5)


def test_the_trace_holds_what_the_mlp_reads(tiny_folder):
    """The MLP's output, which is resid_post - mlp_input, equals what a plain hook on the MLP records."""
    folder = tiny_folder("gpt2")
    result, _ = sweep_of(folder, [0])
    plain, tokenizer = oracle.load(folder)
    ids_a, ids_b = (tokenizer(PAIR.prompt(word), add_special_tokens=False).input_ids for word in (PAIR.a, PAIR.b))
    outputs = {}
    handles = [
        block.mlp.register_forward_hook(lambda _, __, out, index=index: outputs.__setitem__(index, out[:, -1]))
        for index, block in enumerate(oracle.blocks_of(plain))
    ]
    oracle.interpolate(plain, ids_a, ids_b, 0, STEPS)
    for handle in handles:
        handle.remove()
    trace = result.trace
    assert sorted(set(trace["layer"])) == [1, 2, 3, 4]
    for layer in (1, 4):
        rows = trace["layer"] == layer
        difference = trace["resid_post"][rows] - trace["mlp_input"][rows]
        np.testing.assert_allclose(difference, outputs[layer].numpy(), atol=1e-5)


def test_token_probabilities_are_those_of_the_endpoints(tiny_folder):
    folder = tiny_folder("gpt2")
    result, _ = sweep_of(folder, [0])
    plain, tokenizer = oracle.load(folder)
    for end, word in ((0, PAIR.a), (STEPS - 1, PAIR.b)):
        ids = tokenizer(PAIR.prompt(word), add_special_tokens=False).input_ids
        expected = oracle.resid_post(plain, ids)[1].softmax(-1)
        rows = result.tokens["step"] == end
        followed = result.tokens["token_id"][rows]
        np.testing.assert_allclose(result.tokens["probability"][rows], expected[followed].detach().numpy(), atol=1e-6)
        assert set(expected.topk(3).indices.tolist()) <= set(followed.tolist())


def test_centring_changes_the_residual_and_not_the_logits(tiny_folder):
    folder = tiny_folder("gpt2")
    stock, centred = (Transformer.load(folder, device="cpu", centre=centre) for centre in (False, True))
    (pair,) = tokenise_with_file([PAIR], folder / "tokenizer.json", "model")
    ids = [*pair.prefix, pair.token_a]
    (resid, logits), (resid_centred, logits_centred) = stock.run(ids), centred.run(ids)
    torch.testing.assert_close(logits.softmax(-1), logits_centred.softmax(-1), atol=1e-5, rtol=1e-4)
    assert resid.mean(-1).abs().max() > 1e-3
    assert resid_centred.mean(-1).abs().max() < 1e-5


def test_a_trace_layer_with_nothing_after_it_is_refused_before_any_pair_is_run(tiny_folder, tmp_path):
    settings = {"centre": False, "bos": "auto", "layers": "all", "trace_layer": 4}
    job = Job("interpolate", tmp_path, "m", "s0-of-1", settings, tiny_folder("gpt2"), {}, 1, "cpu", 1.0, print)
    with pytest.raises(InputError, match="trace_layer is 4, the last of its 5 layers"):
        interpolate(job)
