"""A pytest plugin for other projects' own suites, run against cyevents.blinker: the list of what cannot pass, and why.

A listed test that passes fails the run, and so does one that is listed but not there, or fails without being listed.
"""

import asyncio
import os

import pytest

PRIVATE = "asserts how blinker keeps its books, which is private: "
CANNOT_PASS = {
    "blinker": {
        "tests/test_symbol.py": PRIVATE + "it imports blinker._utilities",
        "tests/test_signals.py::test_empty_bucket_growth": PRIVATE + "_by_sender and _by_receiver",
        "tests/test_signals.py::test_weak_receiver": PRIVATE + "_by_sender and _by_receiver",
        "tests/test_signals.py::test_filtered_receiver_weakref": "pins a leak: a receiver stays in `receivers` when its"
        " only sender has died, and can never be called",
    },
    "flask": {},
}


def pytest_addoption(parser):
    parser.addoption("--peer", choices=sorted(CANNOT_PASS), required=True, help="whose suite this is")
    parser.addini("asyncio_mode", "what pytest-asyncio is told: here coroutine functions are simply run")


def pytest_configure(config):
    import blinker
    import cyevents.blinker

    if blinker is not cyevents.blinker:
        raise pytest.UsageError("this is to be run by: python -m cyevents.blinker -m pytest")
    config.cannot_pass = dict(CANNOT_PASS[config.getoption("--peer")])


def pytest_report_header(config):
    import cyevents

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
    for item in items:
        reason = config.cannot_pass.pop(item.nodeid, None)
        if reason is not None:
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
    if config.cannot_pass:
        raise pytest.UsageError(f"listed, but not there: {sorted(config.cannot_pass)}")


def pytest_pyfunc_call(pyfuncitem):
    if not asyncio.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
