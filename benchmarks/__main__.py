"""The comparison suite: `python -m benchmarks [--full | --brief]`, `... compare OLD NEW`, `... publish`."""

import argparse
import contextlib
import sys
import warnings
from pathlib import Path
from time import perf_counter

from . import runs

RESULTS = Path(__file__).parent / "results"


def main(arguments=None):
    """Run the command line; return its exit code."""
    warnings.simplefilter("ignore", DeprecationWarning)  # of libraries older than this Python
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--full", action="store_true", help="all cases, six times as long")
    mode.add_argument("--brief", action="store_true", help="only check that all contestants are correct, without bars")
    parser.add_argument(
        "--save",
        type=Path,
        metavar="FILE",
        help=f"save the run in FILE (default: benchmarks/results/{runs.python_tag()}.json, named after this Python)",
    )
    parser.add_argument("--no-pictures", action="store_true", help="draw no pictures")
    parser.add_argument("--only", metavar="WORDS", help="run only the steps that have WORDS in their names")
    parser.add_argument("--scale", type=float, default=1.0, metavar="FACTOR", help="make the run shorter or longer")
    parser.add_argument("--list", action="store_true", help="print the steps and about how long they take, run none")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    compare = commands.add_parser("compare", help="report what changed between two saved runs, beyond the noise")
    compare.add_argument("old", metavar="OLD")
    compare.add_argument("new", metavar="NEW")
    count = commands.add_parser(
        "instructions", help="count instructions under valgrind, and compare with the saved figures"
    )
    count.add_argument("--renew", action="store_true", help="save the new figures")
    redraw = commands.add_parser("report", help="write the table and the pictures of a saved run again")
    redraw.add_argument("run", metavar="RUN", type=Path)
    commands.add_parser(
        "install", help="install the other libraries one by one, and report those that do not install on this Python"
    )
    commands.add_parser("publish", help="write the figures of the saved runs into README.md and docs/performance.md")
    options = parser.parse_args(arguments)
    if options.command == "compare":
        lines, slower = runs.compare(runs.load(options.old), runs.load(options.new))
        print("\n".join(lines))
        return int(slower)
    if options.command == "instructions":
        from . import instructions

        return instructions.main(renew=options.renew)
    if options.command == "install":
        from . import install

        return install.main()
    if options.command == "publish":
        from . import publish

        return publish.main()
    if options.command == "report":
        write(runs.load(options.run), options.run, pictures=not options.no_pictures)
        return 0
    return race(options)


def race(options):
    """Run the suite, write the results, and print which bars hold; return the exit code."""
    from .suite import Suite

    start = perf_counter()
    mode = "full" if options.full else "brief" if options.brief else "quick"
    suite = Suite(mode, options.scale)
    for name, why in suite.absent.items():
        print(f"absent: {name}: {why}")
    steps = [step for step in suite.steps() if (options.only or "") in step.description]
    if options.list:
        for step in steps:
            print(f"{step.seconds:7.1f} s  {step.description}")
    print(f"{len(steps)} steps take about {duration(sum(step.seconds for step in steps))}", flush=True)
    if options.list:
        return 0
    with progress(len(steps)) as advance:
        for step in steps:
            advance(step.description)
            suite.run(step)
    command = "python -m benchmarks" + ("" if mode == "quick" else f" --{mode}")
    run = runs.summarize(suite, command)
    for name, why in run["incorrect"].items():
        print(f"incorrect: {name}: {why}")
    whole = mode != "brief" and not options.only and options.scale >= 1
    if whole or options.save:
        path = options.save or RESULTS / f"{runs.python_tag()}.json"
        runs.save(run, path)
        write(run, path, not options.no_pictures)
    if mode != "brief":
        show(run, only_measured=bool(options.only))
    taken = perf_counter() - start
    print(f"{len(run['races'])} races in {duration(taken)}")
    if run["incorrect"]:
        return 1
    return int(mode != "brief" and any(row["holds"] is False for row in run["bars"]))


def duration(seconds):
    """Return a duration as text."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def write(run, path, pictures):
    """Write the report beside the saved run."""
    from . import picture, report

    drawn = []
    if pictures:
        for which, draw, words in (
            ("handlers", picture.draw_costs, "Time of one emission by number of handlers, for each library"),
            ("libraries", picture.draw_all, "Time of one emission to ten handlers, all contestants"),
        ):
            file = path.with_name(f"{path.stem}-{which}.svg")
            file.write_text(draw(run), encoding="utf-8")
            drawn.append((file.name, words))
    text = path.with_suffix(".md")
    text.write_text(report.markdown(run, drawn), encoding="utf-8")
    print(f"written: {path}, {text}" + "".join(f", {path.parent / name}" for name, _ in drawn))


def show(run, only_measured=False):
    """Print the bars, or only those for which something was measured."""
    for row in run["bars"]:
        if only_measured and row["worst"] is None:
            continue
        verdict = {True: "holds", False: "DOES NOT HOLD", None: "-"}[row["holds"]]
        value = "" if row["worst"] is None else f"{row['worst']:.2f}"
        print(f"{row['what']:<62} {row['limit']:>7} {value:>7}  {verdict:<13} {row['where']}")


@contextlib.contextmanager
def progress(total):
    """Show a progress bar if rich is installed, else a line for each step."""
    try:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    except ImportError:
        yield lambda what: print(f"  {what}", file=sys.stderr)
        return
    columns = (TextColumn("{task.description:<36}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, auto_refresh=False, transient=True
    ) as bar:  # no thread of its own, which would disturb the timing
        task = bar.add_task("", total=total)
        done = -1

        def advance(what):
            nonlocal done
            done += 1
            bar.update(task, completed=done, description=what)
            bar.refresh()

        yield advance


if __name__ == "__main__":
    sys.exit(main())
