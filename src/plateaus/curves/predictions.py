"""The second yardstick: how far next-token distributions have moved along a path, and not logits.

Logits can move far in directions that no prediction depends on. Here the distance between two points of a path is the
square root of the Jensen-Shannon divergence (in nats) of their next-token distributions, which is a metric (Endres and
Schindelin 2003). The measures are those of `plateaus.curves.geometry`, with this distance in place of the length of a
difference.

The divergence of p and q is written as a sum of terms that are never negative, with r = (p - q) / (p + q) per token:

    JSD(p, q) = sum (p + q) / 4 * (2 r artanh r + ln(1 - r^2))

Differences of entropies, which give the same number, lose all digits where p and q are close, unless they are computed
in float64, which takes ten times as long. These terms keep the relative accuracy of r.
"""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.curves.geometry import Measures
from plateaus.curves.limits import LOGIT_BLOCK
from plateaus.errors import InputError
from plateaus.model.transformer import Transformer

SITE = "next_token"
"""The recording site of these curves."""
SMALLEST = 1e-5
"""Smallest distance between the two ends that can be told from the rounding of logits, which makes about 5e-7."""
FURTHEST = 1 - 1e-7
"""Largest |r|; with r = 1, the two parts of a term would be infinite, while their sum is 2 ln 2."""
TINY = 1e-37
"""What replaces p + q for a token that has no probability in either distribution, so that r is 0."""


@torch.no_grad()
def probabilities(model: Transformer, rows: Float[Tensor, "steps d_model"]) -> Float[Tensor, "steps d_vocab"]:
    """Return the next-token distribution at every step of a path, given resid_post of the last layer."""
    found = torch.empty(len(rows), model.d_vocab, device=model.device)
    for start in range(0, len(rows), LOGIT_BLOCK):
        block = slice(start, start + LOGIT_BLOCK)
        torch.softmax(model.logits(rows[block]), -1, out=found[block])
    return found


def measure_predictions(p: Float[Tensor, "steps d_vocab"], *, name: str) -> Measures:
    """Measure the next-token distributions along one path against those at its own two ends.

    Args:
        p: The next-token distribution at every step.
        name: Name of the path, for the message.

    Returns:
        Measures of shape (steps,). `norm` is 1, since the square roots of the probabilities form a unit vector;
        `projection` is where the foot of the point lies on the line from A to B, by the law of cosines.

    Raises:
        InputError: the distributions at the two ends do not differ.
    """
    # One step at a time, so that what is computed for a step stays in the processor's cache.
    to_a, to_b = (_listed([distance(at, p[end]) for at in p]) for end in (0, -1))
    step_size = torch.full_like(to_a, torch.nan)
    step_size[:-1] = _listed([distance(at, after) for at, after in itertools.pairwise(p)])
    chord = to_b[0]
    if not chord > SMALLEST:
        raise InputError(
            f"{name}: the next-token distributions of the two prompts are the same within rounding (distance "
            f"{float(chord):.1g}), so there is nothing to measure between them: choose other words"
        )
    return Measures(
        distance=to_a / (to_a + to_b),
        distance_a=to_a,
        distance_b=to_b,
        step_size=step_size,
        norm=torch.ones_like(to_a),
        projection=(to_a.square() + chord**2 - to_b.square()) / (2 * chord**2),
        detour=(to_a + to_b) / chord - 1,
    )


def distance(p: Float[Tensor, " d_vocab"], q: Float[Tensor, " d_vocab"]) -> Float[Tensor, ""]:
    """Return the square root of the Jensen-Shannon divergence, in nats; the module's docstring has the formula."""
    both = p + q
    r = ((p - q) / both.clamp_min(TINY)).clamp_(-FURTHEST, FURTHEST)
    terms = torch.log1p(-r.square()).add_(r.atanh().mul_(r), alpha=2)
    return both.mul_(terms).sum().clamp_min(0).div(4).sqrt()


def _listed(distances: list[Tensor]) -> Float[Tensor, " steps"]:
    # On the CPU, since Apple's GPU backend (mps) has no float64.
    return torch.stack(distances).cpu().double()
