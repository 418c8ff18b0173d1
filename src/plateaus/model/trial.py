"""Compare what a formula gives with what a module of the model gives, and find the factor between the two.

No part of a model is recognised by its name alone: a formula is used only if a trial on random vectors confirms it.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

AGREEMENT = 1e-4
"""Largest relative difference at which a formula counts as confirmed. Rounding in float32 gives about 1e-6."""


def misfit(found: Tensor, expected: Tensor) -> float:
    """Return |found - expected| / |expected|, in float64; infinite if it is not a number."""
    found, expected = (value.detach().double().cpu() for value in (found, expected))
    error = torch.linalg.vector_norm(found - expected) / torch.linalg.vector_norm(expected).clamp_min(1e-30)
    return float(error) if torch.isfinite(error) else float("inf")


def factor(found: Tensor, expected: Tensor, known: Iterable[float] = ()) -> tuple[float, float]:
    """Return the number k for which k * found is closest to `expected`, and the misfit that remains.

    Args:
        found: What a formula gives.
        expected: What the model gives.
        known: Numbers that the model's configuration holds. If the fitted number is within rounding of 1, of one of
            these or of the reciprocal of one, that exact number is returned.
    """
    one, other = (value.detach().double().cpu().flatten() for value in (found, expected))
    fitted = float((one @ other) / (one @ one).clamp_min(1e-30))
    exact = [1.0, *(value for number in known if number for value in (number, 1 / number))]
    k = min(exact, key=lambda value: abs(value - fitted))
    if abs(k - fitted) > AGREEMENT * abs(fitted):
        k = fitted
    return k, misfit(k * one, other)


def rows(count: int, d_model: int, like: Tensor, *, seed: int) -> Tensor:
    """Return random vectors, (count, d_model), with the dtype and on the device of `like`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, d_model, generator=generator).to(like)


def numbers_of(*owners: object) -> list[float]:
    """Return the numbers among the attributes of modules and configurations, such as a residual multiplier."""
    found = {value for owner in owners for value in vars(owner).values() if type(value) in (int, float)}
    return sorted(float(value) for value in found)
