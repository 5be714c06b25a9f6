"""Robustness: leaks, forks, replaced methods, copies, unusual handlers."""

import copy
import gc
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import types
import weakref

import pytest


class Thing:
    pass


class Condition:
    """A condition whose instances can be counted."""

    def __call__(self, sender, **kwargs):
        return True


def returning(value):
    def handler(sender, **kwargs):
        return value

    return handler


def child(backend, script, timeout=60):
    """Run a script in its own process; return its exit status and output."""
    environment = {**os.environ, "CYEVENTS_PURE_PYTHON": "0" if backend == "cython" else "1"}
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    return process.returncode, process.stdout + process.stderr


# Leaks


def test_old_connection_does_not_hold_later_ones(api, collect):
    event, handler, conditions = api.Event("x"), returning(1), weakref.WeakSet()
    subscription = event.subscribe(handler)
    for _ in range(100):
        condition = Condition()
        conditions.add(condition)
        event.connect(handler, condition=condition)
    del condition
    collect()
    assert len(conditions) == 1
    assert subscription.cancel() is False


@pytest.mark.slow
def test_endless_reconnection_during_an_emission(backend):
    script = """
        import threading
        from cyevents import Event
        def main():
            event = Event("x")
            def again(sender): pass
            def first(sender):
                for _ in range(60000):
                    event.connect(again)
            event.connect(first, priority=1)
            event.connect(again)
            event.emit(1)
            print("done")
        threading.stack_size(512 * 1024)
        thread = threading.Thread(target=main)
        thread.start()
        thread.join()
    """
    assert child(backend, script) == (0, "done\n")


def test_overlapping_connected_to_blocks_leave_nothing(api, collect):
    event, handler, conditions = api.Event("x"), returning(1), weakref.WeakSet()
    event.connect(handler, priority=7)
    before = None
    for _ in range(100):
        condition = Condition()
        conditions.add(condition)
        now = event.connected_to(handler, condition=condition)
        now.__enter__()
        if before is not None:
            before.__exit__(None, None, None)
        before = now
    del condition, now
    collect()
    assert len(conditions) <= 2
    before.__exit__(None, None, None)
    del before
    collect()
    assert len(conditions) == 0
    assert [(connection.handler, connection.priority) for connection in event.handlers] == [(handler, 7)]


def test_ended_temporary_connection_is_not_restored(api):
    event, handler = api.Event("x"), returning(1)
    first, second = event.connected_to(handler, priority=1), event.connected_to(handler, priority=2)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert event.handlers == []


def test_connected_to_makes_no_reference_cycle(api):
    event, handler = api.Event("x"), returning(1)

    def use():
        thing = Thing()
        connected = event.connected_to(handler)
        with connected:
            return weakref.ref(thing)

    gc.collect()
    gc.disable()
    try:
        assert use()() is None
    finally:
        gc.enable()


def test_method_whose_function_dies_leaves_nothing(api, collect):
    class Owner:
        def method(self, sender):
            return 1

    event, owner, condition = api.Event("x"), Owner(), Condition()
    event.connect(owner.method, condition=condition)
    assert event.emit(1) == [1]
    died = weakref.ref(condition)
    Owner.method = condition = None
    collect()
    assert event.emit(1) == []
    assert repr(event) == "<Event 'x': 0 handlers>"
    collect()
    assert died() is None


@pytest.mark.skipif(not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="functions die only at a collection")
def test_method_of_a_temporary_function_warns(api):
    event, owner = api.Event("x"), Thing()
    with pytest.warns(RuntimeWarning, match="garbage-collected at once"):
        event.connect(types.MethodType(lambda self, sender: 1, owner))


# The lock


def test_finalizers_do_not_run_under_the_lock(api, ns, collect):
    from cyevents import _core

    owned = []

    class Finalized(Condition):
        def __del__(self):
            owned.append(_core.lock._is_owned())

    def fill():
        for event in (ns.event("user.x"), ns.event("user.*")):
            event.connect(print, condition=Finalized())
            event.connect(print, "sender", condition=Finalized())
        ns.emit("user.x", "sender")

    for change in (
        lambda: ns.__delitem__("user.x"),
        lambda: ns.__delitem__("user.*"),
        lambda: (ns["user.x"].clear(), ns.event("user.*").clear()),
        lambda: (ns["user.x"].disconnect(print), ns.event("user.*").disconnect(print)),
        ns.clear,
    ):
        fill()
        change()
    ns.clear()
    collect()
    assert len(owned) >= 4
    assert not any(owned)


def test_several_threads_may_clear_a_namespace(ns):
    failed = []

    def work():
        try:
            for number in range(200):
                ns.event(f"e{number % 5}")
                ns.event("e*")
                ns.clear()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fork_while_another_thread_changes_the_tables(backend):
    script = """
        import os, signal, sys, threading, warnings
        from cyevents import Event, Namespace
        warnings.simplefilter("ignore")
        ns, event, stop = Namespace(), Event("x"), threading.Event()
        ns.event("*")  # imports what patterns need: this test is not about forks during an import
        def change():
            while not stop.is_set():
                ns.event("user.x1")
                ns.event("user.*").connect(print)
                del ns["user.x1"], ns["user.*"]
                event.connect(print)
                event.clear()
        thread = threading.Thread(target=change)
        thread.start()
        for _ in range(20):
            pid = os.fork()
            if pid == 0:
                signal.alarm(20)
                Event("y").connect(print)
                Namespace().event("z*")
                os._exit(0)
            if os.waitpid(pid, 0)[1] != 0:
                print("a child hung")
        stop.set()
        thread.join()
        print("done")
    """
    assert child(backend, script, timeout=500) == (0, "done\n")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fork_forgets_the_parents_named_loop(backend):
    script = """
        import asyncio, os, warnings
        from cyevents import Event, drain, use_loop
        warnings.simplefilter("ignore")
        event = Event("x")
        @event.connect
        async def handler(sender):
            os.write(1, f"{sender} handled\\n".encode())
        async def main():
            use_loop(asyncio.get_running_loop())
            pid = os.fork()
            if pid == 0:
                event.emit("child")
                os._exit(0 if drain(20) else 1)
            assert os.waitpid(pid, 0)[1] == 0
        asyncio.run(main())
    """
    assert child(backend, script) == (0, "child handled\n")


# Scheduling


@pytest.mark.parametrize("error", [ValueError("no task"), RecursionError("no stack")], ids=repr)
def test_failed_task_creation_leaves_nothing_pending(api, ns, run, error):
    @ns.on("x")
    async def handler(sender):
        pass

    def factory(loop, coroutine, **kwargs):
        coroutine.close()
        raise error

    async def main():
        import asyncio

        loop = asyncio.get_running_loop()
        loop.set_task_factory(factory)
        with pytest.raises(type(error)):
            ns.emit("x")
        loop.set_task_factory(None)
        return await api.drain_async(timeout=30)

    assert run(main()) is True


def test_handler_may_drain_in_another_thread(api, ns):
    import asyncio

    drained = []

    @ns.on("x")
    async def handler(sender):
        drained.append(await asyncio.to_thread(api.drain, 30))

    ns.emit("x")
    assert api.drain(30)
    assert drained == [True]


# Patterns


@pytest.mark.parametrize("sender", ["a", Thing, None])
def test_connected_to_on_a_pattern_restores_it(ns, sender):
    event, pattern, handler = ns.event("user.x"), ns.event("user.*"), returning("called")
    pattern.connect(handler, sender=sender)
    assert event.emit(sender) == ["called"]
    with pattern.connected_to(handler, sender=sender, priority=5):
        assert event.emit(sender) == ["called"]
    assert event.emit(sender) == ["called"]


# Subscriptions


def test_cancel_returns_whether_it_was_connected(api):
    subscription = api.Event("x").subscribe(lambda sender: 1)
    assert subscription.cancel() is True
    assert subscription.cancel() is False


# Replacements and copies


def test_emission_by_name_sees_a_replaced_emit(api, ns, monkeypatch):
    event = ns.event("x")
    for number in range(1200):
        with monkeypatch.context() as patch:  # a core's `Event` may have or inherit `emit`
            patch.setattr(api.Event, "emit", lambda self, sender, number=number: number)
            assert ns.emit("x", 1) == number
        assert ns.emit("x", 1) == []
    assert event.emit(1) == []


def test_event_copies_as_itself_and_cannot_be_pickled(ns):
    event = ns.event("x")
    assert copy.copy(event) is event
    assert copy.deepcopy({"event": event})["event"] is event
    with pytest.raises(TypeError, match="event 'x' cannot be pickled: send its name"):
        pickle.dumps(event)


# Unusual handlers


def test_metaclass_attributes_do_not_count(api):
    class Meta(type):
        def __await__(cls):
            raise AssertionError

        __next__ = send = throw = asend = athrow = __anext__ = __await__

    class Result(metaclass=Meta):
        pass

    event, result = api.Event("x"), Result()
    event.connect(handler := returning(result))
    assert event.emit(1) == [result]
    assert handler


def test_handler_may_die_where_no_python_code_runs(api, collect):
    import _thread

    event, done = api.Event("x"), threading.Event()

    def handler(sender):
        return 1

    weakref.finalize(handler, done.set)
    event.connect(handler)
    _thread.start_new_thread(lambda handler: None, (handler,))
    del handler
    for _ in range(1000):
        if done.wait(0.01):
            break
        collect()
    collect()
    assert event.handlers == []
    assert repr(event) == "<Event 'x': 0 handlers>"
