"""What `via`, `overlap`, `limit` and `timeout` refuse, and what the errors say."""

import asyncio
import math
from concurrent.futures import ThreadPoolExecutor

import pytest

TARGETS = "via must be a Mailbox, an asyncio event loop or an executor, not "
WORDS = 'overlap must be "parallel", "queue", "skip", "restart" or "latest", not '
SECONDS = "timeout must be a number of seconds or None, not "
ABOVE = ": for no limit, leave it out"


async def handle(sender):
    pass


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"via": handle}, TypeError, f"{TARGETS}{handle!r}"),
        ({"via": ThreadPoolExecutor}, TypeError, f"{TARGETS}{ThreadPoolExecutor!r}"),
        ({"via": asyncio}, TypeError, f"{TARGETS}{asyncio!r}"),
        ({"via": asyncio.SelectorEventLoop}, TypeError, f"{TARGETS}{asyncio.SelectorEventLoop!r}"),
        ({"via": "main"}, TypeError, f"{TARGETS}'main'"),
        ({"via": True}, TypeError, f"{TARGETS}True"),
        ({"overlap": "que"}, ValueError, f"{WORDS}'que'"),
        ({"overlap": None}, ValueError, f"{WORDS}None"),
        ({"limit": 0}, ValueError, "limit must allow at least one call, not 0"),
        ({"limit": -1}, ValueError, "limit must allow at least one call, not -1"),
        ({"limit": 2.0}, TypeError, "limit must be an int, the number of calls that run at once, not 2.0"),
        ({"limit": True}, TypeError, "limit must be an int, the number of calls that run at once, not True"),
        (
            {"limit": 2, "overlap": "queue"},
            ValueError,
            'limit is for overlap="parallel": overlap="queue" runs one call at a time',
        ),
        ({"timeout": 0}, ValueError, f"timeout must be above 0 seconds, not 0{ABOVE}"),
        ({"timeout": -1.5}, ValueError, f"timeout must be above 0 seconds, not -1.5{ABOVE}"),
        ({"timeout": math.nan}, ValueError, f"timeout must be above 0 seconds, not nan{ABOVE}"),
        ({"timeout": "5"}, TypeError, f"{SECONDS}'5'"),
        ({"timeout": True}, TypeError, f"{SECONDS}True"),
    ],
)
def test_wrong_options_are_refused(ns, options, kind, text):
    event = ns.event("x")
    for connect in (event.connect, event.subscribe, lambda handler, **given: ns.on("x", **given)(handler)):
        with pytest.raises(kind) as caught:
            connect(handle, **options)
        assert str(caught.value) == text
    assert not event.handlers
