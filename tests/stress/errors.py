"""`on_error` changes while handlers and conditions raise: each error is raised, grouped or reported once."""

import itertools
import logging

from harness import Witnesses, handler, race

from cyevents import Namespace

ns = Namespace()
event, quiet = ns.event("raced"), ns.event("quiet")
reported = itertools.count()
logging.getLogger("cyevents").setLevel(logging.ERROR)  # failing conditions log warnings


class Oops(Exception):
    pass


def fail(sender, calls, **kwargs):
    raise Oops(sender)


def fail_in_generator(sender, calls, **kwargs):
    yield fail(sender, calls)


def bad_condition(sender, **kwargs):
    raise Oops(sender)


def report(error, handler, event, sender):
    assert error.args == (sender,)
    assert type(error) is Oops
    next(reported)


never = handler("never", 9)
witnesses = Witnesses(quiet)
for each in (event, quiet):
    each.connect(fail, priority=25)
    each.connect(fail_in_generator, priority=15)
    each.connect(never, priority=9, condition=bad_condition)
last = handler("last", 0)
event.connect(last)
quiet.on_error = report


def switch(number):
    for turn in itertools.count():
        event.on_error = ("raise", "group", report, None)[turn % 4]
        ns.on_error = (None, "group", report, "raise")[turn // 4 % 4]
        yield 0


def emit(number):
    while True:
        calls = []
        try:
            event.emit(number, calls)
        except Oops as error:  # the first error, or the second, was raised
            assert error.args == (number,)
            assert calls == []
        except ExceptionGroup as group:
            assert 1 <= len(group.exceptions) <= 2
            assert calls == [(0, "last")]
            assert all(error.args == (number,) for error in group.exceptions)
        else:  # both were reported
            assert calls == [(0, "last")]
        yield 1


def emit_quietly(number):
    while True:
        witnesses.emit(quiet, number)
        yield 1


race(emit, switch, emit_quietly)
