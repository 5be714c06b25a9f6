"""Async handlers in priority tiers, and one that blocks. Run it: python examples/async_pages.py."""

import asyncio
import time

from cyevents import Event, drain_async

fetched: Event[str] = Event("fetched")


@fetched.connect
async def index(page: str) -> str:
    """Index a page, in parallel with the handlers of the same priority."""
    await asyncio.sleep(0.01)
    return f"{page} indexed"


def thumbnail(page: str) -> str:
    """Draw a page; this blocks, so it runs in a thread."""
    time.sleep(0.01)
    return f"{page} drawn"


async def allow(page: str) -> bool | None:
    """Check whether a page may be handled: `False` cancels the handlers with a lower priority."""
    await asyncio.sleep(0)
    return False if page == "secret" else None


fetched.connect(thumbnail, thread=True)
fetched.connect(allow, priority=10)


async def main() -> None:
    """Emit and wait for the handlers, then emit without waiting."""
    print(await fetched.emit_async("home"))
    print(await fetched.emit_async("secret"))
    print(fetched.emit("about"))
    print("all finished:", await drain_async(timeout=5))


if __name__ == "__main__":
    asyncio.run(main())
