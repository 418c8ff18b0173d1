"""The config: unknown keys are errors, every key is described and has its default, and stages read what they declare."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml

from plateaus.config import models, slices, stages
from plateaus.config.reading import SCHEMA, leaves, load_schema, resolve
from plateaus.curves.sharpness import Rule
from plateaus.errors import InputError
from plateaus.plan import threads
from plateaus.prompts.pairs import read_pairs, split
from plateaus.run import code_inputs


@pytest.fixture(scope="module")
def schema(root):
    return load_schema(root / SCHEMA)


@pytest.fixture(scope="module")
def default(root, schema):
    return resolve(yaml.safe_load((root / "config/config.yaml").read_text()), schema)


def test_every_object_is_closed_and_every_leaf_described(schema):
    def closed(part: dict) -> None:
        if part.get("type") == "object" and "properties" in part and "source" not in part["properties"]:
            assert part.get("additionalProperties") is False
        for inner in part.get("properties", {}).values():
            closed(inner)

    closed(schema)
    for definition in schema["$defs"].values():
        if definition.get("type") == "object":
            assert definition["additionalProperties"] is False
    for leaf, part in leaves(schema):
        assert len(part.get("description", "")) > 20, leaf


def test_defaults_are_filled_in_and_valid(schema):
    small = resolve({"models": {"m": {"source": "embedded"}}}, schema)
    assert small["interpolate"]["steps"] == 50
    assert small["models"]["m"]["centre"] is False
    assert resolve(small, schema) == small


def test_resolving_does_not_change_what_was_given(schema):
    given = {"models": {"m": {"source": "embedded"}}}
    resolve(given, schema)
    assert given == {"models": {"m": {"source": "embedded"}}}


def test_every_leaf_is_read_or_says_that_it_is_not(schema):
    read = {key for keys in stages.READS.values() for key in keys} | {"run", *stages.READS_NOTHING}
    assert read == {leaf for leaf, _ in leaves(schema)}


def test_the_plateau_rules_defaults_are_the_schemas(default):
    assert Rule(**default["sharpness"]) == Rule()


def test_slices_hold_no_more_than_their_stage_reads(default, root):
    pairs = read_pairs(root / "config/prompts/post.tsv")
    for stage in ("interpolate", "freeze", "jacobian", "spline", "sharpness"):
        found = slices.stage_slice(default, stage, "smollm2-135m")
        trained = {"trained"} if stage in ("interpolate", "freeze", "jacobian") else set()  # from the model's source
        assert set(found) == {key.split(".")[-1] for key in stages.READS[stage]} | trained
    shards = split(pairs, 2)
    drawn = slices.figures_slice(default, pairs, shards)
    assert set(drawn) == {
        *(key.split(".")[-1] for key in stages.READS["figures"] if not key.startswith("models.")),
        *("models", "shards", "about", "mapped", "robust"),
    }
    of_map = slices.map_slice(default, "smollm2-135m", pairs)
    assert set(of_map) == {*(key.split(".")[-1] for key in stages.READS["map"]), "chosen"}
    robust = slices.robustness_slice(default, "smollm2-135m", pairs)
    assert set(robust) == {key.split(".")[-1] for key in stages.READS["robustness"]}
    assert "compute" not in slices.report_slice(default, pairs, shards)["config"]


def test_a_models_key_follows_from_its_weights_alone(default):
    import copy

    other = copy.deepcopy(default)
    other["models"]["smollm2-135m"]["centre"] = True
    assert models.model_key(default, "smollm2-135m") == models.model_key(other, "smollm2-135m")
    other["models"]["smollm2-135m-random"]["seed"] = 1
    assert models.model_key(default, "smollm2-135m-random") != models.model_key(other, "smollm2-135m-random")


def test_a_loop_of_likes_is_refused(schema):
    models = {"a": {"source": "random", "like": "b"}, "b": {"source": "random", "like": "a"}}
    with pytest.raises(InputError, match="leads back to itself"):
        resolve({"models": models}, schema)


def test_the_readme_of_the_config_is_what_the_schema_says(root, schema):
    from plateaus.config import readme

    assert (root / "config/README.md").read_text(encoding="utf-8") == readme.text(schema)


IMPORTING = """
import json, os, sys, torch, pandas, pyarrow.parquet, scipy.stats, matplotlib.figure
for module in sys.argv[1:]:
    if os.fork() == 0:
        __import__(module)
        print(json.dumps([module, sorted(name for name in sys.modules if name.split(".")[0] == "plateaus")]), flush=True)
        os._exit(0)
    os.wait()
"""
"""Imports each module in a fork of its own of a process that holds none of ours."""


def test_code_inputs_are_all_modules_that_each_stage_really_imports():
    """The list found in the source holds every module of ours that importing the stage loads."""
    named = [f"plateaus.stages.{stage}" for stage in ("runner", *stages.STAGES)]
    done = subprocess.run([sys.executable, "-c", IMPORTING, *named], capture_output=True, text=True, check=True)
    loaded = {module: set(names) for module, names in map(json.loads, done.stdout.splitlines())}
    assert list(loaded) == named
    for stage in stages.STAGES:
        missing = loaded[f"plateaus.stages.{stage}"] - loaded["plateaus.stages.runner"]
        assert missing - set(code_inputs.modules_of(stage)) == set(), stage


def test_stages_after_the_curves_do_not_import_torch():
    named = ", ".join(f"plateaus.stages.{stage}" for stage in ("sharpness", "claims", "figures", "report"))
    program = f"import sys, {named}; print('torch' in sys.modules or 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_checks_before_a_run_import_no_statistics_and_no_torch():
    program = "import sys, plateaus.run.precheck; print({'torch', 'scipy', 'pandas', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("told", "cores", "expected"), [("auto", 8, 2), ("auto", 2, 1), ("auto", None, 1), (3, 2, 3)], ids=str
)
def test_cores_are_shared_out_over_the_jobs_of_a_stage(schema, told, cores, expected):
    models = {"one": {"source": "embedded"}, "two": {"source": "random", "like": "one"}}
    given = {"models": models, "prompts": {"table": "x.tsv", "shards": 2}, "compute": {"threads": told}}
    assert threads.of_job(resolve(given, schema), cores) == expected
