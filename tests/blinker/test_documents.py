"""What docs/blinker.md and the docstrings show is true."""

import doctest
import importlib
import importlib.util
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "blinker.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_page(blinker, restored, capsys, number):
    block = BLOCKS[number]
    if "import flask" in block and importlib.util.find_spec("flask") is None:
        pytest.skip("Flask is not installed")
    exec(compile(block, f"blinker.md[{number}]", "exec"), {"__name__": "page"})
    expected = re.findall(r"^ *print\(.*\) +# (.*)$", block, re.M) + re.findall(r"^# prints: (.*)$", block, re.M)
    assert capsys.readouterr().out.splitlines() == expected != []


@pytest.mark.parametrize("name", ["cyevents.blinker", "cyevents.blinker.base"])
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
