"""The pytest plugin: fixtures that record emissions and undo changes, and a check for async handlers left behind."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from .testing import Isolation, Recorder

MARK = "leaves_scheduled"
_used = pytest.StashKey[bool]()  # whether a test uses one of the fixtures


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini options."""
    parser.addini(
        "cyevents_scheduled",
        "which tests fail if they leave scheduled async handlers behind: those that use the plugin's `fixtures`,"
        " `all` or `none` (default: fixtures)",
        default="fixtures",
    )
    parser.addini(
        "cyevents_grace",
        "how many seconds scheduled async handlers may take after their test (default: 1)",
        default="1",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Add the marker, and check the options."""
    config.addinivalue_line("markers", f"{MARK}: this test may leave scheduled async handlers behind.")
    scope = config.getini("cyevents_scheduled")
    if scope not in ("fixtures", "all", "none"):
        raise pytest.UsageError(f"cyevents_scheduled must be fixtures, all or none, not {scope!r}")
    _grace(config)


@pytest.fixture
def isolated_events(request: pytest.FixtureRequest) -> Iterator[Isolation]:
    """Undo the changes that the test makes to `default_namespace`: see `cyevents.testing.Isolation`."""
    from .testing import Isolation

    request.node.stash[_used] = True
    with Isolation() as isolation:
        yield isolation


@pytest.fixture
def cyevents(request: pytest.FixtureRequest) -> Iterator[Recorder]:
    """Record the emissions in `default_namespace` during the test: see `cyevents.testing.Recorder`."""
    from .testing import Recorder

    request.node.stash[_used] = True
    with Recorder() as recorder:
        yield recorder


@pytest.fixture
def events(cyevents: Recorder) -> Recorder:
    """Return the recorder of the fixture `cyevents`. Projects that have their own `events` use that name instead."""
    return cyevents


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fail a test that has passed, but has left scheduled async handlers behind."""
    before = set(_jobs())
    result = yield
    scope = item.config.getini("cyevents_scheduled")
    is_checked = scope == "all" or (scope == "fixtures" and item.stash.get(_used, False))
    if is_checked and item.get_closest_marker(MARK) is None and _jobs():
        grace = _grace(item.config)
        left = _wait_for_jobs(before, grace)
        if left:
            pytest.fail(_failure(left, grace), pytrace=False)
    return result


def _jobs() -> Any:
    """Return the scheduled jobs. If asyncio support was never imported, there are none, and this does not import it."""
    scheduling = sys.modules.get(f"{__package__}._async.scheduling")
    return () if scheduling is None else scheduling.jobs


def _wait_for_jobs(before: set[Any], grace: float) -> list[Any]:
    """Wait until the new jobs in running loops are done; return those that are not, and cancel the running ones."""
    deadline = time.monotonic() + grace
    while True:
        left = [job for job in list(_jobs()) if job not in before]
        running = [job for job in left if job.loop.is_running()]
        if not running or time.monotonic() >= deadline:
            break
        time.sleep(0.001)
    for job in running:
        try:
            job.loop.call_soon_threadsafe(_cancel, job)
        except RuntimeError:  # the loop has just been closed
            pass
    return left


def _cancel(job: Any) -> None:
    """Cancel a job in its loop, which has begun it by then: a busy loop may not have created its task before."""
    if job.task is not None:
        job.task.cancel()


def _failure(left: list[Any], grace: float) -> str:
    from ._core._safe import handler_name

    lines = [f"this test leaves {len(left)} scheduled async handler{'s' * (len(left) != 1)} behind:"]
    for job in left:
        state = f"not finished after {grace:g} s" if job.loop.is_running() else "in an event loop that no longer runs"
        lines.append(f"  {handler_name(job.handler)} of {job.event.name!r}: {state}")
    lines.append("Wait for them at its end with cyevents.drain(), or with await cyevents.drain_async() in a coroutine.")
    lines.append(f"If they are meant to stay, mark the test with @pytest.mark.{MARK}.")
    return "\n".join(lines)


def _grace(config: pytest.Config) -> float:
    text = config.getini("cyevents_grace")
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise pytest.UsageError(f"cyevents_grace must be a number of seconds from 0 on, not {text!r}")
    return seconds
