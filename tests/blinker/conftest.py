"""The fixture `blinker`: cyevents.blinker on one of the cores."""

import importlib
import sys

import pytest


@pytest.fixture
def blinker(api):
    module = importlib.import_module("cyevents.blinker")
    yield module
    module.default_namespace.clear()


@pytest.fixture
def restored(monkeypatch):
    """Neither blinker nor Flask is imported, and afterwards they are what they were."""
    theirs = ("blinker", "flask")
    for name in [name for name in sys.modules if name.split(".")[0] in theirs]:
        monkeypatch.delitem(sys.modules, name)
    yield
    for name in [name for name in sys.modules if name.split(".")[0] in theirs]:
        del sys.modules[name]
