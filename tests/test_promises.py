"""Each promise in docs/promises.md names a test, and each test named there exists."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
PROMISES = (TESTS.parent / "docs" / "promises.md").read_text("utf-8")


def numbered(text):
    """Return the items of a numbered list by their numbers, which must count from 1."""
    items = re.findall(r"^(\d+)\. (.*(?:\n +.*)*)", text, re.M)
    assert [int(number) for number, _ in items] == list(range(1, len(items) + 1))
    return items


def test_each_promise_names_a_test():
    count = 0
    for section in PROMISES.split("\n## ")[1:]:
        heading = section.splitlines()[0]
        promises, tests = map(numbered, section.split("<summary>"))
        assert len(promises) == len(tests) > 0, heading
        assert [text for _, text in promises if ".py" in text] == []
        assert [text for _, text in tests if not re.fullmatch(r"(`[\w/]+\.py(::\w+)?`(,\s+)?)+", text)] == []
        count += len(promises)
    assert count > 60


def test_each_named_test_exists():
    named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", PROMISES)
    assert len(named) > 100
    for file, name in named:
        source = (TESTS / file).read_text("utf-8")
        assert not name or f"\ndef {name}(" in source, f"{file}::{name}"
