"""Coordinates of logits against the logits themselves, and when they are used."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from plateaus.curves import geometry, logits
from plateaus.curves.logits import measure_logits
from plateaus.model import unembedding
from plateaus.model.logit_head import LogitHead
from plateaus.model.transformer import Transformer

STEPS = 11


def random_paths(model: Transformer, paths: int = 3, steps: int = STEPS) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    ends = torch.randn(paths, 2, model.d_model, generator=generator)
    t = geometry.alphas(steps)
    return torch.stack([geometry.interpolate(a, b, t, path="spherical", name="test") for a, b in ends])


def exact_logits(folder, rows: torch.Tensor, norm_scale: torch.Tensor | None = None) -> torch.Tensor:
    """Compute logits in float64 from the weights of the plain Hugging Face model, with a norm written out by hand."""
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    norm = plain.model.norm if hasattr(plain, "model") else plain.transformer.ln_f
    centred, eps = hasattr(norm, "bias"), norm.eps if hasattr(norm, "bias") else norm.variance_epsilon
    x = rows.double()
    if centred:
        x = x - x.mean(-1, keepdim=True)
    scale = (x.square().mean(-1, keepdim=True) + eps).sqrt() if norm_scale is None else norm_scale.double()
    y = x / scale * norm.weight + (norm.bias if centred else 0)
    return (y @ plain.get_output_embeddings().weight.T).detach()


def agree(found: geometry.Measures, expected: geometry.Measures, atol: float) -> None:
    for name, values in found._asdict().items():
        torch.testing.assert_close(
            values.double(), getattr(expected, name).double(), atol=atol, rtol=atol, equal_nan=True, msg=name
        )


def counting(monkeypatch) -> dict[str, list[int]]:
    """Record how many rows each call of `logits` and of `logit_coordinates` computes."""
    calls: dict[str, list[int]] = {"logits": [], "logit_coordinates": []}
    for name, rows in calls.items():
        whole = getattr(Transformer, name)
        monkeypatch.setattr(
            Transformer,
            name,
            lambda self, x, *more, rows=rows, whole=whole: rows.append(len(x)) or whole(self, x, *more),
        )
    return calls


# ---- the isometry


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("tokens", [500, 7], ids=["many tokens", "fewer tokens than dimensions"])
def test_coordinates_have_the_inner_products_of_the_logits(tokens, bias, monkeypatch):
    torch.manual_seed(0)
    weight = torch.randn(tokens, 20) + torch.randn(20)
    weight[:, 3] = weight[:, 5]  # so that the matrix has no full rank in any case
    b = torch.randn(tokens) if bias else None
    y = torch.randn(9, 20)
    full = y.double() @ weight.double().T + (0 if b is None else b.double())
    for block_bytes, strip in ((unembedding.BLOCK_BYTES, unembedding.STRIP), (8 * 20 * 3, 6)):
        monkeypatch.setattr(unembedding, "BLOCK_BYTES", block_bytes)
        monkeypatch.setattr(unembedding, "STRIP", strip)
        z = unembedding.square_root(weight, b)(y)
        assert z.dtype == torch.float64
        torch.testing.assert_close(z @ z.T, full @ full.T, rtol=1e-10, atol=1e-7)


# ---- models


def by_full_logits(model: Transformer, *given) -> list[logits.LogitCurve]:
    """Measure the curves of a model as if its logits had no coordinates."""
    root = model.__dict__.pop("logit_root", None)
    model.logit_root = None
    curves = list(measure_logits(model, *given))
    del model.logit_root
    if root is not None:
        model.logit_root = root
    return curves


@pytest.mark.parametrize("steps", [STEPS, 70], ids=["short", "more than a block of logits"])
@pytest.mark.parametrize("held", [False, True], ids=["own scale", "held scale"])
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_measures_equal_those_of_float64_logits(kind, held, steps, tiny_folder, monkeypatch):
    folder = tiny_folder(kind)
    model = Transformer.load(folder)
    paths = random_paths(model, steps=steps)
    scale = 0.5 + torch.rand(len(paths), steps, 1) if held else None
    full = exact_logits(folder, paths, scale)
    assert model.logit_root is not None
    calls = counting(monkeypatch)
    found = list(measure_logits(model, paths, scale))
    assert calls == {"logits": [], "logit_coordinates": [len(paths) * steps]}
    assert len(found) == len(paths)
    for of_path, expected in zip(found, full, strict=True):
        agree(of_path.measures, geometry.measure(expected), 1e-5)  # the norm's output is in float32
        assert (of_path.measures.distance - geometry.measure(expected).distance).abs().max() < 1e-6
        assert of_path.measures.distance[[0, -1]].tolist() == [0, 1]
        assert of_path.errors.isnan().all()


@pytest.mark.parametrize("kind", ["gpt2", "opt", "neox", "qwen2", "olmo", "olmo2"])
def test_both_ways_of_measuring_agree(kind, tiny_folder, monkeypatch):
    model = Transformer.load(tiny_folder(kind))
    paths = random_paths(model)
    wanted = by_full_logits(model, paths)
    calls = counting(monkeypatch)
    for one, other in zip(measure_logits(model, paths), wanted, strict=True):
        agree(one.measures, other.measures, 2e-5)
    assert calls["logit_coordinates"]


def with_bias(model: Transformer) -> None:
    linear = model.bridge.unembed.original_component
    linear.bias.copy_(torch.linspace(-1, 1, len(linear.bias)))


def with_factor(model: Transformer) -> None:
    model._logit_head = LogitHead(0.125, None)


@pytest.mark.parametrize("change", [with_bias, with_factor])
def test_a_bias_and_a_factor_of_the_logits_are_part_of_the_coordinates(change, tiny_folder):
    model = Transformer.load(tiny_folder("llama"))
    paths = random_paths(model)
    before = by_full_logits(model, paths)[0].measures.norm
    change(model)
    wanted = by_full_logits(model, paths)
    assert (wanted[0].measures.norm / before - 1).abs().min() > 1e-3
    assert model.logit_root is not None
    for one, other in zip(measure_logits(model, paths), wanted, strict=True):
        agree(one.measures, other.measures, 2e-5)


def test_weights_in_bfloat16_give_the_same_coordinates(tiny_folder, tmp_path):
    from plateaus.model import bfloat16

    model = Transformer.load(tiny_folder("llama"))
    linear = model.bridge.unembed.original_component
    bfloat16.widen_vectors(model.bridge)
    linear.weight.data = linear.weight.data.bfloat16()
    bfloat16.widen_when_read(model.bridge.unembed)
    rows = random_paths(model)[0]
    found, expected = model.logit_coordinates(rows), model.logits(rows).double()
    torch.testing.assert_close(found @ found.T, expected @ expected.T, rtol=1e-5, atol=1e-5)


# ---- where there are no coordinates


def measured_by_logits(model: Transformer, monkeypatch) -> None:
    """Check that full logits are measured."""
    paths = random_paths(model)
    assert model.logit_root is None
    calls = counting(monkeypatch)
    found = list(measure_logits(model, paths))
    assert calls == {"logits": [len(paths) * STEPS], "logit_coordinates": []}
    for one, path in zip(found, paths, strict=True):
        agree(one.measures, geometry.measure(model.logits(path)), 1e-5)
    with pytest.raises(ValueError, match="affine"):
        model.logit_coordinates(paths[0])


def test_capped_logits_have_no_coordinates(tiny_folder, monkeypatch):
    measured_by_logits(Transformer.load(tiny_folder("gemma2")), monkeypatch)


@pytest.mark.parametrize(
    "wrong",
    [lambda found: 1.001 * found, lambda found: found + 0.01 * found.square(), lambda found: found * torch.nan],
    ids=["a factor that is not known", "no affine map", "not a number"],
)
def test_logits_that_are_not_the_expected_map_have_no_coordinates(wrong, tiny_folder, monkeypatch):
    model = Transformer.load(tiny_folder("llama"))
    plain = Transformer.logits
    monkeypatch.setattr(Transformer, "logits", lambda self, *given: wrong(plain(self, *given)))
    measured_by_logits(model, monkeypatch)


# ---- the ends


@pytest.mark.parametrize("held", [False, True], ids=["own scale", "held scale"])
def test_the_ends_are_compared_with_full_logits(held, tiny_folder, monkeypatch):
    model = Transformer.load(tiny_folder("gpt2"))
    paths = random_paths(model)
    unpatched = model.logits(random_paths(model, paths=1, steps=2)[0]).expand(len(paths), -1, -1)
    scale = 0.5 + torch.rand(len(paths), STEPS, 1) if held else None
    wanted = [one.errors for one in by_full_logits(model, paths, scale, unpatched)]
    assert (wanted[0] < 1e-4).all() != held  # the first path's ends are these rows
    assert wanted[1].min() > 0.1
    assert model.logit_root is not None
    calls = counting(monkeypatch)
    for limit, rows in ((3e7, [6]), (4 * 4.0 * model.d_vocab, [4, 2]), (1.0, [2, 2, 2])):
        monkeypatch.setattr(logits, "LOGIT_BYTES", limit)
        calls["logits"].clear()
        found = [one.errors for one in measure_logits(model, paths, scale, unpatched)]
        torch.testing.assert_close(torch.stack(found), torch.stack(wanted), atol=1e-5, rtol=1e-5)
        assert calls["logits"] == rows
