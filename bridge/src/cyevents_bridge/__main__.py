"""The command line: `python -m cyevents_bridge demo`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from . import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: the arguments after the program's name; `None` for this process's own.

    Returns:
        0 on success, 1 if the demo lost an order, 2 if it could not run.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help(sys.stderr)
        return 2
    from . import _demo

    try:
        return _demo.run(options.address, broker=options.broker, limit=options.orders, pace=options.pace)
    except KeyboardInterrupt:
        if os.name != "nt":  # end like a program that does not handle signals, so that a calling shell stops too
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        return 130
    except BrokenPipeError:  # the program that reads the output has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cyevents_bridge", description="Carry events of cyevents to other processes."
    )
    parser.add_argument("--version", action="version", version=f"cyevents-bridge {__version__}")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="send orders through four processes and a broker, and kill one of the processes",
        description=(
            "A shop places orders, two workers of one group bill them, and a warehouse ships them. Each of the four"
            " processes has a bridge. Meanwhile the demo kills a worker. It exits with 0 only if no order is lost."
        ),
    )
    demo.add_argument(
        "address",
        nargs="?",
        metavar="ADDRESS",
        help="a running broker: NATS with JetStream (nats://127.0.0.1:4222), Redis (redis://127.0.0.1:6379) or RabbitMQ"
        " (amqp://127.0.0.1:5672); by default the demo starts one and stops it at the end",
    )
    demo.add_argument(
        "--broker", choices=["nats", "redis", "rabbitmq"], default="nats", help="the broker to start (default: nats)"
    )
    demo.add_argument("--orders", type=_count, metavar="N", help="place only the first N orders")
    demo.add_argument(
        "--pace", type=_seconds, metavar="SECONDS", default=0.03, help="time to bill an order (default: 0.03)"
    )
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise ValueError
    return number


_count.__name__, _seconds.__name__ = "count", "number of seconds"  # argparse names them in its errors

if __name__ == "__main__":
    sys.exit(main())
