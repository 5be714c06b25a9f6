"""A run as it is saved, and two of them compared."""

import json
import os
import platform
import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path

from . import bars

NOISE = 0.10  # smaller differences say nothing, on any machine


def machine():
    """What processor this is, in a few words."""
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return f"{model}, {os.cpu_count()} processors, {platform.system()} {platform.machine()}"


def summed_up(race):
    """A race as saved: of each contestant the median, the fastest round, the quartiles and the number of rounds."""
    result = {}
    for name, laps in race.times.items():
        values = sorted(laps.values())
        low, _, high = statistics.quantiles(values, n=4) if len(values) > 1 else (values[0],) * 3
        result[name] = {
            "median": statistics.median(values),
            "minimum": values[0],
            "low": low,
            "high": high,
            "rounds": len(values),
        }
        if name != bars.OURS and bars.OURS in race and race.median(bars.OURS):
            result[name]["times ours"] = race.ratio(name, bars.OURS)
    return result


def of(suite, command):
    """What there is to keep of a suite that has run."""
    import cyevents

    return {
        "command": command,
        "form": suite.form,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "python": f"{platform.python_implementation()} {platform.python_version()} ({platform.python_compiler()})",
        "cyevents": f"{cyevents.__version__} ({cyevents.backend})",
        "versions": {one.distribution: one.version for one in suite.present.values() if one.distribution},
        "notes": {one.name: one.note for one in suite.present.values()},
        "absent": suite.absent,
        "skipped": suite.skipped,
        "wrong": suite.wrong,
        "imported": {name: len(modules) for name, modules in suite.imported.items()},
        "races": {name: summed_up(race) for name, race in suite.races.items()},
        "bars": bars.checked(suite.races),
    }


def save(run, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load(path):
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"{path} is no saved run: {error}")


def compare(old, new):
    """Lines that tell what has become slower or faster, beyond the noise; and whether cyevents is slower anywhere.

    How fast the machine was is taken out: by what the other libraries, which have not changed, took then and now.
    The noise band is 10 %, or how far the quartiles of either run are from its median, if that is more.
    """
    changes = {}
    for name in sorted(old["races"].keys() & new["races"].keys()):
        before, after = old["races"][name], new["races"][name]
        for who in before.keys() & after.keys():
            if before[who]["median"] and after[who]["median"] and name != "import brings":
                band = max(
                    NOISE, *((each["high"] - each["low"]) / 2 / each["median"] for each in (before[who], after[who]))
                )
                changes[name, who] = after[who]["median"] / before[who]["median"], band
    others = [change for (name, who), (change, _) in changes.items() if "cyevents" not in who and name != "memory"]
    machine_factor = statistics.median(others) if others else 1.0
    lines = [
        f"old: {old['date']}, {old['python']}, cyevents {old['cyevents']}, {old['machine']}",
        f"new: {new['date']}, {new['python']}, cyevents {new['cyevents']}, {new['machine']}",
        f"The other libraries took {machine_factor:.2f} times as long as then: that is taken out.",
        "",
        "| race | who | new / old | noise band | |",
        "|---|---|---:|---:|---|",
    ]
    slower = False
    quiet = 0
    for (name, who), (change, band) in changes.items():
        if not (who.startswith("cyevents") or name == "million"):
            continue
        if name != "memory":
            change /= machine_factor
        if 1 / (1 + band) <= change <= 1 + band:
            quiet += 1
            continue
        slower |= change > 1
        lines.append(f"| {name} | {who} | {change:.2f} | ±{band:.0%} | {'SLOWER' if change > 1 else 'faster'} |")
    lines += ["", f"{quiet} of cyevents' figures are within their noise bands."]
    return lines, slower
