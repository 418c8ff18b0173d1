"""The second yardstick is a metric between next-token distributions, and equals a loop over the definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from plateaus.curves import predictions
from plateaus.errors import InputError
from plateaus.model.transformer import Transformer


@pytest.fixture(scope="module")
def model(tiny_folder):
    return Transformer.load(tiny_folder("llama"))


def path(model: Transformer, steps: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    a, b, bend = torch.randn(3, model.d_model, generator=generator)
    t = torch.linspace(0, 1, steps)[:, None]
    return (1 - t) * a + t * b + t * (1 - t) * bend


@pytest.mark.parametrize("steps", [9, 64, 65, 66, 130])
def test_the_measures_are_those_of_scipy_at_any_length(model, steps):
    rows = path(model, steps)
    p = torch.softmax(model.logits(rows).double(), -1).numpy()

    def apart(i: int, j: int) -> float:
        return float(jensenshannon(p[i], p[j]))

    to_a, to_b = ([apart(i, end) for i in range(steps)] for end in (0, steps - 1))
    found = predictions.measure_predictions(predictions.probabilities(model, rows), name="x")
    np.testing.assert_allclose(found.distance_a, to_a, atol=1e-6)
    np.testing.assert_allclose(found.distance_b, to_b, atol=1e-6)
    np.testing.assert_allclose(found.distance[1:-1], np.divide(to_a, np.add(to_a, to_b))[1:-1], atol=1e-6)
    np.testing.assert_allclose(found.step_size[:-1], [apart(i, i + 1) for i in range(steps - 1)], atol=1e-6)
    assert (float(found.distance[0]), float(found.distance[-1])) == (0, 1)
    assert torch.isnan(found.step_size[-1])
    assert (found.detour >= -1e-9).all()  # the triangle inequality
    np.testing.assert_allclose(found.projection[[0, -1]], [0, 1], atol=1e-9)


def test_prompts_with_the_same_predictions_are_refused(model):
    rows = path(model, 9)
    rows[-1] = rows[0]
    with pytest.raises(InputError, match=r"^pair 'x': the next-token distributions of the two prompts are the same"):
        predictions.measure_predictions(predictions.probabilities(model, rows), name="pair 'x'")
