"""A pytest plugin that runs other projects' suites with cyevents.blinker as `blinker`. It lists expected failures.

Use it with `-p peer_suite` and this folder on PYTHONPATH: then it is imported before the suite's conftest and pytest's
installed plugins. The run fails if a listed test passes or does not exist, or if another test fails.

With CYEVENTS_PEERS_BLINKER=1, blinker itself is used, and only the tests listed as failing with blinker too are run;
with CYEVENTS_PEERS_BLINKER=all, all tests are run with it.
"""

import importlib.metadata
import os

import pytest

import cyevents
import cyevents.blinker

WITH_BLINKER = os.environ.get("CYEVENTS_PEERS_BLINKER", "")
if not WITH_BLINKER:
    cyevents.blinker.install()

PRIVATE = "asserts how blinker keeps its books, which is private: "
CANNOT_PASS = {  # fail with cyevents.blinker but pass with blinker
    "blinker": {
        "tests/test_symbol.py": PRIVATE + "it imports blinker._utilities",
        "tests/test_signals.py::test_empty_bucket_growth": PRIVATE + "_by_sender and _by_receiver",
        "tests/test_signals.py::test_weak_receiver": PRIVATE + "_by_sender and _by_receiver",
        "tests/test_signals.py::test_filtered_receiver_weakref": "pins a leak: a receiver stays in `receivers` when its"
        " only sender has died, and can never be called",
    },
    "flask": {},
    "quart": {},
    "pelican": {},
}
REJECTED = "blinker 1.9 too refuses to send to a coroutine function without a wrapper, and Quart 0.15 gives it none"
FAILS_WITH_BLINKER = {
    "blinker": {},
    "flask": {},
    "quart": {
        f"tests/test_signals.py::test_{kind}_signal[{weak}]": REJECTED
        for kind in ("sync", "async")
        for weak in (True, False)
    },
    "pelican": {},
}


def pytest_addoption(parser):
    parser.addoption("--peer", choices=sorted(CANNOT_PASS), required=True, help="whose suite this is")


def pytest_configure(config):
    import blinker

    if (blinker is cyevents.blinker) is bool(WITH_BLINKER):
        raise pytest.UsageError(f"blinker is {blinker}")
    peer = config.getoption("--peer")
    config.cannot_pass = FAILS_WITH_BLINKER[peer] | ({} if WITH_BLINKER else CANNOT_PASS[peer])


def pytest_report_header(config):
    if WITH_BLINKER:
        return f"blinker itself, {importlib.metadata.version('blinker')}"
    return f"cyevents.blinker on the core {cyevents.backend}, CYEVENTS_PURE_PYTHON={os.environ['CYEVENTS_PURE_PYTHON']}"


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    reason = collector.config.cannot_pass.pop(collector.nodeid, None) if collector.nodeid.endswith(".py") else None
    if reason is not None:
        if report.failed:
            report.outcome, report.longrepr = "skipped", (collector.nodeid, None, f"cannot pass: {reason}")
        else:
            report.outcome, report.longrepr = "failed", f"{collector.nodeid} can be imported, but is listed: {reason}"
    return report


def pytest_collection_modifyitems(config, items):
    listed = [item for item in items if item.nodeid in config.cannot_pass]
    for item in listed:
        item.add_marker(pytest.mark.xfail(reason=config.cannot_pass.pop(item.nodeid), strict=True))
    if config.cannot_pass:
        raise pytest.UsageError(f"listed, but not there: {sorted(config.cannot_pass)}")
    if WITH_BLINKER == "1":
        items[:] = listed
