"""Each promise in docs/promises.md names a test, and each test named there exists."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
PROMISES = (TESTS.parent / "docs" / "promises.md").read_text("utf-8")


def test_each_promise_names_a_test():
    promises = [line for line in PROMISES.splitlines() if line.startswith("- ")]
    assert len(promises) > 20
    assert [line for line in promises if not re.search(r"`[\w/]+\.py(::\w+)?`$", line)] == []


def test_each_named_test_exists():
    named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", PROMISES)
    assert len(named) > 20
    for file, name in named:
        source = (TESTS / file).read_text("utf-8")
        assert not name or f"\ndef {name}(" in source, f"{file}::{name}"
