"""A series of checkpoints in the config: it becomes one model per revision, and each mistake gives one clear line."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from plateaus.config import models, series, slices
from plateaus.config.reading import SCHEMA, load_schema
from plateaus.config.reading import resolve as resolve_config
from plateaus.errors import InputError

PYTHIA = {"source": "hub", "id": "EleutherAI/pythia-160m", "revisions": ["step0", "step1000", "step143000"]}
LOCAL = {"source": "local", "path": "checkpoints/{revision}/hf", "revisions": ["step-10", "step-2"]}


@pytest.fixture(scope="module")
def schema(root):
    return load_schema(root / SCHEMA)


@pytest.fixture
def resolve(schema):
    return lambda models, **sections: resolve_config({"models": models, **sections}, schema)


def test_one_model_per_revision_in_place_and_in_order(resolve):
    found = resolve({"first": {"source": "embedded"}, "p": {**PYTHIA, "centre": True}, "last": {"source": "embedded"}})
    assert list(found["models"]) == ["first", "p-step0", "p-step1000", "p-step143000", "last"]
    member = found["models"]["p-step1000"]
    assert member["revision"] == "step1000"
    assert (member["series"], member["step"], member["centre"]) == ("p", 1000, True)
    assert not member["revisions"]
    assert series.members(found["models"], "p") == ["p-step0", "p-step1000", "p-step143000"]


def test_a_local_series_has_its_revision_in_the_path(resolve):
    found = resolve({"mine": LOCAL})["models"]
    assert {name: model["path"] for name, model in found.items()} == {
        "mine-step-10": "checkpoints/step-10/hf",
        "mine-step-2": "checkpoints/step-2/hf",
    }
    assert [model["step"] for model in found.values()] == [10, 2]


def test_what_was_given_is_not_changed(schema):
    given = {"models": {"p": copy.deepcopy(PYTHIA)}}
    before = copy.deepcopy(given)
    resolve_config(given, schema)
    assert given == before


@pytest.mark.parametrize(
    ("revision", "step"),
    [
        ("step0", 0),
        ("step143000", 143000),
        ("checkpoint-500", 500),
        ("step1000-tokens4B", 1000),
        ("stage1-step_250-tokens2B", 250),
        ("Step12", 12),
        ("0100", 100),
        ("main", None),
        ("v1.2", None),
        ("step1-step2", None),
    ],
)
def test_the_step_is_in_the_name(revision, step):
    assert series.step_of(revision) == step


def test_fetch_is_given_a_members_weights_and_nothing_of_its_series(resolve):
    one = resolve({"p": PYTHIA})
    assert slices.fetch_slice(one, "p-step1000") == {
        "source": "hub", "id": "EleutherAI/pythia-160m", "revision": "step1000", "dtype": "float32",
    }  # fmt: skip
    alone = resolve({"p-step1000": {"source": "hub", "id": "EleutherAI/pythia-160m", "revision": "step1000"}})
    assert models.model_key(one, "p-step1000") == models.model_key(alone, "p-step1000")
    assert slices.fetch_slice(resolve({"mine": LOCAL}), "mine-step-2") == {
        "source": "local", "path": "checkpoints/step-2/hf",
    }  # fmt: skip


def test_another_revision_leaves_the_members_that_are_there_as_they_were(resolve):
    before = resolve({"p": PYTHIA})
    after = resolve({"p": {**PYTHIA, "revisions": ["step0", "step512", "step1000", "step143000"]}})
    for name in before["models"]:
        for slice_ in (models.weights_of, lambda found, model: slices.stage_slice(found, "interpolate", model)):
            assert slice_(before, name) == slice_(after, name)
    assert set(after["models"]) - set(before["models"]) == {"p-step512"}


def test_figures_are_told_the_series_and_the_step(resolve):
    told = slices.about(resolve({"p": PYTHIA}), "p-step1000")
    assert (told["series"], told["training_step"]) == ("p", 1000)
    assert slices.about(resolve({"m": {"source": "embedded"}}), "m")["series"] == ""


def test_a_member_can_be_named(resolve):
    found = resolve({"p": {**PYTHIA, "controls": ["r"]}, "r": {"source": "random", "like": "p-step0"}})
    assert models.weights_of(found, "r")["like"]["revision"] == "step0"
    assert found["models"]["p-step1000"]["controls"] == ["r"]


def bad(model: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"p": model, **others}


@pytest.mark.parametrize(
    ("models", "said"),
    [
        (bad({**PYTHIA, "revision": "main"}), "models.p has both revision and revisions: remove one of them"),
        (bad({**PYTHIA, "revisions": ["step0", "step0"]}), "models.p.revisions has 'step0' twice"),
        (bad({**PYTHIA, "revisions": ["step1", "step01"]}), "has 'step1' and 'step01', both of step 1"),
        (bad({**PYTHIA, "revisions": ["main"]}), "models.p.revisions has 'main', whose name gives no training step"),
        (bad({**PYTHIA, "revisions": [1000]}), "models.p.revisions.0 is 1000, which is not of type string: put it in quotes"),
        (bad({**PYTHIA, "revisions": "step0"}), "models.p.revisions is 'step0', which is not of type array"),
        (bad({**PYTHIA, "revisions": ["refs/pr/1"]}), "makes the model 'p-refs/pr/1', which is used in file names"),
        (bad(PYTHIA, **{"p-step0": {"source": "embedded"}}), "makes the model 'p-step0', which already exists"),
        (bad({**LOCAL, "path": "one"}), "models.p.path is 'one', the same folder for all of its revisions"),
        (bad({"source": "local", "path": "x/{revision}"}), "models.p.path has {revision}, but the model has no revisions"),
        (bad({**PYTHIA, "series": "p"}), "unknown key models.p.series"),
        (bad({"source": "embedded", "revisions": ["step0"]}), "unknown key models.p.revisions"),
        (bad(PYTHIA, r={"source": "random", "like": "p"}), "'p' is a series, so name one of its models, such as p-step143000"),
        (bad(PYTHIA, r={"source": "random", "like": "p-step100"}), "(did you mean p-step1000?)"),
        (
            bad(PYTHIA, m={"source": "local", "path": "x", "controls": ["p"]}),
            "models.m.controls names 'p', which is not another of the models",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(resolve, models, said):
    with pytest.raises(InputError) as caught:
        resolve(models)
    assert said in str(caught.value)
    assert str(caught.value).startswith("config: ")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"source": "hub"}, "models.p lacks the key 'id'"),
        ({"source": "hub", "id": "a/b/c"}, "models.p.id is 'a/b/c': give owner/name, as at the top of the model's page"),
        ({"source": "hub", "id": "a/b", "path": "x"}, "unknown key models.p.path"),
        ({"source": "hub", "id": "a/b", "dtype": "float16"}, "models.p.dtype is 'float16'"),
        ({"source": "hub", "id": "a/b", "dtype": "bfloat16"}, "possible: float32: every stage computes in float32"),
        ({"source": "hub", "id": "a/b", "revision": 1234567}, "models.p.revision is 1234567, which is not of type string: put"),
        ({"source": "hubb", "id": "a/b"}, "models.p.source is 'hubb' (did you mean hub?)"),
        ({"source": "centre"}, "models.p.source is 'centre'"),
    ],
)  # fmt: skip
def test_a_model_of_the_hub_that_does_not_fit_is_one_line(resolve, model, said):
    with pytest.raises(InputError) as caught:
        resolve({"p": model})
    assert said in str(caught.value)


def test_a_model_of_the_hub_has_its_defaults(resolve):
    found = resolve({"p": {"source": "hub", "id": "gpt2"}})["models"]["p"]
    assert (found["revision"], found["dtype"], found["centre"], found["layernorm"]) == (
        "main",
        "float32",
        False,
        "kept",
    )
    assert "series" not in found
