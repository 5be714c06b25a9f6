"""Write the Markdown report of a run."""

from .cases import COUNTS, TITLES

TIMES = "\N{MULTIPLICATION SIGN}"
PERCENTILES = ("p50", "p99", "p99.9", "p99.99")
AWAITED = {
    "through": "do not suspend",
    "suspending": "suspend once",
    "priorities through": "do not suspend, each with a priority of its own",
    "priorities suspending": "suspend once, each with a priority of its own",
    "one by one through": "do not suspend, awaited one after the other",
    "one by one suspending": "suspend once, awaited one after the other",
    "sync handlers": "are not async",
}
REFERENCES = ("the floor", "bare loop", "inline loop", "hand-written")


def nanoseconds(value):
    """Return a time as text, in the unit that fits."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if value >= size * 10 or (unit == "s" and value >= size):
            return f"{value / size:,.{0 if value >= 100 * size else 1}f} {unit}"
    return f"{value:,.0f} ns"


def table(header, rows):
    """Yield the lines of a Markdown table, the first column left-aligned and the others right-aligned."""
    yield "| " + " | ".join(header) + " |"
    yield "|---|" + "---:|" * (len(header) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def bars_table(run):
    """Return the table of the bars."""
    words = {True: "holds", False: "**does not hold**", None: "-"}
    rows = []
    for row in run["bars"]:
        value = "-" if row["worst"] is None else f"{row['worst']:.2f}"
        rows.append((row["what"], row["limit"], value, words[row["holds"]], row["where"].replace("|", "\\|")))
    return list(table(("what", "bar", "measured", "", "worst case, or why there is none"), rows))


def emission_table(run, kind, unit=nanoseconds):
    """Return a table of medians and fastest rounds of one kind of emission, by number of handlers."""
    races = {count: run["races"].get(f"{kind} {count}", {}) for count in COUNTS}
    races = {count: race for count, race in races.items() if race}
    return race_table(races, unit)


def race_table(races, unit=nanoseconds):
    """Return a table of medians and fastest rounds of races by the headings of their columns."""
    names = {}
    for race in races.values():
        for name, row in race.items():
            names[name] = row["median"]
    rows = []
    for name in sorted(names, key=names.get):
        cells = [race.get(name) for race in races.values()]
        rows.append(
            [name, *("" if cell is None else f"{unit(cell['median'])} ({unit(cell['minimum'])})" for cell in cells)]
        )
    return list(table(("", *map(str, races)), rows))


def memory_table(run):
    """Return the table of bytes per connection and per emitter."""
    emitters = run["races"].get("memory, emitter", {})
    rows = sorted(run["races"]["memory"].items(), key=lambda row: row[1]["median"])
    cells = [
        (name, f"{row['median']:,.0f}", f"{emitters[name]['median']:,.0f}" if name in emitters else "")
        for name, row in rows
    ]
    return list(table(("bytes", "of a connection", "of an emitter"), cells))


def tail_table(run, names=None):
    """Return the table of the tail: the percentiles of each contestant, quiet and beside changes."""
    races = {percentile: run["races"][f"tail, {percentile}"] for percentile in PERCENTILES}
    rows = []
    for name in sorted(races["p99.9"], key=lambda name: races["p50"][name]["median"]):
        base = name.removesuffix(", changing")
        if name.endswith(", changing") or (names and base not in names):
            continue
        for label, shown in ((name, name), (f"{name}, changing", f"{name}, beside changes")):
            if label in races["p50"]:
                rows.append((shown, *(nanoseconds(race[label]["median"]) for race in races.values())))
    return list(table(("", *PERCENTILES), rows))


def allocation_table(run, names=None):
    """Return the table of what an emission allocates and how many collections a million of them start."""
    columns = {
        "blocks in use inside a handler": "tail, blocks",
        "bytes allocated at the peak": "tail, bytes",
        "collections per million": "tail, collections",
    }
    races = [run["races"][race] for race in columns.values()]
    rows = [
        (name, *(f"{race[name]['median']:,.0f}" for race in races)) for name in races[0] if not names or name in names
    ]
    return list(table(("", *columns), rows))


def tail_section(run):
    """Return the lines about the tail, or none."""
    if "tail, p99.9" not in run["races"]:
        return []
    clock = run["races"]["tail, clock"]["the clock"]["median"]
    changes = [row["median"] for row in run["races"]["tail, changes a second"].values()]
    emissions = [row["median"] for row in run["races"]["tail, emissions"].values()]
    return [
        "The tail: ten handlers `(sender)`, garbage collection on, each emission timed by itself, quiet and while"
        f" another thread connects and disconnects a handler ({min(changes):,.0f} to {max(changes):,.0f} changes a"
        f" second). From {min(emissions):,.0f} to {max(emissions):,.0f} emissions each, medians over the rounds. The"
        f" {clock:.0f} ns that the clock takes are subtracted:",
        "",
        *tail_table(run),
        "",
        "What such an emission allocates, its list of results included:",
        "",
        *allocation_table(run),
        "",
    ]


def markdown(run, pictures=()):
    """Return the report."""
    lines = [
        "# What an emission costs",
        "",
        f"`{run['command']}`, {run['date']}, {run['python']}, cyevents {run['cyevents']}, on {run['machine']}.",
        "",
        "A thousand emissions per round (fewer if they take long), contestants interleaved, garbage collection off."
        " Medians, and in brackets the fastest round, per emission. Each contestant was checked before it was timed: it"
        " called every handler once, with the emitted arguments, and returned the results if it returns any."
        " Blank: the library does not support the case. Ratios are medians of the ratios within each round.",
        "",
    ]
    for picture, text in pictures:
        lines += [f"![{text}]({picture})", ""]
    lines += ["## The bars", "", *bars_table(run), "", "## Emission", ""]
    for kind, title in TITLES.items():
        rows = emission_table(run, kind)
        if len(rows) > 2:
            lines += [f"By number of handlers, {title}:", "", *rows, ""]
    others = {name: race for name, race in run["races"].items() if name.startswith("sender ")}
    if others:
        lines += [f"One handler, {TITLES['sender']}:", "", *race_table(others), ""]
    groups = {
        "The harness, included in all figures: its loop, and the loop with a call of the builtin `id`": ["harness"],
        "For one sender, by number of other senders": [
            name for name in run["races"] if name.startswith("among senders")
        ],
        "Per connection, 1,000 to one event": ["connect", "disconnect"],
        "One handler, by how the emission is written": ["lookup"],
        "An event of an object, by number of handlers": ["bound"],
        "Connect, emit, disconnect": ["churn"],
        "The emission after one `connect`, by number of handlers": [
            name for name in run["races"] if name.startswith("after a connect")
        ],
        "The first and the second emission of a sender that has a handler of its own, beside ten handlers for any": [
            "first emission"
        ],
        "A new sender for each request (connect, emit, drop), by number of live senders": ["request"],
        "Per connection, by number of connections to one event": ["million"],
        "10,000 patterns, by how many match": [name for name in run["races"] if name.startswith("wildcards")],
        "Threads that emit at the same time, ten handlers, per emission of a thread": ["threads"],
    }
    groups |= {
        "From a thread to the handlers in another, through a mailbox or a queue, by number of handlers": [
            name for name in run["races"] if name.startswith("mailbox ") and "latency" not in name
        ],
        "From the emission to the handler in another thread that sleeps": [
            name for name in run["races"] if name.startswith("mailbox latency")
        ],
        "The same through an executor or an event loop, and from the emission to a handler there": [
            name for name in run["races"] if name.startswith(("executor ", "loop "))
        ],
    }
    for title, names in groups.items():
        races = {name: run["races"][name] for name in names if name in run["races"]}
        if races:
            lines += [f"{title}:", "", *race_table(races), ""]
    lines += tail_section(run)
    for loop in ("asyncio", "uvloop"):
        for kind, words in AWAITED.items():
            start = f"async, {kind}, {loop} "
            races = {name.removeprefix(start): race for name, race in run["races"].items() if name.startswith(start)}
            if races:
                lines += [f"Awaited, handlers that {words}, {loop}, by number of handlers:", "", *race_table(races), ""]
    for what, words in (("requests", "a request"), ("signals alone", "only the signals of a request")):
        start = f"Flask, {what}, "
        races = {name.removeprefix(start): race for name, race in run["races"].items() if name.startswith(start)}
        if races:
            title = f"A Flask application over either library, {words}, by number of receivers for each of its signals"
            lines += [f"{title}:", "", *race_table(races), ""]
    if "memory" in run["races"]:
        lines += ["Memory: of a connection, 10,000 to one event, without the handlers; of an emitter without any:", ""]
        lines += [*memory_table(run), ""]
    if "import" in run["races"]:
        rows = sorted(run["races"]["import"].items(), key=lambda row: row[1]["median"])
        lines += ["Cold import:", ""]
        lines += table(
            ("", "time", "modules"),
            [(name, nanoseconds(row["median"]), str(run["imported"].get(name, ""))) for name, row in rows],
        )
        lines.append("")
    lines += ["## Contestants", ""]
    lines += [f"- {name}: {note}" for name, note in run["notes"].items() if note]
    lines += ["", "Versions: " + ", ".join(f"{name} {version}" for name, version in run["versions"].items()) + ".", ""]
    for title, rows in (("Absent", run["absent"]), ("Skipped", run["skipped"]), ("Incorrect", run["incorrect"])):
        if rows:
            lines += [f"{title}:", "", *(f"- {name}: {why}" for name, why in rows.items()), ""]
    return "\n".join(lines).rstrip() + "\n"
