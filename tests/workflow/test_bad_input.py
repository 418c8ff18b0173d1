"""What a user can get wrong: one clear line, a non-zero exit within seconds, and earlier results untouched."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from plateaus.claims import registry
from plateaus.config.models import model_key, weights_of
from plateaus.config.reading import load_schema, resolve
from plateaus.errors import InputError
from plateaus.prompts import sampling
from plateaus.run import precheck
from plateaus.stages.fetch import make_model
from tests import tiny
from tests.workflow.project import CONFIG, PAIRS, Project

HEADER = "id\tcontext\ta\tb\ttags\n"


def edit(*path: str, value: Any) -> Callable[[Project], None]:
    """Set a key of the config."""

    def change(project: Project) -> None:
        config = copy.deepcopy(CONFIG)
        section = config
        for key in path[:-1]:
            section = section.setdefault(key, {})
        section[path[-1]] = value
        project.configure(config)

    return change


def pairs(text: str) -> Callable[[Project], None]:
    """Replace the prompt table."""
    return lambda project: (project.folder / "pairs.tsv").write_text(text, encoding="utf-8") and None


def other_model(spoil: Callable[[Path], None]) -> Callable[[Project], None]:
    """Point the config at a copy of the model folder that has been spoilt."""

    def change(project: Project) -> None:
        shutil.copytree(project.folder / "tiny-model", project.folder / "spoilt")
        spoil(project.folder / "spoilt")
        edit("models", "tiny", "path", value="spoilt")(project)

    return change


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def garbage(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"not a safetensors file at all" * 100)


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def told(**changes: Any) -> Callable[[Project], None]:
    """Change keys of the model's config.json."""

    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")

    return other_model(change)


def broken_json(folder: Path) -> None:
    (folder / "config.json").write_text("{", encoding="utf-8")


def results_is_a_file(project: Project) -> None:
    edit("run", value="blocked")(project)
    (project.folder / "results" / "blocked").write_text("in the way")


def copied_without_records(project: Project) -> None:
    shutil.rmtree(project.folder / ".snakemake")
    edit("interpolate", "steps", value=9)(project)


def more_than_the_disk_holds(project: Project) -> None:
    edit("interpolate", "steps", value=10001)(project)
    rows = "".join(f"x{number}\tThe car was\tred\told\t\n" for number in range(3000))
    (project.folder / "pairs.tsv").write_text(PAIRS + rows, encoding="utf-8")


def more_than_the_memory_holds(project: Project) -> None:
    project.configure({**CONFIG, "run": "fresh", "compute": {**CONFIG.get("compute", {}), "memory_gb": 0.1}})


def fetched_model_damaged(project: Project) -> None:
    (path,) = (project.folder / "resources" / "models").glob("tiny-????????/model.safetensors")
    path.unlink()


def another_manifest(project: Project) -> None:
    (project.folder / "suite.manifest.json").write_text('{"suite_sha256": "0"}', encoding="utf-8")


CASES: dict[str, tuple[Callable[[Project], None], tuple[str, ...]]] = {
    "unknown key": (edit("interpolate", "step", value=5), ("interpolate.step", "did you mean steps")),
    "little memory": (more_than_the_memory_holds, ("needs about 0.", "more than the 0.1 GB of compute.memory_gb (0.1)")),
    "unknown section": (edit("plots", value={}), ("unknown key plots", "known here")),
    "wrong type": (edit("interpolate", "steps", value="7"), ("interpolate.steps", "integer", "quotes")),
    "one step": (edit("interpolate", "steps", value=1), ("interpolate.steps is 1", "at least 3")),
    "unknown source": (edit("models", "tiny", "source", value="lokal"), ("models.tiny.source", "did you mean local")),
    "unknown path kind": (edit("interpolate", "path", value="sphere"), ("interpolate.path", "spherical, linear")),
    "hub without an id": (edit("models", "tiny", value={"source": "hub"}), ("models.tiny lacks the key 'id'",)),
    "half precision": (edit("models", "tiny", value={"source": "hub", "id": "gpt2", "dtype": "float16"}), ("models.tiny.dtype is 'float16'", "float32")),
    "revisions in one folder": (edit("models", "tiny", "revisions", value=["step1", "step2"]), ("models.tiny.path is 'tiny-model'", "{revision}")),
    "unknown like": (edit("models", "tiny-random", "like", value="tini"), ("'tini'", "did you mean tiny")),
    "like itself": (edit("models", "tiny-random", "like", value="tiny-random"), ("leads back to itself",)),
    "no models": (edit("models", value={}), ("models",)),
    "run with a slash": (edit("run", value="../elsewhere"), ("run has '../elsewhere'", "letters, digits")),
    "missing folder": (edit("models", "tiny", "path", value="nowhere"), ("nowhere is not a folder", "models.tiny.path")),
    "cut safetensors": (other_model(cut), ("not a complete safetensors file", "copy or download it again")),
    "garbage safetensors": (other_model(garbage), ("model.safetensors", "header is damaged")),
    "pickles only": (other_model(pickled), ("pytorch_model.bin", "save_pretrained")),
    "no weights": (other_model(without("model.safetensors")), ("no *.safetensors file",)),
    "no config.json": (other_model(without("config.json")), ("no config.json",)),
    "broken config.json": (other_model(broken_json), ("config.json cannot be read",)),
    "no tokenizer": (other_model(without("tokenizer.json")), ("no tokenizer",)),
    "mixture of experts": (told(num_local_experts=8), ("model tiny: spoilt is a mixture of experts", "num_local_experts is 8", "dense model")),
    "state-space layers": (told(layer_types=["mamba"] * 5), ("recurrent or convolutional layers", "'mamba' in layer_types", "dense model")),
    "encoder-decoder": (told(is_encoder_decoder=True), ("is an encoder-decoder", "causal language model")),
    "encoder": (told(model_type="bert"), ("is an encoder", "without is_decoder: true", "causal language model")),
    "attention that is not causal": (told(is_causal=False), ("attention that is not causal", "is_causal is false")),
    "images": (told(text_config={"model_type": "llama"}), ("is a multimodal model", "only the text model")),
    "code of its own": (told(model_type="own", auto_map={"AutoConfig": "x"}), ("needs Python code of its own", "model_type own", "never run")),
    "unknown kind of model": (told(model_type="lama"), ("does not know", "model_type lama", "correct it")),
    "no language-model head": (told(architectures=["LlamaModel"]), ("without a language-model head", "LlamaModel")),
    "no attention heads": (told(num_attention_heads=0), ("has no attention heads", "num_attention_heads")),
    "quantised weights": (told(quantization_config={"quant_method": "gptq"}), ("quantised weights", "gptq", "dequantise them first")),
    "norms after the sum": (told(do_layer_norm_before=False), ("normalises the residual stream itself", "do_layer_norm_before is false")),
    "one layer": (told(num_hidden_layers=1), ("has 1 layer", "2 or more")),
    "a prompt that is too long": (told(max_position_embeddings=3), ("model tiny: the prompts of pair 'house-big-in' have 4 tokens", "at most 3", "shorten")),
    "no such layer": (edit("interpolate", "layers", value=[0, 5]), ("model tiny: interpolate.layers or trace_layer", "layer 5 is not", "layers 0 to 4")),
    "no such layer to freeze": (edit("freeze", "layers", value=[-6]), ("model tiny: freeze.layers", "layer -1 is not", "layers 0 to 4")),
    "no such trace layer": (edit("interpolate", "trace_layer", value=9), ("interpolate.layers or trace_layer", "layer 9 is not")),
    "the last layer traced": (edit("interpolate", "trace_layer", value=4), ("interpolate.trace_layer is 4, the last of its 5 layers", "choose an earlier one")),
    "no table": (edit("prompts", "table", value="none.tsv"), ("none.tsv does not exist",)),
    "no suite": (edit("prompts", "suite", value="none.tsv"), ("prompts.suite", "none.tsv does not exist")),
    "too large a sample": (edit("prompts", "sample", value=4), ("prompts.sample is 4", "suite.tsv has only 3 natural pairs")),
    "a negative sample": (edit("prompts", "sample", value=-1), ("prompts.sample is -1", "all of them, or a whole number")),
    "an id in both tables": (pairs(PAIRS + "suite-3\tThe car was\tred\told\t\n"), ("'suite-3' is both in pairs.tsv", "suite.tsv")),
    "a suite that is not its manifest's": (another_manifest, ("suite.tsv is not the table", "suite.manifest.json", "restore")),
    "empty table": (pairs(HEADER), ("has no prompt pairs",)),
    "wrong header": (pairs("id,context,a,b,tags\n"), ("line 1", "tab-separated")),
    "too few columns": (pairs(HEADER + "x\tThe house was\tbig\n"), ("line 2", "3 columns instead of 5")),
    "duplicate id": (pairs(PAIRS + "car-red-small\tThe car was\tred\told\t\n"), ("line 5", "'car-red-small' is already taken")),
    "id with a slash": (pairs(PAIRS + "a/b\tThe car was\tred\told\t\n"), ("line 5", "'a/b'", "file names")),
    "equal words": (pairs(PAIRS + "x\tThe car was\tred\tred\t\n"), ("line 5", "both words are 'red'")),
    "two words": (pairs(PAIRS + "x\tThe car was\tred red\told\t\n"), ("line 5", "not one word")),
    "word of two tokens": (pairs(PAIRS + "x\tThe car was\tred\tolder\t\n"), ("model tiny, pair 'x'", "old | e | r", "single token")),
    "punctuated word": (pairs(PAIRS + "x\tThe car was\tbig.\tin.\t\n"), ("pair 'x'", " big | ."),),
    "context ends in a space": (pairs(PAIRS + "x\tThe car was \tred\told\t\n"), ("line 5", "ends in a space")),
    "unknown shown pair": (edit("figures", "pairs", value=["house-big-inn"]), ("figures.pairs", "house-big-inn")),
    "trace layer not swept": (edit("interpolate", "layers", value=[1, 2]), ("trace_layer is 0", "not among")),
    "no room": (more_than_the_disk_holds, ("GB free", "make room")),
    "results in the way": (results_is_a_file, ("results/blocked is not a folder",)),
    "copied without records": (copied_without_records, ("without Snakemake's records", "delete it")),
    "fetched model damaged": (fetched_model_damaged, ("missing or has changed", "delete")),
    "unknown condition": (edit("freeze", "conditions", value=["none", "attn_median"]), ("freeze.conditions.1", "did you mean attn_mean")),
    "no baseline": (edit("freeze", "conditions", value=["attn_mean"]), ("freeze.conditions", "'none'")),
    "unknown component": (edit("jacobian", "components", value=["mpl"]), ("jacobian.components.0", "did you mean mlp")),
    "too few probes": (edit("jacobian", "probes", value=1), ("jacobian.probes is 1", "at least 2")),
    "no neurons": (edit("spline", "top_neurons", value=0), ("spline.top_neurons is 0", "at least 1")),
    "too few natural pairs": (edit("robustness", "pairs", value=2), ("robustness.pairs is 2", "1 natural pair of", "raise prompts.sample")),
    "unknown claim": (edit("claims", "tests", value=["C0", "C99"]), ("claims.tests names 'C99'", "claims are C0, C1")),
    "no folder of claims": (edit("claims", "folder", value="nowhere"), ("claims.folder is 'nowhere'", "create it")),
    "no width": (edit("sharpness", "w_at_most", value=0), ("sharpness.w_at_most is 0", "more than 0")),
    "absent Quarto": (edit("report", "renderer", value="quarto"), ("no working quarto", "auto or builtin")),
}  # fmt: skip


THROUGH_SNAKEMAKE = (
    "unknown key",
    "no models",
    "cut safetensors",
    "pickles only",
    "a suite that is not its manifest's",
    "word of two tokens",
    "no room",
    "results in the way",
    "copied without records",
    "fetched model damaged",
    "little memory",
    "absent Quarto",
)
"""Some of each kind; the others are put to the same functions without Snakemake around them."""


@pytest.mark.parametrize("case", THROUGH_SNAKEMAKE)
def test_bad_input_gives_one_clear_line_and_changes_nothing(case, project: Project, monkeypatch):
    change, expected = CASES[case]
    before = project.digests("results/tiny/**/*")
    change(project)
    monkeypatch.setenv("PATH", os.pathsep.join(["/usr/bin", "/bin"]))
    start = time.monotonic()
    done = project.forked("--cores", "1")
    assert done.returncode == 1
    errors = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stdout + done.stderr
    for part in expected:
        assert part in errors[0], errors[0]
    assert "Traceback" not in done.stdout + done.stderr
    assert time.monotonic() - start < 30
    after = project.digests("results/tiny/**/*")
    assert after == before


@pytest.mark.parametrize("case", sorted(set(CASES) - set(THROUGH_SNAKEMAKE)))
def test_bad_input_is_found_by_the_checks_before_a_run(case, tiny_folder, tmp_path: Path, monkeypatch):
    change, expected = CASES[case]
    project = Project.create(tmp_path / "project", tiny_folder("llama"))
    change(project)
    monkeypatch.chdir(project.folder)
    with pytest.raises(InputError) as caught:
        check(yaml.safe_load(Path("test.yaml").read_text(encoding="utf-8")))
    message = str(caught.value)
    assert "\n" not in message
    for part in expected:
        assert part in message, message


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("none.yaml", None, "--configfile none.yaml cannot be read (No such file or directory)"),
        ("tabs.yaml", "run: x\n\tmodels: {}\n", "--configfile tabs.yaml, line 2 cannot be read (found character"),
        ("list.yaml", "[1, 2]\n", "--configfile list.yaml cannot be read (it has no keys at top level)"),
    ],
)
def test_a_config_that_cannot_be_read_gives_one_line(name, content, expected, tiny_folder, tmp_path: Path):
    """Snakemake reads it before the Snakefile, so the profile checks it."""
    project = Project.create(tmp_path / "project", tiny_folder("llama"))
    if content is not None:
        (project.folder / name).write_text(content, encoding="utf-8")
    done = project.forked("--cores", "1", "--configfile", name)  # the last of several options counts
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if not line.startswith("Using workflow specific profile")]
    assert len(said) == 1, done.stderr
    assert said[0].startswith(f"error: {expected}")


def test_a_fetched_model_of_a_kind_that_cannot_be_swept_is_refused(tiny_folder, tmp_path: Path, monkeypatch):
    """One that was fetched before its kind was known to be refused."""
    project = Project.create(tmp_path / "project", tiny_folder("llama"))
    config = resolve(copy.deepcopy(CONFIG), load_schema())
    models = project.folder / "resources" / "models"
    monkeypatch.chdir(project.folder)
    fetched = models / model_key(config, "tiny")
    make_model("tiny", weights_of(config, "tiny"), fetched)
    precheck.check_models(config, models)
    monkeypatch.setattr(precheck.refusals, "RULES", (lambda told: "is not wanted: use another",))
    with pytest.raises(InputError, match=f"^model tiny: {fetched} is not wanted: use another$"):
        precheck.check_models(config, models)


def check(raw: dict[str, Any]) -> None:
    """The checks of workflow/rules/common.smk, in its order."""
    config = resolve(raw, load_schema())
    pairs = sampling.pairs_of(config["prompts"])
    registry.files_in(config["claims"]["folder"])
    precheck.check_run(config, pairs, Path("resources/models"), Path("results") / config["run"])


def test_unwritable_results_folder(project: Project):
    folder = project.folder / "results" / "tiny"
    if os.geteuid() == 0:  # root may write into any folder but those of the kernel
        folder.rename(folder.with_name("moved"))
        folder.symlink_to("/proc/self/fdinfo")
    else:
        folder.chmod(0o500)
    done = project.run("--cores", "1", check=False)
    folder.is_symlink() or folder.chmod(0o700)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode != 0
    assert len(errors) == 1
    assert "cannot be written to" in errors[0]


def test_a_failing_job_gives_one_line_and_keeps_earlier_results(project: Project):
    """A tolerance that nothing can meet fails inside a job, after its model was loaded."""
    before = project.digests("results/tiny/data/*/extract/*")
    edit("interpolate", "endpoint_tolerance", value=1e-30)(project)
    done = project.run("--cores", "2", check=False)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode != 0
    assert errors
    assert all("interpolate.endpoint_tolerance (1e-30)" in line for line in errors)
    assert not re.search(r"Traceback|Error\b|Exception\b", done.stdout + done.stderr)
    assert project.digests("results/tiny/data/*/extract/*") == before


def test_the_log_of_a_job_tells_the_whole_story(finished: Project):
    logs = sorted((finished.folder / "results" / "tiny" / "logs").glob("**/*.log"))
    # fetch, six stages of shards, map, robustness, and claims, figures and report
    assert len(logs) == 2 + 6 * 4 + 2 + 1 + 3
    records = sorted((finished.folder / "results" / "tiny" / "benchmarks").glob("**/*.json"))
    assert len(records) == len(logs)
    assert all(json.loads(path.read_text())["peak_memory_gb"] > 0.05 for path in records)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path):
    """A model that computes NaN cannot slip through: the block that does so is named when the model is loaded."""
    import torch
    from transformers import AutoModelForCausalLM

    from plateaus.model.transformer import Transformer

    folder = tiny.save("llama", tmp_path / "nan")
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.model.layers[3].mlp.down_proj.weight[0, 0] = torch.nan
    model.save_pretrained(folder)
    with pytest.raises(InputError, match="layer 3 computes values that are not finite"):
        Transformer.load(folder)


def test_a_table_that_was_cut_is_refused_before_the_first_job(project: Project):
    path = project.folder / "results/tiny/data/tiny/interpolate/s0-of-2.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    os.utime(path, (0, 0))
    (error,) = refused(project)
    assert error.startswith(f"error: {path.relative_to(project.folder)} has changed since this run made it")
    assert error.endswith("delete it and run again")
    path.unlink()
    assert project.planned()["interpolate"] == 1


def break_source(project: Project, module: str, right: str, wrong: str) -> None:
    path = project.folder / "src" / "plateaus" / module
    source = path.read_text(encoding="utf-8")
    assert source.count(right) == 1
    path.write_text(source.replace(right, wrong), encoding="utf-8")


def refused(project: Project) -> set[str]:
    """Run, and return the errors that are said, each of which may come from several jobs."""
    done = project.forked("--cores", "2")
    assert done.returncode == 1
    assert not re.search(r"Traceback|Error\b|Exception\b", done.stdout + done.stderr)
    return {line for line in done.stderr.splitlines() if line.startswith("error: ")}


def test_a_dropped_multiplier_stops_a_run_before_its_first_table(tiny_folder, tmp_path: Path):
    project = Project.create(tmp_path / "project", tiny_folder("granite"))
    project.configure({**CONFIG, "models": {"tiny": CONFIG["models"]["tiny"]}})
    break_source(project, "model/branches.py", "w_out=mlp.w_out * scale", "w_out=mlp.w_out")
    (error,) = refused(project)
    assert error.startswith("error: model tiny (GraniteForCausalLM): in layer 1, output of the MLP is off by ")
    assert project.digests() == {}


def test_a_flipped_sign_stops_the_stage_that_is_computed_again(project: Project):
    """Only the stages jacobian and spline depend on the formula, so their jobs are the ones that find the mistake."""
    before = project.digests()
    break_source(
        project,
        "mechanism/mlp_jacobian.py",
        "    return linear(hidden, mlp.w_out)\n",
        "    return -linear(hidden, mlp.w_out)\n",
    )
    errors = refused(project)
    assert errors
    wrong = r"error: model tiny(-random)? \(LlamaForCausalLM\): in layer 1, J v of the MLP is off by 2 "
    assert all(re.match(wrong, error) for error in errors)
    after = project.digests()
    assert {path for path in before if after.get(path) != before[path]} <= {
        path for path in before if re.search("/(jacobian|spline)/", path)
    }
