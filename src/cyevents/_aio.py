"""Everything that needs asyncio: `emit` schedules here, `emit_async` awaits here. Imported when first needed."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures.thread  # before our exit hook is registered, so that to_thread works in it  # noqa: F401
import logging
import os
import sys
import threading
from collections.abc import Coroutine
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from functools import partial
from importlib import import_module
from time import monotonic
from types import CoroutineType, coroutine
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from ._core import TaskCollector, consume
from ._core._safe import handler_name, safe_repr
from ._core._values import ASYNC_GENERATOR, GENERATOR, Cancelled, kind_of_result
from ._event import Loaded, set_aio
from ._handlers import coroutine_function
from ._loops import checked_timeout, no_loop, running_trio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ._core import Entry
    from ._event import Event

    Loop = asyncio.AbstractEventLoop

EXIT_LIMIT = 10.0
"""Seconds for which the interpreter's exit waits for async handlers in the background loop."""

RETURNED_FALSE = 2
"""The bit of `Entry.warned` for a result of `False`; 1 is for a condition that raised."""

_logger = logging.getLogger("cyevents")


# What `emit` schedules

_jobs: dict[_Job, None] = {}  # those not done; a dict for its atomic changes: no emission waits for another
_draining: set[_Job] = set()  # those in `drain_async`, which do not wait for each other
_current_job: ContextVar[object] = ContextVar("cyevents_job", default=None)  # its token: contexts are copied
_named_loop: Loop | None = None
_last_loop: Loop | None = None


_lost: list[None] = []  # an item for each job lost in a closed loop that `drain` has not reported yet


def schedule(event: Event[Any], result: Any, kind: int, handler: Any, sender: Any, entry: Entry) -> None:
    """See to it that what an async handler returned to `emit` is awaited.

    In the running loop, else in the one named by `use_loop`, else in the background loop.
    """
    job = _Job(event, handler, sender, _as_coroutine(result, kind), entry)
    loop = asyncio._get_running_loop()
    if loop is not None:
        job.loop = loop
        _jobs[job] = None
        try:
            job.start()
        except BaseException:  # of a task factory, or there is no stack left
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


class _Job:
    """An async handler of an emission that does not wait for it: kept here until it is done."""

    __slots__ = (
        "__weakref__",
        "coroutine",
        "entry",
        "event",
        "handler",
        "is_submitted",
        "loop",
        "sender",
        "task",
        "token",
    )

    loop: Loop

    def __init__(
        self, event: Event[Any], handler: Any, sender: Any, coroutine: Coroutine[Any, Any, Any], entry: Entry
    ) -> None:
        self.event = event
        self.handler = handler
        self.sender = sender
        self.coroutine = coroutine
        self.entry = entry
        self.is_submitted = False  # whether it was emitted outside its loop
        self.token = object()
        self.task: asyncio.Task[Any] | None = None

    def submit(self, loop: Loop, context: Context) -> bool:
        """Have it started in a loop that runs in another thread; false if that is closed."""
        self.loop = loop
        self.is_submitted = True
        _jobs[self] = None
        try:
            loop.call_soon_threadsafe(self.start_or_report, context=context)
        except RuntimeError:
            _jobs.pop(self, None)
            return False
        except BaseException:  # no memory
            self.drop()
            raise
        return True

    def start(self) -> None:
        """Make it a task of the running loop. Nothing of it runs before the next tick."""
        global _last_loop
        loop = self.loop
        if loop is not _last_loop:
            _last_loop = loop
            _forget_lost()
        coroutine = self.coroutine
        if loop.get_task_factory() is not None:  # it may start tasks eagerly
            coroutine = _from_next_tick(coroutine)
        context = copy_context()
        context.run(_current_job.set, self.token)
        task = context.run(loop.create_task, coroutine)
        try:
            task.add_done_callback(self.done)
        except BaseException:  # no memory
            task.cancel()
            raise
        self.task = task

    def start_or_report(self) -> None:
        """Make it a task of the running loop, where nobody waits for what is raised meanwhile."""
        try:
            self.start()
        except Exception as error:
            _report(self.loop, error, self.handler, self.event, None)
            self.drop()

    def done(self, task: asyncio.Task[Any]) -> None:
        """See to its exception, which nobody awaits, and forget it."""
        try:
            self.coroutine.close()  # if it was cancelled before it began
            if task.cancelled():
                level, advice = logging.DEBUG, ""  # the program has cancelled it
                if _is_ending(self.loop):
                    level, advice = logging.WARNING, ": await drain_async() before its loop ends"
                _logger.log(
                    level,
                    "async handler %s of event %r was cancelled before it was done%s",
                    safe_repr(self.handler),
                    self.event.name,
                    advice,
                )
                return
            error = task.exception()
            if error is None and task.result() is False and not self.entry.warned(RETURNED_FALSE):
                _logger.warning(
                    "async handler %s of event %r returned False, which cancels in emit_async only: emit does not wait"
                    " for it",
                    safe_repr(self.handler),
                    self.event.name,
                )
            if error is None or isinstance(error, (KeyboardInterrupt, SystemExit)):  # the loop has raised those itself
                return
            policy = self.event._error_policy()
            if callable(policy) and isinstance(error, Exception):
                try:
                    policy(error, self.handler, self.event, self.sender)
                    return
                except Exception as another:  # told before it is forgotten: `drain` waits for that
                    error = another
            _report(self.loop, error, self.handler, self.event, task)
        finally:
            error = None  # or it would refer to itself by its traceback
            _jobs.pop(self, None)
            self.task = None

    def drop(self) -> None:
        """Forget it, unless it has become a task, which will see to that."""
        if self.task is None:
            _jobs.pop(self, None)
            self.coroutine.close()

    def give_up(self, why: object) -> None:
        """Say that it will not be run."""
        self.drop()
        _logger.error("async handler %s of event %r is not run: %s", safe_repr(self.handler), self.event.name, why)


def _jobs_where(holds: Callable[[_Job], bool]) -> list[_Job]:
    return [job for job in list(_jobs) if holds(job)]


def _forget_lost() -> None:
    """Drop the jobs of closed loops, and log those that were emitted outside their loop."""
    for job in _jobs_where(lambda job: job.loop.is_closed()):
        try:
            del _jobs[job]
        except KeyError:  # another thread was faster
            continue
        if not job.is_submitted or job in _given_up:  # asyncio itself reports tasks that a closed loop leaves pending
            continue
        _lost.append(None)
        what = "is not run" if job.task is None else "is not finished"
        job.drop()
        _logger.error(
            "async handler %s of event %r %s: its event loop was closed", safe_repr(job.handler), job.event.name, what
        )


def _stuck() -> list[_Job]:
    """Return the jobs of named loops that do not run."""
    named, background = _named_loop, _background.get("loop")
    return _jobs_where(
        lambda job: (job.is_submitted or job.loop is named) and job.loop is not background and not job.loop.is_running()
    )


def _all_run() -> bool:
    """Return whether no job waits in a stopped named loop, and none was lost in a closed one since the last call."""
    _forget_lost()
    lost = len(_lost)
    del _lost[:lost]
    return not lost and not _stuck()


_ending: Loop | None = None  # the loop that was found to be ending, until its next iteration


def _is_ending(loop: Loop) -> bool:
    """Return whether a loop ends: all of its other tasks are being cancelled. Called in that loop."""
    global _ending
    if loop is _background.get("loop"):
        return False
    if _ending is loop:  # checking all tasks once for each cancelled one would be quadratic
        return True
    for task in asyncio.all_tasks(loop):
        if not getattr(task, "cancelling", int)():  # a task of another kind may not say
            return False
    _ending = loop
    loop.call_soon(_reset_ending)
    return True


def _reset_ending() -> None:
    global _ending
    _ending = None


def _as_coroutine(result: Any, kind: int) -> Coroutine[Any, Any, Any]:
    """What a task can be made of, whatever an async handler returned."""
    if type(result) is CoroutineType or isinstance(result, Coroutine):
        return result
    return _collect(result) if kind == ASYNC_GENERATOR else _await(result)


async def _await(awaitable: Any) -> Any:
    return await awaitable


async def _collect(generator: Any) -> list[Any]:
    """What an async generator yields, without None."""
    return [item async for item in generator if item is not None]


async def _from_next_tick(coroutine: Coroutine[Any, Any, Any]) -> Any:
    await asyncio.sleep(0)
    return await coroutine


def _report(
    loop: Loop, error: BaseException, handler: Any, event: Event[Any], task: asyncio.Future[Any] | None
) -> None:
    """Hand an exception that nobody awaits to the loop's exception handler."""
    who = "a handler" if handler is None else f"handler {safe_repr(handler)}"
    context: dict[str, Any] = {"message": f"{who} of event {event.name!r} failed", "exception": error}
    if task is not None:
        context["task"] = task
    loop.call_exception_handler(context)


class _Running:
    """The default of `use_loop`."""

    def __repr__(self) -> str:
        return "the running loop"


_RUNNING: Any = _Running()


def use_loop(loop: Loop | None = _RUNNING) -> None:
    """Name the event loop for async handlers of emissions from threads where no loop runs.

    An async program calls it once, in its main coroutine, so that what its worker threads emit is handled
    in its own loop rather than in the background one. A loop that has been closed counts as none. While the loop
    does not run, what is emitted waits for it: `drain` then returns `False`, and exit logs what is left at ERROR.

    Args:
        loop: the loop; if it is not given, the one that runs. `None` for the background loop again.

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


# The background loop: one, on one daemon thread

_background: dict[str, Loop] = {}  # a dict for its atomic setdefault
_thread: threading.Thread | None = None  # that runs it
_abandoned: list[object] = []  # a fork's copies of what is the parent's: never run, never closed


def _background_loop() -> Loop:
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
        for job in _background_jobs(loop):
            job.give_up(error)
        raise
    return loop


def _background_jobs(loop: Loop | None) -> list[_Job]:
    return _jobs_where(lambda job: job.loop is loop)


def _run_background(loop: Loop) -> None:
    asyncio.set_event_loop(loop)
    while _background.get("loop") is loop:
        try:
            loop.run_forever()
        except BaseException as error:  # a handler raised SystemExit: the other handlers' loop goes on
            _logger.error("handler in the background loop raised %s", safe_repr(error), exc_info=error)


def _log_exception(loop: Loop, context: dict[str, Any]) -> None:
    _logger.error(context["message"], exc_info=context.get("exception"))


_waited_at_exit = 0.0  # seconds
_is_late = False  # whether the last exit hook has run
_given_up: set[_Job] = set()
_NAMED = 10  # how many of them are told of by name


def _drain_at_exit() -> None:
    """Wait for the background loop, for no longer than the limit in all; log what is given up."""
    global _waited_at_exit
    begun = monotonic()
    try:
        if drain(max(0.0, EXIT_LIMIT - _waited_at_exit)):
            return
    except RuntimeError:  # called where a loop runs
        pass
    except KeyboardInterrupt:  # the user does not want to wait, for the next hook neither
        _waited_at_exit = EXIT_LIMIT
    finally:
        _waited_at_exit += monotonic() - begun
    left = _background_jobs(_background.get("loop"))
    if _is_late:  # no thread is left that could run a named loop
        stuck = _stuck()
        left += stuck
        for job in stuck:
            job.drop()
    left = [job for job in left if job not in _given_up]
    _given_up.update(left)
    if left:
        named = [f"{handler_name(job.handler)} of event {job.event.name!r}" for job in left[:_NAMED]]
        more = [f"{len(left) - _NAMED} more"] if len(left) > _NAMED else []
        _logger.error("async handlers not finished at exit are given up: %s", ", ".join(named + more))


def _drain_at_last() -> None:
    """The last hook: who emits after it, in an exit hook registered earlier, waits in `schedule`."""
    global _is_late
    _is_late = True
    _drain_at_exit()
    if _thread is not None and _is_subinterpreter():
        _end_background(_thread)


def _is_subinterpreter() -> bool:
    if sys.version_info >= (3, 12):
        return not import_module("_thread")._is_main_interpreter()
    try:
        interpreters: Any = import_module("_xxsubinterpreters")
    except ImportError:  # this Python has none
        return False
    return bool(interpreters.get_current() != interpreters.get_main())


def _end_background(thread: threading.Thread) -> None:
    """End the background loop: before Python 3.14 a subinterpreter that ends with a thread ends the whole process."""
    loop = _background.pop("loop", None)
    if loop is not None:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(max(0.0, EXIT_LIMIT - _waited_at_exit))
        if not thread.is_alive():
            loop.close()


try:
    # Before the interpreter waits for its threads and closes thread pools: handlers may use to_thread.
    threading._register_atexit(_drain_at_exit)  # type: ignore[attr-defined]
except RuntimeError:  # that has begun
    _is_late = True
atexit.register(_drain_at_last)  # for what is emitted until then, by threads that outlive the main one


def _after_fork() -> None:
    """In the child there is no thread that runs the background loop: what was scheduled is the parent's."""
    global _named_loop, _last_loop
    _named_loop = _last_loop = None
    loop = _background.pop("loop", None)
    jobs = _jobs_where(lambda job: job.is_submitted or job.loop is loop)
    for job in jobs:
        _jobs.pop(job, None)
    if loop is not None or jobs:
        _abandoned.append((loop, jobs))
    _lost.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def drain(timeout: float | None = None) -> bool:
    """Wait until the background loop has finished all async handlers that were scheduled there.

    For programs without a loop of their own: `emit` does not wait for async handlers. At exit the
    interpreter does this by itself, for 10 seconds at most.

    Args:
        timeout: how long to wait at most, in seconds; `None` for as long as it takes.

    Returns:
        Whether it got there; `False` also if handlers wait for a loop that `use_loop` has named and that does not
        run, or were lost when that was closed.

    Raises:
        RuntimeError: when called where an event loop runs, which it would block: use `drain_async`.
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
    if loop is not None and _background_jobs(loop):
        with _as_handler() as is_handler:  # in a thread of its own, or of to_thread
            idle = asyncio.run_coroutine_threadsafe(_idle(loop, is_handler), loop)
            try:
                idle.result(timeout)
            except TimeoutError:
                idle.cancel()
                if _left(loop, is_handler):
                    return False
    return _all_run()


@contextmanager
def _as_handler() -> Iterator[bool]:
    """Note that a scheduled handler is draining, and tell whether it is one that does."""
    token = _current_job.get()
    me = None if token is None else next(iter(_jobs_where(lambda job: job.token is token)), None)
    if me is None:
        yield False
        return
    _draining.add(me)
    try:
        yield True
    finally:
        _draining.discard(me)


@coroutine_function
def drain_async(timeout: float | None = None) -> Coroutine[Any, Any, bool]:
    """Wait until all async handlers that `emit` scheduled in this loop, or in the background one, have finished.

    `asyncio.run` cancels what is still scheduled when its main coroutine returns: await this at its end.
    Called by such a handler, it waits for the others.

    Args:
        timeout: how long to wait at most, in seconds; `None` for as long as it takes.

    Returns:
        Whether it got there; `False` also if handlers wait for a loop that `use_loop` has named and that does not
        run, or were lost when that was closed.

    Raises:
        TypeError: if the timeout is not a number; when called.
        ValueError: if it is NaN; when called.

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
                await _idle_everywhere(loop, is_handler)
        except TimeoutError:
            if _left(loop, is_handler) or _background_jobs(_background.get("loop")):
                return False
    return _all_run()


_drain_async.__qualname__ = "drain_async"  # by which an un-awaited one is reported


async def _idle_everywhere(loop: Loop, is_handler: bool) -> None:
    while True:
        await asyncio.sleep(0)  # what other threads have emitted is started first
        await _idle(loop, is_handler)
        background = _background.get("loop")
        if background is not None and background is not loop and _background_jobs(background):
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_idle(background), background))
        elif background is _background.get("loop"):
            return


def _left(loop: Loop, but_draining: bool) -> list[_Job]:
    return _jobs_where(lambda job: job.loop is loop and not (but_draining and job in _draining))


async def _idle(loop: Loop, but_draining: bool = False) -> None:
    """Wait until nothing is scheduled in this loop, by now or by what is."""
    while jobs := _left(loop, but_draining):
        tasks = [job.task for job in jobs if job.task is not None]
        if tasks:
            await asyncio.wait(tasks)
        else:
            await asyncio.sleep(0)


# What `emit_async` awaits

_EAGER = sys.version_info >= (3, 12)
_innermost: ContextVar[_Emission | None] = ContextVar("cyevents_emission", default=None)


async def emit_async(
    event: Event[Any],
    sender: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    plan: Callable[[tuple[Entry, ...]], object] | None = None,
) -> list[Any]:
    """Run an event's handlers, one priority after the other, and return their results.

    In an observed emission, `plan` is called with the entries of each priority, and returns the core's `watch`.
    """
    loop = asyncio._get_running_loop()
    emission = _Emission(event, sender, loop) if loop is not None else _elsewhere()(event, sender, None)
    results = emission.results
    canceller = raised = None
    token = _innermost.set(emission)
    try:
        tiers = event._snapshot(sender).tiers()
        watch = None
        if plan is not None:
            for tier in tiers:
                watch = plan(tier)  # the same for all
        for tier in tiers:
            emission.dispatching = True
            try:
                canceller = event._dispatch(tier, sender, args, kwargs, results, emission.errors, emission, watch)
            except BaseException as error:
                trace = error.__traceback__
                raised = error.with_traceback(trace and trace.tb_next)  # it is raised again in this very frame
                trace = None
            emission.dispatching = False
            if raised is not None or (emission.tasks and not emission.take_results()):
                await emission.finish(raised)
            if emission.canceller is not None:
                canceller = emission.canceller
            if canceller is not None:
                break
        if emission.errors:
            raise event._make_exception_group(emission.errors)
    finally:
        raised = None  # or it would refer to itself by its traceback,
        if emission.errors:
            emission.errors.clear()  # as these would
        # Contexts that were copied, by tasks and timers of handlers, still refer to the emission.
        emission.event = emission.sender = emission.results = emission.outer = None  # type: ignore[assignment]
        if canceller is not None:
            emission.canceller = None
        try:
            _innermost.reset(token)
        except ValueError:  # closed from elsewhere, when the loop is gone
            pass
    if emission.sparse:
        results = [result for result in results if result is not None]
    return results if canceller is None else Cancelled(results, canceller, event)


emit_async.__qualname__ = "Event.emit_async"  # by which an un-awaited one is reported


def _elsewhere() -> type[_Emission]:
    """What emits where no asyncio loop runs."""
    if running_trio() is None:
        raise no_loop()
    try:
        from ._anyio import AnyioEmission
    except ModuleNotFoundError as error:
        if error.name != "anyio":
            raise
        raise ImportError('emit_async needs anyio to run under trio: pip install "cyevents[anyio]"') from error
    return AnyioEmission


@coroutine
def _tick() -> Iterator[None]:
    """Let the loop go round once."""
    yield


class _Consumed:
    """What a generator yielded in a thread, and whether it cancels."""

    __slots__ = ("cancels", "items")

    def __init__(self, items: list[Any], cancels: bool) -> None:
        self.items = items
        self.cancels = cancels


class _Emission(TaskCollector):
    """One running `emit_async`: what it has got, and the tasks of the priority that it is at."""

    __slots__ = (
        "canceller",
        "depth",
        "dispatching",
        "errors",
        "event",
        "loop",
        "outer",
        "results",
        "running",
        "sender",
        "sparse",
        "waiter",
    )

    canceller: Any  # the first task's handler, in dispatch order, that cancels
    depth: int
    dispatching: bool
    loop: Any  # asyncio's
    outer: _Emission | None
    results: list[Any]
    sparse: bool  # whether there may be None among the results
    waiter: asyncio.Future[None] | None

    def __init__(self, event: Event[Any], sender: Any, loop: Loop | None) -> None:
        # Recursion through tasks does not deepen the stack: it is counted here. A task that a handler has made and
        # left behind is no recursion.
        self.outer = outer = _innermost.get()
        self.depth = 0 if outer is None else outer.depth + 1
        if self.depth > sys.getrecursionlimit() and self.recount() > sys.getrecursionlimit():
            raise RecursionError(f"maximum recursion depth exceeded: {event.name!r} is emitted within its own emission")
        self.event = event
        self.sender = sender
        self.loop = loop
        if _EAGER and loop is not None and loop.get_task_factory() is None:
            self.make = asyncio.Task
            self.keywords = {"loop": loop, "eager_start": True}
        self.results = []
        self.errors: list[Exception] = []  # to be grouped
        self.canceller = self.waiter = None
        self.dispatching = self.sparse = False

    def recount(self) -> int:
        """How deep this is within emissions whose handlers still run; `depth` counts those left behind too."""
        depth = 0
        outer = self.outer
        while outer is not None and (outer.dispatching or any(not task.done() for task in outer.tasks)):
            depth += 1
            outer = outer.outer
        self.depth = depth
        return depth

    # What the core calls

    def start(self, result: Any, kind: int) -> asyncio.Task[Any]:
        """Start an async handler, whose call returned `result`."""
        return self._start(_as_coroutine(result, kind))

    def start_thread(self, handler: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> asyncio.Task[Any]:
        """Start a handler that is to run in a thread."""
        return self._start(_in_thread(partial(call_in_thread, self.event, handler, args, kwargs)))

    def not_started(self, task: asyncio.Task[Any], coroutine: Coroutine[Any, Any, Any]) -> None:
        """Clean up after KeyboardInterrupt in an eager start, or where no stack is left to begin on."""
        coroutine.close()
        try:
            if not task.done():  # it could not come back to the loop, and would never end
                asyncio.Future.cancel(task)
            elif not task.cancelled():
                task.exception()  # it has been raised: not to be reported besides
        except RuntimeError:  # there was not even memory to begin to make it
            pass

    def _start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task: asyncio.Task[Any]
        task = self.make_one(coroutine) if self.make is not None else self.loop.create_task(coroutine)
        try:
            return task
        finally:
            del task  # what an eager start raises refers to this frame

    # The end of one priority

    def take_results(self) -> bool:
        """Take what the tasks have returned, if all are done and none has raised."""
        try:
            for task in self.tasks:
                if task.exception() is not None:
                    return False
        except (Exception, asyncio.CancelledError):  # it is not done, or was cancelled. In a subinterpreter of
            return False  # Python 3.11 it is the main one's InvalidStateError
        for place, task in zip(self.result_slots, self.tasks, strict=True):
            value = task.result()
            if value is False or type(value) is _Consumed:
                self._take_unusual(place, value)
            else:
                self.results[place] = value
        self._forget()
        return True

    def _take_unusual(self, place: int, value: Any) -> None:
        """Take a value that cancels, or what a generator yielded in a thread."""
        cancels = value is False
        if type(value) is _Consumed:
            self.results[place] = value.items
            cancels = value.cancels
        if cancels and self.canceller is None:
            self.canceller = self.handlers[self.result_slots.index(place)]

    def _forget(self) -> None:
        self.sparse = True
        self.tasks.clear()
        self.handlers.clear()
        self.result_slots.clear()

    async def finish(self, raised: BaseException | None) -> None:
        """Wait for the tasks and take what they have returned and raised."""
        fatal = None if isinstance(raised, Exception) else raised
        try:
            if self.tasks:
                fatal = await self._wait(fatal)
                if raised is None and fatal is None and self.take_results():
                    return
            self._settle(raised, fatal)
        finally:
            raised = fatal = None  # or they would refer to themselves by their tracebacks

    async def _wait(self, fatal: BaseException | None) -> BaseException | None:
        """Wait for the tasks. What is no `Exception` cancels them; the first such is returned."""
        if fatal is None and _fatal_among(self.tasks) is None:
            try:
                await _tick()  # many a handler waits for no more
            except GeneratorExit:
                self._abandon()
                raise
            except asyncio.CancelledError as cancellation:
                fatal = cancellation
        if fatal is None:
            fatal = _fatal_among(self.tasks)
        running = [task for task in self.tasks if not task.done()]
        for task in running:
            task.add_done_callback(self._task_done)
        if fatal is not None:
            self._cancel()
        self.running = len(running)
        while self.running:
            self.waiter = self.loop.create_future()
            try:
                await self.waiter
            except GeneratorExit:  # closed from outside: nothing can be awaited any more
                self._abandon()
                raise
            except asyncio.CancelledError as cancellation:
                if fatal is None:
                    fatal = cancellation
                self._cancel()
            else:
                if fatal is None and (fatal := _fatal_among(running)) is not None:
                    self._cancel()
            finally:
                self.waiter = None
        try:
            return fatal
        finally:
            fatal = None  # or it would refer to itself by its traceback

    def _cancel(self) -> None:
        for task in self.tasks:
            task.cancel()

    def _abandon(self) -> None:
        self._cancel()
        self._forget()  # their contexts refer to this

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self.running -= 1
        waiter = self.waiter
        if waiter is not None and not waiter.done() and (not self.running or _fatal_among((task,)) is not None):
            waiter.set_result(None)

    def _settle(self, raised: BaseException | None, fatal: BaseException | None) -> None:
        """Take what the tasks have returned and raised, in dispatch order; raise what is to be raised.

        Of several exceptions the first is raised; the others go to the loop's exception handler.
        """
        failed: list[_Failed] = []
        to_raise: list[BaseException] = [] if fatal is None else [fatal]
        for task, handler, place in zip(self.tasks, self.handlers, self.result_slots, strict=True):
            if task.cancelled():
                try:
                    task.result()  # takes the exception out of it, whose traceback may lead to the task
                except asyncio.CancelledError:
                    continue
            error = task.exception()
            if isinstance(error, Exception):
                failed.append(_Failed(error, handler, task, place))
            elif error is not None:
                to_raise.append(error)
            else:
                value = task.result()
                if value is False or type(value) is _Consumed:
                    self._take_unusual(place, value)
                else:
                    self.results[place] = value
        self._forget()
        policy = self.event._error_policy()
        if callable(policy):
            for each in failed:
                try:
                    policy(each.error, each.handler, self.event, self.sender)
                except BaseException as another:
                    to_raise.append(another)
        elif policy == "group":
            self._collect(failed)
        else:
            to_raise += [each.error for each in failed]
        if raised is not None:
            to_raise.append(raised)
        try:
            if to_raise:
                self._raise_first(to_raise, failed)
        finally:
            # Or they would refer to themselves by their tracebacks.
            task = error = raised = fatal = each = None  # type: ignore[assignment]
            to_raise.clear()
            failed.clear()

    def _collect(self, failed: list[_Failed]) -> None:
        """Put the tasks' errors among those of the sync handlers, in dispatch order."""
        ordered = [(place, 0, error) for place, error in zip(self.error_positions, self.errors, strict=True)]
        ordered += [(each.place, 1, each.error) for each in failed]
        ordered.sort(key=lambda row: row[:2])
        self.errors[:] = [error for _, _, error in ordered]
        self.error_positions[:] = [place for place, _, _ in ordered]

    def _raise_first(self, errors: list[BaseException], failed: list[_Failed]) -> NoReturn:
        """Raise the first of some errors and report the others, with those that were to be grouped."""
        first = errors[0]
        known = {id(each.error): each for each in failed}
        try:
            for error in [*errors[1:], *self.errors]:
                if error is not first and not isinstance(error, (KeyboardInterrupt, SystemExit)):
                    each = known.get(id(error))
                    handler, task = (None, None) if each is None else (each.handler, each.task)
                    self.report(error, handler, task)
            self.errors.clear()
            raise first
        finally:
            # Or they would refer to themselves by their tracebacks.
            first = error = each = task = None  # type: ignore[assignment]
            del errors, failed, known

    def report(self, error: BaseException, handler: Any, task: Any) -> None:
        """Tell of an exception that is not raised, since another was before it."""
        _report(self.loop, error, handler, self.event, task)


class _Failed(NamedTuple):
    """A task that raised an `Exception`."""

    error: Exception
    handler: Any
    task: asyncio.Task[Any]
    place: int


def _fatal_among(tasks: Iterable[asyncio.Task[Any]]) -> BaseException | None:
    """The first exception among done tasks' that is no `Exception`: also when others have cancelled one."""
    for task in tasks:
        if task.done():
            if task.cancelled():
                try:
                    task.result()
                except asyncio.CancelledError as cancellation:
                    return cancellation
            error = task.exception()
            if error is not None and not isinstance(error, Exception):
                return error
    return None


def call_in_thread(event: Event[Any], handler: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a handler; if the arguments do not fit, add the note that the core adds elsewhere."""
    try:
        return handler(*args, **kwargs)
    except TypeError as error:
        event._call_failed(error, handler, len(args) - 1, kwargs, False)
        raise


async def _in_thread(call: Callable[[], Any]) -> Any:
    """Run a sync handler in a thread, a generator whole. Once begun it is waited for, cancelled or not."""
    tickets = [None]  # taken by the thread when it begins, or by who calls it off before
    outcome: list[tuple[Any, BaseException | None]] = []  # a worker's frame would keep what is returned

    def run() -> None:
        try:
            tickets.pop()
        except IndexError:
            return
        try:
            value = call()
            if kind_of_result(value) == GENERATOR:
                value = _Consumed(*consume(value))
        except BaseException as error:
            outcome.append((None, error))
        else:
            outcome.append((value, None))

    work = asyncio.ensure_future(asyncio.to_thread(run))
    cancellation = raised = None
    try:
        while not work.done():
            try:
                await asyncio.wait((work,))
            except asyncio.CancelledError as error:
                try:
                    tickets.pop()
                except IndexError:
                    cancellation = error
                    continue
                work.cancel()
                raise
        work.result()
        value, raised = outcome.pop()
        if raised is not None:
            raise raised
        if cancellation is not None:
            raise cancellation
    finally:
        del work, raised, cancellation  # or they would refer to themselves by their tracebacks
    kind = kind_of_result(value)
    return value if kind < 2 else await _as_coroutine(value, kind)


set_aio(Loaded(schedule=schedule, emit_async=emit_async, as_coroutine=_as_coroutine))  # last of all
