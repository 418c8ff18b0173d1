"""A model whose LayerNorm was removed, in the published format: what it computes, and which models are refused."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM

from plateaus.errors import InputError
from plateaus.model import linear_norms
from plateaus.model.branches import norm_of
from plateaus.model.norm import Norm
from plateaus.model.transformer import Transformer
from plateaus.sources import checks
from tests import oracle, tiny
from tests.unit.stages.test_interpolate import compare_with_oracle


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.save_without_layernorm(tmp_path_factory.mktemp("ln-free") / "model")


def reference(folder, ids: list[int]) -> torch.Tensor:
    """Return the logits in float64 with every norm replaced by its intended effect: centring, a gain and a bias."""
    plain, _ = oracle.load(folder)
    plain = plain.double()
    for name, module in list(plain.named_modules()):
        if isinstance(module, torch.nn.LayerNorm):
            parent, _, leaf = name.rpartition(".")
            setattr(plain.get_submodule(parent), leaf, Linear(module))
    with torch.no_grad():
        return plain(torch.tensor([ids]), use_cache=False).logits[0]


class Linear(torch.nn.Module):
    """An LN-free norm without its epsilon."""

    def __init__(self, norm: torch.nn.LayerNorm) -> None:
        super().__init__()
        self.gain, self.bias = norm.weight.detach() / norm.eps**0.5, norm.bias.detach()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - x.mean(-1, keepdim=True)) * self.gain + self.bias


@pytest.mark.parametrize("centre", [False, True])
def test_logits_equal_a_float64_reference(folder, centre):
    ids = [256, 260, 270, 280, 290]
    _, logits = Transformer.load(folder, centre=centre).run(ids)
    expected = reference(folder, ids)
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(logits.double(), expected, rtol=0, atol=1e-4)


def test_distances_equal_the_slow_route(folder):
    assert compare_with_oracle(folder, None) < 1e-5


def test_every_norm_is_proved_linear(folder, tiny_folder):
    for where, linear in ((folder, True), (tiny_folder("gpt2"), False)):
        bridge = Transformer.load(where).bridge
        like = torch.ones(1)
        for part in (bridge.blocks[1].ln1, bridge.blocks[3].ln2, bridge.ln_final):
            defect = linear_norms.homogeneity_defect(norm_of(part, 32, like))
            assert defect < 1e-4 if linear else 1 < defect < 3


def test_a_model_that_is_half_ln_free_is_refused(folder):
    bridge = Transformer.load(folder).bridge
    bridge.blocks[2].ln2.original_component.eps = 1e-5
    with pytest.raises(InputError, match=r"block 2 ln2 is not linear .*fetch it again"):
        linear_norms.prove_linear(bridge, "model x")


def test_a_stock_model_declared_ln_free_is_refused(tiny_folder):
    with pytest.raises(InputError, match=r"model m: .*layer_norm_epsilon 1e-05.*delete that line") as error:
        checks.check_layernorm(tiny_folder("gpt2"), True, "m")
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="has no LayerNorm epsilon"):
        checks.check_layernorm(tiny_folder("llama"), True, "m")


def test_an_ln_free_model_that_is_not_declared_is_reported(folder):
    with pytest.raises(InputError, match=r"layer_norm_epsilon 1e\+12.*add `layernorm: removed` to models.m"):
        checks.check_layernorm(folder, False, "m")
    checks.check_layernorm(folder, True, "m")


def test_half_precision_is_refused(folder, tmp_path):
    """A gain times 1e6 does not fit into float16, whose largest value is 65504."""
    half = tmp_path / "half"
    shutil.copytree(folder, half)
    AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).half().save_pretrained(half)
    assert json.loads((half / "config.json").read_text())["dtype"] == "float16"
    with pytest.raises(InputError, match=r"float16.*infinite.*float32"):
        checks.check_layernorm(half, True, "m")


def test_a_layernorm_has_a_defect_of_two():
    assert linear_norms.homogeneity_defect(Norm(torch.ones(64), torch.zeros(64), 1e-5, centred=True)) == pytest.approx(
        2, abs=0.01
    )
