"""Tests that need a process of their own: the start of the background loop, the interpreter's exit, and forks."""

import os
import re
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.slow

TIMEOUT = 60  # seconds until a hanging child process fails
THREADS_AT_EXIT = not ((3, 12) <= sys.version_info < (3, 12, 2))  # these versions cannot start any

PRELUDE = """
import asyncio, atexit, logging, os, sys, threading
from cyevents import drain, drain_async, emit, emit_async, on, use_loop
logging.basicConfig(format="%(name)s %(levelname)s\\n%(message)s")

@on("slow")
async def slow(sender):
    await asyncio.sleep(0.05)
    sys.stdout.write(f"done {sender}\\n")  # written at once: a forked child writes here too
    sys.stdout.flush()
"""


class Ended:
    """How a child process ended: its exit status, its output, and what it logged at ERROR."""

    def __init__(self, process):
        self.status = process.returncode
        self.out = process.stdout.splitlines()
        self.stderr = process.stderr
        self.logged = process.stderr.splitlines().count("cyevents ERROR")

    def __repr__(self):
        return f"status {self.status}, printed {self.out}\n{self.stderr}"


@pytest.fixture
def child(backend):
    """Run a script in a child process, with warnings as errors."""

    def run(script, status=0, prelude=PRELUDE, quiet=True):
        process = subprocess.run(
            [sys.executable, "-W", "error", "-c", prelude + textwrap.dedent(script)],
            env={**os.environ, "CYEVENTS_PURE_PYTHON": {"cython": "0", "python": "1"}[backend]},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        ended = Ended(process)
        assert ended.status == status, ended
        for bad in ("never awaited", "was destroyed but it is pending", "Exception ignored", "Fatal Python error"):
            assert bad not in ended.stderr or not quiet, ended
        return ended

    return run


# The background loop's start


def test_background_loop_starts_once_on_demand(child):
    ended = child("""
        @on("sync")
        def sync(sender): pass

        async def main():
            emit("slow", "in a running loop")
            await drain_async()
            await emit_async("slow", "awaited")
            use_loop(asyncio.get_running_loop())
            thread = threading.Thread(target=emit, args=["slow", "in a named loop"])
            thread.start()
            await asyncio.sleep(0)
            thread.join()
            use_loop(None)
            await asyncio.sleep(0)
            await drain_async()

        emit("sync"), emit("unknown"), drain()
        asyncio.run(main())
        print(threading.active_count())
        for number in range(50):
            emit("slow", "here")
        print(threading.active_count())
    """)
    assert ended.out[:4] == ["done in a running loop", "done awaited", "done in a named loop", "1"], ended
    assert sorted(ended.out[4:]) == ["2", *["done here"] * 50], ended


def test_many_threads_start_one_background_loop(child):
    ended = child("""
        loops, start = set(), threading.Barrier(16)

        @on("x")
        async def handler(sender):
            loops.add((asyncio.get_running_loop(), threading.get_ident()))

        def worker():
            start.wait()
            emit("x")

        threads = [threading.Thread(target=worker) for _ in range(16)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        drain()
        print(len(loops), threading.active_count())
    """)
    assert ended.out == ["1 2"], ended


def test_drain_async_covers_the_named_loop_alone(child):
    ended = child("""
        async def main():
            use_loop(asyncio.get_running_loop())
            thread = threading.Thread(target=emit, args=["slow", 1])
            thread.start()
            thread.join()
            print(await drain_async())

        asyncio.run(main())
    """)
    assert ended.out == ["done 1", "True"], ended


def test_drain_async_covers_a_loop_that_starts_meanwhile(child):
    ended = child("""
        @on("x")
        async def handler(sender):
            await asyncio.sleep(0.01)
            thread = threading.Thread(target=emit, args=["slow", 1])
            thread.start()
            thread.join()

        async def main():
            emit("x")
            print(await drain_async())

        asyncio.run(main())
    """)
    assert ended.out == ["done 1", "True"], ended


@pytest.mark.parametrize(
    ("module", "user", "name", "use"),
    [
        ("scheduling", "_hooks", "_schedule", "event.emit()"),
        ("gather", "_event", "_emit_async", "event.emit_async().close()"),
        ("streams", "_event", "_Stream", "event.stream()"),
    ],
)
def test_lazy_import_is_complete_for_other_threads(child, module, user, name, use):
    script = """
        import sys
        from cyevents import Event, USER
        lines, early = [], []

        def trace(frame, what, arg):
            if frame.f_globals["__name__"] == "cyevents._async.MODULE" and frame.f_code.co_name == "<module>":
                if what == "line":
                    (early if USER.NAME else lines).append(frame.f_lineno)
                return trace

        event = Event("x")

        @event.connect
        async def handler(sender):
            pass

        sys.settrace(trace)
        USE
        sys.settrace(None)
        print(bool(lines), early, USER.NAME is not None)
    """
    script = script.replace("MODULE", module).replace("USER", user).replace("NAME", name).replace("USE", use)
    assert child(script, prelude="").out == ["True [] True"]


# Exit


def test_handlers_are_finished_at_exit(child):
    ended = child("""
        for number in range(3):
            emit("slow", number)
    """)
    assert ended.out == ["done 0", "done 1", "done 2"], ended
    assert ended.stderr == ""


@pytest.mark.parametrize(
    ("last", "status"), [("sys.exit(3)", 3), ("1 / 0", 1), ("raise KeyboardInterrupt", 130)], ids=str
)
def test_handlers_are_finished_at_every_kind_of_exit(child, last, status):
    if status == 130:
        status = -2 if sys.platform != "win32" else 0xC000013A  # the signal ends the interpreter
    ended = child(f'emit("slow", 1)\n{last}', status)
    assert ended.out == ["done 1"], ended


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot interrupt itself there")
def test_interrupt_ends_the_wait_at_exit(child):
    ended = child("""
        import signal
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background has no handler
        begun = threading.Event()

        @on("long")
        async def long(sender):
            begun.set()
            await asyncio.sleep(0.5)
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(5)
            print("not interrupted")

        emit("long")
        begun.wait()
    """)
    expected = "cyevents ERROR\nasync handlers not finished at exit are abandoned: long of event 'long'\n"
    assert (ended.out, ended.stderr) == ([], expected), ended


def test_emissions_of_handlers_are_finished_at_exit(child):
    ended = child("""
        @on("chain")
        async def chain(number):
            await asyncio.sleep(0.01)
            print(number)
            emit("chain" if number else "slow", number - 1)

        emit("chain", 3)
    """)
    assert ended.out == ["3", "2", "1", "0", "done -1"], ended


def test_draining_handlers_are_finished_at_exit(child):
    ended = child("""
        @on("x")
        async def handler(sender):
            await drain_async()
            await asyncio.sleep(0.05)
            print("drained")

        emit("slow", 1), emit("x")
    """)
    assert ended.out == ["done 1", "drained"], ended


@pytest.mark.skipif(not THREADS_AT_EXIT, reason="this Python cannot start threads at exit")
def test_handlers_may_use_to_thread_at_exit(child):
    ended = child("""
        @on("x")
        async def handler(sender):
            await asyncio.sleep(0.05)
            print(await asyncio.to_thread(lambda: "in a thread"))

        emit("x")
    """)
    assert ended.out == ["in a thread"], ended
    assert ended.stderr == ""


def test_handlers_may_use_an_existing_pool_at_exit(child):
    ended = child("""
        @on("x")
        async def handler(sender):
            await asyncio.to_thread(int)
            await asyncio.sleep(0.05)
            print(await asyncio.to_thread(lambda: "in a thread"))

        emit("x")
        import time
        while threading.active_count() < 3:
            time.sleep(0.001)
    """)
    assert ended.out == ["in a thread"], ended


def test_exceptions_at_exit_are_logged(child):
    ended = child("""
        @on("x")
        async def handler(sender):
            await asyncio.sleep(0.05)
            raise ValueError("at exit")

        emit("x")
    """)
    assert ended.logged == 1, ended
    assert "ValueError: at exit" in ended.stderr, ended


@pytest.mark.parametrize("blocks", ["await asyncio.get_running_loop().create_future()", "threading.Event().wait()"])
def test_slow_handler_is_abandoned_and_logged(child, blocks):
    ended = child(f"""
        import cyevents._async.scheduling
        cyevents._async.scheduling.EXIT_LIMIT = 0.2
        begun = threading.Event()

        @on("x")
        async def handler(sender):
            begun.set()
            {blocks}

        for _ in range(12):
            emit("x")
        begun.wait()
    """)
    assert ended.logged == 1, ended
    named = ", ".join(["handler of event 'x'"] * 10)
    assert f"are abandoned: {named}, 2 more\n" in ended.stderr, ended


def test_other_handlers_finish_if_one_is_abandoned(child):
    ended = child("""
        import cyevents._async.scheduling
        cyevents._async.scheduling.EXIT_LIMIT = 0.5

        @on("x")
        async def handler(sender):
            await asyncio.get_running_loop().create_future()

        emit("x")
        emit("slow", 1)
    """)
    assert ended.out == ["done 1"], ended
    assert ended.logged == 1, ended
    assert "are abandoned: handler of event 'x'\n" in ended.stderr, ended


def test_work_for_a_stopped_named_loop_is_logged(child):
    ended = child(
        """
        @on("stuck")
        async def stuck(sender):
            await asyncio.sleep(60)

        loop = asyncio.new_event_loop()
        use_loop(loop)
        emit("stuck", 1)
        emit("stuck", 2)
        loop.run_until_complete(asyncio.sleep(0.001))  # the handlers have started
        emit("stuck", 3)
    """,
        quiet=False,
    )
    assert ended.out == [], ended
    assert ended.logged == 1, ended
    assert "are abandoned: stuck of event 'stuck', stuck of event 'stuck', stuck of event 'stuck'\n" in ended.stderr, (
        ended
    )
    assert "never awaited" not in ended.stderr, ended


def test_work_for_a_closed_named_loop_is_logged(child):
    ended = child("""
        loop = asyncio.new_event_loop()
        use_loop(loop)
        emit("slow", 1)
        loop.close()
    """)
    assert ended.logged == 1, ended
    assert "of event 'slow' is not run: its event loop was closed\n" in ended.stderr, ended


def test_named_loop_in_another_thread_is_no_error(child):
    ended = child("""
        loop = asyncio.new_event_loop()
        use_loop(loop)
        emit("slow", 1)

        def later():
            threading.main_thread().join()
            loop.run_until_complete(drain_async())
            loop.close()

        threading.Thread(target=later).start()
    """)
    assert ended.out == ["done 1"], ended
    assert ended.logged == 0, ended


def test_exit_timeout_is_documented(api):
    api.drain()
    import cyevents._async.scheduling

    assert f"{cyevents._async.scheduling.EXIT_LIMIT:g} seconds" in api.drain.__doc__


def finished_or_logged(ended, number=1):
    """Return whether each handler has run, or was at least abandoned and logged."""
    return len([line for line in ended.out if line.startswith("done")]) + ended.logged == number


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("registered", ["before", "after"])
def test_emission_in_atexit(child, running, registered):
    register = 'atexit.register(emit, "slow", "at exit")'
    start = 'emit("slow", "before"); drain()' if running else "pass"
    lines = [register, start] if registered == "before" else [start, register]
    ended = child("\n".join(lines))
    assert finished_or_logged(ended, 1 + running), ended


def test_emission_in_atexit_in_its_own_loop(child):
    ended = child("""
        async def main():
            emit("slow", 1)
            await drain_async()
            await emit_async("slow", 2)

        atexit.register(lambda: asyncio.run(main()))
    """)
    assert ended.out == ["done 1", "done 2"], ended


@pytest.mark.parametrize("running", [False, True])
def test_emission_in_a_thread_that_outlives_main(child, running):
    ended = child(f"""
        def worker():
            threading.main_thread().join()
            emit("slow", "late")

        if {running}:
            emit("slow", "before")
            drain()
        threading.Thread(target=worker).start()
    """)
    assert finished_or_logged(ended, 1 + running), ended
    if running:
        assert ended.out == ["done before", "done late"], ended


@pytest.mark.parametrize(
    "before",
    ["pass", "import asyncio", "from cyevents import drain", "from cyevents import drain; emit('slow'); drain()"],
)
def test_emission_by_a_finalizer_at_shutdown(child, before):
    ended = child(
        f"""
        import logging, os, sys
        from cyevents import emit, on
        logging.basicConfig(format="%(name)s %(levelname)s\\n%(message)s")

        @on("slow", weak=False)
        async def slow(sender):
            pass

        @on("sync", weak=False)
        def sync(sender, write=os.write):
            write(1, b"sync handler\\n")

        class Late:
            def __del__(self, emit=emit, finalizing=sys.is_finalizing):
                if finalizing():
                    emit("sync")
                    emit("slow", "late")
                    emit("sync")

        {before}
        late = Late()
    """,
        prelude="",
    )
    assert ended.out == ["sync handler"] * 2, ended
    reported = ended.logged if "drain()" in before else ended.stderr.count("is not run")  # if logging is unavailable
    assert reported == 1, ended  # every abandoned handler is reported


LATE = """
import os, sys
from cyevents import Event, emit, event

def sync(sender, write=os.write):
    write(1, b"sync\\n")

def generator(sender, write=os.write):
    write(1, b"generator\\n")
    yield 1

async def slow(sender): pass

class Late:
    def __init__(self):
        self.events = [event("x"), Event("alone")]
        self.handlers = [sync, generator, slow]
        for each in self.events:
            for handler in self.handlers:
                each.connect(handler)
                each.connect(handler, sender="me")

    def __del__(self, emit=emit, write=os.write, Exception=Exception, finalizing=sys.is_finalizing):
        assert finalizing()
        one, other = self.events
        sync, generator, slow = self.handlers
        for use in [
            lambda: emit("x"),
            lambda: one.emit("me"),
            lambda: other.emit(sender="me"),
            lambda: [value.close() for _, value in one.send(1) if value is not None],
            lambda: one.connect(sync, priority=1),
            lambda: one.connect(sync, "another"),
            lambda: one.emit("another"),
            lambda: one.subscribe(generator).cancel(),
            lambda: one.disconnect(sync),
            lambda: one.handlers,
            lambda: one.clear(),
            lambda: repr(one),
        ]:
            try:
                use()
            except Exception:  # from cleared modules
                pass
        write(1, b"end\\n")
"""


def test_finalizer_while_modules_are_being_cleared(child):
    """The finalizer runs before this package is cleared: nothing fails, and async handlers are abandoned and logged."""
    ended = child(
        """
        import types
        sys.modules["late"] = late = types.ModuleType("late")
        late.late = Late()
        del late
    """,
        prelude=LATE.replace("except Exception:", "except ArithmeticError:"),
    )
    assert ended.out[-1] == "end", ended
    if getattr(sys, "_is_gil_enabled", lambda: True)():  # otherwise the collector clears the weak references first
        assert ended.out.count("sync") >= 4, ended
        assert ended.out.count("generator") >= 3, ended
        assert ended.stderr.count("is not run") >= 3, ended


def test_finalizer_after_this_package_is_cleared(child):
    """The package's remains work or raise: nothing crashes, hangs or is awaited forever."""
    ended = child("sys.late = Late()  # the module sys is cleared at the very last", prelude=LATE, quiet=False)
    assert ended.out[-1] == "end", ended


def test_finalizer_does_not_wait_for_a_dead_thread(child):
    ended = child(
        """
        import time, types
        from cyevents import Event
        from cyevents._core import lock

        def change():
            with lock:  # as in the middle of a change
                begun.set()
                time.sleep(1000)

        class Late:
            def __del__(self, event=Event("x"), namespace=default_namespace, write=os.write):
                event.connect(write, weak=False)
                subscription = event.subscribe(len)
                with event.muted():
                    namespace.event("new")
                del namespace["new"]
                write(1, b"%d\\n" % (event.disconnect(write) + subscription.cancel()))

        begun = threading.Event()
        sys.modules["late"] = late = types.ModuleType("late")
        late.late = Late()
        del late
        threading.Thread(target=change, daemon=True).start()
        begun.wait()
    """,
        prelude=PRELUDE + "from cyevents import default_namespace\n",
    )
    assert ended.out == ["2"], ended


def test_daemon_threads_emit_during_exit(child):
    """Sync handlers run until the threads are stopped; async ones are awaited within the time limit."""
    ended = child("""
        import cyevents._async.scheduling
        from cyevents import Event
        cyevents._async.scheduling.EXIT_LIMIT = 0.3
        logging.disable()
        event, begun = Event("x"), threading.Semaphore(0)

        @event.connect
        def sync(sender): return sender

        @event.connect
        async def quick(sender): await asyncio.sleep(0)

        @event.connect
        def generator(sender): yield sender

        def work():
            def another(sender): pass
            for number in range(100):
                event.emit(number)
            begun.release()
            while True:
                event.emit(number)
                event.connect(another, sender=number)
                event.disconnect(another)
                time.sleep(0)

        import time
        for _ in range(4):
            threading.Thread(target=work, daemon=True).start()
        for _ in range(4):
            begun.acquire()
        print("end")
    """)
    assert ended.out == ["end"], ended


@pytest.mark.parametrize("daemon", [True, False])
def test_threads_emit_to_sync_handlers_during_exit(child, daemon):
    ended = child(f"""
        from cyevents import Event
        event, counts, begun = Event("x"), [0] * 4, threading.Semaphore(0)

        @event.connect
        def count(number, ended): counts[number] += 1

        def work(number):
            begun.release()
            threading.main_thread().join({daemon} and 0)
            turn = 0
            while {daemon} or turn < 3000:
                event.emit(number, turn)
                turn += 1

        for number in range(4):
            threading.Thread(target=work, args=[number], daemon={daemon}).start()
        for _ in range(4):
            begun.acquire()
        atexit.register(lambda: print(counts if not {daemon} else "end"))
    """)
    assert ended.out == ["end" if daemon else "[3000, 3000, 3000, 3000]"], ended


def test_threads_that_outlive_main_lose_no_async_handler(child):
    """Each handler is finished, or abandoned and logged if no thread can be started any more."""
    ended = child("""
        def worker():
            threading.main_thread().join()
            for number in range(20):
                emit("slow", number)

        emit("slow", "before")
        drain()
        for _ in range(3):
            threading.Thread(target=worker).start()
    """)
    assert sorted(ended.out) == sorted(["done before", *[f"done {number}" for number in range(20)] * 3]), ended


@pytest.mark.parametrize("registered", ["before", "after"])
def test_every_way_to_emit_in_atexit(child, registered):
    """In a hook registered before this package's own, which runs after it, and in a later one."""
    hook = textwrap.dedent("""
        def hook():
            from cyevents import emit, event
            event("sync").connect(print, weak=False)
            event("sync").connect(generator := (lambda sender: (yield sender)))
            print(emit("sync", "sync"), event("sync").send(1)[1][0] is generator)
            with event("sync").muted():
                print(emit("sync"))
        atexit.register(hook)
    """)
    first, last = (hook, "") if registered == "before" else ("", hook)
    ended = child(last, prelude=f"import atexit\n{first}\n{PRELUDE}\nemit('slow', 1)\n")
    assert sorted(ended.out) == ["1", "[['sync']] True", "[]", "done 1", "sync"], ended


def test_handlers_that_die_after_modules_are_silent(child):
    """Free-threaded Pythons delete functions that late if they have been frozen."""
    ended = child("""
        import gc

        class Sender:
            pass

        def handler(sender):
            pass

        sender = Sender()
        on("died")(handler)
        on("died", sender)(Sender)
        gc.freeze()
    """)
    assert ended.stderr == "", ended


def test_exit_does_not_wait_for_cancelled_handlers(child):
    ended = child("""
        @on("x")
        async def handler(sender):
            print("begun")
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                print("cancelled")

        async def main():
            emit("x")
            await asyncio.sleep(0)

        asyncio.run(main())
        print("end")
    """)
    assert ended.out == ["begun", "cancelled", "end"], ended
    assert ended.stderr.startswith("cyevents WARNING\nasync handler <function "), ended
    assert ended.stderr.endswith("was cancelled before it was done: await drain_async() before its loop ends\n"), ended


def test_emission_to_an_ended_named_loop_is_finished(child):
    ended = child("""
        async def main():
            use_loop(asyncio.get_running_loop())

        asyncio.run(main())
        emit("slow", 1)
    """)
    assert ended.out == ["done 1"], ended


# Forks


FORK = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # forking where threads run

def fork(what):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            what()
            sys.stdout.flush()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no os.fork")


@forks
def test_forked_child_has_its_own_background_loop(child):
    ended = child(
        FORK
        + textwrap.dedent("""
        def in_child():
            emit("slow", "in the child")
            print(drain(30))

        emit("slow", "in the parent")
        drain()
        print(fork(in_child))
        emit("slow", "in the parent again")
    """)
    )
    expected = ["done in the parent", "done in the child", "True", "0", "done in the parent again"]
    assert ended.out == expected, ended


@forks
def test_scheduled_handlers_stay_with_the_parent(child):
    ended = child(
        FORK
        + textwrap.dedent("""
        from concurrent.futures import Future
        begun, gate = threading.Event(), Future()

        @on("x")
        async def handler(sender):
            begun.set()
            await asyncio.wrap_future(gate)
            print("finished", os.getpid() == parent)

        parent = os.getpid()
        emit("x")
        begun.wait()
        print(fork(lambda: print(drain(30), asyncio.run(drain_async(30)))))
        gate.set_result(None)
    """)
    )
    assert ended.out == ["True True", "0", "finished True"], ended


@forks
def test_work_for_a_named_loop_stays_with_the_parent(child):
    ended = child(
        FORK
        + textwrap.dedent("""
        loop = asyncio.new_event_loop()
        use_loop(loop)
        emit("slow", 1)
        print(fork(lambda: print(drain(30))))
        print(drain(30))
        loop.run_until_complete(drain_async())
        loop.close()
    """)
    )
    assert ended.out == ["True", "0", "False", "done 1"], ended
    assert ended.logged == 0, ended


@forks
@pytest.mark.skipif(
    sys.version_info < (3, 12) and hasattr(sys, "gettotalrefcount"),
    reason="a debug build of CPython 3.11 aborts a forked child that first asks for its current interpreter",
)
def test_forked_child_finishes_its_handlers_at_exit(child):
    ended = child(
        FORK
        + textwrap.dedent("""
        emit("slow", "in the parent")
        drain()
        sys.stdout.flush()
        pid = os.fork()
        emit("slow", "after the fork")
        if pid:
            print(os.waitpid(pid, 0)[1])
    """)
    )
    assert sorted(ended.out) == ["0", "done after the fork", "done after the fork", "done in the parent"], ended


@forks
def test_fork_before_the_background_loop_starts(child):
    ended = child(
        FORK
        + textwrap.dedent("""
        def in_child():
            emit("slow", "in the child")
            print(drain(30))

        drain()
        print(fork(in_child))
        emit("slow", "in the parent")
    """)
    )
    assert ended.out == ["done in the child", "True", "0", "done in the parent"], ended


@forks
def test_process_forked_while_the_background_loop_runs(child):
    """Python 3.12 and later warn about forks while threads such as the background loop run; nothing else is printed."""
    ended = child("""
        import multiprocessing, warnings
        from cyevents import Event

        def say(*words):  # in one write, since two processes and their loops share the output
            sys.stdout.write(" ".join(map(str, words)) + "\\n")

        def work():
            def other(sender): return "called"
            event.connect(other)
            say(event.emit("here"))
            emit("slow", "in the worker")
            say(drain(30))
            sys.stdout.flush()

        event = Event("x")
        emit("slow", "before")
        drain()
        emit("slow", "meanwhile")
        sys.stdout.flush()
        context = multiprocessing.get_context("fork")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            worker = context.Process(target=work)
            worker.start()
            worker.join()
        messages = [str(warning.message).partition(",")[0] for warning in caught]
        assert messages in ([], [f"This process (pid={os.getpid()}) is multi-threaded"]), messages
        assert len(messages) == (sys.version_info >= (3, 12)) or sys.platform != "linux"
        say(worker.exitcode, event.emit("there"))
    """)
    expected = ["['called']", "0 []", "True", "done before", "done in the worker", "done meanwhile"]
    assert sorted(ended.out) == sorted(expected), ended


@forks
@pytest.mark.skipif(not THREADS_AT_EXIT, reason="this Python cannot fork at exit")
def test_fork_at_exit(child):
    ended = child(
        FORK
        + textwrap.dedent("""
        def at_exit():
            emit("slow", "in the parent")
            print(fork(in_child))

        def in_child():
            from cyevents import event
            event("x").connect(str, weak=False)
            print(emit("x", "in the child"))

        atexit.register(at_exit)
    """)
    )
    assert [line for line in ended.out if "in the parent" not in line][:2] == ["['in the child']", "0"], ended
    assert finished_or_logged(ended), ended


LATE_ACTIONS = {
    "emit": "aevent.emit(1)",
    "emit_async": "aevent.emit_async(1).close()",
    "condition": "event.connect(handler, condition=lambda sender: 1 / 0), event.emit(1)",
    "clear": "event.clear()",
}


@pytest.mark.parametrize("action", list(LATE_ACTIONS))
@pytest.mark.parametrize("loaded", [False, True], ids=["", "loaded"])
@pytest.mark.parametrize("module", ["os", "codecs", "threading"])
def test_last_finalizers_may_use_events(child, action, loaded, module):
    """They run after builtins, sys and all modules that anything refers to have been cleared."""
    ended = child(
        f"""
        import codecs, cyevents
        event, aevent = cyevents.event("x"), cyevents.event("slow")

        @event.connect
        def handler(sender): pass

        def do(event=event, aevent=aevent, handler=handler):
            {LATE_ACTIONS[action]}

        class Last:
            def __del__(self, do=do):
                do()

        {"event.stream().close(), event.emit_async().close()" if loaded else ""}
        {"emit('slow', 1), drain()" if loaded else ""}
        {module}.kept = Last()
    """,
        quiet=loaded or action != "emit_async",
    )
    assert ended.out == (["done 1"] if loaded else []), ended
    if action == "emit_async" and not loaded:
        assert ended.stderr.endswith("\nImportError: the interpreter is exiting\n"), ended
    elif action != "emit":
        assert ended.stderr == "", ended
    else:
        text = "cyevents: async handler .* of 'slow' is not run: the interpreter is exiting\n"
        assert re.fullmatch(text, ended.stderr), ended
