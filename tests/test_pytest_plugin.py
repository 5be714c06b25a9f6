"""The pytest plugin, in separate test runs, with each core."""

import re

import pytest

SWITCH = {"cython": "0", "python": "1"}


@pytest.fixture
def run(backend, pytester, monkeypatch):
    """Run tests, given as source, with only this plugin."""
    monkeypatch.setenv("CYEVENTS_PURE_PYTHON", SWITCH[backend])
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def run(source, *arguments, ini=""):
        pytester.makeini(f"[pytest]\nfilterwarnings = error\n{ini}")
        pytester.makepyfile(source)
        return pytester.runpytest_subprocess("-p", "cyevents.pytest_plugin", "--strict-markers", *arguments)

    return run


@pytest.mark.slow
def test_plugin_is_found_and_imports_no_asyncio(run, pytester, monkeypatch):
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    pytester.makepyfile(
        """
        import sys

        def test_before():
            assert "cyevents.pytest_plugin" in sys.modules
            assert {"cyevents.testing", "cyevents._async.scheduling", "cyevents._describe"}.isdisjoint(sys.modules)

        def test_with_it(events):
            assert "cyevents._async.scheduling" not in sys.modules
        """
    )
    pytester.runpytest_subprocess("-p", "no:hypothesispytest").assert_outcomes(passed=2)


def test_fixtures(run):
    run(
        """
        import pytest
        from cyevents import default_namespace, emit, event, on

        calls = []
        placed = event("order.placed")

        @placed.connect
        def program(sender):
            calls.append(sender)

        def test_events(events):
            emit("order.placed", "ada")
            emit("undeclared", "ada", total=12)
            events.assert_emitted("order.*", sender="ada", times=1)
            events.assert_emitted("undeclared", total=12)
            assert calls == ["ada"]

        def test_events_are_new(events):
            assert len(events) == 0
            assert list(default_namespace) == ["order.placed"]

        def test_isolated(isolated_events):
            on("order.placed", weak=False)(lambda sender: "test")
            event("mine")
            default_namespace.on_error = "group"
            assert placed.emit("bob") == ["test"]

        @pytest.mark.usefixtures("isolated_events")
        def test_isolated_by_a_mark():
            assert placed.emit("bob") == []
            assert list(default_namespace) == ["order.placed"]
            assert default_namespace.on_error is None
            default_namespace.clear()

        @pytest.mark.parametrize("time", [1, 2])
        def test_both_in_either_order(events, isolated_events, time):
            isolated_events.clear()
            calls.clear()
            placed.emit("eve")
            events.assert_emitted(placed, times=1)
            assert calls == []

        def test_all_is_as_it_was():
            placed.emit("eve")
            assert calls == ["eve"]
            assert default_namespace._patterns == {}
            assert [each.handler for each in placed.handlers] == [program]
        """
    ).assert_outcomes(passed=7)


def test_both_names_are_one_recorder(run):
    run(
        """
        from cyevents import emit

        def test_it(events, cyevents):
            assert events is cyevents
            emit("order.placed", "ada")
            cyevents.assert_emitted("order.placed", "ada", times=1)

        def test_other_name_alone(cyevents):
            assert len(cyevents) == 0
            emit("order.paid")
            assert cyevents.names == ["order.paid"]
        """
    ).assert_outcomes(passed=2)


def test_project_has_a_fixture_named_events(run, pytester):
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture
        def events():
            return "the project's own"
        """
    )
    run(
        """
        from cyevents import emit

        def test_it(events, cyevents):
            assert events == "the project's own"
            emit("order.placed", "ada")
            cyevents.assert_emitted("order.placed", times=1)
        """
    ).assert_outcomes(passed=1)


def test_other_name_checks_scheduled_handlers(run):
    result = run(
        """
        import asyncio
        from cyevents import on

        @on("x")
        async def never_done(sender):
            await asyncio.Event().wait()

        def test_it(cyevents):
            from cyevents import emit
            loop = asyncio.new_event_loop()

            async def main():
                emit("x")
                await asyncio.sleep(0)

            loop.run_until_complete(main())
        """,
        ini="cyevents_grace = 0.05",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*this test leaves 1 scheduled async handler behind:"])


def test_failed_assertion_is_shown_at_its_line(run):
    result = run(
        """
        from cyevents import emit

        def test_it(events):
            emit("order.placed", "bob", total=12)
            events.assert_emitted("order.placed", "ada", total=12)
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            '>       events.assert_emitted("order.placed", "ada", total=12)',
            "E       AssertionError: expected once or more: emit('order.placed', 'ada', total=12)",
            "E       emitted instead, nearest first:",
            "E         [[]0] emit('order.placed', 'bob', total=12)",
            "E               the sender is 'bob', not 'ada'",
        ],
        consecutive=True,
    )
    assert "testing.py" not in result.stdout.str()


SCHEDULED = """
import asyncio, threading
import pytest
from cyevents import default_namespace, drain, drain_async, emit, event, on

done = []
release = threading.Event()

@on("slow")
async def slow(sender):
    while not release.is_set():
        await asyncio.sleep(0.001)
    done.append("slow")

@on("quick")
async def quick(sender):
    await asyncio.sleep(0.01)
    done.append("quick")
"""


@pytest.mark.slow
def test_scheduled_handlers_are_awaited(run):
    run(
        SCHEDULED
        + """
def test_it(events):
    emit("quick")

def test_next():
    assert done == ["quick"]
"""
    ).assert_outcomes(passed=2)


def test_unfinished_scheduled_handler_fails_the_test(run):
    result = run(
        SCHEDULED
        + """
def test_it(events):
    emit("slow")

def test_next(events):
    assert drain(timeout=5), "the handler was cancelled"
    assert done == []
""",
        ini="cyevents_grace = 0.05",
    )
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "this test leaves 1 scheduled async handler behind:",
            "  slow of 'slow': not finished after 0.05 s",
            "Wait for them at its end with cyevents.drain(), *",
            "If they are meant to stay, mark the test with @pytest.mark.leaves_scheduled.",
        ],
        consecutive=True,
    )


def test_scheduled_handler_that_has_not_begun_is_cancelled(run):
    result = run(
        SCHEDULED
        + """
blocked, unblock = threading.Event(), threading.Event()

@on("block")
async def block(sender):
    blocked.set()
    unblock.wait(30)

def test_it(events):
    emit("block")
    blocked.wait(30)
    emit("slow")  # its task is created when the loop is free again

def test_next(events):
    unblock.set()
    assert drain(timeout=10), "the handler was cancelled"
    assert done == []
""",
        ini="cyevents_grace = 0.05",
    )
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["this test leaves 2 scheduled async handlers behind:"])


@pytest.mark.slow
def test_loop_that_runs_only_inside_tests(run):
    result = run(
        SCHEDULED
        + """
@pytest.fixture
def loop():
    with asyncio.Runner() as runner:  # as the plugins for async tests do
        yield runner

def test_left(events, loop):
    async def main():
        emit("quick")
    loop.run(main())

def test_drained(events, loop):
    async def main():
        emit("quick")
        await drain_async()
    loop.run(main())
    assert done == ["quick"]
"""
    )
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["  quick of 'quick': in an event loop that no longer runs"])


@pytest.mark.slow
def test_which_tests_are_checked(run):
    source = (
        SCHEDULED
        + """
def test_plain():
    emit("slow")

@pytest.mark.leaves_scheduled
def test_marked(events):
    emit("slow")

@pytest.mark.usefixtures("isolated_events")
def test_isolated():
    emit("slow")

def test_failing(events):
    emit("slow")
    assert 0, "its own failure"

def test_end():
    release.set()
    assert drain(timeout=5)
"""
    )
    expected = {
        "fixtures": ["test_failing", "test_isolated"],
        "all": ["test_failing", "test_isolated", "test_plain"],
        "none": ["test_failing"],
    }
    for scope, failed in expected.items():
        result = run(source, "-rf", ini=f"cyevents_scheduled = {scope}\ncyevents_grace = 0")
        assert sorted(re.findall(r"^FAILED .*::(\w+)", result.stdout.str(), re.M)) == failed
        assert "its own failure" in result.stdout.str()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ini", "said"),
    [
        ("cyevents_scheduled = some", "cyevents_scheduled must be fixtures, all or none, not 'some'"),
        ("cyevents_grace = long", "cyevents_grace must be a number of seconds from 0 on, not 'long'"),
        ("cyevents_grace = -1", "cyevents_grace must be a number of seconds from 0 on, not '-1'"),
    ],
)
def test_invalid_options(run, ini, said):
    result = run("", ini=ini)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{said}"])
