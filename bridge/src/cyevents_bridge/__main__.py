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
        0 when all went well, 1 when the demo has lost an order, 2 when it could not do what was asked.
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
        if os.name != "nt":  # end as programs do that know nothing of signals, so that a shell stops too
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        return 130
    except BrokenPipeError:  # the reader of the output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cyevents_bridge", description="Events of cyevents in several processes, by a message broker."
    )
    parser.add_argument("--version", action="version", version=f"cyevents-bridge {__version__}")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="send orders through four processes, and kill one of them meanwhile",
        description=(
            "A shop places orders, two workers of one group bill them, a warehouse ships them: four processes with a"
            " bridge each. A worker is killed in the middle. Exits with 0 only if every order was accounted for."
        ),
    )
    demo.add_argument(
        "address",
        nargs="?",
        metavar="ADDRESS",
        help="of a NATS server with JetStream, such as nats://127.0.0.1:4222, a Redis, such as redis://127.0.0.1:6379,"
        " or a RabbitMQ, such as amqp://127.0.0.1:5672 (one is started, and stopped at the end)",
    )
    demo.add_argument("--broker", choices=["nats", "redis", "rabbitmq"], default="nats", help="which to start (nats)")
    demo.add_argument("--orders", type=_count, metavar="N", help="place the first N orders only")
    demo.add_argument(
        "--pace", type=_seconds, metavar="SECONDS", default=0.03, help="how long it takes to bill an order (0.03)"
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
