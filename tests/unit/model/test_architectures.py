"""Every supported architecture, in all stages, agrees with plain models and autograd."""

from __future__ import annotations

import pytest
import torch

from plateaus.mechanism import mlp_jacobian
from plateaus.model import architecture
from plateaus.model.transformer import Transformer
from plateaus.prompts.pairs import Pair
from tests import architectures, oracle, tiny

DIFFERENTIATED = {
    "neox", "qwen3", "gemma2", "gemma3", "olmo2", "olmo3", "phi3", "glm4", "exaone4", "apertus", "gpt_neo", "mpt", "bloom",
    "gptj", "falcon", "stablelm2",
}  # fmt: skip
"""The kinds whose attention has no closed form here; that of all others has one."""


@pytest.mark.parametrize("kind", architecture.SUPPORTED)
def test_all_stages_equal_the_slow_route(kind, tiny_folder, tmp_path):
    row = architectures.measure(kind, tiny_folder(kind), tmp_path)
    assert row.distance < 1e-5
    assert row.frozen < 1e-5
    # Granite's residual multiplier is multiplied into the weights, which are float32.
    assert row.mlp < (1e-7 if kind == "granite" else 1e-10)
    assert row.block < 1e-4
    assert row.residual < 1e-6
    assert row.codes == 0
    assert row.check < 1e-5
    assert row.attention == ("differentiated" if kind in DIFFERENTIATED else "closed form")


@pytest.mark.parametrize("kind", ["gpt2", "llama", "neox"])
def test_all_stages_equal_the_slow_route_without_a_context(kind, tiny_folder, tmp_path):
    """With the suite's empty context there is no prefix, so attention can attend only to the word itself."""
    row = architectures.measure(kind, tiny_folder(kind), tmp_path, Pair("empty-big-in", "", "big", "in", "published"))
    assert row.distance < 1e-5
    assert row.frozen < 1e-5
    assert row.block < 1e-4
    assert row.residual < 1e-6
    assert row.codes == 0
    assert row.check < 1e-5


def test_all_stages_take_a_pair_of_the_suite_without_a_context(tiny_folder, tmp_path):
    """Blocks have gains but no norms, as for every pair of the suite, and a first token has no log probability."""
    pair = Pair("suite-empty-big-in", "", "big", "in", "suite;natural;deep")
    found = architectures.run_stages(tiny_folder("llama"), tmp_path, pair).tables
    (row,) = found["endpoints"].to_pylist()
    assert row["prefix_length"] == 0
    assert row["log_p_a"] is None
    assert row["log_p_b"] is None
    blocks = [row for row in found["jacobian"].to_pylist() if row["component"] == "block"]
    assert blocks
    assert all(row["gain"] > 0 and row["frobenius"] is None for row in blocks)
    assert {name for name, table in found.items() if table.num_rows == 0} == {"neurons"}


def test_every_tiny_model_is_a_row_of_the_table():
    assert set(tiny.SHAPES) == set(architecture.SUPPORTED) == set(oracle.PARTS)


def test_the_page_about_models_has_the_table(root):
    assert f"\n\n{architectures.readme_table()}\n\n" in (root / "docs/models.md").read_text(encoding="utf-8")


def test_the_kinds_have_the_norms_that_the_table_says(tiny_folder):
    norms = {}
    for kind in ("gpt2", "gemma2", "olmo2"):
        block = Transformer.load(tiny_folder(kind)).bridge.blocks[1]
        norms[kind] = tuple(name for name in architecture.NORMS if architecture.has_norm(block, name))
    assert norms == {"gpt2": ("ln1", "ln2"), "gemma2": architecture.NORMS, "olmo2": ("ln1_post", "ln2_post")}


def test_a_norm_after_the_mlp_is_part_of_its_jacobian(tiny_folder):
    """Without the norm, the result changes by far more than rounding."""

    model = Transformer.load(tiny_folder("gemma2"))
    branch = model.mlp(2)
    torch.manual_seed(0)
    x = torch.randn(3, model.d_model)
    whole = mlp_jacobian.jacobian_norms(branch, mlp_jacobian.gram(branch), x, branch.linearise(x)).mlp
    without = branch._replace(post_norm=None)
    assert (
        (
            mlp_jacobian.jacobian_norms(without, mlp_jacobian.gram(without), x, without.linearise(x)).mlp / whole - 1
        ).abs()
        > 0.05
    ).all()
