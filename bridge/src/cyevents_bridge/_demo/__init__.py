"""`python -m cyevents_bridge demo`: a shop, two billing workers and a warehouse, each in a process of its own."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from contextlib import AsyncExitStack

from .brokers import SERVERS, watcher_for
from .orders import orders
from .stage import Stage
from .view import screen


def run(address: str | None, *, broker: str, limit: int | None, pace: float) -> int:
    """Send the sample orders through the processes, kill a worker meanwhile, and account for every order.

    Args:
        address: the address of a running broker. `None` starts one.
        broker: the broker to start: a key of `SERVERS`.
        limit: the maximum number of orders.
        pace: the time to bill an order, in seconds.

    Returns:
        The exit code: 0 if every order is accounted for, 1 if not, 2 if the demo could not start.
    """
    if address is not None:
        try:
            watcher_for(address)
        except ValueError as error:
            return _fail(str(error))
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # its child watcher warns if other code has awaited a child
    try:
        return asyncio.run(_play(address, broker, [order.id for order in orders(limit)], pace))
    except BrokenPipeError:  # the program that reads the output has ended
        raise
    except (ImportError, ConnectionError) as error:
        return _fail(str(error))
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM


def _fail(message: str) -> int:
    print(f"cyevents_bridge: {message}", file=sys.stderr)
    return 2


async def _play(address: str | None, broker: str, ids: list[str], pace: float) -> int:
    if sys.platform != "win32":  # like Ctrl-C, these signals must end all processes
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    async with AsyncExitStack() as stack:
        if address is None:
            server = SERVERS[broker]()
            if server.notice:
                print(server.notice, flush=True)
            address = (await stack.enter_async_context(server)).address
        stage = await stack.enter_async_context(Stage(address, ids, pace))
        with screen() as show:
            await stage.play(show)
        lines, is_right = stage.account()
        print("", *lines, sep="\n")
        return 0 if is_right else 1
