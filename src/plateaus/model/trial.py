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
        known: Numbers that the model's configuration holds; see `snapped`.
    """
    one, other = (value.detach().double().cpu().flatten() for value in (found, expected))
    k = snapped(float((one @ other) / (one @ one).clamp_min(1e-30)), known)
    return k, misfit(k * one, other)


def snapped(fitted: float, known: Iterable[float], tolerance: float = AGREEMENT) -> float:
    """Return 1, a known number or the reciprocal of one if a fitted number is that close to it, else the number itself.

    Args:
        fitted: A number that was fitted to what the model computes, and has its rounding errors.
        known: Numbers that the model's configuration holds.
        tolerance: Largest difference, as a share of the number.
    """
    exact = [1.0, *(value for number in known if number for value in (number, 1 / number))]
    nearest = min(exact, key=lambda value: abs(value - fitted))
    return nearest if abs(nearest - fitted) <= tolerance * abs(fitted) else fitted


def rows(count: int, d_model: int, like: Tensor, *, seed: int) -> Tensor:
    """Return random vectors, (count, d_model), with the dtype and on the device of `like`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, d_model, generator=generator).to(like)


def numbers_of(*owners: object) -> list[float]:
    """Return the numbers among the attributes of modules and configurations, such as a residual multiplier."""
    found = {value for owner in owners for value in vars(owner).values() if type(value) in (int, float)}
    return sorted(float(value) for value in found)
