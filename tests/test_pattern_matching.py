"""`match` follows the rules of `fnmatch.fnmatchcase`, without its imports."""

import fnmatch
import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

ALPHABET = "*?[]!-^\\&|~ab\n"
TEXTS = st.text(ALPHABET, max_size=9)
SETS = st.builds("[{}]".format, st.text(ALPHABET, min_size=1, max_size=6))
PATTERNS = st.lists(st.one_of(SETS, st.text(ALPHABET, max_size=3)), max_size=4).map("".join)
EXAMPLES = 3000


def expected(pattern, name):
    inverted = pattern.startswith("!")
    return fnmatch.fnmatchcase(name, pattern[inverted:]) is not inverted


@pytest.mark.slow
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(pattern=st.one_of(PATTERNS, TEXTS), names=st.lists(TEXTS, min_size=3, max_size=8))
@example("[b-a!x]", ["x", "q", "!", "b"])  # fnmatch: not x
@example("[b-a!-x]", ["x", "-", "q", "!", "b"])  # fnmatch: neither - nor x
@example("[b-a!]", ["!", "x", ""])  # fnmatch: anything
@example("!", ["", "a"])
@example("!!", ["!", "a", ""])
def test_any_pattern_matches_as_fnmatch_says(cores, pattern, names):
    for name in [*names, *ALPHABET, ""]:
        wanted = expected(pattern, name)
        assert [api.match(pattern, name) for api in cores.values()] == [wanted] * len(cores)


SETS_BY_HAND = [
    "[",
    "[]",
    "[!",
    "[!]",
    "[]]",
    "[]a]",
    "[!]]",
    "[!]a]",
    "a[",
    "a[b",
    "[*",
    "*[",
    "[?",
    "[a-",
    "[[]",
    "[[a]",
    "[a[b]",
    "[a-b]",
    "[a-bx]",
    "[xa-b]",
    "[a-]",
    "[-a]",
    "[!-a]",
    "[-]",
    "[--]",
    "[---]",
    "[--a]",
    "[a--]",
    "[a-b-]",
    "[a-b-c]",
    "[a-b-z]",
    "[a--b]",
    "[z-a]",
    "[!z-a]",
    "[z-ab]",
    "[bz-a]",
    "[z-az-a]",
    "[z-aa-b]",
    "[]-a]",
    "[]-[]",
    "[a-a]",
    "[^]",
    "[^a]",
    "[!^a]",
    "[a^]",
    "[z-a^]",
    "[\\]",
    "[\\a]",
    "[a\\]",
    "[\\-a]",
    "[a-\\]",
    "[!\\]",
    "[&&]",
    "[a&&b]",
    "[||]",
    "[~~]",
    "[a--b]",
    "[!&&]",
    "[\n]",
    "[!\n]",
    "[\x00-\U0010ffff]",
    "[!\x00-\U0010ffff]",
    "[b-\U0010ffff-]",
    "[\ud800-\udfff]",
]


@pytest.mark.parametrize("before", ["", "a", "*", "?"])
@pytest.mark.parametrize("after", ["", "b", "*", "?"])
@pytest.mark.parametrize("pattern", SETS_BY_HAND, ids=ascii)
def test_sets_match_as_fnmatch_says(api, pattern, before, after):
    names = ["", *"abcxz[]!-^\\&|~*?\n\x00", "\U0010ffff", "\ud800", "é"]
    names += ["a" + name + "b" for name in names] + [name + "ab" for name in names]
    whole = before + pattern + after
    for name in names:
        assert api.match(whole, name) is expected(whole, name)


@pytest.mark.parametrize(
    "pattern",
    "a.b|a+b|a(b)|^a$|$|a{1}|\\d|\\|a\\*|a\nb|\n|*\n|\n*|?\n|a*b*ab|*a*b*|**a**b**|?*?|*?*?a|a?*b|*ab*ba*|!a*|!?|!*a[b]".split(
        "|"
    ),
    ids=ascii,
)
def test_other_patterns_match_as_fnmatch_says(api, pattern):
    for name in [
        "",
        "a",
        "b",
        "ab",
        "aab",
        "abab",
        "aba",
        "abba",
        "a.b",
        "a+b",
        "\n",
        "a\n",
        "a\nb",
        "\\d",
        "a\\b",
        "1",
    ]:
        assert api.match(pattern, name) is expected(pattern, name)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*a*a*a*a*b", "a" * 100_000),
        ("*a*a*a*a*b*", "a" * 100_000),
        ("a*" * 30 + "b", "a" * 10_000),
        ("*[ab]*[ab]*[ab]*[ab]*[ab]*c*", "a" * 3_000),
        ("*?a*?a*?a*?a*b*", "a" * 3_000),
        ("*" + "[ab]" * 50 + "c*", "a" * 3_000),
    ],
    ids=lambda value: value[:30],
)
def test_no_pattern_takes_exponential_time(api, pattern, name):
    began = time.perf_counter()
    assert api.match(pattern, name) is False
    assert api.match("!" + pattern, name) is True
    assert time.perf_counter() - began < 5


def test_pattern_runs_no_code_of_its_str_subclass(api):
    class Loud(str):
        def refuse(self, *args):
            raise AssertionError("user code ran")

        for method in (
            "__eq__",
            "__len__",
            "__getitem__",
            "__contains__",
            "__iter__",
            "startswith",
            "endswith",
            "find",
        ):
            locals()[method] = refuse
        __hash__ = str.__hash__

    for pattern in ("order.*", "*.placed", "*r*", "order.[a-z]*d", "order.placed", "!x"):
        assert api.match(Loud(pattern), Loud("order.placed")) is True


def test_matcher_can_be_used_by_several_threads(api, ns):
    names = [f"order.{number}.{'ab'[number % 2]}" for number in range(50)]
    for name in names:
        ns.event(name)
    wanted = sorted(names[::2])
    found = []

    def find():
        found.extend(sorted(ns.filter("order.*.[a]")) == wanted for _ in range(50))

    threads = [threading.Thread(target=find) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 200


@pytest.fixture
def child(backend):
    """Run a script in a new process with the core under test."""

    def run(script):
        done = subprocess.run(
            [sys.executable, "-S", "-c", PATH + textwrap.dedent(script)],
            env={**os.environ, "CYEVENTS_PURE_PYTHON": {"cython": "0", "python": "1"}[backend]},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()

    return run


PATH = f"import sys; sys.path[:0] = {sys.path!r}\n"


def test_first_pattern_while_re_is_being_imported(child):
    script = """
        from types import ModuleType
        for name in ("re", "fnmatch", "functools"):
            assert name not in sys.modules
            sys.modules[name] = ModuleType(name)  # half imported, as a signal handler may find it
        import cyevents

        @cyevents.on("order.*.[ab]?")
        def handler(sender):
            return sender

        cyevents.event("order.x.bc")
        print(cyevents.emit("order.x.bc", "received"), cyevents.match("!*.created", "order"))
    """
    assert child(script) == ["['received']", "True"]


def test_first_pattern_imports_nothing(child):
    script = """
        import cyevents
        before = set(sys.modules)
        cyevents.on("order.*.[ab]?")(print)
        cyevents.match("!*.created", "order")
        print(*sorted(set(sys.modules) - before))
    """
    assert child(script) == []
