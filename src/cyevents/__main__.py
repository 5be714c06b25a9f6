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
from typing import TYPE_CHECKING, Any, TextIO

from . import __version__, _core
from ._core._safe import safe_repr

if TYPE_CHECKING:
    from types import ModuleType

    from ._describe import NamespaceGraph
    from ._namespace import Namespace
    from ._trace import Trace


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: the command-line arguments without the program's name; those of this process if `None`.

    Returns:
        0 on success; 1 if the demo left out bad lines, or a traced program failed; 2 if the command failed.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        if options.command is None:
            parser.print_help(sys.stderr)
            code = 2
        else:
            code = options.run(options)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        _end_by_interrupt()
        return 130
    except OSError as error:  # raised by writing the output: commands handle errors of their input
        _discard_unwritten_output()
        if error.errno == errno.EPIPE or (os.name == "nt" and error.errno == errno.EINVAL):
            return 0  # the reader has closed the pipe, such as `| head`
        return _fail(error.strerror or str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cyevents", description="In-process events for Python. Try 'cyevents demo' for an example."
    )
    parser.add_argument("--version", action="version", version=f"cyevents {__version__}")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")

    demo = commands.add_parser(
        "demo",
        help="place a file of orders, narrate the first few, and sum up the work of the handlers and the speed",
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
    demo.set_defaults(run=_demo)
    add = demo.add_argument
    add("file", nargs="?", metavar="FILE", help="orders, one a line; - for standard input (a sample)")
    add("--mode", choices=("sync", "async", "both"), default="both", help="by emit, emit_async, or both (both)")
    add("--quiet", action="store_true", help="only the summary, without the story")
    add("--limit", type=_count, metavar="N", help="read the first N orders only")
    add("--repeat", type=_count, metavar="N", default=1, help="place the orders N times, for a steadier measure (1)")
    delay_help = "duration of a payment; the async way waits for each (0)"
    add("--delay", type=_seconds, metavar="SECONDS", default=0.0, help=delay_help)

    bench = commands.add_parser(
        "bench", help="time emissions beside installed libraries: blinker, Django, psygnal, ..."
    )
    bench.set_defaults(run=_bench)
    seconds_help = "how long to measure each number of handlers (1)"
    bench.add_argument("--seconds", type=_seconds, metavar="SECONDS", default=1.0, help=seconds_help)

    describe = commands.add_parser(
        "describe",
        help="show a program's events and handlers, with senders, priorities, conditions and patterns",
        description=(
            "Import MODULE, and show the handlers of each event of a namespace, in calling order. What the module"
            " prints goes to standard error."
        ),
    )
    describe.set_defaults(run=_describe)
    add = describe.add_argument
    target_help = "module, or path of one, to import, and the Namespace in it (default_namespace)"
    add("target", metavar="MODULE[:NAMESPACE]", help=target_help)
    add(
        "--format",
        choices=("table", "text", "json", "mermaid", "svg"),
        help="a table needs rich, an svg picture Graphviz (table where rich is installed, else text)",
    )
    add("--cached", action="store_true", help="also list names without an event that were emitted and match patterns")

    trace = commands.add_parser(
        "trace",
        help="run a program, and show its emissions: which handlers ran, how long, with what outcome",
        description=(
            "Run a script or a module as python does, or the function of module:name, and show its emissions on"
            " standard error."
        ),
    )
    trace.set_defaults(run=_trace)
    add = trace.add_argument
    add("--event", metavar="PATTERN", action="append", help="trace only events with such names (all); may be repeated")
    add("--output", metavar="FILE", help="write a trace for Perfetto (ui.perfetto.dev) there, and show no tree")
    limit_help = "keep the first N emissions, count the others (1000)"
    add("--limit", type=_count, metavar="N", default=1000, help=limit_help)
    add("-m", dest="module", action="store_true", help="PROGRAM is a module, even if there is such a file")
    add("program", metavar="PROGRAM", help="a script, a module or module:name, followed by its arguments")
    add("arguments", metavar="ARGUMENTS", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)

    info_help = "show which core is in use and why, what it was compiled with, and the Python"
    info = commands.add_parser("info", help=info_help)
    info.set_defaults(run=_info)
    info.add_argument("--json", action="store_true", help="as JSON")
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


# Commands: each returns the exit code.


def _demo(options: argparse.Namespace) -> int:
    from . import _demo

    return _demo.run(
        options.file,
        ways=("sync", "async") if options.mode == "both" else (options.mode,),
        quiet=options.quiet,
        limit=options.limit,
        repeat=options.repeat,
        delay=options.delay,
    )


def _bench(options: argparse.Namespace) -> int:
    from . import _bench

    return _bench.run(options.seconds)


def _describe(options: argparse.Namespace) -> int:
    from ._programs import redirect_output

    with redirect_output() as output:
        return _describe_program(options, output)


def _describe_program(options: argparse.Namespace, output: TextIO) -> int:
    from . import _programs
    from ._describe import describe
    from ._namespace import Namespace, default_namespace

    target = options.target
    try:
        module, name = _programs.load(target)
    except _programs.ProgramNotFound as error:
        return _fail(str(error))
    except (Exception, SystemExit) as error:  # raised by the program
        _programs.report(error)
        return _fail(f"{target} cannot be imported, so there is nothing to describe")
    namespace: object = default_namespace
    message = ""
    if name:
        try:
            namespace = operator.attrgetter(name)(module)
            if not isinstance(namespace, Namespace):
                message = f"{name} is not a Namespace, but {safe_repr(namespace)}"
        except AttributeError as error:
            message = str(error)
    elif not default_namespace:
        message = "the default namespace is empty"
    if message:
        others = _find_namespaces(module, target.removesuffix(f":{name}"))
        if others or name:
            _fail(f"{message}. {'Choose one of these namespaces:' if others else ''}".rstrip())
            width = max(map(len, others), default=0)
            for found, other in others.items():
                _print(f"  {found:{width}}  {len(other)} event{'s' * (len(other) != 1)}", sys.stderr)
            return 2
    assert isinstance(namespace, Namespace)
    graph = describe(namespace, cached=options.cached)
    try:
        text = _format_graph(graph, options.format or ("table" if importlib.util.find_spec("rich") else "text"))
    except (ImportError, RuntimeError) as error:
        return _fail(str(error))
    _print(text.rstrip("\n"), output)
    return 0


def _find_namespaces(module: ModuleType, target: str) -> dict[str, Namespace]:
    """Return the namespaces in the variables of a module and its submodules, by what `describe` takes for them."""
    from ._namespace import Namespace, default_namespace

    found: dict[str, Namespace] = {}

    def search(owner: object, label: str, depth: int) -> None:
        for name, value in list(getattr(owner, "__dict__", {}).items()):
            if isinstance(value, Namespace):
                if all(value is not other for other in (default_namespace, *found.values())):
                    found[label + name] = value
            elif depth and not isinstance(value, type(sys)):
                search(value, f"{label}{name}.", 0)

    for name, each in sorted(sys.modules.items()):
        if f"{name}.".startswith(f"{module.__name__}."):
            search(each, f"{target if each is module else name}:", 1)
    return found


def _format_graph(graph: NamespaceGraph, form: str) -> str:
    if form == "json":
        import json

        return json.dumps(graph.to_dict(), indent=2)
    if form == "table" and (graph.events or graph.patterns):
        table = graph.table()
        from rich.console import Console

        console = Console()
        with console.capture() as capture:
            console.print(table)
        return capture.get()
    return {"mermaid": graph.mermaid, "svg": graph.svg}.get(form, graph.__str__)()


def _trace(options: argparse.Namespace) -> int:
    from ._programs import ProgramNotFound, find, report
    from ._trace import Trace

    output = options.output
    try:
        run = find([options.program, *options.arguments], options.module)
    except ProgramNotFound as error:
        return _fail(str(error))
    except Exception as error:  # raised by a package that the program is in
        report(error)
        return 1
    if output is not None:
        try:
            with open(output, "a", encoding="utf-8"):  # fail now, not after the program has run
                pass
        except OSError as error:
            return _fail(f"cannot write {output!r}: {error.strerror}")
        output = os.path.abspath(output)
    code = 0
    seen = Trace(tuple(options.event or ("*",)), options.limit, everywhere=True)
    try:
        with seen:
            try:
                run()
            except ProgramNotFound as error:
                code = _fail(str(error))
            except Exception as error:  # raised by the program, also if it is an OSError
                report(error)
                code = 1
            finally:
                if "cyevents._async.scheduling" in sys.modules:
                    sys.modules["cyevents._async.scheduling"].drain(10)  # the handlers that the program has scheduled
    finally:
        if output is not None:
            seen.write(output)
        elif code != 2 and sys.stderr is not None and not getattr(sys.stderr, "closed", False):
            _print_trace(seen)
    return code


def _print_trace(seen: Trace) -> None:
    if sys.stderr.isatty() and importlib.util.find_spec("rich"):
        from rich.console import Console

        Console(stderr=True, width=10_000).print(seen.tree())  # narrower ones cut off what does not fit
    else:
        _print(str(seen), sys.stderr)


def _info(options: argparse.Namespace) -> int:
    import platform
    import sysconfig
    import textwrap

    try:
        system = platform.platform()
    except RuntimeError:  # Python 3.11 starts a process for that, which some subinterpreters may not
        system = sysconfig.get_platform()
    gil_enabled = getattr(sys, "_is_gil_enabled", lambda: True)
    info: dict[str, str | bool] = {
        "version": __version__,
        "backend": _core.backend,
        "reason": _core.reason,
        "core": _core.core_file,
        "optimization": _core.optimization,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable or "",
        "platform": system,
        "free_threaded_build": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "gil_enabled": bool(gil_enabled()),
    }
    if options.json:
        import json

        print(json.dumps(info, indent=2))
        return 0
    build, gil = "yes" if info["free_threaded_build"] else "no", "on" if info["gil_enabled"] else "off"
    rows: dict[str, Any] = {
        "cyevents": info["version"],
        "backend": info["backend"],
        "reason": _core.reason,
        "core": info["core"],
        "flags": info["optimization"],
        "python": f"{info['python']} ({info['implementation']})",
        "executable": info["executable"],
        "platform": info["platform"],
        "free-threaded": f"{build} (the GIL is {gil})",
    }
    for label, value in rows.items():
        for line in textwrap.wrap(value, 64, break_long_words=False, break_on_hyphens=False):
            _print(f"{label:15}{_shorten_path(line, 64)}", sys.stdout)
            label = ""
    return 0


def _shorten_path(text: str, width: int) -> str:
    """Return a text without the middle folders of a path that does not fit. `--json` shows it in full."""
    home = os.path.expanduser("~")
    if text.startswith(home + os.sep):
        text = "~" + text[len(home) :]
    if len(text) <= width:
        return text
    return f"{text[: width // 3]}...{text[len(text) - (width - width // 3 - 3) :]}"


# Output and exit


def _print(text: str, stream: TextIO) -> None:
    """Print a text, with replacements for characters that the stream cannot encode."""
    encoding = getattr(stream, "encoding", None) or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(str.maketrans("├└│─µ", "|`|-u"))
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream)


def _fail(message: str) -> int:
    try:
        print(f"cyevents: {message}", file=sys.stderr)
    except OSError:
        pass
    return 2


def _discard_unwritten_output() -> None:
    """Keep the interpreter from failing at exit, when it writes once more what could not be written."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            if not _flush(stream):
                os.dup2(null, stream.fileno())
    except (OSError, ValueError):
        pass


def _flush(stream: TextIO | None) -> bool:
    """Flush a stream; return whether that succeeded."""
    try:
        if stream is not None:
            stream.flush()
    except OSError:
        return False
    return True


def _end_by_interrupt() -> None:
    """End the process as Ctrl-C does by default: at once, without waiting for payments that are scheduled."""
    _flush(sys.stdout)
    _flush(sys.stderr)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.raise_signal(signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
