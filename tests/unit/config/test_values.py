"""Test that a config holds only what can be hashed and written as JSON, before its keys are looked at."""

from __future__ import annotations

import datetime
import math

import pytest

from plateaus.config.reading import SCHEMA, load_schema, resolve
from plateaus.config.values import MOST, check_values
from plateaus.errors import InputError

ENDLESS: list[object] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"interpolate": {"endpoint_tolerance": math.nan}}, "config: interpolate.endpoint_tolerance is nan"),
        ({"compute": {"memory_gb": math.inf}}, "config: compute.memory_gb is inf"),
        ({"prompts": {"seed": 10**5000}}, "config: prompts.seed is a whole number of more than 63 bits"),
        ({"run": "a\nb"}, "config: run has a line break"),
        ({"prompts": {"table": "a\0b"}}, r"config: prompts.table has the character '\\x00'"),
        ({"report": {"title": "\ud800"}}, r"config: report.title has the character '\\ud800'"),
        ({"run": datetime.date(2020, 1, 1)}, "config: run is 2020-01-01, which YAML reads as date"),
        ({"models": {1: {}}}, "config: a key of models is 1, which is not text"),
        ({"figures": {"depths": [1, {2}]}}, "config: figures.depths.1 is {2}, which YAML reads as set"),
        ({"models": ENDLESS}, "a value that contains itself, near models.0.0"),
        ({"figures": {"depths": [0] * MOST}}, f"more than {MOST} values"),
    ],
)
def test_values_that_json_cannot_hold_are_named(raw, expected):
    with pytest.raises(InputError) as caught:
        check_values(raw)
    assert expected.replace("\\\\", "\\") in str(caught.value)


def test_ordinary_values_pass():
    check_values({"a": [1, -2.5, True, None, "日本 🙂"], "b": {"c": {"d": [[2**62]]}}})


def test_a_whole_number_with_a_point_is_refused(root):
    """JSON Schema takes 50.0 for an integer, but it is none where points are counted or a shard is named."""
    raw = {"models": {"m": {"source": "embedded"}}, "prompts": {"shards": 2.0}}
    with pytest.raises(InputError, match=r"^config: prompts.shards is 2.0, .*whole number, without a decimal point$"):
        resolve(raw, load_schema(root / SCHEMA))
