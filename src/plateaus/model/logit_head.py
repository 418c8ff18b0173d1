"""What a model does with the output of its unembedding: it may multiply the logits by a factor and cap them."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import torch
from torch import Tensor

from plateaus.errors import InputError
from plateaus.model import architecture, trial


class LogitHead(NamedTuple):
    """The last step from the unembedding's output u to the logits, which are cap * tanh(scale * u / cap).

    Attributes:
        scale: Factor of the unembedding's output (Granite, Cohere).
        cap: Soft cap (Gemma-2); None if there is none, and the logits are then scale * u.
    """

    scale: float
    cap: float | None

    def __call__(self, outputs: Tensor) -> Tensor:
        """Return the logits for outputs of the unembedding."""
        logits = outputs if self.scale == 1 else self.scale * outputs
        return logits if self.cap is None else torch.tanh(logits / self.cap) * self.cap


@torch.no_grad()
def of_model(bridge: Any) -> LogitHead:
    """Find the factor and the cap of the logits from one short forward pass.

    Raises:
        InputError: the logits are not the unembedding of the final norm's output, up to a factor and the known cap.
    """
    outputs: list[Tensor] = []
    handle = bridge.blocks[-1].register_forward_hook(
        lambda _, __, output: outputs.append(output[0] if isinstance(output, tuple) else output)
    )
    whole = bridge.original_model
    device = next(itertools.chain(whole.parameters(), whole.buffers())).device
    try:
        expected = bridge.original_model(input_ids=torch.tensor([[0, 1]], device=device), use_cache=False).logits
    finally:
        handle.remove()
    found = bridge.unembed(bridge.ln_final(outputs[0]))
    config, cap = bridge.original_model.config, architecture.logit_cap(bridge)
    if cap is not None and trial.misfit(LogitHead(1.0, cap)(found), expected) < trial.AGREEMENT:
        return LogitHead(1.0, cap)
    scale, left = trial.factor(found, expected, trial.numbers_of(config))
    if left > trial.AGREEMENT:
        raise InputError("the logits are not the unembedding of the final norm's output, up to a factor and a soft cap")
    return LogitHead(scale, None)
