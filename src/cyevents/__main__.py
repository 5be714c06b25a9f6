"""The command line: `python -m cyevents`, or `cyevents` where the package is installed."""

from __future__ import annotations

import argparse
import errno
import importlib.util
import math
import operator
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from . import __version__, _core

if TYPE_CHECKING:
    from ._describe import NamespaceGraph
    from ._trace import Trace


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: what stands behind the program's name; `None` for this process's own.

    Returns:
        0 when all went well; 1 when the demo has left out bad lines; 2 when it could not do what was
        asked.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        code = _run(parser, options)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        _end_by_interrupt()
        return 130
    except OSError as error:  # of the output: troubles with the input are told by the demo
        _forget_output()
        if error.errno == errno.EPIPE or (os.name == "nt" and error.errno == errno.EINVAL):
            return 0  # the reader has gone: `| head`
        _complain(error.strerror or str(error))
        return 2


def _run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    if options.command == "info":
        _print_info(as_json=options.json)
        return 0
    if options.command == "demo":
        from . import _demo

        return _demo.run(
            options.file,
            ways=("sync", "async") if options.mode == "both" else (options.mode,),
            quiet=options.quiet,
            limit=options.limit,
            repeat=options.repeat,
            delay=options.delay,
        )
    if options.command == "bench":
        from . import _bench

        return _bench.run(options.seconds)
    if options.command == "describe":
        return _describe(options.target, options.format, options.cached)
    if options.command == "trace":
        program = [options.program, *options.arguments]
        return _trace(program, options.module, options.event, options.output, options.limit)
    parser.print_help(sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cyevents",
        description="In-process events for Python. Try 'cyevents demo' to see them at work.",
    )
    parser.add_argument("--version", action="version", version=f"cyevents {__version__}")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")

    demo = commands.add_parser(
        "demo",
        help="place a file of orders, narrate the first few, and sum up who did what and how fast",
        description=(
            "Place orders as events: a validation that cancels, a conditional alert, a confirmation, an async payment"
            " that emits an event of its own, and a generator that updates the inventory."
        ),
        epilog=(
            "Each line is a JSON object:"
            ' {"id": "ord-1", "customer_email": "a@example.com", "total": 1500,'
            ' "items": [{"product_name": "Widget", "quantity": 2}]}.'
            " Bad lines are reported and left out; the exit code is then 1."
        ),
    )
    demo.add_argument("file", nargs="?", metavar="FILE", help="orders, one a line; - for standard input (our sample)")
    demo.add_argument(
        "--mode", choices=("sync", "async", "both"), default="both", help="by emit, emit_async, or both (both)"
    )
    demo.add_argument("--quiet", action="store_true", help="only the summary, without the story")
    demo.add_argument("--limit", type=_count, metavar="N", help="read the first N orders only")
    demo.add_argument(
        "--repeat", type=_count, metavar="N", default=1, help="place the orders N times, for a steadier measure (1)"
    )
    demo.add_argument(
        "--delay",
        type=_seconds,
        metavar="SECONDS",
        default=0.0,
        help="how long a payment takes; the async way waits for each (0)",
    )

    bench = commands.add_parser(
        "bench", help="time emissions beside those of the peers that are installed: blinker, Django, psygnal, ..."
    )
    bench.add_argument(
        "--seconds",
        type=_seconds,
        metavar="SECONDS",
        default=1.0,
        help="how long to measure each number of handlers (1)",
    )

    describe = commands.add_parser(
        "describe",
        help="show how a program's events are wired: handlers, senders, priorities, conditions, wildcards",
        description="Import MODULE, and show what is then connected to the events of a namespace, in calling order.",
    )
    describe.add_argument(
        "target",
        metavar="MODULE[:NAMESPACE]",
        help="what to import, and the name there of a Namespace (default_namespace)",
    )
    describe.add_argument(
        "--format",
        choices=("table", "text", "json", "mermaid", "svg"),
        help="a table needs rich, an svg picture Graphviz (table where rich is installed, else text)",
    )
    describe.add_argument(
        "--cached",
        action="store_true",
        help="list also names without an event that were emitted and are matched by patterns",
    )

    trace = commands.add_parser(
        "trace",
        help="run a program, and show what it emitted: which handlers ran, how long, with what outcome",
        description=(
            "Run a script, or a module with -m, as python itself would, and show on the standard error output what was"
            " emitted meanwhile."
        ),
    )
    trace.add_argument(
        "--event",
        metavar="PATTERN",
        action="append",
        help="trace events of such names only (all); may be repeated",
    )
    trace.add_argument(
        "--output", metavar="FILE", help="write a trace for Perfetto (ui.perfetto.dev) there, and show no tree"
    )
    trace.add_argument(
        "--limit", type=_count, metavar="N", default=1000, help="keep the first N emissions, count the others (1000)"
    )
    trace.add_argument("-m", dest="module", action="store_true", help="PROGRAM is a module's name")
    trace.add_argument("program", metavar="PROGRAM", help="the script, with its arguments behind it")
    trace.add_argument("arguments", metavar="ARGUMENTS", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)

    info = commands.add_parser(
        "info", help="show the version, the backend and why it is in use, and the Python it runs on"
    )
    info.add_argument("--json", action="store_true", help="for machines")
    return parser


def _count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return count


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 on")
    return seconds


# describe


def _describe(target: str, form: str | None, cached: bool) -> int:
    from ._describe import describe
    from ._namespace import Namespace, default_namespace

    module_name, _, path = target.partition(":")
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as python -m does, for the command `cyevents`
    try:
        namespace: object = default_namespace
        module = importlib.import_module(module_name)
        if path:
            namespace = operator.attrgetter(path)(module)
    except (ImportError, ValueError, AttributeError) as error:
        return _fail(f"{target}: {error}")
    if not isinstance(namespace, Namespace):
        return _fail(f"{target}: {path} is not a Namespace, but {namespace!r}")
    graph = describe(namespace, cached=cached)
    try:
        shown = _shown(graph, form or ("table" if importlib.util.find_spec("rich") else "text"))
    except (ImportError, RuntimeError) as error:
        return _fail(str(error))
    print(shown.encode(_encoding(), "backslashreplace").decode(_encoding()))
    return 0


def _shown(graph: NamespaceGraph, form: str) -> str:
    if form == "json":
        import json

        return json.dumps(graph.to_dict(), indent=2)
    if form == "table":
        table = graph.table()
        from rich.console import Console

        console = Console()
        with console.capture() as capture:
            console.print(table)
        return capture.get().rstrip("\n")
    text: str = {"text": graph.__str__, "mermaid": graph.mermaid, "svg": graph.svg}[form]()
    return text.rstrip("\n")


# trace


def _trace(program: list[str], as_module: bool, names: list[str] | None, output: str | None, limit: int) -> int:
    from ._programs import report, run
    from ._trace import Trace

    if not as_module and not os.path.exists(program[0]):
        return _fail(f"there is no script {program[0]!r}")
    if output is not None:
        try:
            with open(output, "a", encoding="utf-8"):  # not to find out when the program has run
                pass
        except OSError as error:
            return _fail(f"cannot write {output!r}: {error.strerror}")
        output = os.path.abspath(output)
    code = 0
    seen = Trace(tuple(names or ("*",)), limit, everywhere=True)
    try:
        with seen:
            try:
                run(program, as_module)
            except Exception as error:  # the program's own, an OSError too
                report(error)
                code = 1
            finally:
                if "cyevents._async.scheduling" in sys.modules:
                    sys.modules["cyevents._async.scheduling"].drain(10)  # what was scheduled belongs to it
    finally:
        if output is not None:
            seen.write(output)
        else:
            _show_trace(seen)
    return code


def _show_trace(seen: Trace) -> None:
    if sys.stderr is None or getattr(sys.stderr, "closed", False):
        return
    if sys.stderr.isatty() and importlib.util.find_spec("rich"):
        from rich.console import Console

        Console(stderr=True).print(seen.tree())
        return
    encoding = getattr(sys.stderr, "encoding", None) or "ascii"
    print(str(seen).encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr)


def _fail(message: str) -> int:
    _complain(message)
    return 2


# info


def _info() -> dict[str, str | bool]:
    import platform
    import sysconfig

    gil_enabled = getattr(sys, "_is_gil_enabled", lambda: True)
    return {
        "version": __version__,
        "backend": _core.backend,
        "reason": _core.reason,
        "core": _core.core_file,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable or "",
        "platform": _platform(),
        "free_threaded_build": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "gil_enabled": bool(gil_enabled()),
    }


def _platform() -> str:
    import platform
    import sysconfig

    try:
        return platform.platform()
    except RuntimeError:  # Python 3.11 asks another process, which some subinterpreters may not start
        return sysconfig.get_platform()


def _print_info(as_json: bool) -> None:
    info = _info()
    if as_json:
        import json

        print(json.dumps(info, indent=2))
        return
    build = "yes" if info["free_threaded_build"] else "no"
    gil = "on" if info["gil_enabled"] else "off"
    rows = {
        "cyevents": info["version"],
        "backend": f"{info['backend']} ({info['reason']})",
        "core": info["core"],
        "python": f"{info['python']} ({info['implementation']})",
        "executable": info["executable"],
        "platform": info["platform"],
        "free-threaded": f"{build} (the GIL is {gil})",
    }
    for label, value in rows.items():
        print(f"{label:15}{value}".encode(_encoding(), "backslashreplace").decode(_encoding()))


def _encoding() -> str:
    return getattr(sys.stdout, "encoding", None) or "ascii"


# Ends


def _complain(message: str) -> None:
    try:
        print(f"cyevents: {message}", file=sys.stderr)
    except OSError:
        pass


def _forget_output() -> None:
    """Keep the interpreter's exit from writing once more what could not be written."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and _is_broken(stream):
                os.dup2(nowhere, stream.fileno())
    except (OSError, ValueError):
        pass


def _is_broken(stream: TextIO) -> bool:
    try:
        stream.flush()
    except OSError:
        return True
    return False


def _end_by_interrupt() -> None:
    """End as Ctrl-C ends other programs: at once, not waiting at exit for payments under way."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            _is_broken(stream)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.raise_signal(signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
