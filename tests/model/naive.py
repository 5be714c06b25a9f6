"""The model: the library's contract over plain lists of connections, without caches, locks or optimizations.

It offers the part of the public API that the programs of `programs.py` use. Each emission searches all connections of
the event and of the patterns that match it.
"""

import asyncio
import contextlib
import contextvars
import fnmatch
import functools
import inspect
import itertools
import logging
import sys
import threading
import types
import weakref

EAGER = {"eager_start": True} if sys.version_info >= (3, 12) else {}
ANY = type("AnySender", (), {})()
serials = itertools.count()


class Cancel(Exception):
    def __init__(self, reason=None):
        super().__init__(reason)
        self.reason = reason


class Cancelled(list):
    def __init__(self, results, handler, event, reason):
        super().__init__(results)
        self.handler = handler
        self.event = event
        self.reason = reason


# When two handlers or two senders are the same


def is_builtin_method(handler):
    owner = getattr(handler, "__self__", None)
    return isinstance(handler, types.BuiltinMethodType) and not isinstance(owner, (types.ModuleType, type(None)))


def same_handler(a, b):
    if isinstance(a, types.MethodType) and isinstance(b, types.MethodType):
        return a.__self__ is b.__self__ and a.__func__ is b.__func__
    if is_builtin_method(a) and is_builtin_method(b):
        return a.__self__ is b.__self__ and a.__name__ == b.__name__
    return a is b


def value_type(sender):
    """Return the type by whose values senders are compared, or None if they are compared by identity."""
    kinds = [kind for kind in (str, int, bytes) if isinstance(sender, kind) and not isinstance(sender, bool)]
    return kinds[0] if kinds else None


def same_sender(a, b):
    kind = value_type(a)
    return a is b if kind is None else kind is value_type(b) and kind.__eq__(a, b)


def holder_of_handler(handler, weak):
    """Return a function that returns the handler, or None once it is dead."""
    if not weak:
        return lambda: handler
    try:
        if isinstance(handler, types.MethodType):
            return weakref.WeakMethod(handler)
        if not is_builtin_method(handler):
            return weakref.ref(handler)
        owner, name = weakref.ref(handler.__self__), handler.__name__
    except TypeError:
        raise TypeError(
            f"{handler!r} cannot be held weakly: connect it with weak=False, and disconnect it when done"
        ) from None
    return lambda: None if owner() is None else getattr(owner(), name)


def holder_of_sender(sender, on_dead):
    """Return a function that returns a list of the sender, or an empty list and a call of `on_dead` once it is dead."""

    def died(_):
        notify = on_dead()
        if notify is not None:
            notify()

    try:
        reference = None if value_type(sender) or sender is ANY else weakref.ref(sender, died)
    except TypeError:
        reference = None
    if reference is None:
        return lambda: [sender]
    return lambda: [each for each in [reference()] if each is not None]


class Connection:
    """One connection and its state."""

    def __init__(self, event, handler, sender, weak, priority, condition, once, with_event, thread):
        self.event = weakref.ref(event)  # no cycles: the model must release objects as early as the library
        self.get_handler = holder_of_handler(handler, weak)
        self.get_sender = holder_of_sender(sender, weakref.WeakMethod(self.on_dead))
        self.for_any = sender is ANY
        self.weak = weak
        self.priority = int(priority)
        self.condition = condition
        self.once = once
        self.with_event = with_event
        self.kind = kind_of_handler(handler)
        self.thread = thread and self.kind in ("sync", "generator")
        self.pattern = event.name if event.is_pattern else None
        self.serial = next(serials)
        # Whether it was disconnected, and whether its single `once` call was made.
        self.state = types.SimpleNamespace(gone=False, consumed=False)
        self.line = types.SimpleNamespace(last=self.state)  # shared by connections that replaced each other
        self.over = None  # the connections it had replaced, once its `connected_to` has ended
        self.warned = False

    handler = property(lambda self: self.get_handler())
    sender = property(lambda self: self.get_sender()[0])

    def is_alive(self):
        return (
            not self.state.gone
            and not self.state.consumed
            and self.get_handler() is not None
            and bool(self.get_sender())
        )

    def is_valid(self):
        """Return whether an emission that began with it may still call it. Reconnecting is not disconnecting."""
        return not any(state.gone or state.consumed for state in (self.state, self.line.last))

    def on_dead(self):
        self.get_handler = lambda: None
        self.condition = None

    def accepts(self, sender):
        return self.for_any or (sender is not ANY and any(same_sender(mine, sender) for mine in self.get_sender()))

    def is_of(self, handler, sender):
        """Return whether it connects this handler for this sender."""
        return same_handler(self.get_handler(), handler) and (
            self.for_any if sender is ANY else not self.for_any and self.accepts(sender)
        )


def kind_of_handler(handler):
    while isinstance(handler, functools.partial):
        handler = handler.func
    if not inspect.isroutine(handler):
        handler = type(handler).__call__
    if inspect.iscoroutinefunction(handler):
        return "async"
    if inspect.isasyncgenfunction(handler):
        return "async_generator"
    return "generator" if inspect.isgeneratorfunction(handler) else "sync"


class Event:
    is_pattern = is_undeclared = False

    def __init__(self, name, namespace=None):
        self.name = name
        self.namespace = namespace
        self.on_error = None
        self.connections = []
        self.mutes = []  # the handlers of each `muted` block; none means the whole event

    # Connecting

    def connect(self, handler, sender=ANY, **options):
        self.add(handler, sender, **options)
        return handler

    def add(self, handler, sender, weak=True, priority=0, condition=None, once=False, with_event=False, thread=False):
        new = Connection(self, handler, sender, weak, priority, condition, once, with_event, thread)
        previous = self.find(handler, sender)
        if previous is not None:
            new.line = previous.line
            new.line.last = new.state
            self.connections.remove(previous)
        self.connections.append(new)
        return new, previous

    def alive(self):
        self.connections = [connection for connection in self.connections if connection.is_alive()]
        return self.connections[:]

    def find(self, handler, sender):
        found = [connection for connection in self.alive() if connection.is_of(handler, sender)]
        return found[0] if found else None

    def remove(self, connection):
        connection.state.gone = True
        connection.on_dead()
        self.connections.remove(connection)

    def disconnect(self, handler, sender=ANY):
        found = [
            connection
            for connection in self.alive()
            if connection.is_of(handler, sender) or (sender is ANY and same_handler(connection.handler, handler))
        ]
        for connection in found:
            self.remove(connection)
        return bool(found)

    def clear(self):
        for connection in self.alive():
            self.remove(connection)

    def subscribe(self, handler, sender=ANY, **options):
        connection, _ = self.add(handler, sender, **options)
        return Subscription(self, handler, connection)

    def connected_to(self, handler, sender=ANY, **options):
        return ConnectedTo(self, handler, sender, options)

    def restore(self, mine, previous, handler, sender):
        """Restore what a temporary connection replaced, unless it was changed meanwhile."""
        while previous is not None and previous.over:
            (previous,) = previous.over
        mine.over = [previous]
        current = self.find(handler, sender)
        if current is not mine and not (current is None and mine.state.consumed and mine.line.last is mine.state):
            return
        if current is mine:
            self.connections.remove(mine)
        if previous is not None:
            previous.line.last = previous.state
        if previous is not None and previous.is_alive():
            self.connections.append(previous)
        else:
            mine.state.gone = True
            mine.on_dead()

    def muted(self, *handlers):
        return Muted(self, handlers)

    def mutes_all(self):
        return () in self.mutes

    def mutes_handler(self, handler):
        return any(same_handler(each, handler) for handlers in self.mutes for each in handlers)

    # Emitting

    def sources(self):
        return [self] if self.namespace is None else [*self.namespace.patterns_of(self), self]

    def chosen(self, sender):
        """Return the connections that an emission calls, in order: the most specific one of each handler."""
        if self.mutes_all():
            return []
        found = [
            connection
            for source in self.sources()
            if not source.mutes_all()
            for connection in source.alive()
            if connection.accepts(sender)
            and not source.mutes_handler(connection.handler)
            and not self.mutes_handler(connection.handler)
        ]
        found.sort(key=lambda each: (each.event() is self, not each.for_any, each.serial), reverse=True)
        chosen = []
        for connection in found:
            if not any(same_handler(other.handler, connection.handler) for other in chosen):
                chosen.append(connection)
        return in_order(chosen)

    def admits(self, connection, handler, sender, kwargs):
        """Return whether a connection must be called when its turn comes."""
        if not connection.is_valid():
            return False
        if connection.condition is not None:
            try:
                if not connection.condition(sender, **kwargs):
                    return False
            except Exception as error:
                self.condition_failed(error, connection, handler, sender)
                return False
            if not connection.is_valid():
                return False
        if connection.once:
            connection.state.consumed = True
            connection.on_dead()
        return True

    def policy(self):
        return self.on_error or (self.namespace and self.namespace.on_error) or "raise"

    def condition_failed(self, error, connection, handler, sender):
        if callable(self.policy()):
            self.policy()(error, handler, self, sender)
        else:
            level = logging.DEBUG if connection.warned else logging.WARNING
            connection.warned = True
            logging.getLogger("cyevents").log(level, "a condition raised", exc_info=error)

    def handler_failed(self, error, handler, sender):
        """Report an error; return it if it must be grouped, or None if it must be raised."""
        policy = self.policy()
        if policy == "raise":
            return None
        if policy == "group":
            return [error]
        policy(error, handler, self, sender)
        return []

    def group(self, errors):
        return ExceptionGroup(f"{len(errors)} handlers of {self.name!r} failed", errors)

    @contextlib.contextmanager
    def begun(self, sender):
        """Return what an emission calls. Until it ends, it holds strong handlers, even disconnected ones."""
        chosen = self.chosen(sender)
        held = [connection.get_handler for connection in chosen if not connection.weak]
        try:
            yield chosen
        finally:
            held.clear()

    def emit(self, /, sender=ANY, *args, **kwargs):
        with self.begun(sender) as chosen:
            return self.call(chosen, sender, args, kwargs)

    def first(self, /, sender=ANY, *args, default=None, **kwargs):
        with self.begun(sender) as chosen:
            results = self.call(chosen, sender, args, kwargs, is_first=True)
        return default if isinstance(results, Cancelled) or not results else results[0]

    def call(self, chosen, sender, args, kwargs, is_first=False):
        results, errors = [], []
        for connection in chosen:
            handler = connection.handler
            if handler is None or not self.admits(connection, handler, sender, kwargs):
                continue
            try:
                outcome = outcome_of(handler, sender, *args, **self.keywords(connection, kwargs))
            except Exception as error:
                failed = self.handler_failed(error, handler, sender)
                if failed is None:
                    raise
                errors += failed
                continue
            if outcome.coroutine is not None:
                schedule(self, outcome.coroutine, handler, sender)
                continue
            results += outcome.values
            if outcome.cancels:
                if errors:
                    break
                return Cancelled(results, handler, self, outcome.reason)
            if is_first and results:
                break
        try:
            if errors:
                raise self.group(errors)
        finally:
            errors = failed = None  # otherwise a raised exception would keep itself and its handlers alive
        return results

    def keywords(self, connection, kwargs):
        return {**kwargs, "event": self} if connection.with_event else kwargs

    async def emit_async(self, /, sender=ANY, *args, **kwargs):
        with self.begun(sender) as chosen:
            return await self.call_all(chosen, sender, args, kwargs)

    async def call_all(self, chosen, sender, args, kwargs):
        results, errors = [], []  # one list for each called handler, in dispatch order
        cancellers = []
        for _, connections in itertools.groupby(chosen, key=lambda connection: connection.priority):
            try:
                tier = Tier(self, sender, results, errors)
                tier.call(connections, args, kwargs)
                await tier.finish()
                if tier.to_raise:
                    for error in [*tier.to_raise[1:], *itertools.chain(*errors)]:
                        if error is not tier.to_raise[0]:
                            report(error)
                    raise tier.to_raise[0]
                cancellers = tier.cancellers
                if cancellers:
                    break
            finally:
                tier = error = None  # otherwise a raised exception would refer to itself through its traceback
        try:
            if any(errors):
                raise self.group(list(itertools.chain(*errors)))
        finally:
            errors.clear()
        results = list(itertools.chain(*results))
        return Cancelled(results, cancellers[0][0], self, cancellers[0][1]) if cancellers else results

    # Introspection

    @property
    def handlers(self):
        return in_order(connection for source in self.sources() for connection in source.alive())

    def has_handlers_for(self, sender):
        return bool(self.chosen(sender))


class Tier:
    """The handlers of one priority in an emission that waits for them."""

    def __init__(self, event, sender, results, errors):
        self.event, self.sender, self.results, self.errors = event, sender, results, errors
        self.tasks = []  # each with its handler and its position in the results
        self.has_started = False  # whether a handler was started as a task
        self.lone = None  # the last handler, if only that is async: its coroutine, context and so on
        self.raised = None  # by the last handler that was called in place
        self.cancellers = []
        self.to_raise = []

    def call(self, connections, args, kwargs):
        connections = list(connections)
        for connection in connections:
            call = outcome = task = None
            handler = connection.handler
            try:
                if handler is None or not self.event.admits(connection, handler, self.sender, kwargs):
                    continue
                self.results.append([])
                self.errors.append([])
                call = functools.partial(handler, self.sender, *args, **self.event.keywords(connection, kwargs))
                try:
                    outcome = Outcome(in_thread(call)) if connection.thread else outcome_of(call)
                except Exception as error:
                    if not self.fail(error, handler, -1):
                        raise
                    continue
                if outcome.coroutine is not None:
                    is_last = connection is connections[-1] and not self.has_started and not connection.thread
                    if is_last and not asyncio.current_task().cancelling():
                        self.lone = outcome.coroutine, contextvars.copy_context(), handler, len(self.results) - 1
                        return
                    self.has_started = True
                    task = start(outcome.coroutine)
                    if is_over(task) and not final(task.result()).cancels:  # it was started at once and never waits
                        self.results[-1] = Outcome(task.result(), is_final=True).values
                    else:
                        self.tasks.append((task, handler, len(self.results) - 1))
                elif not self.take(outcome, handler, -1):
                    return
            except BaseException as error:
                self.raised = error
                return

    def take(self, outcome, handler, place):
        """Take a handler's outcome; return whether the emission continues."""
        self.results[place] = outcome.values
        if outcome.cancels:
            self.cancellers.append((handler, outcome.reason))
        return not outcome.cancels

    def fail(self, error, handler, place):
        failed = self.event.handler_failed(error, handler, self.sender)
        if failed is not None:
            self.errors[place] = failed
        return failed is not None

    async def finish(self):
        """Wait for the tasks and take their results and exceptions, in dispatch order."""
        if self.lone is not None:
            await self.finish_lone(*self.lone)
            return
        sync_cancellers, self.cancellers = self.cancellers, []
        self.to_raise = await wait([task for task, _, _ in self.tasks], self.raised)
        failed = [row for row in self.tasks if not row[0].cancelled() and row[0].exception() is not None]
        failed = [row for row in failed if not isinstance(row[0].exception(), Cancel)]
        for task, handler, place in self.tasks:
            if not task.cancelled() and task.exception() is None:
                self.take(final(task.result()), handler, place)
            elif not task.cancelled() and isinstance(task.exception(), Cancel):
                self.take(Outcome(False, reason=task.exception().reason), handler, place)
            elif (task, handler, place) in failed and not isinstance(task.exception(), Exception):
                self.to_raise.append(task.exception())
        for task, handler, place in failed:
            error = task.exception()
            if isinstance(error, Exception):
                try:
                    if not self.fail(error, handler, place):
                        self.to_raise.append(error)
                except BaseException as another:
                    self.to_raise.append(another)
        self.to_raise += [] if self.raised is None else [self.raised]
        self.cancellers += sync_cancellers

    async def finish_lone(self, coroutine, context, handler, place):
        """Run a coroutine in this task, and take its result or exception."""
        thrown = []
        try:
            value = await stepped(coroutine, context, thrown)
        except BaseException as error:
            if thrown and asyncio.current_task().cancelling():
                self.to_raise.append(thrown[-1])
            if isinstance(error, Cancel):
                if not self.to_raise:
                    self.take(Outcome(False, reason=error.reason), handler, place)
                return
            if not isinstance(error, Exception):
                if not (self.to_raise and isinstance(error, asyncio.CancelledError)):
                    self.to_raise.append(error)
                return
            try:
                if not self.fail(error, handler, place):
                    self.to_raise.append(error)
            except BaseException as another:
                self.to_raise.append(another)
        else:
            if thrown and asyncio.current_task().cancelling():
                self.to_raise.append(thrown[-1])
            else:
                self.take(final(value), handler, place)
        finally:
            thrown.clear()


def in_order(connections):
    return sorted(connections, key=lambda connection: (-connection.priority, connection.serial))


class Pattern(Event):
    is_pattern = True

    def sources(self):
        return [self]

    def emit(self, /, *args, **kwargs):
        raise ValueError(f"{self.name!r} is a pattern and cannot be emitted: emit an event by its own name")

    emit_async = first = emit


class Subscription:
    def __init__(self, event, handler, connection):
        self.event, self.handler, self.connection = event, handler, connection

    def cancel(self):
        was_connected = self.connection in self.event.alive()
        if was_connected:
            self.event.remove(self.connection)
        self.handler = None
        return was_connected


class ConnectedTo:
    def __init__(self, event, handler, sender, options):
        self.event, self.handler, self.sender, self.options = event, handler, sender, options
        self.made = []

    def __enter__(self):
        self.made.append(self.event.add(self.handler, self.sender, **self.options))
        return self.event

    def __exit__(self, *error):
        self.event.restore(*self.made.pop(), self.handler, self.sender)


class Muted:
    def __init__(self, event, handlers):
        self.event, self.handlers = event, handlers

    def __enter__(self):
        self.event.mutes.append(self.handlers)
        return self.event

    def __exit__(self, *error):
        self.event.mutes.remove(self.handlers)


class Namespace(dict):
    def __init__(self, *, on_error=None):
        self.on_error = on_error
        self.patterns = {}

    def event(self, name):
        is_pattern = "*" in name or "?" in name or name[:1] == "!"
        found, cls = (self.patterns, Pattern) if is_pattern else (self, Event)
        if name not in found:
            found[name] = cls(name, self)
        return found[name]

    def on(self, event, sender=ANY, **options):
        return lambda handler: (self.event(event) if isinstance(event, str) else event).connect(
            handler, sender, **options
        )

    def meant(self, event):
        if isinstance(event, str) and (any(mark in event for mark in "*?") or event[:1] == "!"):
            return Pattern(event)
        if not isinstance(event, str):
            return event
        if event in self:
            return self[event]
        undeclared = Event(event, self)  # an undeclared or deleted name: patterns get it
        undeclared.is_undeclared = True
        return undeclared

    def emit(self, event, /, sender=ANY, *args, **kwargs):
        return self.meant(event).emit(sender, *args, **kwargs)

    def emit_async(self, event, /, sender=ANY, *args, **kwargs):
        return self.meant(event).emit_async(sender, *args, **kwargs)

    def patterns_of(self, event):
        if self.get(event.name) is not event and not event.is_undeclared:
            return []
        return [pattern for pattern in self.patterns.values() if matches(pattern.name, event.name)]

    def filter(self, pattern):
        return {name: event for name, event in self.items() if matches(pattern, name)}

    def __delitem__(self, name):
        super().__delitem__(name) if name not in self.patterns else self.patterns.pop(name)


def matches(pattern, name):
    if pattern[:1] == "!":
        return not fnmatch.fnmatchcase(name, pattern[1:])
    return fnmatch.fnmatchcase(name, pattern)


# Results of handlers


class Outcome:
    """The meaning of a handler's result: values for the list, a cancellation, or a coroutine to await."""

    def __init__(self, result, is_final=False, reason=None):
        self.values = [] if result is None or result is False else [result]
        self.coroutine = None
        self.cancels = result is False
        self.reason = reason
        if is_final:
            return
        if inspect.iscoroutine(result):
            self.coroutine = result
        elif inspect.isawaitable(result):
            self.coroutine = awaited(result)
        elif inspect.isasyncgen(result):
            self.coroutine = collected(result)
        elif inspect.isgenerator(result):
            items = []
            try:
                self.cancels = yield_all(result, items) is False
            except Cancel as cancel:
                self.cancels, self.reason = True, cancel.reason
            self.values = [items]


def outcome_of(call, /, *args, **kwargs):
    """Call a handler and return the outcome."""
    try:
        result = call(*args, **kwargs)
    except Cancel as cancel:
        return Outcome(False, reason=cancel.reason)
    return Outcome(result)


def final(result):
    """Return the outcome of what a task has returned, which may be one already."""
    return result if isinstance(result, Outcome) else Outcome(result, is_final=True)


def yield_all(generator, items):
    while True:
        try:
            item = next(generator)
        except StopIteration as stop:
            return stop.value
        if item is not None:
            items.append(item)


async def awaited(awaitable):
    return await awaitable


async def collected(generator):
    items = []
    try:
        async for item in generator:
            if item is not None:
                items.append(item)
    except Cancel as cancel:
        outcome = Outcome(False, reason=cancel.reason)
        outcome.values = [items]
        return outcome
    return items


@types.coroutine
def stepped(coroutine, context, thrown):
    """Run a coroutine in this task and in a context. Note what is thrown into it."""
    step, given = coroutine.send, (None,)
    while True:
        try:
            yielded = context.run(step, *given)
        except StopIteration as stop:
            return stop.value
        finally:
            given = None  # otherwise an exception would refer to itself through its traceback
        try:
            step, given = coroutine.send, ((yield yielded),)
        except BaseException as error:
            thrown.append(error)
            step, given = coroutine.throw, (error,)


# Tasks


def start(coroutine):
    return asyncio.Task(coroutine, loop=asyncio.get_running_loop(), **EAGER)


def is_over(task):
    """Return whether a task ended without an exception."""
    return task.done() and not task.cancelled() and task.exception() is None


def is_fatal(task):
    return task.done() and (task.cancelled() or not isinstance(task.exception(), (Exception, type(None))))


async def wait(tasks, raised):
    """Wait for tasks; return the base exception that cancels them, raised by a handler or thrown in from outside.

    It uses as many turns of the loop as the library, so that concurrent code runs at the same points.
    """
    loop = asyncio.get_running_loop()
    fatal = [] if raised is None or isinstance(raised, Exception) else [raised]

    def cancel(reason=None):
        if not fatal:
            fatal.append(reason or next(reason_of(task) for task in tasks if is_fatal(task)))
        for task in tasks:
            task.cancel()

    if not tasks or (raised is None and all(map(is_over, tasks))):
        return fatal
    try:
        if not fatal and not any(map(is_fatal, tasks)):
            await asyncio.sleep(0)
    except asyncio.CancelledError as cancellation:
        cancel(cancellation)
    for task in tasks:
        if not task.done():
            task.add_done_callback(lambda task: loop.call_soon(cancel) if is_fatal(task) else None)
    if fatal or any(map(is_fatal, tasks)):
        cancel()
    while running := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError as cancellation:
            cancel(cancellation)
    return fatal


def reason_of(task):
    try:
        task.result()
    except BaseException as reason:
        return reason


async def in_thread(call):
    begun = []

    def run():
        begun.append(True)
        return outcome_of(call)

    work = asyncio.ensure_future(asyncio.to_thread(run))
    try:
        await asyncio.wait([work])
    except asyncio.CancelledError:
        if not begun:
            work.cancel()
        while not work.done():  # it cannot be interrupted, and may be cancelled again
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([work])
        if begun:
            work.result()
        raise
    outcome = work.result()
    return outcome if outcome.coroutine is None else await outcome.coroutine


# What `emit` schedules

tasks = set()
background = []


def report(error):
    asyncio.get_running_loop().call_exception_handler({"message": "a handler failed", "exception": error})


def schedule(event, coroutine, handler, sender):
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        background.append((event, coroutine, handler, sender))
        return
    task = loop.create_task(coroutine)
    tasks.add(task)

    def done(task, coroutine=coroutine, handler=handler, sender=sender):
        tasks.discard(task)
        coroutine.close()
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Cancel):
            pass
        elif isinstance(error, Exception) and callable(event.policy()):
            event.policy()(error, handler, event, sender)
        elif error is not None:
            report(error)

    task.add_done_callback(done)


def drain(timeout=None):
    """Run what is scheduled while no loop runs."""

    async def run():
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: logging.getLogger("cyevents").error("a handler failed", exc_info=context["exception"])
        )
        for job in jobs:
            schedule(*job)
        while tasks:
            await asyncio.wait(tasks)

    while background:
        jobs = background[:]
        background.clear()
        thread = threading.Thread(target=asyncio.run, args=[run()])
        thread.start()
        thread.join()
    return True


async def drain_async(timeout=None):
    while tasks:
        await asyncio.wait(tasks)
    return True
