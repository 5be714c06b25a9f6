"""Save, load and compare runs."""

import json
import os
import platform
import statistics
import sys
import sysconfig
from datetime import UTC, datetime
from pathlib import Path

from . import bars

NOISE = 0.10  # smaller differences are noise on any machine


def python_tag():
    """Return the name of this Python's results: "3.14", or "3.14t" if it is free-threaded."""
    free_threaded = sysconfig.get_config_var("Py_GIL_DISABLED")
    return f"{sys.version_info.major}.{sys.version_info.minor}" + ("t" if free_threaded else "")


def describe_machine():
    """Return the processor, the number of processors and the system."""
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return f"{model}, {os.cpu_count()} processors, {platform.system()} {platform.machine()}"


def summarize_race(race):
    """Return by contestant the median, the fastest round, the quartiles and the number of rounds of a race."""
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
        if name != bars.OURS and bars.OURS in race and all(race.times[bars.OURS].values()):
            result[name]["times ours"] = race.ratio(name, bars.OURS)
    return result


def summarize(suite, command):
    """Return the results of a suite that has run, as data to be saved."""
    import cyevents

    return {
        "command": command,
        "mode": suite.mode,
        "seconds": {description: round(taken, 2) for description, taken in suite.taken.items()},
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": describe_machine(),
        "python": f"{platform.python_implementation()} {platform.python_version()} ({platform.python_compiler()})",
        "cyevents": f"{cyevents.__version__} ({cyevents.backend})",
        "versions": {one.distribution: one.version for one in suite.present.values() if one.distribution},
        "notes": {one.name: one.note for one in suite.present.values()},
        "absent": suite.absent,
        "skipped": suite.skipped,
        "incorrect": suite.incorrect,
        "imported": {name: len(modules) for name, modules in suite.imported.items()},
        "races": {name: summarize_race(race) for name, race in suite.races.items()},
        "bars": bars.check(suite.races),
    }


def save(run, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load(path):
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"{path} is not a saved run: {error}")


def compare(old, new):
    """Return lines that report what is slower or faster beyond the noise, and whether cyevents is slower anywhere.

    Times are divided by how much slower the other libraries, which have not changed, are in the new run: that is the
    speed of the machine. The noise band is 10 %, or half the distance of a run's quartiles if that is more.
    """
    changes = {}
    for name in sorted(old["races"].keys() & new["races"].keys()):
        if name.startswith(
            ("tail, ", "mailbox latency, ", "executor latency, ", "loop latency, ")
        ):  # which is noise between two runs: its bars compare contestants of one run
            continue
        before, after = old["races"][name], new["races"][name]
        for contestant in before.keys() & after.keys():
            if before[contestant]["median"] and after[contestant]["median"] and name != "import brings":
                band = max(
                    NOISE,
                    *(
                        (each["high"] - each["low"]) / 2 / each["median"]
                        for each in (before[contestant], after[contestant])
                    ),
                )
                changes[name, contestant] = after[contestant]["median"] / before[contestant]["median"], band
    others = [
        change
        for (name, contestant), (change, _) in changes.items()
        if "cyevents" not in contestant and not name.startswith("memory")
    ]
    machine_factor = statistics.median(others) if others else 1.0
    lines = [
        f"old: {old['date']}, {old['python']}, cyevents {old['cyevents']}, {old['machine']}",
        f"new: {new['date']}, {new['python']}, cyevents {new['cyevents']}, {new['machine']}",
        f"The other libraries took {machine_factor:.2f} times as long. The times below are divided by that.",
        "",
        "| race | contestant | new / old | noise band | |",
        "|---|---|---:|---:|---|",
    ]
    slower = False
    unchanged = 0
    for (name, contestant), (change, band) in changes.items():
        if not (contestant.startswith("cyevents") or name == "million"):
            continue
        if not name.startswith("memory"):
            change /= machine_factor
        if 1 / (1 + band) <= change <= 1 + band:
            unchanged += 1
            continue
        slower |= change > 1
        lines.append(f"| {name} | {contestant} | {change:.2f} | ±{band:.0%} | {'SLOWER' if change > 1 else 'faster'} |")
    lines += ["", f"{unchanged} of cyevents' figures are within their noise bands."]
    return lines, slower
