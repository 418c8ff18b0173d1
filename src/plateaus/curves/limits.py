"""How many logits are held at a time. The plan counts with the same limits, so this module must not load torch."""

from __future__ import annotations

LOGIT_BLOCK = 64
"""How many steps of a long path are measured at a time: a vocabulary is large, so not all logits are held together."""

LOGIT_BYTES = 3e7
"""How many bytes of logits, of several short paths, are computed in one matrix product: a product of few rows spends
most of its time loading the weights."""
