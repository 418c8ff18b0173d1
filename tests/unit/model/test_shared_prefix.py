"""Rows that share a copy of a long prefix's keys and values give the same results as alone, on every architecture."""

from __future__ import annotations

import pytest
import torch

from plateaus.curves.sweep import Group, sweep
from plateaus.model.prefix import Prefix
from plateaus.model.transformer import Transformer
from tests import tiny

LONG = [(7 * number) % 250 for number in range(40)]
"""A prefix that is longer than the sliding windows, and leaves room for the token after it."""


@pytest.mark.parametrize("kind", list(tiny.SHAPES))
def test_rows_side_by_side_do_not_see_each_other(kind, tiny_folder, monkeypatch):
    model = Transformer.load(tiny_folder(kind))
    prefix = model.prefix(LONG)
    torch.manual_seed(0)
    groups = [
        Group(layer, torch.randn(10, model.d_model), one)
        for layer in (0, 2)
        for one in ("none", "attn_mean", "mlp_secant", "norm_mean")
    ]
    assert prefix.together(40, 2) == 5

    def recorded():
        return [(one.resid_post, one.mlp_input) for one in sweep(model, prefix, groups, memory_gb=1.0)]

    shared = recorded()
    monkeypatch.setattr(Prefix, "together", lambda *_: 1)
    for found, expected in zip(shared, recorded(), strict=True):
        for values, alone in zip(found, expected, strict=True):
            torch.testing.assert_close(values, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "expected"), [("llama", [5] * 5), ("mpt", [1] * 5), ("gpt_neo", [5, 1, 5, 1])])
def test_rows_go_alone_where_the_place_of_a_key_counts(kind, expected, tiny_folder):
    model = Transformer.load(tiny_folder(kind))
    prefix = model.prefix(LONG)
    assert [model._together(layer, 40, prefix) for layer in range(model.n_layers)] == expected


def test_how_many_rows_share_a_copy():
    mask_of_one = torch.zeros(1, 1, 1, 4)

    def together(rows, length, mask=mask_of_one):
        return Prefix(length, (), (), (((), {"attention_mask": mask}),)).together(rows, 0)

    assert together(50, 3) == 1
    assert together(50, 80) == 10
    assert together(50, 512) == 50
    assert together(53, 80) == 1  # a prime number of rows
    assert together(1450, 512) == 58
    assert together(50, 512, None) == 1  # without a mask, nothing would hide the rows from each other
