"""What `import plateaus` offers in a notebook: the same numbers as the stages, and one line where something is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import plateaus
from plateaus.errors import InputError
from plateaus.stages.fetch import make_model
from tests.unit.stages.test_interpolate import STEPS, sweep_of
from tests.unit.stages.test_interpolate import curve as of_stage


@pytest.fixture(scope="module")
def model(tiny_folder):
    return plateaus.load_model(tiny_folder("llama"), device="cpu")


def test_a_curve_is_that_of_the_stage_interpolate(model, tiny_folder):
    staged = sweep_of(tiny_folder("llama"), [1])[0]
    for record, site, layer in (("logits", "logits", 5), (3, "resid_post", 3)):
        found = plateaus.curve(model, "The house was", "big", "in", layer=1, record=record, steps=STEPS)
        assert len(found) == STEPS
        for name in ("alpha", "distance", "step_size", "detour"):
            np.testing.assert_allclose(found[name], of_stage(staged, 1, site, layer)[name], atol=1e-5)
    whole = plateaus.curve(model, "The house was", "big", "in", layer=1, record="all", steps=STEPS)
    assert len(whole) == STEPS * (4 + 1)


def test_sharpness_of_a_curve_and_of_one_held_still(model):
    free, held = (
        plateaus.curve(model, "The house was", "big", "in", freeze=freeze, steps=STEPS)
        for freeze in ("none", "attn_mlp_mean")
    )
    assert 0 < plateaus.sharpness(free).w <= 1
    assert not np.allclose(free["distance"], held["distance"], atol=1e-3)
    assert list(held["condition"].unique()) == ["attn_mlp_mean"]


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (("big", "older"), {}, "not the 3 tokens"),
        (("big", "big"), {}, "both words are 'big'"),
        (("big", "in"), {"freeze": "mlps"}, "choose one of none, attn_mean"),
        (("big", "in"), {"layer": 5}, "layer 5 is not in the model"),
        (("big", "in"), {"layer": 3, "record": 2}, "before the interpolation layer 3"),
    ],
)
def test_what_cannot_be_is_one_line(model, words, options, message):
    with pytest.raises(InputError, match=message) as caught:
        plateaus.curve(model, "The house was", *words, **options)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_a_model_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"has no config\.json"):
        plateaus.load_model(tmp_path)


def test_the_embedded_model_is_made_where_the_workflow_keeps_it(tmp_path: Path, tiny_folder, monkeypatch):
    made: list[tuple[str, str]] = []

    def make(name, source, folder):
        made.append((name, source["source"]))
        return make_model(name, {"source": "local", "path": str(tiny_folder("llama"))}, folder)

    monkeypatch.setattr("plateaus.stages.fetch.make_model", make)
    models = [plateaus.load_model(device="cpu", models_folder=tmp_path) for _ in range(2)]
    assert made == [("smollm2-135m", "embedded")]  # once
    assert models[0].n_layers == models[1].n_layers == 5
    assert [path.name[:13] for path in tmp_path.iterdir()] == ["smollm2-135m-"]


def test_another_embedded_model_is_chosen_by_its_name(tmp_path: Path, tiny_folder, monkeypatch):
    made: list[dict[str, str]] = []

    def make(name, source, folder):
        made.append(source)
        return make_model(name, {"source": "local", "path": str(tiny_folder("gemma2"))}, folder)

    monkeypatch.setattr("plateaus.stages.fetch.make_model", make)
    plateaus.load_model("gemma-3-270m", device="cpu", models_folder=tmp_path)
    assert made == [{"source": "embedded", "name": "gemma-3-270m"}]


def test_a_finished_run_is_read(tmp_path: Path):
    with pytest.raises(InputError, match="make report"):
        plateaus.read_run(tmp_path)
    (tmp_path / "provenance.json").write_text(json.dumps({"models": ["m"], "shards": ["s0-of-1"]}))
    assert plateaus.read_run(tmp_path).models == ("m",)


def test_nothing_heavy_is_imported_before_it_is_used():
    program = (
        "import sys, plateaus; print(dir(plateaus).count('curve'), {'torch', 'pandas', 'scipy'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "1 set()\n"
    with pytest.raises(AttributeError, match="no attribute 'curves_of'"):
        plateaus.curves_of  # noqa: B018
