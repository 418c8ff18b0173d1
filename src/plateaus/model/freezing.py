"""Freezing: hold a component's output, or every norm's scale, still along the path in the layers after the patch.

- ``mean`` (the post): the output is replaced by its mean over the steps of the same frozen run.
- ``secant`` (ours): the output is replaced by (1 - alpha) m_A + alpha m_B, the straight line between the component's
  outputs m_A and m_B on the two unpatched prompts. The outputs at both endpoints do not change, so the distance is
  measured against the same endpoints as without freezing; mean freezing moves the endpoints.
- ``norm_mean`` (ours): the scale of every LayerNorm or RMSNorm, including the final norm, is replaced by its mean over
  the steps. This tests for plateaus without LayerNorm on any model, without training.

Only the last token is frozen; the prefix never changes.
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
    """The components to hold still in one block, for the groups of one chunk.

    Attributes:
        conditions: One condition per group.
        secants: Outputs of each component on the two unpatched prompts, (2, d_model); empty if no group needs them.
    """

    conditions: tuple[str, ...]
    secants: dict[str, Tensor]

    def touches(self, component: str) -> bool:
        """Return whether any group holds this component (attn, mlp or norm) still."""
        return any(condition in _MEAN[component] | _SECANT[component] for condition in self.conditions)

    def apply(self, component: str, values: Tensor) -> Tensor:
        """Return a component's values with those of the frozen groups held still.

        Args:
            component: ``attn``, ``mlp`` or ``norm``.
            values: The values at every row, (groups * steps, ...), in the order of the rows.

        Returns:
            A new tensor with the shape of `values`.
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
