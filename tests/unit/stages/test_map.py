"""The map of a tiny model against one plain forward pass per point, and at its corners."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from plateaus.curves import plane
from plateaus.errors import InputError
from plateaus.model.transformer import Transformer
from plateaus.prompts.pairs import Pair, tokenise_with_file
from plateaus.prompts.triples import Triple
from plateaus.stages.extract import endpoints
from plateaus.stages.map import map_triple
from tests import oracle

PAIRS = [Pair("one", "The house was", "big", "in", ""), Pair("two", "The house was", "big", "large", "")]
TRIPLE = Triple(
    "big-in-large", "The house was", ("big", "in", "large"), (("one", "a"), ("one", "b"), ("two", "b")), True
)
SIDE = 5


def mapped(folder, side: int = SIDE, layer: int = 1):
    model = Transformer.load(folder)
    tokenised = tokenise_with_file(PAIRS, folder / "tokenizer.json", "model")
    (first, _), (second, _) = endpoints(model, tokenised)
    residuals = torch.stack([first[0], first[1], second[1]])
    found = map_triple(model, TRIPLE, tokenised[0].prefix, residuals, layer=layer, side=side, memory_gb=1.0)
    return found, residuals


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2"])
def test_every_point_equals_a_plain_forward_pass(kind, tiny_folder):
    folder = tiny_folder(kind)
    found, residuals = mapped(folder)
    plain, tokenizer = oracle.load(folder)
    ids = tokenizer("The house was big", add_special_tokens=False).input_ids
    drawing = plane.grid(SIDE)
    points = plane.activations(residuals[:, 1], drawing.barycentric)
    _, logits = oracle.patched(plain, ids, 1, torch.cat([points, residuals[:, 1]]))
    p = logits.double().softmax(-1).detach().numpy()
    corners, z = p[-3:], logits.detach().double().numpy()
    apart = np.mean([jensenshannon(corners[i], corners[j]) for i, j in ((0, 1), (1, 2), (2, 0))])
    apart_z = np.mean([np.linalg.norm(z[-3 + i] - z[-3 + j]) for i, j in ((0, 1), (1, 2), (2, 0))])
    for corner, name in enumerate("abc"):
        expected = [jensenshannon(one, corners[corner]) / apart for one in p[:-3]]
        np.testing.assert_allclose(found.points[f"next_token_{name}"], expected, atol=2e-5)
        expected = np.linalg.norm(z[:-3] - z[-3 + corner], axis=1) / apart_z
        np.testing.assert_allclose(found.points[f"logits_{name}"], expected, atol=2e-5)
    np.testing.assert_array_equal(found.points["token_id"], p[:-3].argmax(1))
    np.testing.assert_allclose(found.points["probability"], p[:-3].max(1), atol=1e-5)
    sides = [float(torch.dist(residuals[i, 1], residuals[j, 1])) for i, j in ((0, 1), (1, 2), (2, 0))]
    assert [found.triple[name] for name in ("ab", "bc", "ca")] == pytest.approx(sides)


def test_prompts_with_the_same_predictions_are_refused(tiny_folder):
    folder = tiny_folder("llama")
    model = Transformer.load(folder)
    (tokenised,) = tokenise_with_file(PAIRS[:1], folder / "tokenizer.json", "model")
    ((residuals, _),) = endpoints(model, [tokenised])
    same = torch.stack([residuals[0], residuals[1], residuals[1]])
    with pytest.raises(InputError, match=r"^triple 'big-in-large': two of its prompts have the same next-token"):
        map_triple(model, TRIPLE, tokenised.prefix, same, layer=1, side=3, memory_gb=1.0)
