"""Signal handlers may call and raise anything at any point: no lock stays held, and the tables stay consistent."""

import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timers"),
]

SECONDS = 1.0  # for each program
PRELUDE = """
import itertools, signal, sys, threading, time, weakref
from cyevents import ANY, Event, Namespace
SECONDS = {seconds}

class Interrupt(BaseException):
    in_flight = weakref.WeakSet()  # the one that is being raised or handled

    def __init__(self):
        self.in_flight.add(self)

def check_that_lock_is_free():
    thread = threading.Thread(target=Event("other").connect, args=(print,), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "the lock is held"

def arm(delay):
    global armed
    armed = True
    # The interval is for interrupts that a finalizer has swallowed.
    signal.setitimer(signal.ITIMER_REAL, delay, 0.01)

def disarm():
    global armed
    armed = False
    signal.setitimer(signal.ITIMER_REAL, 0)

def interrupted(act, check, delays=(0.0001, 0.0003, 0.0007)):
    "Call `act` until an exception interrupts it, then check that everything still works; repeat."
    def alarm(*_):
        # Only one at a time: the code that undoes an interrupted change cannot survive a second interrupt.
        if armed and not Interrupt.in_flight:
            raise Interrupt
    signal.signal(signal.SIGALRM, alarm)
    end = time.monotonic() + SECONDS
    number = 0
    for delay in itertools.cycle(delays):
        try:
            arm(delay)
            while True:
                act()
        except Interrupt:
            disarm()
        number += 1
        check()
        if time.monotonic() > end:
            break
    check_that_lock_is_free()
    assert number > 10, number
"""


@pytest.fixture
def child(backend):
    def run(script):
        program = PRELUDE.format(seconds=SECONDS) + textwrap.dedent(script)
        environment = {**os.environ, "CYEVENTS_PURE_PYTHON": {"cython": "0", "python": "1"}[backend]}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program], env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr[-3000:]

    return run


def test_interrupted_event_creation_leaves_no_lock_held(child):
    child("""
        ns = Namespace()
        pattern = ns.event("a*")
        def handler(sender): return 1
        pattern.connect(handler)
        def act():
            ns.event("a")
            del ns["a"]
            ns.event("b*")
            del ns["b*"]
            ns.emit("ab")
        def check():
            ns.clear()
            ns.event("a*").connect(handler)
            assert ns.emit("a") == ns.event("abc").emit() == [1]
        interrupted(act, check)
    """)


def test_interrupted_changes_keep_tables_consistent(child):
    child("""
        event, sender = Event("e"), threading
        ns = Namespace()
        pattern, matched = ns.event("m*"), ns.event("m")
        def one(sender): return 1
        def two(sender): return 2
        def act():
            event.connect(one)
            event.connect(two, sender, priority=3)
            event.connect(one, "s", once=True)
            event.emit("s")
            event.disconnect(one)
            event.connect(two, sender)
            event.disconnect(two, sender)
            pattern.connect(one)
            pattern.connect(two, sender)
            matched.emit(sender)
            pattern.clear()
            event.clear()
        def check():
            event.clear()
            pattern.clear()
            assert event.handlers == matched.handlers == [] == event.emit(sender) == matched.emit(sender)
            event.connect(one)
            event.connect(two, sender)
            pattern.connect(two)
            assert event.emit(sender) == [1, 2] and event.emit() == [1] and matched.emit() == [2]
            event.disconnect(one)
            pattern.disconnect(two)
            assert event.emit(sender) == [2] and event.emit() == [] and matched.emit() == []
            event.clear()
        interrupted(act, check)
    """)


def test_interrupted_enter_leaves_nothing_in_force(child):
    child("""
        event, other = Event("e"), Event("f")
        ns = Namespace()
        made = ns.event("x")
        def handler(sender): return 1
        def loud(sender): return 2
        for each in event, other, made:
            each.connect(loud)
        managers = itertools.cycle([lambda: event.connected_to(handler), other.muted, ns.muted])
        def act():
            manager = next(managers)()
            for _ in range(20):
                try:
                    with manager:
                        disarm()  # leaving a `with` block is not tested
                finally:
                    arm(0.00002)
        def check():
            disarm()
            assert event.emit() == other.emit() == made.emit() == [2], (event.handlers, other.emit(), made.emit())
        interrupted(act, check)
    """)


def test_signal_handler_may_repeat_the_interrupted_change(child):
    """Its change is undone or done twice; the interrupted call raises nothing else."""
    child("""
        ns = Namespace()
        event = ns.event("x")
        pattern = ns.event("x*")
        sender = threading
        def log(sender): return 1
        steps = itertools.cycle([
            lambda: event.disconnect(log),
            lambda: event.connect(log),
            lambda: event.connect(log, sender),
            lambda: event.clear(),
            lambda: pattern.connect(log, sender),
            lambda: pattern.disconnect(log),
            lambda: event.muted().__enter__(),
            lambda: [event._unmute(by) for by in list(event._mutes or ())],
            lambda: event.emit(sender),
            lambda: ns.event("xy") and ns.emit("xyz"),
            lambda: ns.clear() if False else None,
        ])
        raised = []
        def alarm(*_):
            try:
                next(steps)()
            except BaseException as error:
                raised.append(error)
        signal.signal(signal.SIGALRM, alarm)
        signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
        end = time.monotonic() + 2 * SECONDS
        while time.monotonic() < end:
            event.connect(log)
            event.emit(sender)
            event.disconnect(log)
            event.connect(log, sender, priority=2)
            event.disconnect(log, sender)
            pattern.connect(log, sender)
            pattern.disconnect(log, sender)
            with event.muted():
                event.emit()
            with event.connected_to(log):
                event.emit()
            ns.event("xy")
        signal.setitimer(signal.ITIMER_REAL, 0)
        for by in list(event._mutes or ()):
            event._unmute(by)
        event.clear()
        pattern.clear()
        assert raised == [], raised
        assert event.emit(sender) == event.emit() == event.handlers == []
        event.connect(log)
        pattern.connect(log, sender)
        assert event.emit(sender) == event.emit() == [1]
        check_that_lock_is_free()
    """)


def test_dead_handlers_and_senders_are_purged_completely(child):
    child("""
        import gc
        event = Event("e")
        class Sender: pass
        def handler(sender): return 1
        def act():
            def inner(sender): return 2
            sender = Sender()
            event.connect(handler, sender)
            event.connect(inner, sender)
            event.emit(sender)
            del inner, sender
        def check():
            gc.collect()
            event.emit()
            assert event.emit() == [], event.handlers
        interrupted(act, check)
        event.connect(handler)
        event.disconnect(handler)
        event.emit()
        gc.collect()
        assert event.handlers == [], event.handlers
    """)


def test_lock_is_released_by_the_thread_that_took_it(api):
    lock = sys.modules["cyevents._core"].lock
    call = sys.modules["cyevents._core"].call_locked
    inside = []

    def look():
        inside.append(lock._is_owned())
        return call(lambda: "nested")

    assert call(look) == "nested"
    with pytest.raises(ZeroDivisionError):
        call(lambda: 1 / 0)
    assert inside == [True]
    assert not lock._is_owned()
    thread = threading.Thread(target=lambda: inside.append(call(lambda: "elsewhere")))
    thread.start()
    thread.join(10)
    assert inside == [True, "elsewhere"]


def test_interrupted_replays_call_later_handlers_once(child):
    child("""
        event, numbers, calls = Event("e", replay=3), itertools.count(), []
        def handler(sender): calls.append(sender)
        def act():
            event.emit(next(numbers))
            event.connect(handler, replay=True)
            event.emit(next(numbers))
            event.disconnect(handler)
            event.replay = 1
            with event.connected_to(handler, replay=True):
                event.emit(next(numbers))
            event.clear_replay()
            event.replay = 3
        def check():
            event.clear()
            event.replay = 3
            last = [next(numbers) for _ in range(5)]
            for number in last:
                event.emit(number)
            calls.clear()
            event.connect(handler, replay=True)
            assert calls == last[-3:], (calls, last)
            event.emit(next(numbers))
            assert len(calls) == 4
            assert not event._kept.replays
            assert len(event._kept._records) == 3
            event.disconnect(handler)
        interrupted(act, check)
    """)


def test_interrupted_waits_leave_nothing_connected(child):
    child("""
        event = Event("e")
        def act():
            try:
                event.wait_sync(timeout=0)
            except TimeoutError:
                pass
            with event.stream() as emissions:
                event.emit(1)
                assert next(emissions).sender == 1
        def check():
            assert not event.handlers, event.handlers
            with event.stream() as emissions:
                event.emit(1)
                assert next(emissions).sender == 1
        interrupted(act, check)
    """)


def test_interrupted_attach_connects_all_or_nothing(child):
    child("""
        from cyevents import handles

        class Owner:
            @handles(["a", "b*", "c"])
            def first(self, sender):
                pass

            @handles("c", 5, weak=False)
            @handles("d")
            def second(self, sender):
                pass

        namespace = Namespace()
        events = [namespace.event(name) for name in ("a", "b*", "c", "d")]
        owners = []

        def act():
            owners.clear()
            for event in events:
                event.clear()
            owners.append(Owner())
            namespace.attach(owners[0])

        def check():
            for owner in owners:
                methods = owner.first, owner.second
                connections = [(each.handler, each.sender) for event in events for each in event.handlers]
                assert len(connections) in (0, 5) and all(method in methods for method, _ in connections), connections

        interrupted(act, check, (0.0001, 0.00013, 0.0002, 0.0003))
    """)
