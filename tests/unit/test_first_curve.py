"""`python -m plateaus try`: what it prints is what the package's functions and the plain model say."""

from __future__ import annotations

import re

import numpy as np
import pytest

import plateaus
from plateaus import first_curve
from plateaus.__main__ import main
from tests import oracle


def test_it_prints_tokens_widths_and_the_curve_and_writes_a_picture_and_a_page(tiny_folder, tmp_path, capsys):
    folder = tiny_folder("llama")
    main(["try", "The house was", "big", "in", "--model", str(folder), "--out", str(tmp_path / "out"), "--steps", "21"])
    said = capsys.readouterr().out
    plain, tokenizer = oracle.load(folder)
    for name, word in (("A", "big"), ("B", "in")):
        ids = tokenizer(f"The house was {word}", add_special_tokens=False).input_ids
        p = oracle.resid_post(plain, ids)[1].softmax(-1)
        token = tokenizer.decode([int(p.argmax())])
        assert f"  {name}: 'The house was {word}' is most likely followed by {token!r} ({float(p.max()):.0%})" in said
    w = plateaus.sharpness(plateaus.curve(plateaus.load_model(folder), "The house was", "big", "in", steps=21)).w
    assert f"logits:                   w = {w:.2f}, strength s = " in said
    assert said.count("•") == first_curve.COLUMNS
    picture, page = (tmp_path / "out" / name for name in ("curve.png", "curve.html"))
    assert picture.read_bytes().startswith(b"\x89PNG")
    html = page.read_text()
    assert "The house was" in html
    assert not re.search(r"""(src|href)=["']?(http|/)""", html)


def test_the_drawn_curve_passes_through_its_points():
    alpha = np.linspace(0, 1, 11)
    lines = first_curve.plotted(alpha, alpha**2)
    drawn = [line.split("│")[1] for line in lines if "│" in line]
    for column in (0, 10, 25, 50):
        (row,) = [number for number, line in enumerate(drawn) if line[column : column + 1] == "•"]
        height = np.interp(column / 50, alpha, alpha**2)
        assert abs((len(drawn) - 1 - row) / (len(drawn) - 1) - height) <= 0.5 / (len(drawn) - 1) + 1e-9


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["big", "big"], r"both words are 'big'"),
        (["big", "unbelievably-long"], r"token"),
        (["big", "in", "--layer", "9"], r"--layer: .*9"),
        (["big", "in", "--layer", "-1"], r"--layer is 4, the last of the model's 5 layers: choose an earlier one"),
        (["big", "in", "--steps", "1"], r"--steps is 1: give at least 2"),
        (["big", "in", "--model", "nowhere"], r"--model is nowhere, which is not a folder: give smollm2-135m or "),
    ],
)
def test_bad_input_is_one_line(more, message, tiny_folder, tmp_path):
    model = [] if "--model" in more else ["--model", str(tiny_folder("llama"))]
    with pytest.raises(SystemExit, match=rf"^error: [^\n]*{message}[^\n]*$"):
        main(["try", "The house was", *more, *model, "--out", str(tmp_path)])
    assert not list(tmp_path.iterdir())
