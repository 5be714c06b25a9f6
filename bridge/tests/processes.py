"""What stands for a process in the bridge's tests: a namespace that notes what it gets, and a bridge."""

import asyncio
import contextlib
import importlib
import inspect
import time

SOON = 20  # seconds after which what should come does not


async def until(holds, seconds=SOON):
    """Wait until something holds that a function, or a coroutine function, tells; return what that has returned."""
    end = time.monotonic() + seconds
    while not (result := holds() if not inspect.iscoroutinefunction(holds) else await holds()):
        assert time.monotonic() < end, "it does not come"
        await asyncio.sleep(0.005)
    return result


class Process:
    """It notes from whom it gets the event `x`."""

    def __init__(self, api, address, prefix, **options):
        self.got = []
        self.ns = api.Namespace()
        self.ns.event("x").connect(self.note, weak=False)
        options = {"delivery": "at_least_once", "backoff": (0.02, 0.02), **options}
        bridge = importlib.import_module("cyevents_bridge")
        self.bridge = bridge.Bridge(self.ns, address, ["x"], prefix=prefix, **options)

    def note(self, sender):
        self.got.append(sender)

    @contextlib.asynccontextmanager
    async def dying(self):
        """Entered, and then gone without a word, as if killed."""
        async with self.bridge:
            try:
                yield self
            finally:
                self.fall_silent()


async def silent(*args):
    """Says nothing."""
