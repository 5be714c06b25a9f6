"""The comparison suite: `python -m benchmarks [--full | --brief]`, `... compare OLD NEW`, `... instructions`."""

import argparse
import contextlib
import sys
import warnings
from pathlib import Path
from time import perf_counter

RESULTS = Path(__file__).parent / "results"


def main(arguments=None):
    """Run the command line; return its exit code."""
    warnings.simplefilter("ignore", DeprecationWarning)  # of libraries older than this Python
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--full", action="store_true", help="all cases, six times as long")
    mode.add_argument("--brief", action="store_true", help="only check that all contestants are correct, without bars")
    parser.add_argument(
        "--save", type=Path, metavar="FILE", help="save the run in FILE (benchmarks/results/quick.json)"
    )
    parser.add_argument("--no-pictures", action="store_true", help="draw no pictures")
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
    options = parser.parse_args(arguments)
    if options.command == "compare":
        from . import runs

        lines, slower = runs.compare(runs.load(options.old), runs.load(options.new))
        print("\n".join(lines))
        return int(slower)
    if options.command == "instructions":
        from . import instructions

        return instructions.main(renew=options.renew)
    if options.command == "install":
        from . import install

        return install.main()
    if options.command == "report":
        from . import runs

        write(runs.load(options.run), options.run, pictures=not options.no_pictures)
        return 0
    return race(
        "full" if options.full else "brief" if options.brief else "quick", options.save, not options.no_pictures
    )


def race(mode, path, pictures):
    """Run the suite, write the results, and print which bars hold; return the exit code."""
    from . import runs
    from .suite import Suite

    start = perf_counter()
    suite = Suite(mode)
    for name, why in suite.absent.items():
        print(f"absent: {name}: {why}")
    steps = list(suite.steps())
    with progress(len(steps)) as advance:
        for description, run_step in steps:
            advance(description)
            run_step()
    command = "python -m benchmarks" + ("" if mode == "quick" else f" --{mode}")
    run = runs.summarize(suite, command)
    for name, why in run["incorrect"].items():
        print(f"incorrect: {name}: {why}")
    if mode != "brief":
        path = path or RESULTS / f"{mode}.json"
        runs.save(run, path)
        write(run, path, pictures)
        show(run)
    print(f"{len(run['races'])} races in {perf_counter() - start:.0f} s")
    if run["incorrect"]:
        return 1
    if mode == "brief":
        return 0
    return int(any(row["holds"] is False for row in run["bars"]))


def write(run, path, pictures):
    """Write the report beside the saved run."""
    from . import report

    drawn = []
    if pictures:
        try:
            drawn = report.draw(run, path.parent, path.stem)
        except ImportError as error:
            print(f"no pictures: {error}")
    text = path.with_suffix(".md")
    text.write_text(report.markdown(run, drawn), encoding="utf-8")
    print(f"written: {path}, {text}" + "".join(f", {path.parent / name}" for name, _ in drawn))


def show(run):
    """Print the bars."""
    for row in run["bars"]:
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
