"""The pytest plugin: the fixtures `events` and `isolated_events`, and a look at async handlers left behind."""

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
    """Add the options of the ini file."""
    parser.addini(
        "cyevents_scheduled",
        "which tests fail that leave async handlers scheduled behind: those that use the plugin's `fixtures`,"
        " `all` or `none` (default: fixtures)",
        default="fixtures",
    )
    parser.addini(
        "cyevents_grace",
        "how many seconds scheduled async handlers have after their test to finish (default: 1)",
        default="1",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Add the marker, and check the options."""
    config.addinivalue_line("markers", f"{MARK}: the async handlers that this test leaves scheduled are meant to stay.")
    scope = config.getini("cyevents_scheduled")
    if scope not in ("fixtures", "all", "none"):
        raise pytest.UsageError(f"cyevents_scheduled must be fixtures, all or none, not {scope!r}")
    _grace(config)


@pytest.fixture
def isolated_events(request: pytest.FixtureRequest) -> Iterator[Isolation]:
    """What the test does to `default_namespace` is undone: see `cyevents.testing.Isolation`."""
    from .testing import Isolation

    request.node.stash[_used] = True
    with Isolation() as isolation:
        yield isolation


@pytest.fixture
def events(request: pytest.FixtureRequest) -> Iterator[Recorder]:
    """What is emitted in `default_namespace` meanwhile: see `cyevents.testing.Recorder`."""
    from .testing import Recorder

    request.node.stash[_used] = True
    with Recorder() as recorder:
        yield recorder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fail a test that has gone well, but has left async handlers scheduled behind."""
    before = set(_jobs())
    result = yield
    scope = item.config.getini("cyevents_scheduled")
    concerned = scope == "all" or (scope == "fixtures" and item.stash.get(_used, False))
    if concerned and item.get_closest_marker(MARK) is None and _jobs():
        left = _left(before, _grace(item.config))
        if left:
            pytest.fail(_told(left, _grace(item.config)), pytrace=False)
    return result


def _jobs() -> Any:
    """What `emit` has scheduled and is not done; nothing of asyncio is imported to see that there is none."""
    scheduling = sys.modules.get(f"{__package__}._async.scheduling")
    return () if scheduling is None else scheduling.jobs


def _left(before: set[Any], grace: float) -> list[Any]:
    """Wait for what other threads' loops may finish yet; return the jobs left then, the running ones cancelled."""
    deadline = time.monotonic() + grace
    while True:
        left = [job for job in list(_jobs()) if job not in before]
        running = [job for job in left if job.loop.is_running()]
        if not running or time.monotonic() >= deadline:
            break
        time.sleep(0.001)
    for job in running:
        if job.task is not None:
            try:
                job.loop.call_soon_threadsafe(job.task.cancel)
            except RuntimeError:  # it has just been closed
                pass
    return left


def _told(left: list[Any], grace: float) -> str:
    from ._common import handler_name

    lines = [f"this test leaves {len(left)} scheduled async handler{'s' * (len(left) != 1)} behind:"]
    for job in left:
        state = f"not finished after {grace:g} s" if job.loop.is_running() else "in an event loop that no longer runs"
        lines.append(f"  {handler_name(job.handler)} of {job.event.name!r}: {state}")
    lines.append("Wait for them at its end, with cyevents.drain(), or await cyevents.drain_async() where a loop runs;")
    lines.append(f"or mark it with @pytest.mark.{MARK} if they are meant to stay.")
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
