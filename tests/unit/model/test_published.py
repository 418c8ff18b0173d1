"""Options of published checkpoints: everything is right with long prompts, or the model is refused with one line."""

from __future__ import annotations

import pytest

from plateaus.errors import InputError
from tests import published


@pytest.mark.parametrize("name", published.RIGHT)
def test_an_option_set_is_right(name, tmp_path):
    found = published.measure(published.RIGHT[name], tmp_path)
    assert found.check < 1e-5, found.quantity
    assert found.logits < 1e-5


@pytest.mark.parametrize("name", published.REFUSED)
def test_an_option_set_is_refused(name, tmp_path):
    with pytest.raises(InputError, match=r"^model tiny.*: ") as refused:
        published.measure(published.REFUSED[name], tmp_path)
    assert "\n" not in str(refused.value)
