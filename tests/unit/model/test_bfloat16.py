"""Weights in bfloat16 give the numbers of a plain float32 model with rounded weights, in half the space."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from plateaus.curves import geometry
from plateaus.curves.sweep import Group, sweep
from plateaus.mechanism import mlp_jacobian
from plateaus.mechanism.attention_jacobian import LayerAttention
from plateaus.model import bfloat16
from plateaus.model.transformer import Transformer
from tests import oracle, tiny

IDS = [3, 200, 17, 9, 40]


@pytest.fixture
def rounded(request, tiny_folder, tmp_path):
    """Return a folder as fetch makes it with `storage: bfloat16`, the rounded plain float32 model, and its own folder."""
    plain_folder = tiny_folder(request.param)
    folder = tmp_path / "rounded"
    shutil.copytree(plain_folder, folder)
    bfloat16.store(folder)
    (folder / "card.json").write_text(json.dumps({"source": {"source": "local", "storage": "bfloat16"}}))
    plain, _ = oracle.load(plain_folder)
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.copy_(parameter.bfloat16().float())
    return folder, plain, plain_folder


@pytest.mark.parametrize("rounded", list(tiny.SHAPES), indirect=True)
def test_all_arithmetic_is_float32_on_rounded_weights(rounded):
    folder, plain, plain_folder = rounded
    model = Transformer.load(folder)
    residuals, logits = model.run(IDS)
    expected_residuals, expected = oracle.resid_post(plain, IDS)
    torch.testing.assert_close(residuals, expected_residuals, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits[-1], expected, rtol=1e-4, atol=1e-5)
    # The rounding changes the logits.
    assert (Transformer.load(plain_folder).run(IDS)[1] - logits).abs().max() > 1e-4
    # The sweep after a prefix gives the same results as whole sequences.
    path = geometry.interpolate(residuals[1], residuals[1] * 1.1, geometry.alphas(3), path="linear", name="x")
    for recording in sweep(model, model.prefix(IDS[:-1]), [Group(1, path)], memory_gb=1.0):
        torch.testing.assert_close(
            recording.resid_post[0, 0], expected_residuals[recording.layer], rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("rounded", ["gpt2", "llama"], indirect=True)
def test_derivatives_are_those_of_the_rounded_weights(rounded):
    folder, _, _ = rounded
    model = Transformer.load(folder)
    mlp = model.mlp(2)
    x = torch.randn(2, model.d_model)
    matrices = mlp_jacobian.jacobian(mlp, x)
    for row, matrix in zip(x, matrices, strict=True):
        expected = torch.autograd.functional.jacobian(lambda one: mlp(one[None])[0], row)
        torch.testing.assert_close(matrix, expected, rtol=1e-4, atol=1e-5)
    prefix = model.prefix(IDS[:-1])
    at = LayerAttention(model, 2, memory_gb=1.0).at(x, prefix)
    assert at.affine is not None
    for row, matrix in zip(x, at.matrices([0, 1]), strict=True):
        expected = torch.autograd.functional.jacobian(lambda one: model.attention(2, one[None], prefix)[0], row)
        torch.testing.assert_close(matrix, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rounded", ["llama"], indirect=True)
def test_half_of_the_room_on_disk_and_in_memory(rounded):
    folder, _, plain_folder = rounded

    def on_disk(where):
        return sum(path.stat().st_size for path in where.glob("*.safetensors"))

    def in_memory(model):
        tensors = [*model.bridge.original_model.parameters(), *model.bridge.original_model.buffers()]
        return sum({tensor.data_ptr(): tensor.nbytes for tensor in tensors}.values())

    assert on_disk(folder) < 0.55 * on_disk(plain_folder)
    assert in_memory(Transformer.load(folder)) < 0.55 * in_memory(Transformer.load(plain_folder))


@pytest.mark.parametrize("rounded", ["gpt2"], indirect=True)
def test_a_links_other_end_is_left_alone(rounded, tmp_path):
    _, _, plain_folder = rounded
    folder = tmp_path / "linked"
    shutil.copytree(plain_folder, folder)
    file = next(folder.glob("*.safetensors"))
    file.unlink()
    original = next(plain_folder.glob("*.safetensors"))
    before = original.read_bytes()
    file.hardlink_to(original)
    bfloat16.store(folder)
    assert original.read_bytes() == before
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"


def test_a_folder_that_fetch_did_not_round_is_float32(tiny_folder):
    assert not bfloat16.stored(tiny_folder("llama"))
