"""The examples in docstrings are true, and everything public has a docstring."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["cyevents.blinker", "cyevents.blinker.base", "cyevents.blinker._receivers"])
def test_docstrings(blinker, restored, name):
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert failed == 0
    assert attempted


def test_everything_public_has_a_docstring(blinker):
    for name in blinker.__all__:
        thing = getattr(blinker, name)
        if isinstance(thing, type):
            assert thing.__doc__, name
            for attribute in vars(thing):
                if not attribute.startswith("_") and attribute not in ("ANY", "set_class", "name"):
                    assert getattr(thing, attribute).__doc__, attribute
    assert blinker.install.__doc__
