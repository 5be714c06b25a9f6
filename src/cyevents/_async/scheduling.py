"""The scheduling of async handlers by `emit`, which does not wait for them; `drain`, which does; and the exit.

Calls that `emit` has delivered to a loop or an executor are tracked here too: see `delivery`.

How it works: `schedule` makes a `Job` of the result of an async handler. The job becomes a task of the running loop,
else of the loop that `use_loop` has named, else of the background loop, which runs in a daemon thread.

Who keeps a task alive: loops refer to their tasks weakly. `jobs` holds each job, and so its task, until the task's done
callback has reported its exception. The task of a closed loop never gets there: `_drop_lost` finds such jobs.

At exit, two hooks wait for the background loop. The first runs before the interpreter shuts down thread pools, because
handlers may use `asyncio.to_thread`. Threads that outlive the main one may emit after that, so the second is the last
of all. Exit hooks that the program registered earlier run even later: if they emit, `schedule` itself waits. All this
takes `EXIT_LIMIT` seconds at most. Handlers that are left then are abandoned and logged.

Cancellation: nothing here cancels a handler, but `asyncio.run` does when its main coroutine returns. Then the log says
to await `drain_async` first.

Forks: a child process has only the thread that forked. It forgets the jobs of other threads' loops, and neither runs
nor closes them, since closing a coroutine runs code of the handler.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures.thread  # its exit hook must be registered before the one here, to run after that # noqa: F401
import logging
import os
import sys
import threading
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakSet, ref

from .._checks import coroutine_function
from .._core._safe import handler_name, safe_repr
from .._core._values import MISSING
from .awaitables import Consumed, as_coroutine, report_to_loop
from .loops import checked_timeout

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from .._core import Entry, EventCore

    Loop = asyncio.AbstractEventLoop

EXIT_LIMIT = 10.0
"""Seconds for which the interpreter's exit waits for async handlers in the background loop."""

_CANCELLED = 2  # the bit of `Entry.warned` for a handler that would cancel; 1 is for a condition that raised
_RUNNING: Any = MISSING  # the default of `use_loop`

_logger = logging.getLogger("cyevents")  # not `_log.log`, which needs an import: at exit there is none
jobs: dict[Job, None] = {}  # those that are not done; a dict changes atomically, so no emission waits for another
pool_calls: dict[Any, None] = {}  # each `ExecutorCall` that has not ended
_draining: set[Job] = set()  # the jobs that are in `drain` or `drain_async`, and do not wait for each other
_current_job: ContextVar[ref[Any] | None] = ContextVar("cyevents_job", default=None)
"""The `Job` or `ExecutorCall` that runs in this context. Contexts are copied, so this is weak."""
_named_loop: Loop | None = None
_last_loop: Loop | None = None  # in which a job was started last
_seen_loops: WeakSet[Loop] = WeakSet()  # in which a job was started
_lost: list[None] = []  # one item for each lost job that `drain` has not reported yet


# Scheduling


def schedule(event: EventCore, result: Any, kind: int, handler: Any, sender: Any, entry: Entry) -> None:
    """Schedule what an async handler returned to `emit`: see "How it works"."""
    job = Job(event, handler, sender, as_coroutine(result, kind), entry)
    loop = asyncio._get_running_loop()
    if loop is not None:
        job.loop = loop
        jobs[job] = None
        try:
            job.start()
        except BaseException:  # a task factory has raised, or no stack is left
            job.drop()
            raise
        return
    if sys.is_finalizing():
        job.give_up("the interpreter is exiting")
        return
    context = copy_context()
    named = _named_loop  # read once: another thread may change it
    if named is not None and job.submit(named, context):
        return
    try:
        loop = _background_loop()
    except RuntimeError as error:
        job.give_up(error)
        return
    if not job.submit(loop, context):
        job.give_up("the background loop is closed")
    if _is_late:  # no exit hook will run any more
        _drain_at_last()


def unhandled(job: Any, value: Any, error: BaseException | None) -> BaseException | None:
    """Take the outcome of a handler that no emission waits for. Return the exception to report, if any."""
    if error is None:
        if value is False or (type(value) is Consumed and value.cancels):
            job.warn_cancelling("returned False")
        return None
    event = job.event
    if event._cancel_of(error) is not None:
        job.warn_cancelling("raised Cancel")
        return None
    policy = event._error_policy()
    if callable(policy) and isinstance(error, Exception):
        try:
            policy(error, job.handler, event, job.sender)
        except Exception as another:
            return another
        return None
    return error


def note_lost() -> None:
    """Have the next `drain` return False, since a handler will never run."""
    _lost.append(None)


class Job:
    """An async handler of an emission that does not wait for it."""

    __slots__ = ("__weakref__", "coroutine", "entry", "event", "handler", "is_submitted", "loop", "sender", "task")

    kind = "async handler"
    is_awaited = False  # by an emission; then it is not among `jobs`

    loop: Loop
    coroutine: Any  # a delivered call has none until its handler was called

    def __init__(
        self, event: EventCore, handler: Any, sender: Any, coroutine: Coroutine[Any, Any, Any] | None, entry: Entry
    ) -> None:
        self.event = event
        self.handler = handler
        self.sender = sender
        self.coroutine = coroutine
        self.entry = entry
        self.is_submitted = False  # whether it was emitted outside its loop
        self.task: asyncio.Task[Any] | None = None

    def submit(self, loop: Loop, context: Context) -> bool:
        """Have it started in a loop, in the order of these calls; return False if that is closed."""
        self.loop = loop
        self.is_submitted = True
        try:
            if not self.is_awaited:
                jobs[self] = None
            is_here = asyncio._get_running_loop() is loop
            (loop.call_soon if is_here else loop.call_soon_threadsafe)(self.start_or_report, context=context)
        except BaseException as error:
            if isinstance(error, RuntimeError) and loop.is_closed():
                self.remove()
                return False
            self.drop()  # no memory, or a signal handler has raised
            raise
        return True

    def start(self) -> None:
        """Make it a task of the running loop. Nothing of it runs before the loop's next iteration."""
        global _last_loop
        loop = self.loop
        if loop is not _last_loop:
            _last_loop = loop
            if loop not in _seen_loops:  # programs that use several loops at once do not look at each change
                _seen_loops.add(loop)
                _drop_lost()
        coroutine = self.coroutine
        if loop.get_task_factory() is not None:  # it may start tasks eagerly
            coroutine = _after_yield(coroutine)
        context = copy_context()
        if not self.is_awaited:
            context.run(_current_job.set, ref(self))
        task = context.run(loop.create_task, coroutine)
        try:
            task.add_done_callback(self.done)
        except BaseException:  # no memory
            task.cancel()
            raise
        self.task = task

    def start_or_report(self) -> None:
        """Make it a task of the running loop, and report an exception to that."""
        try:
            self.start()
        except Exception as error:
            report_to_loop(self.loop, error, self.handler, self.event, None)
            self.drop()

    def done(self, task: asyncio.Task[Any]) -> None:
        """Done callback: report what the task raised and remove the job."""
        error: BaseException | None = None
        try:
            self.coroutine.close()  # if it was cancelled before it began
            if task.cancelled():
                self.was_cancelled()
                return
            error = task.exception()
            self.end(None if error is not None else task.result(), error, task)
        finally:
            error = None  # or it would refer to itself by its traceback
            self.remove()  # last, since `drain` waits for the report too
            self.task = None

    def was_cancelled(self) -> None:
        """Log that its task was cancelled."""
        if is_ending(self.loop):
            self.log("WARNING", "was cancelled before it was done: await drain_async() before its loop ends")
        else:
            self.log("DEBUG", "was cancelled before it was done")

    def end(self, value: Any, error: BaseException | None, task: asyncio.Task[Any] | None) -> None:
        """Report the handler's exception, or that it would cancel."""
        error = unhandled(self, value, error)
        if error is not None and not isinstance(error, (KeyboardInterrupt, SystemExit)):  # the loop itself raises these
            report_to_loop(self.loop, error, self.handler, self.event, task)

    def warn_cancelling(self, what: str) -> None:
        """Log, once for a connection, that the handler cancels nothing."""
        if not self.entry.warned(_CANCELLED):
            self.log("WARNING", f"{what}, which cancels in emit_async only: emit does not wait for it")

    def drop(self) -> None:
        """Remove the job and close its coroutine. If it has become a task, that does it in its done callback."""
        if self.task is None:
            self.remove()
            self.coroutine.close()

    def remove(self) -> None:
        """Remove the job from those that are not done."""
        jobs.pop(self, None)

    def give_up(self, reason: object) -> None:
        """Drop the job, and log that the handler is not run."""
        self.lose(f"is not run: {reason}")

    def lose(self, what: str) -> None:
        """Drop the job, and log what became of the handler."""
        self.drop()
        self.log("ERROR", what)

    def log(self, level: str, what: str) -> None:
        """Log what became of the handler."""
        number = getattr(logging, level)
        _logger.log(number, "%s %s of event %r %s", self.kind, safe_repr(self.handler), self.event.name, what)


async def _after_yield(coroutine: Coroutine[Any, Any, Any]) -> Any:
    await asyncio.sleep(0)
    return await coroutine


def _jobs_where(holds: Callable[[Job], bool]) -> list[Job]:
    return [job for job in list(jobs) if holds(job)]


def _drop_lost() -> None:
    """Drop the jobs of closed loops, and log those that were emitted outside their loop."""
    for job in _jobs_where(lambda job: job.loop.is_closed()):
        try:
            del jobs[job]
        except KeyError:  # another thread was faster
            continue
        if not job.is_submitted or job in _given_up:  # asyncio itself reports tasks that a closed loop leaves pending
            continue
        note_lost()
        what = "is not run" if job.task is None else "is not finished"
        job.lose(f"{what}: its event loop was closed")


_ending: Loop | None = None  # the loop that was found to be ending, until its next iteration


def is_ending(loop: Loop) -> bool:
    """Return whether all other tasks of a loop are being cancelled, as at its end. Called in that loop."""
    global _ending
    if loop is _background.get("loop"):
        return False
    if _ending is loop:  # to check all tasks for each cancelled one would take quadratic time
        return True
    for task in asyncio.all_tasks(loop):
        if not getattr(task, "cancelling", int)():  # tasks of another type may not have it
            return False
    _ending = loop
    loop.call_soon(_reset_ending)
    return True


def _reset_ending() -> None:
    global _ending
    _ending = None


def use_loop(loop: Loop | None = _RUNNING) -> None:
    """Name the event loop that runs async handlers when a thread without a loop emits.

    Call it once in the main coroutine of an async program. Then the emissions of worker threads are handled in its own
    loop rather than in the background loop. A closed loop counts as none. While the loop does not run, handlers wait
    for it: `drain` then returns `False`, and exit logs those that are left at ERROR.

    Args:
        loop: the loop; by default the running one. `None` for the background loop again.

    Raises:
        TypeError: if it is neither.
        RuntimeError: if it is not given, and no loop runs.

    Thread-safe.

    Example:
        >>> import asyncio
        >>> from cyevents import use_loop
        >>> async def main():
        ...     use_loop()
        >>> asyncio.run(main())
        >>> use_loop(None)
    """
    global _named_loop
    if loop is _RUNNING:
        loop = asyncio._get_running_loop()
        if loop is None:
            raise RuntimeError("no running event loop: call use_loop() in a coroutine, or give it a loop")
    if loop is not None and not isinstance(loop, asyncio.AbstractEventLoop):
        raise TypeError(f"use_loop takes an asyncio event loop or None, not {safe_repr(loop)}")
    _named_loop = loop


# The background loop

_background: dict[str, Loop] = {}  # at most one item; a dict for its atomic `setdefault`
_thread: threading.Thread | None = None  # the one that runs it


def _background_loop() -> Loop:
    """Return the background loop. The first call starts its thread."""
    global _thread
    loop = _background.get("loop")
    if loop is not None:
        return loop
    candidate = asyncio.new_event_loop()
    loop = _background.setdefault("loop", candidate)
    if loop is not candidate:
        candidate.close()
        return loop
    loop.set_exception_handler(_log_exception)
    try:
        _thread = thread = threading.Thread(target=_run_background, args=(loop,), name="cyevents", daemon=True)
        thread.start()
    except RuntimeError as error:  # some Pythons start no threads at exit
        _background.pop("loop", None)
        loop.close()
        for job in _jobs_of(loop):
            job.give_up(error)
        raise
    return loop


def _run_background(loop: Loop) -> None:
    asyncio.set_event_loop(loop)
    while _background.get("loop") is loop:
        try:
            loop.run_forever()
        except BaseException as error:  # a handler raised SystemExit, which must not end the loop of the others
            _logger.error("handler in the background loop raised %s", safe_repr(error), exc_info=error)


def _log_exception(loop: Loop, context: dict[str, Any]) -> None:
    _logger.error(context["message"], exc_info=context.get("exception"))


def _jobs_of(loop: Loop | None, is_handler: bool = False) -> list[Job]:
    """Return a loop's jobs; for a handler that drains, without those that drain as well."""
    return _jobs_where(lambda job: job.loop is loop and not (is_handler and job in _draining))


def _stuck() -> list[Job]:
    """Return the jobs of named loops that do not run."""
    named, background = _named_loop, _background.get("loop")
    return _jobs_where(
        lambda job: (job.is_submitted or job.loop is named) and job.loop is not background and not job.loop.is_running()
    )


# Draining


def drain(timeout: float | None = None) -> bool:
    """Wait until the background loop has finished all scheduled async handlers.

    For programs without a loop of their own, since `emit` does not wait for async handlers. At exit, cyevents does this
    for at most 10 seconds.

    Args:
        timeout: how many seconds to wait at most; `None` for as long as it takes.

    Returns:
        Whether all have finished. Also `False` if handlers wait for a loop that `use_loop` has named and that does not
        run, or were lost when it was closed.

    Raises:
        RuntimeError: if an event loop runs in this thread, which it would block: use `drain_async`.
        TypeError: if the timeout is not a number.
        ValueError: if it is NaN.

    Thread-safe.

    Example:
        >>> from cyevents import Event, drain
        >>> cleaned, rooms = Event("cleaned"), []
        >>> @cleaned.connect
        ... async def note(room):
        ...     rooms.append(room)
        >>> cleaned.emit("the kitchen")
        []
        >>> drain(timeout=5), rooms
        (True, ['the kitchen'])
    """
    timeout = checked_timeout(timeout)
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("drain() would block the running event loop: use await drain_async(timeout=None)")
    loop = _background.get("loop")
    if loop is not None and _jobs_of(loop):
        with _as_handler() as is_handler:  # in a thread of its own, or of to_thread
            idle = asyncio.run_coroutine_threadsafe(_wait_idle(loop, is_handler), loop)
            try:
                idle.result(timeout)
            except TimeoutError:
                idle.cancel()
                if _jobs_of(loop, is_handler):
                    return False
    return _none_stuck_or_lost()


@coroutine_function
def drain_async(timeout: float | None = None) -> Coroutine[Any, Any, bool]:
    """Wait until all async handlers that `emit` scheduled in this loop or in the background loop have finished.

    `asyncio.run` cancels scheduled handlers when its main coroutine returns, so await this at its end. If a scheduled
    handler calls it, it waits for the others. Arguments and result are those of `drain`, and so are the exceptions,
    except for the `RuntimeError`; arguments are checked at the call.

    Example:
        >>> import asyncio
        >>> from cyevents import Event, drain_async
        >>> cleaned = Event("cleaned")
        >>> @cleaned.connect
        ... async def say(sender):
        ...     print(f"{sender} is clean")
        >>> async def main():
        ...     cleaned.emit("the kitchen")
        ...     return await drain_async(timeout=5)
        >>> asyncio.run(main())
        the kitchen is clean
        True
    """
    return _drain_async(checked_timeout(timeout))


async def _drain_async(timeout: float | None) -> bool:
    loop = asyncio.get_running_loop()
    with _as_handler() as is_handler:
        try:
            async with asyncio.timeout(timeout):
                await _wait_idle_with_background(loop, is_handler)
        except TimeoutError:
            if _jobs_of(loop, is_handler) or _jobs_of(_background.get("loop")):
                return False
    return _none_stuck_or_lost()


_drain_async.__qualname__ = "drain_async"  # the name in the warning about a coroutine that was never awaited


@contextmanager
def _as_handler() -> Iterator[bool]:
    """Note that a scheduled handler drains, if this is called by one; yield whether it is."""
    job_ref = _current_job.get()
    job = None if job_ref is None else job_ref()
    if not isinstance(job, Job) or job not in jobs:
        yield False
        return
    _draining.add(job)
    try:
        yield True
    finally:
        _draining.discard(job)


async def _wait_idle_with_background(loop: Loop, is_handler: bool) -> None:
    while True:
        await asyncio.sleep(0)  # what other threads have emitted is started first
        await _wait_idle(loop, is_handler)
        background = _background.get("loop")
        if background is not None and background is not loop and _jobs_of(background):
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_wait_idle(background), background))
        elif background is _background.get("loop"):
            return


async def _wait_idle(loop: Loop, is_handler: bool = False) -> None:
    """Wait until the running loop has no jobs, also none that its jobs have scheduled."""
    while left := _jobs_of(loop, is_handler):
        tasks = [job.task for job in left if job.task is not None]
        if tasks:
            await asyncio.wait(tasks)
        else:
            await asyncio.sleep(0)


def _none_stuck_or_lost() -> bool:
    """Return whether no job waits in a stopped named loop, and none was lost in a closed one since the last call."""
    _drop_lost()
    lost = len(_lost)
    del _lost[:lost]
    return not lost and not _stuck()


# Exit

_waited_at_exit = 0.0  # seconds
_is_late = False  # whether the last exit hook has run
_given_up: set[Any] = set()


def _drain_at_exit() -> None:
    """Wait for the background loop until the limit is reached; log the handlers that are abandoned."""
    global _waited_at_exit
    begun = monotonic()
    try:
        if drain(max(0.0, EXIT_LIMIT - _waited_at_exit)) and not _is_late:
            return
    except RuntimeError:  # called where a loop runs
        pass
    except KeyboardInterrupt:  # the user does not want to wait, nor in the next hook
        _waited_at_exit = EXIT_LIMIT
    finally:
        _waited_at_exit += monotonic() - begun
    left: list[Any] = [*_jobs_of(_background.get("loop"))]
    if _is_late:  # no thread is left that could run a named loop, but for daemon threads
        stuck = _stuck()
        left += stuck + _jobs_where(lambda job: job.is_submitted) + list(pool_calls)
        for job in stuck:
            job.drop()
    left = [each for each in dict.fromkeys(left) if each not in _given_up]
    _given_up.update(left)
    if left:
        names = [f"{handler_name(each.handler)} of event {each.event.name!r}" for each in left]
        if len(names) > 10:
            names[10:] = [f"{len(names) - 10} more"]
        kinds = " and ".join(sorted({f"{each.kind}s" for each in left}))
        _logger.error("%s not finished at exit are abandoned: %s", kinds, ", ".join(names))


def _drain_at_last() -> None:
    """The last hook; also called by `schedule` after that."""
    global _is_late
    _is_late = True
    _drain_at_exit()
    if _thread is None or not _is_subinterpreter():
        return
    loop = _background.pop("loop", None)
    if loop is not None:  # before Python 3.14, a subinterpreter that ends with a thread ends the whole process
        loop.call_soon_threadsafe(loop.stop)
        _thread.join(max(0.0, EXIT_LIMIT - _waited_at_exit))
        if not _thread.is_alive():
            loop.close()


def _is_subinterpreter() -> bool:
    if sys.version_info >= (3, 12):
        return not import_module("_thread")._is_main_interpreter()
    try:
        interpreters: Any = import_module("_xxsubinterpreters")
    except ImportError:  # this Python has none
        return False
    return bool(interpreters.get_current() != interpreters.get_main())


try:
    threading._register_atexit(_drain_at_exit)  # type: ignore[attr-defined]
except RuntimeError:  # the interpreter is exiting already
    _is_late = True
atexit.register(_drain_at_last)


# Forks

_of_parent: list[object] = []  # a child's copies of what is the parent's: neither run nor closed


def _after_fork() -> None:
    """In the child: forget what other threads' loops were to run."""
    global _named_loop, _last_loop
    _named_loop = _last_loop = None
    loop = _background.pop("loop", None)
    forgotten = _jobs_where(lambda job: job.is_submitted or job.loop is loop)
    for job in forgotten:
        jobs.pop(job, None)
    if loop is not None or forgotten or pool_calls:
        _of_parent.append((loop, forgotten, pool_calls.copy()))
    pool_calls.clear()
    _lost.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
