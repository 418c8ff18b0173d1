"""The second yardstick: how far next-token distributions have moved along a path, and not logits.

Logits can move far in directions that no prediction depends on. Here the distance between two points of a path is the
square root of the Jensen-Shannon divergence (in nats) of their next-token distributions, which is a metric (Endres and
Schindelin 2003). The measures are those of `plateaus.curves.geometry`, with this distance in place of the length of a
difference.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.curves.geometry import Measures
from plateaus.curves.limits import LOGIT_BLOCK
from plateaus.errors import InputError
from plateaus.model.transformer import Transformer

SITE = "next_token"
"""The recording site of these curves."""
SMALLEST = 1e-6
"""Smallest distance between the two ends that can be told from rounding, which is about 3e-8."""


@torch.no_grad()
def measure_predictions(model: Transformer, rows: Float[Tensor, "steps d_model"], *, name: str) -> Measures:
    """Measure the next-token distributions along one path against those at its own two ends.

    Args:
        model: The model.
        rows: resid_post of the last layer along the path.
        name: Name of the path, for the message.

    Returns:
        Measures of shape (steps,). `norm` is 1, since the square roots of the probabilities form a unit vector;
        `projection` is where the foot of the point lies on the line from A to B, by the law of cosines.

    Raises:
        InputError: the distributions at the two ends do not differ.
    """
    ends = _probabilities(model.logits(rows[[0, -1]]))
    of_ends = _entropy(ends)
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for start in range(0, len(rows), LOGIT_BLOCK):
        # The block has one step more than is kept, which gives the last kept step its step size.
        p = _probabilities(model.logits(rows[start : start + LOGIT_BLOCK + 1]))
        # A row's logits differ by rounding between batches, and the distance at the ends must be exactly 0 and 1.
        if start == 0:
            p[0] = ends[0]
        if start + LOGIT_BLOCK + 1 >= len(rows):
            p[-1] = ends[1]
        entropy = _entropy(p)
        from_a, from_b = (_distances(p, entropy, ends[[end]], of_ends[[end]])[:LOGIT_BLOCK] for end in (0, 1))
        parts.append((from_a, from_b, _distances(p[:-1], entropy[:-1], p[1:], entropy[1:])[:LOGIT_BLOCK]))
    to_a, to_b, moved = (torch.cat(values) for values in zip(*parts, strict=True))
    steps = torch.full_like(to_a, torch.nan)
    steps[:-1] = moved[: len(rows) - 1]
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
        step_size=steps,
        norm=torch.ones_like(to_a),
        projection=(to_a.square() + chord**2 - to_b.square()) / (2 * chord**2),
        detour=(to_a + to_b) / chord - 1,
    )


def _probabilities(logits: Tensor) -> Tensor:
    # Divergences of close distributions are small differences, so they are computed in float64, which mps lacks.
    return torch.softmax((logits.cpu() if logits.device.type == "mps" else logits).double(), -1)


def _entropy(p: Tensor) -> Tensor:
    entropy: Tensor = -torch.special.xlogy(p, p).sum(-1)
    return entropy


def _distances(p: Tensor, entropy: Tensor, q: Tensor, entropy_q: Tensor) -> Tensor:
    """Return the square root of the Jensen-Shannon divergence of each row of p and of q."""
    divergence = _entropy((p + q) / 2) - (entropy + entropy_q) / 2
    # The divergence of a distribution from itself is 0 up to rounding, of which the root would be 1e-8.
    return torch.where((p == q).all(-1), 0, divergence.clamp_min(0).sqrt())
