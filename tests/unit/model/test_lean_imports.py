"""Models are loaded without the libraries' parts that no stage uses, and nothing of that remains afterwards."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

import pytest
import torch

from plateaus.errors import InputError
from plateaus.mechanism.attention_jacobian import LayerAttention
from plateaus.model import lean_imports
from plateaus.model.transformer import Transformer
from tests import tiny

LOADED = """
import sys
from pathlib import Path
from plateaus.model.transformer import Transformer
model = Transformer.load(Path(sys.argv[1]))
heavy = [*{names}, "torch.distributed.tensor"]
print([name for name in heavy if name in sys.modules])
model.run([1, 2, 3])
import datasets, pandas, scipy.stats, torch
import torch._dynamo
print(pandas.DataFrame({{"a": [1]}}).shape, scipy.stats.rankdata([2, 1]), datasets.Dataset.__name__)
print(torch._dynamo.is_compiling(), torch.compile(lambda x: x, backend="eager")(torch.ones(1)))
print(torch.distributed.is_available(), torch.compiler.disable.__module__)
"""


def test_a_model_is_loaded_without_what_no_stage_uses(tiny_folder):
    names = (*lean_imports.ABSENT, *lean_imports.STAND_INS)
    command = [sys.executable, "-W", "ignore", "-c", LOADED.format(names=names), str(tiny_folder("llama"))]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[0] == "[]"
    # Whoever wants one of them later gets the real one.
    assert said[1] == "(1, 1) [2. 1.] Dataset"
    assert said[2] == "False tensor([1.])"
    assert said[3] == f"{torch.distributed.is_available()} torch.compiler"


def test_what_is_missed_is_there_the_second_time():
    calls = []

    def load():
        calls.append(torch.distributed.is_available is real)
        if len(calls) == 1:
            raise ImportError("cannot import name 'x'")
        return "loaded"

    real = torch.distributed.is_available
    assert lean_imports.lean(load) == "loaded"
    assert calls == [False, True]
    assert torch.distributed.is_available is real


def test_bad_input_is_not_tried_twice():
    calls = []

    def load():
        calls.append(1)
        raise InputError("no such folder")

    with pytest.raises(InputError, match="no such folder"):
        lean_imports.lean(load)
    assert len(calls) == 1


def test_a_stand_in_is_a_decorator_a_base_class_a_namespace_and_later_the_real_thing():
    finder = lean_imports._StandIns(["fractions"])
    stand_in = lean_imports._stand_in(finder, "fractions", "Fraction")

    def function():
        return 3

    assert stand_in(function) is function
    assert stand_in.some.name(function, recursive=False) is function
    assert not stand_in.is_compiling()
    assert issubclass(type("Derived", (stand_in,), {"origin": stand_in.origin}), stand_in)
    finder.active = False
    assert stand_in(6, 4) == stand_in.from_float(1.5) == Fraction(3, 2)


EVERY_KIND = """
import sys
from pathlib import Path
import torch
from plateaus.mechanism.attention_jacobian import LayerAttention
from plateaus.model.transformer import Transformer
found = {}
for folder in map(Path, sys.argv[2:]):
    model = Transformer.load(folder)
    rows = torch.linspace(-1, 1, 2 * model.d_model).view(2, -1)
    prefix = model.prefix([5, 6, 7])
    push = LayerAttention(model, 2, memory_gb=1.0).at(rows, prefix).push(rows[None])
    found[folder.name] = (model.run([1, 2, 3])[1], model.block(2, rows, prefix).resid_post, push)
torch.save(found, sys.argv[1])
"""


def test_every_architecture_says_the_same_when_loaded_lean(tiny_folder, tmp_path):
    folders = [tiny_folder(kind) for kind in tiny.SHAPES]
    command = [sys.executable, "-W", "ignore", "-c", EVERY_KIND, str(tmp_path / "found.pt"), *map(str, folders)]
    subprocess.run(command, check=True, capture_output=True)
    found = torch.load(tmp_path / "found.pt")
    for folder in folders:
        model = Transformer.load(folder)  # transformers is here already, whole
        logits, post, push = found[folder.name]
        torch.testing.assert_close(logits, model.run([1, 2, 3])[1], rtol=1e-4, atol=1e-5)
        rows = torch.linspace(-1, 1, 2 * model.d_model).view(2, -1)
        prefix = model.prefix([5, 6, 7])
        torch.testing.assert_close(post, model.block(2, rows, prefix).resid_post, rtol=1e-4, atol=1e-5)
        at = LayerAttention(model, 2, memory_gb=1.0).at(rows, prefix)
        torch.testing.assert_close(push, at.push(rows[None]), rtol=1e-4, atol=1e-5)
