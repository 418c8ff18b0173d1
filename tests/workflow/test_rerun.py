"""Every config key, module and prompt pair: editing it plans exactly the stages that read it and what follows."""

from __future__ import annotations

import copy
import os
import shutil
from typing import Any

import pytest
import yaml

from plateaus.config.reading import SCHEMA, leaves, load_schema, resolve
from plateaus.config.stages import FOLLOWS, READS, READS_NOTHING, STAGES
from plateaus.prompts.pairs import read_pairs
from plateaus.prompts.sampling import sample
from plateaus.sources import embedded
from tests import tiny
from tests.unit.claims.test_claims import OWN
from tests.workflow.project import CONFIG, PAIRS, ROOT, SUITE, Project

SCHEMA = load_schema(ROOT / SCHEMA)

EDITS: dict[str, Any] = {
    "run": "other",
    "models.*.source": None,
    "models.*.name": "gemma-3-270m",
    "models.*.id": {"id": "nobody/nothing"},
    "models.*.revision": {"id": "nobody/nothing", "revision": "v1"},
    "models.*.revisions": {"id": "nobody/nothing", "revisions": ["step0", "step1000"]},
    "models.*.dtype": {"id": "nobody/nothing", "dtype": "float32"},
    "models.*.path": "second-model",
    "models.*.like": None,
    "models.*.seed": 2,
    "models.*.centre": True,
    "models.*.bos": True,
    "models.*.storage": "bfloat16",
    "models.*.layernorm": None,
    "models.*.controls": ["tiny-random"],
    "prompts.table": "other.tsv",
    "prompts.suite": "",
    "prompts.sample": 2,
    "prompts.deep": 0,
    "prompts.seed": 2,
    "prompts.shards": 1,
    "interpolate.steps": 9,
    "interpolate.path": "linear",
    "interpolate.layers": [0, 1],
    "interpolate.suite_stride": 2,
    "interpolate.trace_layer": 1,
    "interpolate.top_tokens": 4,
    "interpolate.endpoint_tolerance": 0.002,
    "freeze.conditions": ["none", "mlp_mean"],
    "freeze.layers": [0, 1],
    "jacobian.components": ["mlp", "block"],
    "jacobian.suite_matrices": True,
    "jacobian.exact_up_to": 8,
    "jacobian.probes": 5,
    "spline.top_neurons": 2,
    "sharpness.w_at_most": 0.2,
    "sharpness.rest_at_least": 0.05,
    "sharpness.departure_at_most": 0.2,
    "sharpness.strength_at_least": 0.4,
    "map.points": 5,
    "map.shown": 1,
    "map.triples": 3,
    "map.coarse_points": 2,
    "robustness.pairs": 0,
    "claims.tests": ["C0", "C1"],
    "claims.folder": "my-claims",
    "claims.alpha": 0.01,
    "claims.minimal_effects": {"C1": 0.2},
    "claims.equivalence_margin": 0.1,
    "claims.min_pairs": 10,
    "claims.min_contexts": 3,
    "claims.resamples": 500,
    "claims.seed": 1,
    "figures.pairs": ["house-big-large"],
    "figures.depths": [1],
    "figures.dpi": 80,
    "figures.colormap": "cividis",
    "report.title": "Another title",
    "report.renderer": "builtin",
    "compute.device": "cpu",
    "compute.threads": 2,
    "compute.memory_gb": 30,
    "compute.container": "image.sif",
}
"""Key to a value that the test project does not have; None where the test below edits more than one key."""

HUB = {f"models.*.{key}" for key in ("id", "revision", "revisions", "dtype")}


WITHOUT_ROBUSTNESS = {"robustness.pairs", "prompts.suite", "models.*.seed"}
"""Keys whose edits leave the stage robustness alone: two turn it off, and one is of random weights alone."""


def following(*stages: str) -> set[str]:
    """The stages and everything that takes their outputs, directly or not."""
    found = set(stages)
    for stage in STAGES:
        if found & set(FOLLOWS[stage]):
            found.add(stage)
    return found


def readers(leaf: str) -> set[str]:
    if leaf == "run":
        # The fetched models are shared by all runs.
        return set(STAGES) - {"fetch"}
    return {stage for stage, keys in READS.items() if leaf in keys}


def edited(leaf: str) -> dict[str, Any]:
    config = copy.deepcopy(CONFIG)
    section, *rest = leaf.split(".")
    if leaf == "models.*.source":
        config["models"]["tiny-random"] = {"source": "local", "path": "tiny-model"}
    elif leaf == "models.*.name":
        config["models"]["tiny-random"] = {"source": "embedded", "name": EDITS[leaf]}
    elif leaf == "models.*.like":
        config["models"]["second"] = {"source": "local", "path": "second-model"}
        config["models"]["tiny-random"]["like"] = "second"
    elif leaf in HUB:
        # Planning asks no hub, so the repository need not exist.
        config["models"]["tiny-random"] = {"source": "hub", **EDITS[leaf]}
    elif leaf == "models.*.layernorm":
        config["models"]["tiny-random"] = {"source": "local", "path": "second-model", "layernorm": "removed"}
    elif leaf in ("models.*.path", "models.*.centre", "models.*.bos", "models.*.storage", "models.*.controls"):
        config["models"]["tiny"][rest[1]] = EDITS[leaf]
    elif leaf == "models.*.seed":
        config["models"]["tiny-random"]["seed"] = EDITS[leaf]
    elif leaf == "prompts.suite":
        config["prompts"]["suite"], config["robustness"]["pairs"] = EDITS[leaf], 0
    elif not rest:
        config[section] = EDITS[leaf]
    else:
        config.setdefault(section, {})[rest[0]] = EDITS[leaf]
    return config


def test_every_key_is_in_the_table_of_edits():
    assert set(EDITS) == {leaf for leaf, _ in leaves(SCHEMA)}


def test_every_key_has_a_reader():
    assert {leaf for leaf in EDITS if not readers(leaf)} == set(READS_NOTHING)


@pytest.mark.parametrize("leaf", sorted(EDITS))
def test_editing_a_key_plans_what_reads_it_and_what_follows(leaf, project: Project):
    if leaf == "prompts.table":
        (project.folder / "other.tsv").write_text(PAIRS.replace("The car is", "The car was"), encoding="utf-8")
    if leaf == "models.*.layernorm":
        tiny.save_without_layernorm(project.folder / "second-model")
    if leaf == "models.*.name":
        for package, file in embedded.MODELS[EDITS[leaf]].parts:  # planning reads no weights, so the files may be empty
            path = project.folder / "src" / package / file
            path.parent.mkdir(parents=True)
            path.touch()
            (project.folder / "src" / package / "__init__.py").touch()
    if leaf == "claims.folder":
        (project.folder / "my-claims").mkdir()
    if leaf in ("models.*.path", "models.*.like"):
        shutil.copytree(project.folder / "tiny-model", project.folder / "second-model")
    project.configure(edited(leaf))
    reading = readers(leaf)
    if leaf == "models.*.controls":
        # The claims take the controls of a model without LayerNorm alone, which the test project's first model is not.
        reading -= {"claims"}
    planned = project.planned()
    left_out = {"robustness"} if leaf in WITHOUT_ROBUSTNESS else set()
    assert set(planned) == following(*reading) - left_out, planned


def test_nothing_is_planned_after_a_whole_run(finished: Project):
    assert finished.planned() == {}


def test_touching_everything_plans_nothing(project: Project):
    for path in project.folder.rglob("*"):
        if path.is_file() and ".snakemake" not in path.parts and "results" not in path.parts:
            os.utime(path)
    assert project.planned() == {}


@pytest.mark.parametrize(
    ("module", "stages"),
    [
        *((f"stages/{stage}.py", (stage,)) for stage in STAGES if stage != "figures"),
        ("stages/figures.py", ("figures",)),
        ("curves/sweep.py", ("interpolate", "freeze", "map", "robustness")),
        ("curves/plane.py", ("map",)),
        ("mechanism/splines.py", ("spline",)),
        ("mechanism/block_jacobian.py", ("jacobian",)),
        ("curves/sharpness.py", ("sharpness", "robustness")),
        ("claims/c01_learned.py", ("claims",)),
        ("judging/verdicts.py", ("claims",)),
        ("curves/trace.py", ("jacobian", "spline")),
        ("sources/folder.py", ("fetch",)),
        ("figures/f02_logits.py", ("figures",)),
        ("stages/runner.py", ()),
    ],
)
def test_editing_a_module_plans_its_stage_and_what_follows(module, stages, project: Project):
    path = project.folder / "src" / "plateaus" / module
    path.write_text(path.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
    assert set(project.planned()) == following(*stages)


def test_editing_the_report_source_plans_the_report(project: Project):
    path = project.folder / "report" / "index.qmd"
    path.write_text(path.read_text(encoding="utf-8") + "\nOne more line.\n", encoding="utf-8")
    assert set(project.planned()) == {"report"}


def test_adding_a_pair_reruns_one_shard_per_stage(project: Project):
    table = project.folder / "pairs.tsv"
    table.write_text(PAIRS + "car-red-big\tThe car is\tred\tbig\t\n", encoding="utf-8")
    models = len(CONFIG["models"])
    between = dict.fromkeys(("extract", "interpolate", "freeze", "jacobian", "spline", "sharpness"), models)
    assert project.planned() == {**between, "map": models, "robustness": 1, "claims": 1, "figures": 1, "report": 1}


def test_reordering_the_pairs_and_comments_plans_nothing(project: Project):
    header, *rows = PAIRS.splitlines()
    table = project.folder / "pairs.tsv"
    table.write_text("\n".join([header, "# turned round", *reversed(rows)]) + "\n", encoding="utf-8")
    assert project.planned() == {}


def test_a_claim_of_ones_own_is_planned_tested_and_planned_again_when_edited(project: Project):
    folder = project.folder / "my-claims"
    folder.mkdir()
    (folder / "mine.py").write_text(OWN, encoding="utf-8")
    config = copy.deepcopy(CONFIG)
    config["claims"] = {"folder": "my-claims", "tests": ["C0", "C90"]}
    project.configure(config)
    assert project.planned() == {"claims": 1, "figures": 1, "report": 1}
    project.run("--cores", "1", "--until", "claims")
    assert "C90, boundaries come early" in (project.folder / "results/tiny/claims.md").read_text(encoding="utf-8")
    (folder / "mine.py").write_text(OWN + "# edited\n", encoding="utf-8")
    assert set(project.planned()) == {"claims", "figures", "report"}


def test_a_pair_of_the_suite_that_is_not_drawn_is_not_read(project: Project):
    path = project.folder / "suite.tsv"
    drawn = {pair.id for pair in sample(read_pairs(path), 1, 0)}
    header, *rows = SUITE.splitlines()
    rows = [row if row.split("\t")[0] in drawn else row.replace("\tThe ", "\tThe old ") for row in rows]
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    assert path.read_text(encoding="utf-8").count("The old") == 2
    assert project.planned() == {}


def test_two_values_swapped_are_an_edit(project: Project):
    """Snakemake compares parameters as a set; ours are one string, so that a swap is seen."""
    config = copy.deepcopy(CONFIG)
    config["figures"]["pairs"] = list(reversed(config["figures"]["pairs"]))
    project.configure(config)
    assert set(project.planned()) == {"figures", "report"}


def test_the_default_config_is_what_the_readme_says(root):
    config = resolve(yaml.safe_load((root / "config/config.yaml").read_text()), SCHEMA)
    assert list(config["models"]) == ["smollm2-135m", "smollm2-135m-random"]
    assert config["interpolate"]["steps"] == 50
