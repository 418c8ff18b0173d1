"""The variants of a strength against the stage interpolate, plain hooks, rounded files, and each other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from plateaus.curves import sharpness
from plateaus.data import tables
from plateaus.data.results import table_path
from plateaus.data.schemas import VARIANTS
from plateaus.errors import InputError
from plateaus.model import bfloat16
from plateaus.model.transformer import Transformer
from plateaus.prompts.pairs import Pair, tokenise_with_file
from plateaus.stages import robustness as stage
from plateaus.stages.extract import endpoints
from plateaus.stages.interpolate import Ends, interpolate_pairs
from plateaus.stages.job import Job
from plateaus.stages.robustness import EMBEDDING, Variant
from tests import oracle, tiny

PAIRS = [
    Pair("house-big-in", "The house was", "big", "in", "suite;natural"),
    Pair("car-red-small", "The car is", "red", "small", "suite;natural"),
    Pair("car-old-on", "The car was", "old", "on", "suite;natural"),
]
SHARDS = {"s0-of-2": PAIRS[:2], "s1-of-2": PAIRS[2:]}
CHOSEN = ["car-old-on", "house-big-in"]
STEPS = 12
OWN = Variant(VARIANTS[0], "spherical", STEPS, 0, "auto")
MEASURES = ["w", "w_path", "strength", "midpoint"]


def with_card(folder: Path, to: Path, **source: str) -> Path:
    shutil.copytree(folder, to)
    (to / "card.json").write_text(json.dumps({"weights_sha256": "w", "architecture": "?", "source": source}))
    return to


def job_of(folder: Path, root: Path, said: list[str] | None = None, **settings: object) -> Job:
    told = {"centre": False, "bos": "auto", "steps": STEPS, "path": "spherical", "trace_layer": 0, "pairs": CHOSEN}
    return Job(
        "robustness", root, "m", "all", {**told, **settings}, folder, {"shards": list(SHARDS)}, 1, "cpu", 1.0,
        ([] if said is None else said).append,
    )  # fmt: skip


def write_pairs(folder: Path, root: Path) -> None:
    """Write the pairs of both shards as the stage extract does."""
    model = Transformer.load(folder)
    for shard, pairs in SHARDS.items():
        rows = [endpoints(model, [pair])[0].row for pair in tokenise_with_file(pairs, folder / "tokenizer.json", "m")]
        columns = {name: [row[name] for row in rows] for name in tables.ENDPOINTS.columns}
        tables.write(table_path(root, "m", tables.ENDPOINTS, shard), tables.ENDPOINTS, columns, {})


def made(job: Job) -> pd.DataFrame:
    """Run the stage and return its table, indexed by pair, variant and site."""
    stage.robustness(job)
    frame = tables.read_frame(tables.ROBUSTNESS, [table_path(job.root, "m", tables.ROBUSTNESS, "all")])
    return frame.astype(dict.fromkeys(tables.ROBUSTNESS.key, str)).set_index(list(tables.ROBUSTNESS.key))


@pytest.fixture(scope="module")
def whole(tiny_folder, tmp_path_factory):
    """Return the model's folder, the results folder and the table of one run of the stage."""
    root = tmp_path_factory.mktemp("robustness")
    folder = with_card(tiny_folder("llama"), root / "model")
    write_pairs(folder, root)
    return folder, root, made(job_of(folder, root))


def of_variant(frame: pd.DataFrame, variant: str) -> pd.DataFrame:
    return frame.xs(variant, level="variant").sort_index()


def of_interpolate(folder: Path, pair: Pair, layer: int, site: str) -> tuple[float, float]:
    """Return w and w of the path as the stages interpolate and sharpness measure them."""
    model = Transformer.load(folder)
    (tokenised,) = tokenise_with_file([pair], folder / "tokenizer.json", "m")
    rows = interpolate_pairs(
        model, [Ends(tokenised, endpoints(model, [tokenised])[0].residuals)], steps=STEPS, path="spherical", layers=[layer],
        trace_layer=layer, top_tokens=1, memory_gb=1.0,
    )[0].interpolate  # fmt: skip
    at = [(rows["site"] == site), (rows["site"] == "resid_post") & (rows["record_layer"] == layer)]
    w, w_path = (sharpness.measure_one(rows["alpha"][one], rows["distance"][one]).w for one in at)
    return w, w_path


def test_every_pair_has_every_variant_by_both_yardsticks(whole):
    frame = whole[2]
    sites = ["logits", "next_token"]
    expected = [name for name in VARIANTS if name not in ("spherical path", "without begin-of-sequence token")]
    assert sorted(frame.index) == sorted((pair, name, site) for pair in CHOSEN for name in expected for site in sites)
    np.testing.assert_allclose(frame["strength"], 1 - frame["w"] / frame["w_path"], atol=1e-6)


@pytest.mark.parametrize("site", ["logits", "next_token"])
@pytest.mark.parametrize(("variant", "layer"), [("as in the run", 0), ("path at layer 0", 0), ("path at layer 1", 1)])
def test_the_runs_setting_and_other_layers_equal_the_stage_interpolate(variant, layer, site, whole):
    folder, _, frame = whole
    for pair in PAIRS:
        if pair.id in CHOSEN:
            found = frame.loc[pair.id, variant, site]
            assert (found["w"], found["w_path"]) == pytest.approx(of_interpolate(folder, pair, layer, site), abs=1e-6)


def test_swapped_words_have_the_same_strength_and_the_mirrored_midpoint(whole):
    own, swapped = (of_variant(whole[2], name) for name in ("as in the run", "words swapped"))
    np.testing.assert_allclose(swapped["strength"], own["strength"], atol=1e-4)
    np.testing.assert_allclose(swapped["midpoint"], 1 - own["midpoint"], atol=1e-4)


def test_the_other_variants_differ_from_the_runs_setting(whole):
    same = {"as in the run", "path at layer 0", "words swapped"}
    own = of_variant(whole[2], "as in the run")
    for name in set(whole[2].index.get_level_values("variant")) - same:
        assert (of_variant(whole[2], name)["strength"] - own["strength"]).abs().max() > 1e-5, name


@pytest.mark.parametrize("kind", list(tiny.SHAPES))
def test_a_path_at_the_embedding_equals_plain_hooks(kind, tiny_folder):
    folder = tiny_folder(kind)
    (pair,) = tokenise_with_file(PAIRS[:1], folder / "tokenizer.json", "m")
    model = Transformer.load(folder)
    found = stage.curves(model, pair, OWN._replace(layer=EMBEDDING), memory_gb=1.0)
    plain, _ = oracle.load(folder)
    ids = [[*pair.prefix, token] for token in (pair.token_a, pair.token_b)]
    logits = oracle.interpolate_embedding(plain, *ids, STEPS)
    np.testing.assert_allclose(found["logits"], oracle.relative_distance(logits).numpy(), atol=1e-5)
    np.testing.assert_allclose(found["next_token"], divergences(logits), atol=1e-5)


def divergences(logits: torch.Tensor) -> np.ndarray:
    """Return the relative distance by the root of the Jensen-Shannon divergence, from its definition."""
    p = torch.softmax(logits.double(), -1)

    def root(q: torch.Tensor) -> torch.Tensor:
        middle = (p + q) / 2
        sides = [(one * (one / middle).log()).sum(-1) for one in (p, q.expand_as(p))]
        return ((sides[0] + sides[1]) / 2).clamp_min(0).sqrt()

    to_a, to_b = root(p[0]), root(p[-1])
    return (to_a / (to_a + to_b)).numpy()


@pytest.mark.parametrize("kind", ["gpt2", "gemma2"])
def test_patching_the_embeddings_of_both_prompts_reproduces_their_logits(kind, tiny_folder):
    model = Transformer.load(tiny_folder(kind))
    (pair,) = tokenise_with_file(PAIRS[:1], tiny_folder(kind) / "tokenizer.json", "m")
    rows = stage.ends_of(model, pair, EMBEDDING)
    prefix = model.prefix(list(pair.prefix))
    for layer in range(model.n_layers):
        rows = model.block(layer, rows, prefix).resid_post
    for row, token in zip(model.logits(rows), (pair.token_a, pair.token_b), strict=True):
        torch.testing.assert_close(row, model.run([*pair.prefix, token])[1][-1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_rounded_weights_are_those_that_are_rounded_on_disk(kind, tiny_folder, tmp_path):
    folder = with_card(tiny_folder(kind), tmp_path / "stored", storage="bfloat16")
    bfloat16.store(folder)
    (pair,) = tokenise_with_file(PAIRS[:1], folder / "tokenizer.json", "m")
    models = (Transformer.load(tiny_folder(kind), rounded=True), Transformer.load(folder))
    ours, stored = (stage.curves(model, pair, OWN, memory_gb=1.0) for model in models)
    for site in ours:
        np.testing.assert_allclose(ours[site], stored[site], atol=1e-5)


def test_the_table_of_a_model_that_is_stored_in_bfloat16_has_no_rounded_variant(tiny_folder, tmp_path):
    folder = with_card(tiny_folder("llama"), tmp_path / "stored", storage="bfloat16")
    bfloat16.store(folder)
    write_pairs(folder, tmp_path)
    said: list[str] = []
    frame = made(job_of(folder, tmp_path, said))
    assert "weights rounded to bfloat16" not in frame.index.get_level_values("variant")
    assert said[-1] == "left out: weights rounded to bfloat16 (they are stored so)"


def test_rounding_leaves_the_file_that_is_mapped_as_it_is(tiny_folder):
    folder = tiny_folder("llama")
    before = Transformer.load(folder).run([1, 2, 3])[1]
    rounded = Transformer.load(folder, rounded=True).run([1, 2, 3])[1]
    assert (rounded - before).abs().max() > 1e-4
    torch.testing.assert_close(Transformer.load(folder).run([1, 2, 3])[1], before, atol=0, rtol=0)


@pytest.mark.parametrize("begins", [False, True])
@pytest.mark.parametrize("own", [OWN, OWN._replace(path="linear", steps=50, layer=1)])
def test_each_variant_changes_one_thing(own, begins):
    own = own._replace(bos=begins)
    first, *others = stage.variants(own, n_layers=30, begins=begins)
    assert first == own
    for other in others:
        changed = sum(a != b for a, b in zip(other[1:], own[1:], strict=True))
        assert changed == 1 or (other.name.startswith("path at layer") and changed == 0), other
        assert other.name in VARIANTS
    assert {other.steps for other in others} == {own.steps, own.steps // 2, 2 * own.steps}
    assert [other.layer for other in others if other.name.startswith("path at")] == [EMBEDDING, 0, 1, 2]


def test_variants_that_do_not_fit_are_not_made():
    names = [one.name for one in stage.variants(OWN._replace(steps=5), n_layers=2, begins=False)]
    assert "half the steps" not in names
    assert [name for name in names if name.startswith("path at")] == ["path at the embedding", "path at layer 0"]


def test_the_opposite_of_a_begin_of_sequence_token_is_none(whole, tmp_path):
    folder, root, frame = whole
    shutil.copytree(root / "data", tmp_path / "data")
    found = made(job_of(folder, tmp_path, bos=True))
    with_token, without = "with begin-of-sequence token", "without begin-of-sequence token"
    for name, other in (("as in the run", with_token), (without, "as in the run")):
        np.testing.assert_allclose(of_variant(found, name)[MEASURES], of_variant(frame, other)[MEASURES], atol=1e-6)
    assert with_token not in found.index.get_level_values("variant")


def test_a_tokenizer_without_a_begin_of_sequence_token_leaves_the_variant_out(whole, tmp_path):
    folder = shutil.copytree(whole[0], tmp_path / "model")
    shutil.copytree(whole[1] / "data", tmp_path / "data")
    for name in ("tokenizer_config.json", "config.json"):
        told = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({key: told[key] for key in told if not key.startswith("bos_token")}))
    said: list[str] = []
    found = made(job_of(folder, tmp_path, said))
    assert "with begin-of-sequence token" not in found.index.get_level_values("variant")
    assert said[0].startswith("left out: prompts with a begin-of-sequence token")
    assert "names no begin-of-sequence token" in said[0]


def test_a_pair_that_no_table_has_is_named(whole):
    with pytest.raises(InputError, match="no pair 'other'"):
        stage.robustness(job_of(*whole[:2], pairs=["house-big-in", "other"]))
