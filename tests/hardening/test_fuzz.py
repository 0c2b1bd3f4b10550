"""The rules of `make fuzz`, each with a few inputs; HYPOTHESIS_PROFILE=thorough looks longer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.fuzz.inputs import inputs
from bench.fuzz.targets import TARGETS, seeds


@pytest.mark.parametrize("name", TARGETS)
def test_where_fuzzing_begins_the_rules_hold(name: str) -> None:
    for seed in seeds(name):
        TARGETS[name](seed)


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
def test_the_rules_hold_for_whatever_comes(name: str, data: st.DataObject) -> None:
    TARGETS[name](data.draw(inputs(name)))
