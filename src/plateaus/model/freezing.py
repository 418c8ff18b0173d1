"""Freezing: holding a component's output, or every norm's scale, still along the path, in layers after the patch.

- ``mean`` (the post): the output is replaced by its mean over the steps of the same frozen run.
- ``secant`` (ours): the output is replaced by (1 - alpha) m_A + alpha m_B, the straight line between what the
  component says in the two unpatched prompts. Both endpoints' outputs stay exactly as they were, so the distance is
  measured against the same endpoints as without freezing; mean freezing moves them.
- ``norm_mean`` (ours): every LayerNorm's or RMSNorm's scale is replaced by its mean over the steps, the final norm's
  too: plateaus without LayerNorm, at test time, on any model.

All at the last token; the prefix is never touched.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

BASELINE = "none"
CONDITIONS = ("none", "attn_mean", "mlp_mean", "attn_secant", "mlp_secant", "norm_mean", "attn_mlp_mean")
_MEAN = {"attn": {"attn_mean", "attn_mlp_mean"}, "mlp": {"mlp_mean", "attn_mlp_mean"}, "norm": {"norm_mean"}}
_SECANT = {"attn": {"attn_secant"}, "mlp": {"mlp_secant"}, "norm": set[str]()}


class Freezing(NamedTuple):
    """What to hold still in one block, for the groups of one chunk.

    Attributes:
        conditions: One per group.
        secants: Component to its outputs at the two unpatched prompts, (2, d_model); empty where no group needs it.
    """

    conditions: tuple[str, ...]
    secants: dict[str, Tensor]

    def touches(self, component: str) -> bool:
        """Whether any group holds this component (attn, mlp, norm) still."""
        return any(condition in _MEAN[component] | _SECANT[component] for condition in self.conditions)

    def apply(self, component: str, values: Tensor) -> Tensor:
        """A component's values with those of the frozen groups held still.

        Args:
            component: ``attn``, ``mlp`` or ``norm``.
            values: (groups * steps, ...), in the order of the rows.
        """
        grouped = values.reshape(len(self.conditions), -1, values.shape[-1]).clone()
        steps = grouped.shape[1]
        alpha = torch.linspace(0, 1, steps, dtype=values.dtype, device=values.device)[:, None]
        for group, condition in enumerate(self.conditions):
            if condition in _MEAN[component]:
                grouped[group] = grouped[group].mean(0, keepdim=True)
            elif condition in _SECANT[component]:
                at_a, at_b = self.secants[component]
                grouped[group] = (1 - alpha) * at_a + alpha * at_b
        return grouped.reshape(values.shape)
