"""Draw the pictures of speed, as SVGs, for the README, the site and the reports: no library is needed for that."""

import math
from html import escape

from .cases import COUNTS
from .report import REFERENCES, TIMES, nanoseconds

OURS = "cyevents"
RACE = "**kwargs 10"  # which all of these libraries support
# In the picture of costs, in lines between those of others, whose labels leave no room.
HIDDEN = ("inline loop", "psygnal emit", "Django", "eventkit", "events", "zope.event", "traitlets")
ROWS = {
    OURS: "cyevents",
    "bare loop": "a plain loop",
    "pyee": "pyee",
    "pluggy": "pluggy",
    "psygnal emit": "psygnal",
    "Django": "Django signals",
    "blinker": "blinker",
}
# The picture has a background of its own, so it is readable wherever it is shown. An SVG in an `<img>` follows the
# system's colour scheme, not that of the page around it.
STYLE = """
text { font: 15px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #24303d }
.card { fill: #f6f8fa; stroke: #d5dce3 } .title { font-weight: 600 } .small { font-size: 12.5px; fill: #566472 }
.bar { fill: #93a4b5 } .ours { fill: #d6402b } .bold { font-weight: 700 }
.line { fill: none; stroke: #93a4b5; stroke-width: 1.6 } .dashed { stroke-dasharray: 5 3 } .grid { stroke: #d5dce3 }
.ours-line { stroke: #d6402b; stroke-width: 3 } .leader { stroke: #c3ccd5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e4e9ee } .card { fill: #1b222b; stroke: #35404c } .small { fill: #a3b0bd }
  .bar { fill: #66788a } .ours { fill: #f0614c }
  .line { stroke: #66788a } .ours-line { stroke: #f0614c } .grid, .leader { stroke: #35404c }
}
"""
WIDTH, TOP, STEP = 480, 66, 29
CHARACTER = 7.9  # the width of one in a label, at most; values have up to 15


def short(ratio):
    """Return a ratio as text, with one digit after the point below 10."""
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:.0f}"


def draw(run):
    """Return the SVG of the compared libraries."""
    hint = "Shorter is faster. In brackets: multiples of the time of cyevents."
    return draw_bars(run, ROWS, "Time of one emission to ten handlers", hint, lambda time: time)


def draw_all(run):
    """Return the SVG of all contestants, on a logarithmic scale."""
    race = run["races"][RACE]
    rows = {name: name for name in race if "by name" not in name}
    fastest = min(race[name]["median"] for name in rows)
    title = "Time of one emission to ten handlers, all contestants"
    hint = "Shorter is faster. The scale is logarithmic."
    return draw_bars(run, rows, title, hint, lambda time: math.log(2 * time / fastest))


def draw_bars(run, rows, title, hint, scale):
    """Return the SVG with a bar for each row, a dict of names in the race and labels. `scale` gives their lengths."""
    race = run["races"][RACE]
    bars = sorted((race[name]["median"], name, label) for name, label in rows.items() if name in race)
    left = max(len(label) for _, _, label in bars) * CHARACTER + 28
    longest = WIDTH - left - 15 * CHARACTER - 16
    slowest = scale(bars[-1][0])
    height = TOP + STEP * len(bars) + 34
    lines = []
    for number, (time, name, label) in enumerate(bars):
        middle = TOP + STEP * number + STEP / 2
        length = longest * scale(time) / slowest
        bar, text = ("ours", "bold") if name == OURS else ("bar", "label")
        value = nanoseconds(time) + ("" if name == OURS else f" ({short(race[name]['times ours'])}{TIMES})")
        lines += [
            f'<text class="{text}" x="{left - 12:g}" y="{middle + 5:g}" text-anchor="end">{escape(label)}</text>',
            f'<rect class="{bar}" x="{left:g}" y="{middle - 9:g}" width="{length:.1f}" height="18" rx="2"/>',
            f'<text class="{text}" x="{left + length + 8:.1f}" y="{middle + 5:g}">{value}</text>',
        ]
    return card(run, height, title, hint, lines)


def card(run, height, title, hint, lines):
    """Return an SVG with a background, headings and the conditions of the run."""
    python = run["python"].split()[1]
    foot = f"Handlers (sender, **kwargs). CPython {python}, {run['date'].split()[0]}, {run['machine'].split(',')[0]}."
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' role="img" aria-labelledby="title">',
        f'<title id="title">{title}</title>',
        f"<style>{STYLE}</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="10"/>',
        f'<text class="title" x="18" y="30">{title}</text>',
        f'<text class="small" x="18" y="50">{hint}</text>',
    ]
    tail = [f'<text class="small" x="18" y="{height - 15}">{escape(foot)}</text>', "</svg>", ""]
    return "\n".join([*head, *lines, *tail])


def draw_costs(run):
    """Return the SVG of the cost by number of handlers, one line for each contestant, on logarithmic scales."""
    costs = {}
    for count in COUNTS[1:]:
        for name, row in run["races"].get(f"**kwargs {count}", {}).items():
            if "by name" not in name and name not in HIDDEN:
                costs.setdefault(name, []).append((count, row["median"]))
    values = [value for points in costs.values() for _, value in points]
    low, high = math.log10(min(values)), math.log10(max(values))
    left, right, top, bottom = 70, 246, 84, 94 + 19 * len(costs)

    def x(count):
        return left + (right - left) * math.log10(count / COUNTS[1]) / math.log10(COUNTS[-1] / COUNTS[1])

    def y(value):
        return bottom - (bottom - top) * (math.log10(value) - low) / (high - low)

    lines = []
    for power in range(math.ceil(low), math.floor(high) + 1):
        height, label = y(10**power), nanoseconds(10**power).replace(".0", "")
        lines.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{height:.1f}" y2="{height:.1f}"/>')
        lines.append(f'<text class="small" x="{left - 8}" y="{height + 4:.1f}" text-anchor="end">{label}</text>')
    for count in COUNTS[1:]:
        lines.append(f'<text class="small" x="{x(count):.1f}" y="{bottom + 20}" text-anchor="middle">{count:,}</text>')
    names = sorted(costs, key=lambda name: name == OURS)  # ours is drawn last, on top of the others
    last = COUNTS[-1]
    places = spread_labels([y(costs[name][-1][1]) for name in names], 19, bottom)
    lower = max(0, top - min(places))  # so that no label is above the lines
    places = [place + lower for place in places]
    for name, place in zip(names, places, strict=True):
        points = " ".join(f"{x(count):.1f},{y(value):.1f}" for count, value in costs[name])
        kind = "line ours-line" if name == OURS else "line dashed" if name in REFERENCES else "line"
        value = costs[name][-1][1]
        lines += [
            f'<polyline class="{kind}" points="{points}"/>',
            f'<line class="leader" x1="{right + 3}" y1="{y(value):.1f}" x2="{right + 20}" y2="{place - 5:.1f}"/>',
            f'<text class="{"bold" if name == OURS else "label"}" x="{right + 24}" y="{place:.1f}">'
            f"{escape(name)}  {nanoseconds(value / last)}</text>",
        ]
    hint = f"On the right: the time for each of {last:,} handlers. Logarithmic scales."
    return card(run, bottom + 58, "Time of one emission, by number of handlers", hint, lines)


def spread_labels(places, gap, top=float("inf")):
    """Return positions for labels, in order, a gap apart and below the top, each as near as possible to its own."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    blocks = []  # of labels that touch: their middle, and their indices
    for index in order:
        blocks.append([places[index], [index]])
        while len(blocks) > 1:
            (low, lower), (high, upper) = blocks[-2:]
            if high - low >= gap * (len(lower) + len(upper)) / 2:
                break
            size = len(lower) + len(upper)
            blocks[-2:] = [[(low * len(lower) + high * len(upper)) / size, lower + upper]]
    result = [0.0] * len(places)
    for middle, members in blocks:
        for number, index in enumerate(members):
            result[index] = middle + gap * (number - (len(members) - 1) / 2)
    for index in reversed(order):
        result[index] = top = min(result[index], top)
        top -= gap
    return result
