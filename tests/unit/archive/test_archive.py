"""Archives: the same bytes for the same run, every file with its hash, and bad input or damage refused in one line."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tomllib
import zipfile
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import yaml

import plateaus
from plateaus.archive import __main__ as command
from plateaus.archive import checking, layout, runs, settings, verify
from plateaus.config.reading import load_schema, resolve
from plateaus.data import tables
from plateaus.data.results import table_path
from plateaus.errors import InputError
from tests.unit.archive import made

ROOT = made.ROOT


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A finished run in the folder `here`, from which all commands of a test are called."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(runs, "check", lambda run, *, other_code: not other_code)  # its tables have no hashes of inputs
    return made.run(folder).relative_to(folder)


@pytest.fixture
def archive(root):
    """The archive of that run."""
    command.main([str(root), "--out", "run.zip"])
    return Path("run.zip")


def said(main, *arguments: object) -> str:
    """Return the line with which a command ends."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    line = str(ended.value)
    assert re.fullmatch(r"error: [^\n]+", line)
    return line


def entities(archive: Path) -> dict[str, dict]:
    with zipfile.ZipFile(archive) as file:
        return {unquote(one["@id"]): one for one in json.loads(file.read(layout.CRATE))["@graph"]}


def commit(folder: Path) -> str:
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    (folder / ".gitignore").write_text("/results/\n")
    for arguments in (["init", "-q"], ["add", "--all"], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *arguments], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


# ---- what is in it -------------------------------------------------------------------------------


def test_the_same_run_gives_the_same_bytes_wherever_it_lies(archive, root, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(".", elsewhere, ignore=shutil.ignore_patterns("run.zip"), copy_function=shutil.copyfile)
    before = archive.read_bytes()
    monkeypatch.chdir(elsewhere)
    told = json.loads((root / "provenance.json").read_text())
    (root / "provenance.json").write_text(json.dumps({**told, "results": str((elsewhere / root).resolve())}))
    command.main([str(root), "--out", "again.zip"])
    assert Path("again.zip").read_bytes() == before


def test_every_file_is_listed_with_its_hash(archive):
    found = entities(archive)
    with zipfile.ZipFile(archive) as file:
        names = set(file.namelist())
        hashes = {name: hashlib.sha256(file.read(name)).hexdigest() for name in names}
        lines = file.read(layout.MANIFEST).decode().splitlines()
    assert dict(line.split("  ", 1)[::-1] for line in lines) == {
        n: h for n, h in hashes.items() if n != layout.MANIFEST
    }
    files = {name: one for name, one in found.items() if "File" in one["@type"]}
    assert set(files) == names - {layout.MANIFEST, layout.CRATE}
    assert {name: one["sha256"] for name, one in files.items()} == {name: hashes[name] for name in files}
    assert {unquote(part["@id"]) for part in found["./"]["hasPart"]} == set(files)
    expected = {"run/report/index.html", "run/claims.json", "run/claims.md", "run/config.yaml", "run/provenance.json"}
    expected |= {"run/figures/f01_method.svg", "run/figures/f01_method.png", "requirements.lock", "tools/a name.py"}
    assert expected | {"run/data/m/jacobian/s0-of-1.parquet", "pairs.tsv"} <= names
    assert "run/figures/old.svg" not in names  # which this run has not drawn
    assert "weights.safetensors" not in names
    assert checking.check(archive) == {name: hashes[name] for name in names - {layout.MANIFEST}}


def test_the_metadata_name_workflow_licence_authors_config_and_commit(root):
    head = commit(Path())
    Path("Snakefile").write_text("# edited\n")
    Path("src").mkdir()
    Path("src/new.py").write_text("")
    command.main([str(root), "--out", "run.zip"])
    found = entities(Path("run.zip"))
    top, workflow = found["./"], found["Snakefile"]
    assert top["mainEntity"] == {"@id": "Snakefile"}
    assert {"File", "SoftwareSourceCode", "ComputationalWorkflow"} == set(workflow["@type"])
    assert found[workflow["programmingLanguage"]["@id"]]["name"] == "Snakemake"
    for one in (top, workflow):
        assert found[one["license"]["@id"]]["name"] == "MIT licence"
        assert found[one["author"]["@id"]]["name"] == "The activation-plateaus authors"
    profiles = {one["@id"] for one in found[layout.CRATE]["conformsTo"]}
    assert {"https://w3id.org/ro/crate/1.1", "https://w3id.org/workflowhub/workflow-ro-crate/1.0"} <= profiles
    assert found[workflow["identifier"]["@id"]]["value"] == head
    assert f"commit {head} with 2 changed files (Snakefile, src/new.py)" in top["description"]
    action = found["#run"]
    assert {"@id": layout.CONFIG} in action["object"]
    assert {"@id": "run/claims.json"} in action["result"]
    assert "Their licence: Apache-2.0." in found["#model-m"]["description"]


def test_what_is_left_out_is_said_and_can_be_kept(archive, root, capsys):
    sentence = "Left out are the vectors of activations, which are the tables `extract` and `trace` (4 files"
    assert sentence in entities(archive)["./"]["description"]
    assert sentence in entities(archive)["#left-out"]["description"]
    left_out = [
        table_path(root, model, table, made.SHARD)
        for model in ("m", "m-random")
        for table in (tables.EXTRACT, tables.TRACE)
    ]
    with zipfile.ZipFile(archive) as file:
        guide = file.read(layout.GUIDE).decode()
        for path in left_out:
            name = f"run/{path.relative_to(root)}"
            assert f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}  (" in guide
            assert name not in file.namelist()
    command.main([str(root), "--out", "whole.zip", "--vectors"])
    with zipfile.ZipFile("whole.zip") as file:
        assert {f"run/{path.relative_to(root)}" for path in left_out} <= set(file.namelist())
    assert "#left-out" not in entities(Path("whole.zip"))
    assert "left out" not in capsys.readouterr().out
    command.main([str(root), "--out", "run.zip"])
    assert "left out: 4 tables of vectors" in capsys.readouterr().out


def test_other_code_is_said(root):
    command.main([str(root), "--out", "run.zip", "--other-code"])
    assert "the tables were made by another version of it" in entities(Path("run.zip"))["./"]["description"]


def test_the_packed_config_resolves_to_the_config_of_the_run(root):
    schema = load_schema(ROOT / "workflow" / "schemas" / "config.schema.yaml")
    default = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    raw = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "config").glob("*.yaml"))]
    series = {"source": "local", "path": "runs/{revision}/model", "revisions": ["step1", "step10"]}
    raw.append({"models": {"own": series, "own-random": {"source": "random", "like": "own-step1"}}})
    for config in raw:
        resolved = resolve({**default, **config}, schema)
        again = resolve(yaml.safe_load(settings.text(resolved)), schema)
        assert again == resolved
        assert list(again["models"]) == list(resolved["models"])


# ---- what is refused -----------------------------------------------------------------------------


def test_a_flipped_byte_is_refused_or_changes_nothing(archive, tmp_path):
    whole = archive.read_bytes()
    with zipfile.ZipFile(archive) as file:
        contents = {name: file.read(name) for name in file.namelist()}
        header = {info.filename: info.header_offset for info in file.infolist()}
    for name, content in contents.items():
        place = header[name] + 30 + len(name.encode()) + len(content) // 2
        line = refused(flipped(whole, place), tmp_path)
        assert line is not None
        assert f"is damaged: {name} " in line
    random = np.random.default_rng(0)
    for place in random.integers(0, len(whole), 300):
        if refused(flipped(whole, int(place)), tmp_path) is None:  # a time or a permission: no file's content
            with zipfile.ZipFile(tmp_path / "flipped.zip") as file:
                assert {name: file.read(name) for name in file.namelist()} == contents


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]


def refused(content: bytes, folder: Path) -> str | None:
    path = folder / "flipped.zip"
    path.write_bytes(content)
    try:
        checking.check(path)
    except InputError as error:
        return str(error)
    return None


def rewritten(archive: Path, change) -> Path:
    """Write an archive again with other contents, as someone would who does not know of the hashes."""
    with zipfile.ZipFile(archive) as file:
        contents = {name: file.read(name) for name in file.namelist()}
    change(contents)
    with zipfile.ZipFile("other.zip", "w") as file:
        for name, content in contents.items():
            file.writestr(name, content)
    return Path("other.zip")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda all: all.update({"run/claims.md": b"x"}), "run/claims.md is not what its manifest lists"),
        (lambda all: all.pop("run/claims.md"), "run/claims.md is missing"),
        (lambda all: all.update({"more.py": b"x"}), "more.py is not in its manifest"),
        (lambda all: all.update({layout.MANIFEST: b"x"}), "manifest-sha256.txt has a line that is no checksum"),
        (lambda all: relisted(all, "run/claims.md", b"x"), "ro-crate-metadata.json and manifest-sha256.txt disagree"),
        (lambda all: relisted(all, layout.CRATE, b"{}"), "ro-crate-metadata.json is not the description of a run"),
        (lambda all: relisted(all, "../x.py", b"x"), "names ../x.py, which would lie outside"),
        (lambda all: all.pop(layout.PROVENANCE), "not one that `make archive` wrote, or not all of it"),
        (lambda all: (all.clear(), all.update({"a.txt": b"x"})), "not one that `make archive` wrote, or not all of it"),
    ],
)
def test_an_archive_that_is_not_what_was_written_is_refused(archive, change, line):
    assert line in said(verify.main, rewritten(archive, change))


def relisted(contents: dict[str, bytes], name: str, content: bytes) -> None:
    contents[name] = content
    lines = [line for line in contents[layout.MANIFEST].decode().splitlines() if not line.endswith(f"  {name}")]
    contents[layout.MANIFEST] = "\n".join([*lines, f"{hashlib.sha256(content).hexdigest()}  {name}"]).encode()


def test_bad_input_is_one_line(root, archive):
    assert "nowhere does not exist: give the folder of a finished run" in said(command.main, "nowhere")
    assert "tools holds no finished run (it has no provenance.json)" in said(command.main, "tools")
    assert "nowhere.zip does not exist" in said(verify.main, "nowhere.zip")
    assert "LICENSE is not a zip file" in said(verify.main, "LICENSE")
    assert "put the model's folder at model" in said(verify.main, archive)
    assert not list(Path("results/verify").iterdir())
    table = table_path(root, "m", tables.SPLINE, made.SHARD)
    table.rename("away")
    assert f"{root} is not finished ({table} is missing)" in said(command.main, root)
    Path("away").rename(table)
    (root / "provenance.json").write_text("{")
    assert "provenance.json cannot be read" in said(command.main, root)
    (root / "claims.json").unlink()
    assert "holds no finished run (it has no claims.json)" in said(command.main, root)


def test_a_config_that_names_files_elsewhere_cannot_be_packed(root, tmp_path):
    path = tmp_path / "pairs.tsv"
    shutil.copy("pairs.tsv", path)
    told = json.loads((root / "provenance.json").read_text())
    told["config"]["prompts"]["table"] = str(path)
    (root / "provenance.json").write_text(json.dumps(told))
    assert f"the config names {path}, which is outside of this folder" in said(command.main, root)


def test_outside_of_the_workflow_one_line_says_so(root):
    Path("Snakefile").unlink()
    assert "has no Snakefile: call this in the folder of the workflow" in said(command.main, root)


# ---- what verifying says -------------------------------------------------------------------------


@pytest.fixture
def recomputed(monkeypatch):
    """Verifying without Snakemake: the archive's own run is copied, and `edit` changes the copy."""
    edits = []

    def copy(folder: Path, cores: int) -> None:
        shutil.copytree(folder / layout.RUN, folder / "results" / "small")
        for edit in edits:
            edit(folder / "results" / "small")

    monkeypatch.setattr(verify, "recompute", copy)
    Path("model").mkdir()
    return edits


def test_an_equal_run_is_said_to_be_equal_and_leaves_nothing_behind(archive, recomputed, capsys):
    verify.main([str(archive)])
    out = capsys.readouterr().out
    assert re.search(r"\d+ files, each with the sha256 that the archive lists", out)
    assert re.search(r"\d\d values compared; 0 differ", out)
    assert "29 of 29 tables are the same byte for byte." in out
    assert not list(Path("results/verify").iterdir())


def test_other_values_are_counted_and_named_and_other_weights_and_versions_said(archive, recomputed, capsys):
    def edit(folder: Path) -> None:
        columns = {**made.row(tables.SHARPNESS), "w": [0.5]}
        tables.write(table_path(folder, "m", tables.SHARPNESS, made.SHARD), tables.SHARPNESS, columns, {})
        columns = {**made.row(tables.JACOBIAN), "gain": [0.25001]}
        tables.write(table_path(folder, "m", tables.JACOBIAN, made.SHARD), tables.JACOBIAN, columns, {})
        told = json.loads((folder / "provenance.json").read_text())
        told["cards"]["m"]["weights_sha256"], told["versions"]["snakemake"] = "1" * 64, "9.1.0"
        (folder / "provenance.json").write_text(json.dumps(told))

    recomputed.append(edit)
    line = said(verify.main, archive)
    assert re.match(r"error: 1 of \d\d values differ from the archive's by more than their tolerance: both runs", line)
    out = capsys.readouterr().out
    assert "2 differ, 1 of them within their tolerance, 1 outside." in out
    assert "OUTSIDE sharpness/m/x, x, layer 0, x/w: 0.25 -> 0.5" in out
    assert "27 of 29 tables are the same byte for byte." in out
    assert f"the weights of m are others here: sha256 {'1' * 64}" in out
    assert "this environment is another one: snakemake 9.0.0 -> 9.1.0" in out
    (kept,) = Path("results/verify").iterdir()
    assert str(kept) in line


# ---- the files beside it -------------------------------------------------------------------------


def test_the_version_is_the_same_everywhere():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    zenodo = json.loads((ROOT / ".zenodo.json").read_text())
    changes = (ROOT / "CHANGELOG.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert plateaus.__version__ == project["version"] == cited["version"] == zenodo["version"]
    assert f"## [{plateaus.__version__}] - {cited['date-released']}\n" in changes
    assert zenodo["publication_date"] == str(cited["date-released"])
    assert zenodo["license"] == cited["license"] == project["license"]
    assert zenodo["title"] == cited["title"]
    assert [one["name"] for one in zenodo["creators"]] == [one["name"] for one in cited["authors"]]
    assert zenodo["keywords"] == cited["keywords"] == project["keywords"]
