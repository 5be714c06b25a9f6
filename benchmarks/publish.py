"""Write the figures of the saved runs into the pages that show them: `python -m benchmarks publish`.

A page has a block of figures between `<!-- figures: NAME -->` and `<!-- end of figures -->`. The function of that name
in `BLOCKS` renews the text between the two from the runs in `results/`. The README's comparison of libraries is not a
block: only its last row has figures. The picture of speed is drawn here too.
"""

import re
from pathlib import Path

from . import picture, runs
from .report import REFERENCES, TIMES, allocation_table, nanoseconds, table, tail_table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = ("README.md", "docs/index.md", "docs/performance.md", "docs/blinker.md")
BLOCK = re.compile(r"(?s)(<!-- figures: ([a-z ]+) -->\n).*?(<!-- end of figures -->)")
OURS = "cyevents"
KINDS = {"plain": "`(sender)`", "**kwargs": "`(sender, **kwargs)`", "keywords": "with two keywords"}
SPEED_PICTURE = ROOT / "docs" / "assets" / "speed.svg"
SPEED_ROWS = ("the floor", OURS, "bare loop", "pyee", "psygnal emit", "blinker")
COMPARED = (OURS, "blinker", "psygnal emit", "Django", "pyee", "pluggy")
COMPARED_LABEL = "| Ten handlers, `**kwargs` | "
COMPARED_ROW = re.compile(rf"(?m)^{re.escape(COMPARED_LABEL)}.*$")
TAIL_ROWS = ("the floor", OURS, "bare loop", "hand-written", "atom", "dust-riven", "pyee", "psygnal emit", "blinker")
BASELINES = (*REFERENCES, "awaited in turn", "asyncio.gather", "eager tasks")  # which are no libraries
MISSING = "No such run is saved yet."


def load_runs():
    """Return the saved runs by Python, the oldest first."""

    def order(tag):
        return [int(part) for part in tag.removesuffix("t").split(".")], tag

    return {
        tag: runs.load(RESULTS / f"{tag}.json") for tag in sorted((p.stem for p in RESULTS.glob("*.json")), key=order)
    }


def with_gil(saved):
    """Return the runs of the builds with a GIL, which are compared with each other."""
    return {tag: run for tag, run in saved.items() if not tag.endswith("t")}


def median(run, race, name=OURS):
    """Return a median, or None if it was not measured."""
    row = run["races"].get(race, {}).get(name)
    return None if row is None else row["median"]


def times(run, race, name, other=OURS):
    """Return how many times as long as another contestant one takes, or None."""
    first, second = run["races"].get(race, {}).get(name), run["races"].get(race, {}).get(other)
    if first is None or second is None:
        return None
    if other == OURS and "times ours" in first:
        return first["times ours"]
    if name == OURS and second.get("times ours"):
        return 1 / second["times ours"]
    return first["median"] / second["median"]


def cell(value, form=nanoseconds):
    return "" if value is None else form(value)


def ratio(value):
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def python_table(saved, rows):
    """Return a table with a row for each label and function of a run, and a column for each Python; empty rows go."""
    lines = []
    for label, measure in rows:
        cells = [measure(run) for run in saved.values()]
        if any(cells):
            lines.append((label, *(each or "" for each in cells)))
    return list(table(("", *saved), lines)) if lines else [MISSING]


def conditions(saved, folder):
    """Return the sentence about the machine, the versions and the days of the runs."""
    parts = []
    for tag, run in saved.items():
        build, day = run["python"].split()[1], run["date"].split()[0]
        parts.append(f"[{build}{'t' if tag.endswith('t') else ''}]({folder}/{tag}.md) of {day}")
    machine = next(iter(saved.values()))["machine"]
    return f"Medians. CPython {', '.join(parts)}, on {machine}, where differences under 10 % are noise."


def newest(saved):
    """Return the tag and the run of the newest Python with a GIL."""
    return list(with_gil(saved).items())[-1]


def speed(saved, folder):
    """Return the six rows of the README, of the newest Python."""
    tag, run = newest(saved)
    races = {
        "1 handler": "plain 1",
        "10 handlers": "plain 10",
        "10 handlers, `**kwargs`": picture.RACE,
        "10 handlers, two keywords": "keywords 10",
    }
    rows = [
        (f"**{name}**" if name == OURS else name, *(cell(median(run, race, name)) for race in races.values()))
        for name in SPEED_ROWS
    ]
    return [*table(("", *races), rows), "", conditions({tag: run}, folder)]


def speed_picture(saved, folder):
    """Return the picture of speed."""
    link = "assets/speed.svg" if folder.startswith("..") else "docs/assets/speed.svg"
    return [f"[![Time of one emission to ten handlers, for each library]({link})]({link})"]


def compared(saved):
    """Return the last row of the README's comparison: times of the newest Python."""
    _, run = newest(saved)
    return f"{COMPARED_LABEL}{' | '.join(cell(median(run, picture.RACE, name)) for name in COMPARED)} |"


def pictures(saved, folder):
    """Return both pictures of the newest Python."""
    return [
        picture_line(saved, folder, "handlers", "Time of one emission by number of handlers, for each library"),
        "",
        picture_line(saved, folder, "libraries", "Time of one emission to ten handlers, all contestants"),
    ]


def picture_line(saved, folder, which, text):
    path = f"{folder}/{newest(saved)[0]}-{which}.svg"
    return f"[![{text}]({path})]({path})"


def emission(saved, folder):
    """Return the times of ten handlers, for each library, kind of handler and Python."""
    saved = with_gil(saved)
    names = {}
    for run in saved.values():
        for kind in KINDS:
            for name, row in run["races"].get(f"{kind} 10", {}).items():
                names.setdefault(name, row["median"])
    lines = []
    for kind, title in KINDS.items():
        rows = [
            (name, lambda run, kind=kind, name=name: cell(median(run, f"{kind} 10", name)))
            for name in sorted(names, key=names.get)
        ]
        lines += [f"Ten handlers, {title}:", "", *python_table(saved, rows), ""]
    return [*lines, conditions(saved, folder)]


def loops(saved, folder):
    """Return the times of cyevents as multiples of those of the two bare loops."""
    rows = [
        (
            f"{count} handler{'s' * (count > 1)}, {title}, over the {loop}",
            lambda run, kind=kind, count=count, loop=loop: cell(times(run, f"{kind} {count}", OURS, loop), ratio),
        )
        for loop in ("bare loop", "inline loop")
        for kind, title in KINDS.items()
        for count in (1, 10, 100)
    ]
    return python_table(with_gil(saved), rows)


def features(saved, folder):
    """Return what each feature costs."""

    def each(kind, less=None):
        """Return the time of each further handler, without that of another kind."""

        def measure(run):
            many, few = median(run, f"{kind} 100"), median(run, f"{kind} 10")
            if many is None or few is None:
                return None
            return (many - few) / 90 - (measure_each(run, less) if less else 0)

        return measure

    def measure_each(run, kind):
        return each(kind)(run) or 0

    def one(race, name=OURS):
        return lambda run: median(run, race, name)

    def more(race, name, other):
        def measure(run):
            first, second = median(run, race, name), median(run, race, other)
            return None if first is None or second is None else max(0, first - second)

        return measure

    def text(measure, form=nanoseconds):
        return lambda run: cell(measure(run), form)

    def size(value):
        return f"{value:,.0f} bytes"

    return python_table(
        with_gil(saved),
        [
            ("an emission without handlers", text(one("plain 0"))),
            ("each handler `(sender)`", text(each("plain"))),
            ("each handler `(sender, **kwargs)`", text(each("**kwargs"))),
            ("the same handler, with two keywords", text(each("keywords"))),
            ("each method of an object, held weakly", text(each("methods"))),
            ("a condition: its call", text(each("condition true", "plain"))),
            ("`event.emit(s)` instead of a kept `emit`", text(more("lookup", "event.emit(s)", "bound(s)"))),
            ("one handler for one sender, among a million", text(one("among senders", "cyevents, 1,000,000"))),
            ("the same, if senders are texts", text(one("among senders", "cyevents, 1,000,000 (str)"))),
            ("one handler for any sender", text(one("among senders", "cyevents, any sender"))),
            ("emitting by name instead of by `Event`", text(more("by name 1", "cyevents by name", OURS))),
            ("one handler, beside 10,000 patterns that do not match", text(one("wildcards, none"))),
            ("`connect`", text(one("connect"))),
            ("`disconnect`", text(one("disconnect"))),
            ("connect, emit, disconnect", text(one("churn"))),
            (
                "the first emission of a sender with a handler of its own",
                text(one("first emission", "cyevents, first")),
            ),
            ("`emit_async`, one handler that does not suspend", text(one("async, through, asyncio 1"))),
            ("`emit_async`, one handler that suspends once", text(one("async, suspending, asyncio 1"))),
            ("each further handler that suspends", text(each("async, suspending, asyncio"))),
            ("`emit_async`, ten sync handlers", text(one("async, sync handlers, asyncio 10"))),
            ("an event, in memory", text(one("memory, emitter"), size)),
            ("a connection, in memory", text(one("memory"), size)),
            ("`import cyevents`", text(one("import"))),
        ],
    )


def others(saved, folder):
    """Return where other libraries are faster, each case with the fastest library of each Python."""
    cases = {
        "ten handlers `(sender)`": "plain 10",
        "awaiting one handler that does not suspend": "async, through, asyncio 1",
        "awaiting one handler that suspends": "async, suspending, asyncio 1",
        "awaiting ten handlers that do not suspend": "async, through, asyncio 10",
        "awaiting ten handlers that suspend": "async, suspending, asyncio 10",
        "awaiting ten handlers of different priorities that suspend": "async, priorities suspending, asyncio 10",
        "connect": "connect",
        "disconnect": "disconnect",
        "connect, emit, disconnect": "churn",
        "memory of a connection": "memory",
        "memory of an event": "memory, emitter",
        "cold import": "import",
    }

    def fastest(race):
        def measure(run):
            found = {
                name: value
                for name in run["races"].get(race, {})
                if not name.startswith("cyevents")
                and name not in BASELINES
                and (value := times(run, race, name)) is not None
            }
            if not found:
                return None
            name = min(found, key=found.get)
            return f"{name}: {ratio(found[name])}{TIMES}" if found[name] < 0.95 else "none"

        return measure

    return python_table(with_gil(saved), [(label, fastest(race)) for label, race in cases.items()])


def tail(saved, folder):
    """Return the table of the tail, for each Python that was measured."""
    lines = []
    for tag, run in saved.items():
        if "tail, p99.9" in run["races"]:
            lines += [f"CPython {tag}:", "", *tail_table(run, TAIL_ROWS), ""]
    measured = [run for run in saved.values() if "tail, blocks" in run["races"]]
    if not measured:
        return [MISSING]
    return [*lines, "What an emission allocates:", "", *allocation_table(measured[-1], TAIL_ROWS)]


def threads(saved, folder):
    """Return the times of threads that emit at the same time, as multiples of those of one thread."""
    for run in reversed(saved.values()):
        race = run["races"].get("threads")
        if race:
            break
    else:
        return [MISSING]
    settings = list(dict.fromkeys(name.partition(", ")[2] for name in race))
    rows = []
    for name in dict.fromkeys(name.partition(", ")[0] for name in race):
        alone = race[f"{name}, {settings[0]}"]["median"]
        several = [race[f"{name}, {setting}"]["median"] / alone for setting in settings[1:]]
        rows.append((name, nanoseconds(alone), *map(ratio, several)))
    return [
        *table(("an emission to ten handlers", *settings), rows),
        "",
        f"CPython {run['python'].split()[1]}, free-threaded, {run['date'].split()[0]}. The columns for two threads are"
        " multiples of the time that an emission takes in one: 1 if the threads do not disturb each other.",
    ]


def drop_in(saved, folder):
    """Return how many times as long as `cyevents.blinker` blinker takes."""
    rows = [
        (
            f"{count} receiver{'s' * (count > 1)}, {title}",
            lambda run, kind=kind, count=count: cell(
                times(run, f"{kind} {count}", "blinker", "cyevents.blinker"), lambda value: f"{value:.1f}{TIMES}"
            ),
        )
        for kind, title in KINDS.items()
        for count in (1, 10)
    ]
    return python_table(with_gil(saved), rows)


BLOCKS = {
    "speed": speed,
    "picture": speed_picture,
    "pictures": pictures,
    "emission": emission,
    "loops": loops,
    "features": features,
    "others": others,
    "tail": tail,
    "threads": threads,
    "drop in": drop_in,
}


def fill(text, saved, folder):
    """Return a page with its blocks of figures renewed."""

    def renew(found):
        lines = BLOCKS[found[2]](saved, folder)
        return f"{found[1]}\n" + "\n".join(lines).strip() + f"\n\n{found[3]}"

    return COMPARED_ROW.sub(lambda _: compared(saved), BLOCK.sub(renew, text))


def main():
    """Renew all pages and the picture of speed; return the exit code."""
    saved = load_runs()
    new = {SPEED_PICTURE: picture.draw(newest(saved)[1])}
    for name in PAGES:
        folder = "benchmarks/results" if "/" not in name else "../benchmarks/results"
        new[ROOT / name] = fill((ROOT / name).read_text(encoding="utf-8"), saved, folder)
    for path, text in new.items():
        changed = not path.exists() or text != path.read_text(encoding="utf-8")
        path.write_text(text, encoding="utf-8")
        print(f"{'changed' if changed else 'unchanged'}: {path.relative_to(ROOT).as_posix()}")
    return 0
