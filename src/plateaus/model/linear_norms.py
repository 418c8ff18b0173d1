"""Prove that the norms of an LN-free model are linear apart from their biases."""

from __future__ import annotations

from typing import Any

import torch

from plateaus.errors import InputError
from plateaus.model import architecture
from plateaus.model.branches import norm_of
from plateaus.model.norm import Norm
from plateaus.sources.checks import LN_FREE_EPS

HOMOGENEITY = 1e-4
"""Largest homogeneity defect of a norm that counts as linear apart from its bias; a normal LayerNorm has about 2."""


def homogeneity_defect(norm: Norm) -> float:
    """Return max |f(3x) - 3 f(x)| / max |f(x)| for f = norm - bias; 0 if f does not divide by its input's scale."""
    generator = torch.Generator().manual_seed(0)
    x = 10 * torch.randn(8, len(norm.gain), generator=generator).to(norm.gain)
    at_one, at_three = norm(x) - norm.bias, norm(3 * x) - norm.bias
    return float((at_three - 3 * at_one).abs().max() / at_one.abs().max().clamp_min(1e-30))


def prove_linear(bridge: Any, name: str) -> None:
    """Check that all norms of an LN-free model are linear; any norm with an epsilon of 1e11 or more makes it LN-free.

    Args:
        bridge: A TransformerLens bridge.
        name: Name of the model, for the message.

    Raises:
        InputError: if a norm of an LN-free model is not linear.
    """
    parts = [(f"block {n} {kind}", block, kind) for n, block in enumerate(bridge.blocks) for kind in architecture.NORMS]
    found = [(place, getattr(part, kind)) for place, part, kind in parts if architecture.has_norm(part, kind)]
    like = next(bridge.original_model.parameters())[..., 0].flatten()[:1]
    norms = [(place, norm_of(part, int(bridge.cfg.d_model), like)) for place, part in found]
    norms.append(("the final norm", norm_of(bridge.ln_final, int(bridge.cfg.d_model), like)))
    if all(norm.eps < LN_FREE_EPS for _, norm in norms):
        return
    for place, norm in norms:
        defect = homogeneity_defect(norm)
        if not defect < HOMOGENEITY:
            raise InputError(
                f"{name}: {place} is not linear (homogeneity defect {defect:.2g}, at most {HOMOGENEITY:g} allowed), "
                "but the model has a norm with an LN-free epsilon, so it is neither stock nor LN-free: fetch it again"
            )
