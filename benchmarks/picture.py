"""Draw pictures of speed, as SVGs with one bar for each library: for the README, the site and the reports."""

import math
from html import escape

from .report import TIMES, nanoseconds

OURS = "cyevents"
RACE = "**kwargs 10"  # which all of these libraries support
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
@media (prefers-color-scheme: dark) {
  text { fill: #e4e9ee } .card { fill: #1b222b; stroke: #35404c } .small { fill: #a3b0bd }
  .bar { fill: #66788a } .ours { fill: #f0614c }
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
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' role="img" aria-labelledby="title">',
        f'<title id="title">{title}</title>',
        f"<style>{STYLE}</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="10"/>',
        f'<text class="title" x="18" y="30">{title}</text>',
        f'<text class="small" x="18" y="50">{hint}</text>',
    ]
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
    python = run["python"].split()[1]
    foot = f"Handlers (sender, **kwargs). CPython {python}, {run['date'].split()[0]}, {run['machine'].split(',')[0]}."
    lines += [f'<text class="small" x="18" y="{height - 15}">{escape(foot)}</text>', "</svg>", ""]
    return "\n".join(lines)
