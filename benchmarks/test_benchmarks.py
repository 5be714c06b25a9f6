"""Each library and case under pytest-benchmark (`pytest benchmarks --benchmark-only`), and tests of the suite."""

import gc
import re
from itertools import pairwise
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from . import (
    async_cases,
    bars,
    connections,
    emissions,
    flask_case,
    freeze,
    imports,
    install,
    mailboxes,
    memory,
    picture,
    publish,
    report,
    runs,
    tail,
    threads,
    wildcards,
)
from .cases import Case, CaseSetup, IncorrectResult, cases, contestants_for
from .contestants import ALL, ONE_BY_ONE, Emitter, HandWritten, load_contestants
from .suite import Suite
from .timing import EMISSIONS, Race, race, stopwatch

PRESENT, ABSENT = load_contestants()
KINDS = ("plain", "**kwargs", "keywords", "results", "methods", "condition true", "condition false", "cancelled")
CASES = [
    *cases(KINDS, (0, 1, 10, 100, 1000)),
    *cases(("by name",), (1, 10, 100, 1000)),
    Case("sender", 1, 1),
    Case("sender", 1, 1_000),
]


@pytest.mark.parametrize(
    ("case", "contestant"),
    [pytest.param(case, one, id=f"{case.key}-{one.name}") for case in CASES for one in contestants_for(case, PRESENT)],
)
def test_emission(benchmark, case, contestant):
    benchmark.group = case.key
    stage = CaseSetup(case)
    watch = stage.prepare(contestant)
    if not benchmark.disabled:
        gc.collect()
        benchmark.extra_info["emissions a round"] = EMISSIONS
        benchmark.pedantic(
            watch, args=(EMISSIONS,), rounds=max(3, min(25, 2_500 // (case.handlers + 1))), warmup_rounds=1
        )
    else:
        benchmark.pedantic(watch, args=(1,), rounds=1)
    stage.clean_up([contestant])


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.name)
def test_each_contestant_is_present_or_absent_with_a_reason(cls):
    if cls.name in ABSENT:
        pytest.skip(ABSENT[cls.name])
    assert PRESENT[cls.name].name == cls.name


class Forgetful(HandWritten):
    """A contestant that calls no handler."""

    def make_emitter(self):
        emitter = Emitter()
        emitter.emit = lambda sender, **kwargs: []
        return emitter


@pytest.mark.parametrize("kind", ["plain", "keywords", "results"])
def test_an_incorrect_contestant_is_not_timed(kind):
    with pytest.raises(IncorrectResult, match="0 calls instead of 3"):
        CaseSetup(Case(kind, 3)).prepare(Forgetful())


def test_incorrect_results_are_detected():
    class Garbling(HandWritten):
        def get_results(self, returned):
            return returned[::-1]

    with pytest.raises(IncorrectResult, match=r"returns \[2, 1, 0\]"):
        CaseSetup(Case("results", 3)).prepare(Garbling())


def test_bars_hold_up_to_their_limit():
    races = {}
    for bar in bars.BARS:
        for ratio in bar.ratios:
            one = races.setdefault(ratio.race, Race())
            for name in (ratio.numerator, ratio.denominator):
                one.record(name, 0, 1.0)
    rows = {row["what"]: row for row in bars.check(races, (3, 11))}
    assert rows["emit over the floor; 10, 100, 1000 handlers"]["holds"] is True
    assert rows["faster than blinker, plain, 10"]["holds"] is False
    races["plain 100"].times["cyevents"][0] = 1.2
    del races["connect"]
    rows = {row["what"]: row for row in bars.check(races, (3, 11))}
    row = rows["emit over the floor; 10, 100, 1000 handlers"]
    assert (row["holds"], row["worst"]) == (False, 1.2)
    assert row["where"].startswith("plain 100")
    assert rows["connect over blinker's"]["holds"] is None


@pytest.mark.parametrize(
    ("version", "up_to_311", "from_312"), [((3, 11), (False, 1.2), (None, None)), ((3, 14), (None, None), (None, 1.2))]
)
def test_bars_are_for_a_range_of_pythons(version, up_to_311, from_312):
    races = {}
    for key in ("plain 10", "plain 100"):
        races[key] = Race()
        races[key].record("cyevents", 0, 1.2)
        races[key].record("bare loop", 0, 1.0)
    rows = {row["what"]: (row["holds"], row["worst"]) for row in bars.check(races, version)}
    assert rows["emit over the bare loop, plain; 10, 100; up to 3.11"] == up_to_311
    assert rows["emit over the bare loop, plain; 10, 100; from 3.12 on"] == from_312


def test_a_run_is_saved_reported_and_compared(tmp_path):
    suite = Suite("brief")
    suite.measure_emission(Case("plain", 10), 0.02)
    suite.measure_emission(Case("**kwargs", 10), 0.02)
    run = runs.summarize(suite, "pytest")
    runs.save(run, tmp_path / "run.json")
    run = runs.load(tmp_path / "run.json")
    assert "By number of handlers" in report.markdown(run)
    worse = runs.load(tmp_path / "run.json")
    assert runs.compare(run, worse)[1] is False
    ours = next(name for name in run["races"]["plain 10"] if name.startswith("cyevents"))
    row = worse["races"]["plain 10"][ours]
    row["median"] *= 4
    row["low"] = row["high"] = row["median"]
    lines, slower = runs.compare(run, worse)
    assert slower is (run["races"]["plain 10"][ours]["high"] < 3 * run["races"]["plain 10"][ours]["low"])
    assert any("SLOWER" in line for line in lines) is slower


def test_labels_do_not_cover_each_other():
    places = picture.spread_labels([1.0, 1.01, 1.02, 5.0], 0.5)
    assert places[3] == 5.0
    assert [round(b - a, 3) for a, b in pairwise(places[:3])] == [0.5, 0.5]


def test_a_stopwatch_runs_a_statement_as_often_as_told():
    seen = []
    assert stopwatch("add(1)", add=seen.append)(7) > 0
    assert len(seen) == 7
    result = race({"a": stopwatch("pass"), "b": stopwatch("pass")}, 0.01, emissions=10)
    assert 0 < result.minimum("a") <= result.median("a")
    assert result.ratio("a", "a") == 1


@pytest.mark.parametrize("name", [name for name, one in PRESENT.items() if ONE_BY_ONE in one.abilities])
def test_connecting(name):
    handlers = [connections.plain() for _ in range(3)] if name != "Django" and name != "Django (caching)" else None
    handlers = handlers or [connections.any_keywords() for _ in range(3)]
    for disconnecting in (False, True):
        assert connections.connecting_stopwatch(PRESENT[name], handlers, disconnecting)(1) > 0


def test_the_other_races():
    assert connections.churn_race(0.01).times
    assert connections.request_race(0.01, lives=(1, 5)).times
    assert connections.after_connect_race(5, 1).times
    assert connections.first_emission_race(1, 5).times
    assert "cyevents" not in PRESENT or connections.million_race(1, few=2, many=20).times
    assert "cyevents" not in PRESENT or len(emissions.lookup_race(0.01).times) == 4
    assert "cyevents" not in PRESENT or len(emissions.bound_race(0.01).times) >= 6
    assert "cyevents" not in PRESENT or len(emissions.among_senders("cyevents", (1, 3), 0.01).times) == 5
    for matching in ("none", "one", "all"):
        assert wildcards.wildcard_race(matching, 0.01, 20).times
    assert len(threads.thread_race(1, 1, names=["bare loop"]).times) == 4


def test_percentiles():
    histogram = tail.Histogram()
    histogram.counts[10] = 990
    histogram.counts[20] = 9
    histogram.slow.append(100_000)
    found = [histogram.percentile(fraction) for fraction in (*tail.PERCENTILES.values(), 1)]
    assert found == [10, 10, 20, 100_000, 100_000]


def test_the_tail():
    races, failed = tail.measure(emissions=300, laps=2, seconds=1, everything=True)
    assert not failed
    assert races["tail, emissions"].median("bare loop") == 300
    quiet = {name for name in races["tail, p99.9"].times if not name.endswith(", changing")} - {tail.CLOCK}
    assert quiet == set(races["tail, blocks"].times)
    assert {name.removesuffix(", changing") for name in races["tail, p50"].times} - {tail.CLOCK} == quiet
    if "cyevents" in PRESENT:
        assert races["tail, blocks"].median("cyevents") <= 1  # the list of results
        assert races["tail, collections"].median("cyevents") == 0


@pytest.mark.parametrize("kind", mailboxes.BY_HAND)
@pytest.mark.parametrize("handlers", mailboxes.COUNTS)
def test_mailboxes(handlers, kind):
    found, incorrect = mailboxes.throughput_race(handlers, 0.01, emissions=20, fewest=1, kind=kind)
    assert not incorrect
    assert set(found.times) == set(mailboxes.makers(kind))


@pytest.mark.parametrize("kind", mailboxes.BY_HAND)
def test_latency_of_mailboxes(kind):
    races = mailboxes.latency_races(laps=2, count=10, interval=0, kind=kind)
    assert [len(race.times[mailboxes.BY_HAND[kind]]) for race in races.values()] == [2, 2, 2]


def test_an_incorrect_mailbox_is_not_timed(monkeypatch):
    class Losing(mailboxes.HandWritten):
        def emit(self, name, sender, /, *args, **kwargs):
            if kwargs["price"]:
                super().emit(name, sender, *args, **kwargs)

    monkeypatch.setattr(mailboxes, "TIMEOUT", 0.01)
    monkeypatch.setattr(mailboxes, "makers", lambda kind: {"losing": Losing})
    correct, incorrect = mailboxes.verify_all()
    assert not correct
    assert incorrect["losing"].startswith("IncorrectResult: losing: 9 calls")


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("receivers", [0, 2])
def test_flask(receivers, whole):
    if flask_case.skip_reason():
        pytest.skip(flask_case.skip_reason())
    assert set(flask_case.flask_race(receivers, 0.01, whole).times) == set(flask_case.NAMES)


@pytest.mark.parametrize("kind", list(async_cases.KINDS))
@pytest.mark.parametrize("loop", list(async_cases.loops()))
def test_async(loop, kind):
    found, incorrect, _ = async_cases.async_race(loop, kind, 3, 0.01, sittings=1, fewest=1)
    assert not incorrect
    assert found.times


def test_modules_of_an_import():
    if "cyevents" in PRESENT:
        _, imported, failed = imports.measure({"cyevents": "cyevents", "nothing": "no_such_module"}, 1)
        assert failed == {"nothing": "ModuleNotFoundError: No module named 'no_such_module'"}
        assert "cyevents._event" in imported["cyevents"]
        assert imports.forbidden(imported["cyevents"]) == []


def test_memory_of_a_connection_and_of_an_event():
    name = next(name for name in PRESENT if name.startswith("cyevents"))
    for found in memory.measure([name]).values():
        assert 50 < found.median(name) < 2_000


def test_pauses_before_and_after_a_freeze():
    for both in freeze.measure(connections=100, rounds=1, emissions=1000).values():
        before, after = both
        assert all(seconds >= 0 for seconds in before + after)


def test_libraries_are_installed_one_by_one(monkeypatch, capsys):
    requested = []

    def pip(command, **options):
        requested.append(command[-1])
        failed = "atom" in command[-1]
        return SimpleNamespace(returncode=int(failed), stderr="note: x\nERROR: no wheel\n" if failed else "")

    monkeypatch.setattr(install.subprocess, "run", pip)
    assert install.main() == 0
    assert requested == install.requirements()
    (absent,) = capsys.readouterr().out.splitlines()
    assert absent.startswith("absent: atom")
    assert absent.endswith("ERROR: no wheel")


def test_steps_have_names_of_their_own():
    for mode in ("brief", "quick", "full"):
        names = [step.description for step in Suite(mode).steps()]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("page", publish.PAGES)
def test_pages_have_the_figures_of_the_saved_runs(page):
    text = (publish.ROOT / page).read_text("utf-8")
    folder = "benchmarks/results" if page == "README.md" else "../benchmarks/results"
    assert publish.BLOCK.search(text)
    assert publish.fill(text, publish.load_runs(), folder) == text


def test_picture_of_speed_has_the_figures_of_the_newest_run():
    _, run = publish.newest(publish.load_runs())
    assert publish.SPEED_PICTURE.read_text("utf-8") == picture.draw(run)


def save_runs():
    """Return runs of three Pythons, the newest without a GIL."""
    saved = {}
    for tag, factor in (("3.11", 1), ("3.14", 3), ("3.14t", 5)):
        suite = Suite("brief")
        for case in ("plain 1", "plain 10", picture.RACE):
            times = suite.races[case] = Race()
            times.record(publish.OURS, 0, 100 * factor)
            for number, name in enumerate({*publish.SPEED_ROWS, *picture.ROWS} - {publish.OURS}):
                times.record(name, 0, 100 * factor * (number + 2))
        saved[tag] = runs.summarize(suite, "pytest")
    return saved


def test_speed_is_that_of_the_newest_python_with_a_gil():
    lines = publish.fill("<!-- figures: speed -->\nold\n<!-- end of figures -->", save_runs(), "results").splitlines()
    assert [line for line in lines if line.startswith("| **")] == ["| **cyevents** | 300 ns | 300 ns | 300 ns |  |"]
    assert len([line for line in lines if line.startswith("| ")]) == 1 + 6
    assert "old" not in lines
    assert any("results/3.14.md" in line for line in lines)
    assert not any("results/3.11.md" in line or "results/3.14t.md" in line for line in lines)


def test_last_row_of_the_comparison_is_renewed():
    row = publish.fill(f"| yes |\n{publish.COMPARED_LABEL}1 |\n", save_runs(), "results").splitlines()[1]
    assert row.startswith(f"{publish.COMPARED_LABEL}300 ns | ")
    assert row.count("|") == 2 + len(publish.COMPARED)


def test_picture_has_a_bar_for_each_library_the_fastest_first():
    drawing = picture.draw(save_runs()["3.14"])
    labels = re.findall(r'<text class="(?:bold|label)"[^>]*text-anchor="end">(.*?)<', drawing)
    assert labels[0] == "cyevents"
    assert sorted(labels) == sorted(picture.ROWS.values())
    widths = [float(width) for width in re.findall(r'<rect class="(?:ours|bar)".*?width="([\d.]+)"', drawing)]
    assert widths == sorted(widths)
    ElementTree.fromstring(drawing)  # is well-formed
