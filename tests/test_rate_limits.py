"""`throttled` and `debounced`: which calls are made, when, where and with what.

Times are long where nothing must happen, and short where a test waits for the call: none depends on the speed of the
machine. `later` advances the clock of the module instead of waiting.
"""

import asyncio
import contextvars
import copy
import functools
import gc
import importlib
import inspect
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from importlib.util import find_spec

import pytest

LONG = 3600  # seconds: it is not over while a test runs
SHORT = 0.01
TIMEOUT = 60


class Calls(list):
    """A function that keeps its arguments; `wait` waits until it has been called so many times."""

    def __init__(self):
        super().__init__()
        self.changed = threading.Condition()
        self.threads = []

    def __call__(self, *args):
        with self.changed:
            self.append(args[0] if len(args) == 1 else args)
            self.threads.append(threading.current_thread())
            self.changed.notify_all()

    def wait(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self) >= count, TIMEOUT), self
        return list(self)

    def wait_last(self, value):
        """Wait until the last call has this argument: on a slow machine an earlier one may be made too."""
        with self.changed:
            assert self.changed.wait_for(lambda: self[-1:] == [value], TIMEOUT), self


@pytest.fixture
def calls():
    return Calls()


@pytest.fixture
def rates(api):
    return importlib.import_module("cyevents._rates")


@pytest.fixture
def later(rates, monkeypatch):
    """Return a function that advances the clock of the module by some seconds."""
    passed = [0.0]
    monkeypatch.setattr(rates, "monotonic", lambda: time.monotonic() + passed[0])

    def advance(seconds):
        passed[0] += seconds

    return advance


@pytest.fixture
def logged(caplog):
    caplog.set_level(logging.DEBUG, logger="cyevents")
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "cyevents"]


@pytest.fixture(params=["throttled", "debounced"])
def limit(request, api):
    """Return `throttled`, already called once for each function, or `debounced`: the next call waits with either."""
    if request.param == "debounced":
        return api.debounced

    def throttle(function, seconds):
        limited = api.throttled(function, seconds)
        limited._due = time.monotonic() + seconds
        return limited

    return throttle


def run_program(text, backend, **variables):
    """Run a program with a core in its own process; return its output, and what it logged."""
    environment = os.environ | {"CYEVENTS_PURE_PYTHON": "0" if backend == "cython" else "1"} | variables
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(text)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines(), process.stderr


# Throttled


def test_first_call_is_made_at_once(api, calls):
    limited = api.throttled(calls, LONG)
    limited(1)
    assert calls == [1]


def test_first_call_returns_the_result_and_others_none(api):
    limited = api.throttled(lambda x: x * 2, LONG)
    assert [limited(3), limited(4), limited(5)] == [6, None, None]


def test_last_early_call_is_made_when_the_time_is_over(api, calls):
    limited = api.throttled(calls, SHORT * 5)
    for number in range(10):
        limited(number)
    calls.wait_last(9)


def test_early_calls_are_dropped_without_trailing(api, calls, later):
    limited = api.throttled(calls, LONG, trailing=False)
    for number in range(3):
        limited(number)
    assert not limited.flush()
    later(LONG)
    limited(3)
    assert calls == [0, 3]


def test_call_after_the_time_is_made_at_once(api, calls, later):
    limited = api.throttled(calls, LONG)
    limited(1)
    later(LONG)
    limited(2)
    assert calls == [1, 2]


def test_call_that_is_made_at_once_replaces_the_one_that_waits(api, calls, later):
    limited = api.throttled(calls, LONG)
    limited(1)
    limited(2)
    later(LONG)  # its timer is late
    limited(3)
    assert not limited.flush()
    assert calls == [1, 3]


def test_delayed_call_starts_the_time_again(api, calls):
    limited = api.throttled(calls, LONG)
    limited(1)
    limited(2)
    limited.flush()
    limited(3)
    assert calls == [1, 2]
    limited.cancel()


def test_false_of_the_first_call_cancels_the_emission(api):
    event = api.Event("x")
    refuse = api.throttled(lambda sender: False, LONG)
    event.connect(refuse)
    assert event.emit().__class__ is api.Cancelled
    assert event.emit() == []
    refuse.cancel()


def test_exception_of_the_first_call_is_raised(api):
    limited = api.throttled(lambda: 1 / 0, LONG)
    with pytest.raises(ZeroDivisionError):
        limited()
    assert limited() is None  # the call that raised counts
    limited.cancel()


# Debounced


def test_debounced_calls_once_with_the_last_arguments(api, calls):
    limited = api.debounced(calls, SHORT)
    for number in range(10):
        assert limited(number) is None
    calls.wait_last(9)
    limited(10)
    calls.wait_last(10)


def test_each_call_starts_the_time_again(api, rates, calls, later):
    limited = api.debounced(calls, LONG)
    limited(1)
    later(LONG - 1)
    limited(2)
    later(LONG - 1)
    limited._wake(limited._serial)  # as the timer of the first call does now
    assert calls == []
    later(1)
    limited._wake(limited._serial)
    assert calls == [2]


def test_timer_that_waits_again_makes_the_call(api, calls):
    limited = api.debounced(calls, 0.05)
    for _ in range(20):
        limited(1)
        time.sleep(0.005)
    limited(2)
    calls.wait_last(2)


def test_call_takes_any_arguments(limit):
    seen = []
    limited = limit(lambda *args, **kwargs: seen.append((args, kwargs)), LONG)
    limited(1, 2, self=3, seconds=4)
    limited.flush()
    limited()
    limited.flush()
    assert seen == [((1, 2), {"self": 3, "seconds": 4}), ((), {})]


# flush and cancel


def test_flush_makes_the_call_here(limit, calls):
    limited = limit(calls, LONG)
    limited(1)
    assert limited.flush()
    assert not limited.flush()
    assert calls == [1]
    assert calls.threads == [threading.current_thread()]


def test_flush_raises_what_the_function_raises(limit):
    limited = limit(lambda: 1 / 0, LONG)
    limited()
    with pytest.raises(ZeroDivisionError):
        limited.flush()
    assert not limited.flush()


def test_cancel_drops_the_call(limit, calls):
    limited = limit(calls, LONG)
    limited(1)
    assert limited.cancel()
    assert not limited.cancel()
    assert not limited.flush()
    assert calls == []


def test_cancel_does_not_start_the_time_again(api, calls, later):
    limited = api.throttled(calls, LONG)
    limited(1)
    later(LONG - 1)
    limited(2)
    limited.cancel()
    later(1)
    limited(3)
    assert calls == [1, 3]


def test_call_after_cancel_is_made(api, calls):
    limited = api.debounced(calls, SHORT)
    limited(1)
    limited.cancel()
    limited(2)
    calls.wait_last(2)


def test_waiting_call_keeps_its_arguments_alive_until_it_is_over(limit, collect):
    class Value:
        pass

    limited = limit(lambda value: None, LONG)
    first, second = Value(), Value()
    alive = [weakref.ref(first), weakref.ref(second)]
    limited(first)
    limited(second)
    del first, second
    collect()
    assert [each() is not None for each in alive] == [False, True]
    limited.flush()
    collect()
    assert alive[1]() is None


def test_wrapper_with_a_waiting_call_stays_alive(api, calls, collect):
    api.debounced(calls, SHORT)(1)
    collect()
    assert calls.wait(1) == [1]


# Where and how


def test_delayed_calls_share_a_thread(api):
    first, second = Calls(), Calls()
    for each in (first, second):
        api.debounced(each, SHORT)(1)
    for each in (first, second):
        each.wait(1)
    assert first.threads == second.threads
    assert first.threads[0] is not threading.current_thread()
    assert first.threads[0].daemon


def test_delayed_call_in_a_loop_is_made_in_that_loop(api, calls, run):
    limited = api.debounced(calls, SHORT)

    async def main():
        limited(1)
        while not calls:
            await asyncio.sleep(SHORT)

    run(main())
    assert calls.threads == [threading.current_thread()]


def test_last_call_decides_where(api, calls, run):
    async def main():
        limited(2)
        while 2 not in calls:
            await asyncio.sleep(SHORT)

    limited = api.debounced(calls, 0.05)
    limited(1)
    run(main())
    assert calls.threads[calls.index(2)] is threading.current_thread()

    async def call():
        limited(3)

    run(call())  # its loop is closed
    limited(4)
    calls.wait_last(4)
    assert calls.threads[-1] is not threading.current_thread()


def test_context_of_the_last_call_goes_along(api, calls):
    variable = contextvars.ContextVar("variable", default=None)
    limited = api.debounced(lambda: calls(variable.get()), SHORT)
    contextvars.copy_context().run(lambda: (variable.set(1), limited()))
    contextvars.copy_context().run(lambda: (variable.set(2), limited()))
    calls.wait_last(2)


def test_async_function_is_a_task_of_the_loop(api, calls, run):
    event = api.Event("x")

    @event.connect
    @api.debounced(seconds=SHORT)
    async def handler(sender):
        await asyncio.sleep(0)
        calls(asyncio.get_running_loop())

    async def main():
        assert await event.emit_async(1) == []
        while not calls:
            await asyncio.sleep(SHORT)
        assert calls == [asyncio.get_running_loop()]

    run(main())


def test_first_call_of_an_async_function_is_awaited(api, run):
    event = api.Event("x")

    @event.connect
    @api.throttled(seconds=LONG)
    async def handler(sender):
        await asyncio.sleep(0)
        return sender

    async def main():
        return [await event.emit_async(number) for number in range(3)]

    assert run(main()) == [[0], [], []]
    handler.cancel()


def test_async_function_without_a_loop_runs_in_the_background_loop(api, calls):
    async def function(value):
        await asyncio.sleep(0)
        calls(value)

    api.debounced(function, SHORT)(1)
    assert calls.wait(1) == [1]
    assert calls.threads[0].name == "cyevents"


def test_flush_of_an_async_function_is_drained(api, run, calls):
    async def function(value):
        await asyncio.sleep(0)
        calls(value)

    async def main():
        limited = api.debounced(function, LONG)
        limited(1)
        limited.flush()
        assert calls == []
        assert await api.drain_async(TIMEOUT)

    run(main())
    assert calls == [1]


def test_under_trio_it_works_as_without_a_loop(api, calls):
    trio = pytest.importorskip("trio")

    async def main():
        api.debounced(calls, SHORT)(1)
        await trio.to_thread.run_sync(calls.wait, 1)

    trio.run(main)
    assert calls == [1]


def test_delayed_generator_is_consumed(api, calls):
    @api.debounced(seconds=SHORT)
    def function():
        yield 1
        calls("end")
        yield 2

    function()
    assert calls.wait(1) == ["end"]


def test_no_event_loop_is_imported(backend):
    program = """
        import sys
        import cyevents
        assert "cyevents._rates" not in sys.modules
        from cyevents import throttled, debounced
        throttled(print, 60)(1)
        debounced(print, 60)(2)
        assert "asyncio" not in sys.modules
    """
    assert run_program(program, backend) == (["1", "2"], "")


def test_throttling_alone_starts_no_thread(backend):
    program = """
        import threading
        from cyevents import throttled
        throttled(print, 60)(1)
        print(threading.active_count())
    """
    assert run_program(program, backend)[0] == ["1", "1"]


# Errors


def test_error_of_a_delayed_call_is_logged(api, calls, logged):
    def function():
        try:
            raise ValueError("no")
        finally:
            threading.Timer(SHORT, calls, ["raised"]).start()

    api.debounced(function, SHORT)()
    calls.wait(1)
    api.debounced(calls, SHORT)("after")  # the thread goes on
    calls.wait(2)
    ((level, text),) = logged()
    assert level == "ERROR"
    assert text == f"a delayed call of <debounced {function.__qualname__}> failed"


def test_error_in_a_loop_goes_to_its_exception_handler(api, run):
    seen = []

    def function():
        raise ValueError("no")

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: seen.append(context))
        api.debounced(function, SHORT)()
        while not seen:
            await asyncio.sleep(SHORT)

    run(main())
    (context,) = seen
    assert type(context["exception"]) is ValueError
    assert context["message"] == f"a delayed call of <debounced {function.__qualname__}> failed"


def test_error_of_a_delayed_task_goes_to_the_loop(api, run):
    seen = []

    async def function():
        await asyncio.sleep(0)
        raise ValueError("no")

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: seen.append(context))
        api.debounced(function, SHORT)()
        while not seen:
            await asyncio.sleep(SHORT)

    run(main())
    assert type(seen[0]["exception"]) is ValueError
    assert seen[0]["message"] == f"handler {function!r} of event 'a delayed call' failed"


def test_cancel_raised_in_a_delayed_call_is_ignored(api, limit, logged):
    def function():
        raise api.Cancel("no")

    limited = limit(function, LONG)
    limited()
    assert limited.flush()
    assert logged() == []


def test_false_of_a_delayed_task_is_ignored(api, run, logged):
    async def function():
        return False

    async def main():
        limited = api.debounced(function, LONG)
        limited()
        limited.flush()
        assert await api.drain_async(TIMEOUT)

    run(main())
    assert logged() == []


def test_system_exit_does_not_end_the_thread(api, calls, logged):
    def function():
        calls("exit")
        raise SystemExit

    api.debounced(function, SHORT)()
    calls.wait(1)
    api.debounced(calls, SHORT)("after")
    assert calls.wait(2)[-1] == "after"
    assert [level for level, _ in logged()] == ["ERROR"]


def test_function_may_call_itself(api, calls):
    @api.throttled(seconds=SHORT)
    def function(number):
        calls(number)
        if number:
            function(number - 1)

    function(3)
    assert calls.wait(4) == [3, 2, 1, 0]


# As a handler


def test_weakly_held_wrapper_dies_like_a_function(api):
    event = api.Event("x")
    with pytest.warns(RuntimeWarning, match="was garbage-collected at once"):
        event.connect(api.throttled(print, LONG))
    assert not event.handlers


def test_wrapper_looks_like_the_function(limit):
    def function(sender, amount: int = 0):
        """Do it."""

    limited = limit(function, LONG)
    assert limited.__name__ == "function"
    assert limited.__doc__ == "Do it."
    assert limited.__wrapped__ is function
    assert inspect.signature(limited) == inspect.signature(function)
    assert function.__qualname__ in repr(limited)


def test_checked_event_looks_at_the_function(api, ns):
    def placed(sender, amount): ...

    event = ns.event("x", signature=placed, check=True)
    good = api.debounced(lambda sender, amount: None, LONG)
    bad = api.debounced(lambda sender: None, LONG)
    event.connect(good)
    with pytest.raises(TypeError):
        event.connect(bad)


def test_partial_and_callable_object_can_be_limited(limit, calls):
    for function in (functools.partial(calls, 1), calls):
        limited = limit(function, LONG)
        limited(2)
        limited.flush()
    assert calls == [(1, 2), 2]


def test_describe_names_the_function(api, ns):
    @ns.on("x")
    @api.throttled(seconds=LONG)
    def redraw(sender): ...

    (handler,) = ns["x"].handlers
    assert handler.handler is redraw
    assert "redraw" in str(api.describe(ns))


def test_wrapper_of_an_async_function_counts_as_async(api, ns, run):
    @api.throttled(seconds=LONG)
    async def handler(sender):
        return sender

    ns.connect("x", handler, overlap="queue", timeout=60)
    assert "async" in repr(ns["x"].handlers[0])
    assert run(ns.emit_async("x", 1)) == [1]
    assert not inspect.iscoroutinefunction(handler)  # it may return None
    with pytest.raises(TypeError, match="is a coroutine function: a condition must answer at once"):
        ns.connect("x", print, condition=handler)


def test_wrapper_of_a_sync_function_counts_as_sync(api, ns):
    limited = api.throttled(lambda sender: None, LONG)
    ns.connect("x", limited)
    assert "sync" in repr(ns["x"].handlers[0])
    assert "async" not in repr(ns["x"].handlers[0])


def test_hostile_function_can_be_limited(api, limit, logged):
    class Hostile:
        def __call__(self, *args):
            raise ValueError("no")

        def __getattribute__(self, name):
            raise RuntimeError(name)

        __repr__ = __eq__ = __hash__ = __bool__ = __call__

    event = api.Event("x")
    limited = limit(Hostile(), LONG)
    event.connect(limited)
    event.emit(Hostile())
    assert "Hostile object" in repr(limited)
    with pytest.raises(ValueError):
        limited.flush()


# Methods


def make_class(api, calls):
    class Document:
        def __init__(self, name):
            self.name = name

        @api.debounced(seconds=LONG)
        def save(self, text):
            """Save it."""
            calls((self.name, text))

        @api.throttled(seconds=LONG)
        def draw(self, text):
            calls((self.name, text))
            return self.name

    return Document


def test_each_object_has_its_own_limit(api, calls):
    document = make_class(api, calls)
    first, second = document("first"), document("second")
    assert [first.draw(1), first.draw(2), second.draw(3)] == ["first", None, "second"]
    assert calls == [("first", 1), ("second", 3)]
    assert first.draw.flush()
    assert not second.draw.flush()
    assert calls[-1] == ("first", 2)


def test_flush_and_cancel_of_a_method_are_of_its_object(api, calls):
    document = make_class(api, calls)
    first, second, third = (document(name) for name in "abc")
    for each in (first, second, third):
        each.save("text")
    assert first.save.cancel()
    assert second.save.flush()
    assert document.save.flush()
    assert calls == [("b", "text"), ("c", "text")]
    first.save("text")
    assert document.save.cancel()
    assert not document.save.cancel()


def test_method_is_connected_weakly(api, calls, collect):
    event = api.Event("x")
    document = make_class(api, calls)("a")
    event.connect(document.draw)
    assert event.is_connected(document.draw)
    assert event.emit(1) == ["a"]
    alive = weakref.ref(document)
    del document
    collect()
    assert alive() is None
    assert event.emit(1) == []
    assert not event.handlers


def test_method_can_be_connected_strongly(api, calls, collect):
    event = api.Event("x")
    event.connect(make_class(api, calls)("a").draw, weak=False)
    collect()
    assert event.emit(1) == ["a"]


def test_method_can_be_disconnected(api, calls):
    event = api.Event("x")
    first, second = map(make_class(api, calls), "ab")
    for each in (first, second):
        event.connect(each.draw)
        event.connect(each.draw)
    assert event.disconnect(first.draw)
    assert event.emit(1) == ["b"]


def test_waiting_call_keeps_the_object_alive(api, calls, collect):
    document = make_class(api, calls)
    it = document("a")
    it.save("text")
    alive = weakref.ref(it)
    del it
    collect()
    assert alive() is not None
    assert document.save.flush()
    collect()
    assert alive() is None
    assert calls == [("a", "text")]


def test_dead_objects_leave_nothing(api, calls, collect):
    document = make_class(api, calls)
    for number in range(10):
        document(number).draw("x")
    collect()
    assert vars(document)["draw"]._objects == {}


def test_methods_compare_as_bound_methods_do(api, calls):
    document = make_class(api, calls)
    first, second = document("a"), document("b")
    assert first.save == first.save
    assert first.save != second.save
    assert first.save != first.draw
    assert first.save != 5
    assert not hasattr(type(first.save).__new__(type(first.save)), "anything")
    assert {first.save: 1}[first.save] == 1
    assert first.save.__self__ is first
    assert first.save.__name__ == "save"
    assert str(inspect.signature(first.save)) == "(text)"
    assert str(inspect.signature(document.save)) == "(self, text)"
    assert repr(first.save) == f"{document.save!r}"[:-1] + f" of {first!r}>"


def test_objects_that_are_equal_are_kept_apart(api, calls):
    class Point:
        __hash__ = None

        def __eq__(self, other):
            return True

        @api.throttled(seconds=LONG)
        def move(self):
            return True

    assert [Point().move(), Point().move()] == [True, True]


def test_objects_without_weak_references_are_refused(api):
    class Row:
        __slots__ = ()

        @api.throttled(seconds=LONG)
        def save(self): ...

    with pytest.raises(TypeError, match=r"needs objects that can be weakly referenced, .*: add '__weakref__' to the"):
        Row().save()


def test_function_becomes_a_method_when_it_is_set_on_a_class(api):
    class Row: ...

    Row.save = api.throttled(lambda self: self, LONG)
    first, second = Row(), Row()
    assert [first.save(), second.save()] == [first, second]


def test_class_and_static_methods_are_limited_below(api):
    class Shop:
        @staticmethod
        @api.throttled(seconds=LONG)
        def static(value):
            return value

        @classmethod
        @api.throttled(seconds=LONG)
        def of_class(cls, value):
            return value

    assert [Shop.static(1), Shop().static(2)] == [1, None]
    assert [Shop.of_class(1), Shop().of_class(2)] == [1, None]
    assert vars(Shop)["static"].__func__.cancel()


def test_marked_methods_are_attached(api, ns, calls):
    class View:
        @api.handles("moved")
        @api.throttled(seconds=LONG)
        def draw(self, sender):
            return sender

        @api.throttled(seconds=LONG)
        @api.handles("moved")
        def note(self, sender):
            return sender

    view = View()
    subscriptions = ns.attach(view)
    assert ns.emit("moved", 1) == [1, 1]
    assert ns.emit("moved", 2) == []
    assert View.draw.cancel()
    assert view.note.cancel()
    subscriptions.cancel()


# Arguments


@pytest.mark.parametrize("name", ["throttled", "debounced"])
@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((print,), TypeError, r"{name}\(\) needs a number of seconds: as a decorator, write @{name}\(seconds=0.1\)"),
        ((), TypeError, r"{name}\(\) needs a number of seconds: as a decorator, write @{name}\(seconds=0.1\)"),
        ((0.1,), TypeError, r"{name}\(\) takes a function, not 0.1: as a decorator, write @{name}\(seconds=0.1\)"),
        ((5, 1), TypeError, r"{name}\(\) takes a function, not 5: as a decorator, write @{name}\(seconds=0.1\)"),
        ((None, 1), TypeError, r"{name}\(\) takes a function, not None: .*"),
        ((staticmethod(print), 1), TypeError, r"{name}\(\) takes a function, not a staticmethod: write @static.*"),
        ((classmethod(print), 1), TypeError, r"{name}\(\) takes a function, not a classmethod: write @class.*"),
        ((print, "1"), TypeError, "seconds must be a positive number of seconds, not '1'"),
        ((print, None), TypeError, "seconds must be a positive number of seconds, not None"),
        ((print, True), TypeError, "seconds must be a positive number of seconds, not True"),
        ((print, 0), ValueError, "seconds must be a positive number of seconds, not 0"),
        ((print, -1), ValueError, "seconds must be a positive number of seconds, not -1"),
        ((print, float("nan")), ValueError, "seconds must be a positive number of seconds, not nan"),
        ((print, float("inf")), ValueError, "seconds must be a positive number of seconds, at most .*, not inf"),
    ],
)
def test_invalid_arguments_are_refused(api, name, arguments, error, text):
    with pytest.raises(error, match=f"^{text.format(name=name)}$"):
        getattr(api, name)(*arguments)


def test_trailing_is_a_bool(api):
    with pytest.raises(TypeError, match="^trailing must be True or False, not 1$"):
        api.throttled(print, 1, trailing=1)


def test_decorator_checks_what_it_decorates(api):
    with pytest.raises(TypeError, match=r"^throttled\(\) takes a function, not 5: "):
        api.throttled(seconds=1)(5)


# Threads, signals, finalizers


def test_threads_share_one_limit(api):
    started = threading.Barrier(4)
    made = []
    limited = api.throttled(made.append, LONG)

    def work():
        started.wait(TIMEOUT)
        for number in range(200):
            limited(number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert limited.cancel()


def test_threads_lose_no_last_call(api):
    """Each thread's last call is either made or replaced by a later one; the very last is made."""
    calls = Calls()
    limited = api.throttled(calls, 0.001)
    stop = threading.Event()

    def work():
        while not stop.is_set():
            limited("work")

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    calls.wait(20)
    stop.set()
    for thread in threads:
        thread.join()
    limited("last")
    calls.wait_last("last")


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers that signal")
def test_signal_handlers_may_call_and_raise(api):
    class Interrupt(Exception):
        pass

    calls = Calls()
    limited = api.debounced(calls, 0.001)

    def on_signal(*_):
        limited("signal")
        raise Interrupt

    previous = signal.signal(signal.SIGALRM, on_signal)
    interrupts = 0
    try:
        for step in range(300):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-5 + step % 30 * 2e-6)
                while True:
                    limited("loop")
            except Interrupt:
                interrupts += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert interrupts == 300
    limited("last")
    calls.wait_last("last")


def test_finalizers_of_replaced_arguments_may_call(api, calls):
    limited = api.debounced(calls, LONG)

    class Value:
        def __del__(self):
            limited("finalizer")

    limited(Value())
    limited("next")
    gc.collect()
    assert limited.flush()
    assert calls in (["finalizer"], ["next"])


def test_interrupted_timer_is_started_by_the_next_call(api, rates, calls, monkeypatch):
    limited = api.debounced(calls, SHORT)
    start = rates._in_thread

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(rates, "_in_thread", interrupt)
    with pytest.raises(KeyboardInterrupt):
        limited(1)
    monkeypatch.setattr(rates, "_in_thread", start)
    limited(2)
    assert calls.wait(1) == [2]


@pytest.mark.parametrize("method", ["__init__", "start"])
def test_call_is_made_at_once_if_no_thread_can_be_started(api, rates, calls, monkeypatch, method):
    def refuse(self, **options):
        raise RuntimeError("no thread")

    Refusing = type("Refusing", (threading.Thread,), {method: refuse})
    monkeypatch.setattr(rates, "_threads", {})
    monkeypatch.setattr(rates.threading, "Thread", Refusing)
    api.debounced(calls, LONG)(1)
    assert calls == [1]


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy])
def test_copies_have_a_limit_of_their_own(rates, way):
    calls = []

    def function(argument):
        calls.append(argument)

    limited = rates.throttled(function, LONG)
    limited(1)
    limited(2)
    copied = way(limited)
    assert copied.__name__ == "function"
    copied(3)
    copied(4)
    assert copied._armed == copied._serial  # its timer runs
    assert limited.flush()
    assert copied.flush()
    assert calls == [1, 3, 2, 4]


# Exit and forks


def test_waiting_calls_are_made_at_exit(backend):
    program = """
        from cyevents import debounced, throttled
        save, draw = debounced(print, 3600), throttled(print, 3600)
        save("save"), draw("draw first"), draw("draw")
    """
    assert run_program(program, backend) == (["draw first", "save", "draw"], "")


@pytest.mark.skipif((3, 12) <= sys.version_info < (3, 12, 2), reason="this Python cannot start threads at exit")
def test_calls_of_a_closed_loop_are_made_at_exit(backend):
    program = """
        import asyncio
        from cyevents import debounced

        @debounced(seconds=3600)
        async def function(value):
            await asyncio.sleep(0)
            await asyncio.to_thread(print, value)

        async def main():
            debounced(print, 3600)("sync")
            function("async")

        asyncio.run(main())
    """
    assert run_program(program, backend) == (["sync", "async"], "")


def test_calls_of_other_exit_hooks_are_made(backend):
    program = """
        import atexit
        import threading
        from cyevents import debounced
        last = debounced(print, 3600)
        atexit.register(lambda: last("hook"))  # runs before that of the package
        last("main")

        def outlive():
            threading.main_thread().join()
            last("thread")

        threading.Thread(target=outlive).start()
    """
    output, errors = run_program(program, backend)
    assert (output[-1], errors) == ("hook", "")
    assert "main" in output or "thread" in output


def test_calls_after_the_last_hook_are_made_at_once(backend):
    program = """
        import atexit
        from functools import partial
        made = []
        atexit.register(lambda: made[0]("late"))
        from cyevents import debounced
        made.append(debounced(print, 3600))
    """
    assert run_program(program, backend) == (["late"], "")


def test_exit_gives_up_what_hangs_and_logs_it(backend):
    program = """
        import threading
        import cyevents._rates
        cyevents._rates.EXIT_LIMIT = cyevents._rates._left_at_exit = 0.2
        hang = cyevents.debounced(threading.Event().wait, 3600)
        hang()
        behind = cyevents.debounced(print, 3600)
        behind("never")
    """
    output, errors = run_program(program, backend)
    assert output == []
    assert errors == ("delayed calls not finished at exit are abandoned: <debounced Event.wait>, <debounced print>\n")


def test_error_at_exit_is_logged(backend):
    program = """
        from cyevents import debounced

        @debounced(seconds=3600)
        def function():
            raise ValueError("no")

        function()
    """
    _, errors = run_program(program, backend)
    assert errors.startswith("a delayed call of <debounced function> failed\n")
    assert errors.endswith("ValueError: no\n")


SUBINTERPRETERS = next((name for name in ("_interpreters", "_xxsubinterpreters") if find_spec(name)), None)


@pytest.mark.skipif(SUBINTERPRETERS is None, reason="this Python has no subinterpreters")
@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.11 cannot destroy one that has a thread")
@pytest.mark.parametrize("kind", ["isolated", "legacy"])
def test_waiting_calls_are_made_at_the_end_of_a_subinterpreter(kind):
    """Where it cannot have a daemon thread, a call that would wait is made at once."""
    program = f"""
        import {SUBINTERPRETERS} as interpreters
        has_kinds = hasattr(interpreters, "new_config")
        number = interpreters.create({kind!r}) if has_kinds else interpreters.create(isolated={kind == "isolated"})
        code = "from cyevents import debounced; save = debounced(print, 3600); save('saved')"
        assert interpreters.run_string(number, code) is None
        interpreters.destroy(number)
        print("end")
    """
    assert run_program(program, "python") == (["saved", "end"], "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_child_has_a_thread_of_its_own(backend):
    program = """
        import os, threading
        from cyevents import debounced
        called = threading.Event()
        call = debounced(called.set, 0.01)
        call()
        call.flush()  # its timer is still there
        called.clear()
        pid = os.fork()
        if pid == 0:
            call()
            os._exit(not called.wait(30))
        print(os.waitpid(pid, 0)[1])
    """
    assert run_program(program, backend) == (["0"], "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_child_does_not_make_the_calls_of_its_parent(backend):
    program = """
        import os, sys
        from cyevents import debounced
        save = debounced(lambda text: print(text, "in child" if is_child else "in parent", flush=True), 3600)
        is_child = False
        save("parent's")
        pid = os.fork()
        if pid == 0:
            is_child = True
            assert not save.flush()
            save("child's")
            sys.exit()
        assert os.waitpid(pid, 0)[1] == 0
    """
    output, errors = run_program(program, backend)
    assert (output, errors) == (["child's in child", "parent's in parent"], "")
