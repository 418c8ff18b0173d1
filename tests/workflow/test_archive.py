"""An archive of a real run: packed, refused once the run is out of date, and computed again from nothing but the file."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from plateaus.archive import contents, source
from plateaus.errors import InputError
from plateaus.run import code_inputs
from tests.workflow.project import PAIRS, ROOT, environment

RUN = Path("results/tiny")


@pytest.fixture
def here(project, monkeypatch):
    """The finished project with the files beside the workflow, as the current folder."""
    for name in source.NEEDED:
        shutil.copy2(ROOT / name, project.folder / name)
    monkeypatch.chdir(project.folder)
    return project.folder


def test_a_run_of_other_prompts_settings_or_code_is_refused(here, monkeypatch):
    record = RUN / "provenance.json"
    told = record.read_text()
    (here / "pairs.tsv").write_text(PAIRS.replace("red\tsmall", "small\tred"))
    with pytest.raises(InputError, match="was made from another config or other prompts than results/tiny/provenance"):
        contents.of_run(RUN)
    (here / "pairs.tsv").write_text(PAIRS)
    assert '"top_neurons": 5' in told
    record.write_text(told.replace('"top_neurons": 5', '"top_neurons": 4'))
    with pytest.raises(InputError, match=r"spline/.*parquet was made from another config"):
        contents.of_run(RUN)
    record.write_text(told)
    digest = code_inputs.code_digest
    monkeypatch.setattr(code_inputs, "code_digest", lambda stage: "x" if stage == "jacobian" else digest(stage))
    with pytest.raises(InputError, match=r"jacobian/.*parquet was made by other code"):
        contents.of_run(RUN)
    assert contents.of_run(RUN, other_code=True).entries


@pytest.mark.slow
def test_an_archive_is_computed_again_with_the_same_bytes(here):
    for arguments in (["plateaus.archive", str(RUN), "--out", "run.zip"], ["plateaus.archive.verify", "run.zip"]):
        done = subprocess.run(
            [sys.executable, "-m", *arguments], cwd=here, env=environment(), text=True, capture_output=True, timeout=600
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d{3} values compared; 0 differ", done.stdout, re.MULTILINE), done.stdout
    same = re.search(r"^(\d+) of (\d+) tables are the same byte for byte\.$", done.stdout, re.MULTILINE)
    assert same is not None
    assert same[1] == same[2]
    assert not list((here / "results" / "verify").iterdir())
