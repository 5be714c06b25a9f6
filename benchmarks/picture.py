"""Draw the picture of speed in the README and on the site: one bar for each library, as an SVG."""

from html import escape

from .report import TIMES, nanoseconds

RACE = "**kwargs 10"  # which all of these libraries support
ROWS = {
    "cyevents": "cyevents",
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
WIDTH, LEFT, LONGEST, TOP, STEP = 480, 136, 206, 66, 29


def short(ratio):
    """Return a ratio as text, with one digit after the point below 10."""
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:.0f}"


def draw(run):
    """Return the SVG of a run."""
    race = run["races"][RACE]
    rows = [(name, label, race[name]["median"]) for name, label in ROWS.items() if name in race]
    rows.sort(key=lambda row: row[2])
    slowest = rows[-1][2]
    height = TOP + STEP * len(rows) + 34
    title = "Time of one emission to ten handlers"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' role="img" aria-labelledby="title">',
        f'<title id="title">{title}, for each library</title>',
        f"<style>{STYLE}</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="10"/>',
        f'<text class="title" x="18" y="30">{title}</text>',
        '<text class="small" x="18" y="50">Shorter is faster. In brackets: multiples of the time of cyevents.</text>',
    ]
    for number, (name, label, time) in enumerate(rows):
        middle = TOP + STEP * number + STEP / 2
        length = max(2, LONGEST * time / slowest)
        ours = name == "cyevents"
        bar, text = ("ours", "bold") if ours else ("bar", "label")
        value = nanoseconds(time) + ("" if ours else f" ({short(race[name]['times ours'])}{TIMES})")
        lines += [
            f'<text class="{text}" x="{LEFT - 12}" y="{middle + 5:g}" text-anchor="end">{escape(label)}</text>',
            f'<rect class="{bar}" x="{LEFT}" y="{middle - 9:g}" width="{length:.1f}" height="18" rx="2"/>',
            f'<text class="{text}" x="{LEFT + length + 8:.1f}" y="{middle + 5:g}">{value}</text>',
        ]
    python = run["python"].split()[1]
    foot = f"Handlers (sender, **kwargs). CPython {python}, {run['date'].split()[0]}, {run['machine'].split(',')[0]}."
    lines += [f'<text class="small" x="18" y="{height - 15}">{escape(foot)}</text>', "</svg>", ""]
    return "\n".join(lines)
