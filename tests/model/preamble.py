"""The building blocks of the model's programs: each program starts with this file, and runs with each library.

A program is a list of statements, `do(lambda: ...)` or a `def`. `log` records everything that happens.
"""

import asyncio
import collections
import concurrent.futures
import functools
import gc
import logging
import re
import threading
import weakref

import cyevents

ANY = cyevents.ANY
ns = cyevents.Namespace()
names = globals()
trace = []  # events in order
aside = []  # events in other threads
census = weakref.WeakSet()  # living objects and senders
managers = {}  # open `with` blocks, and subscriptions
fuel = 0  # how many more nested operations the current statement may run
threaded = 0  # depth of calls that would run in a thread: see `Inline`
count = 0  # operations, including nested ones
warm = False  # whether `has_handlers_for` is called after every statement, which fills caches
main = threading.get_ident()


def log(*what):
    line = " ".join(each if isinstance(each, str) else label(each) for each in what)
    (trace if threading.get_ident() == main else aside).append(re.sub("0x[0-9a-f]+", "0x", line))


def label(thing):
    """Return a text for a value that is the same with each library."""
    if thing is ANY:
        return "ANY"
    if isinstance(thing, cyevents.Cancelled):
        by = f"by {label(thing.handler)}, of {label(thing.event)}, since {label(thing.reason)}"
        return f"Cancelled({label(list(thing))}, {by})"
    if isinstance(thing, (list, tuple)):
        return f"{type(thing).__name__}({', '.join(map(label, thing))})"
    if isinstance(thing, dict):
        return f"{{{', '.join(f'{label(key)}: {label(value)}' for key, value in thing.items())}}}"
    if isinstance(thing, BaseExceptionGroup):
        return f"ExceptionGroup({thing.message}: {label(thing.exceptions)})"
    if isinstance(thing, BaseException):
        return f"{type(thing).__name__}({thing})"
    if isinstance(thing, functools.partial):
        return f"partial({label(thing.func)})"
    if isinstance(getattr(thing, "__self__", None), (Obj, collections.deque, list)):  # bound methods
        return f"{label(getattr(thing.__self__, 'name', 'deque'))}.{thing.__name__}"
    if isinstance(thing, int) and 1 << 32 < thing < 1 << 64:
        return "an id"
    if thing is None or isinstance(thing, (str, bytes, int, float)):
        return f"{type(thing).__name__} {thing!r}"
    return getattr(thing, "__name__", None) or getattr(thing, "name", None) or type(thing).__name__


class Boom(Exception):
    pass


class Fatal(BaseException):
    pass


class Text(str):
    pass


class Number(int):
    pass


class Obj:
    """A sender, and the object of methods."""

    def __init__(self, name):
        self.name = name
        census.add(self)

    def sync(self, sender, /, *args, **kwargs):
        log(self.name, "sync", sender, args, kwargs)
        return f"{self.name} sync"

    async def coroutine(self, sender, /, *args, **kwargs):
        log(self.name, "coroutine", sender, args, kwargs)
        await run_turns(1)
        return f"{self.name} coroutine"

    def generator(self, sender, /, *args, **kwargs):
        log(self.name, "generator", sender, args, kwargs)
        yield self.name
        yield None

    async def async_generator(self, sender, /, *args, **kwargs):
        log(self.name, "async generator", sender, args, kwargs)
        yield self.name
        await run_turns(1)
        yield False

    def __call__(self, sender, /, *args, **kwargs):
        log(self.name, "called", sender, args, kwargs)
        return f"{self.name} called"


class Async(Obj):
    async def __call__(self, sender, /, *args, **kwargs):
        log(self.name, "called", sender, args, kwargs)
        return False


# Operations


def outcome(thunk):
    global count
    count += 1
    try:
        log("->", thunk())
    except Exception as error:
        log("-> raised", error)


def begin():
    global fuel
    fuel = 8
    logger.handlers = [logged]


open_gate = threading.Event()
gate = cyevents.Event("gate")


@gate.connect
async def wait_at_gate(sender):
    open_gate.wait()


def do(thunk):
    """Run an operation while no loop runs. Scheduled handlers wait until it ends, so they do not race with it."""
    begin()
    open_gate.clear()
    gate.emit()
    try:
        outcome(thunk)
    except BaseException as error:
        log("-> raised", error)
    open_gate.set()
    cyevents.drain(30)
    gc.collect()
    trace.extend(sorted(aside))
    aside.clear()
    observe()


def do_in_loop(thunk):
    """Run an operation inside a loop: await a coroutine, and cancel it if it makes no progress."""
    begin()
    before = len(trace)
    try:
        loop.run_until_complete(in_loop(thunk))
    except BaseException as error:
        log("-> raised", error)
    gc.collect()
    # The order and time of reports about unhandled exceptions in the loop are unspecified.
    reports = sorted(line for line in trace[before:] if line.startswith("unhandled"))
    trace[before:] = [line for line in trace[before:] if not line.startswith("unhandled")] + reports
    observe()


def birth(task):
    """Return a task's number, to sort sets of tasks."""
    return int(task.get_name().rpartition("-")[2])


async def in_loop(thunk):
    global count
    count += 1
    try:
        result = thunk()
        if asyncio.iscoroutine(result):
            task = asyncio.ensure_future(result)
            await wait_idle()
            if not task.done():
                log("cancelling")
                task.cancel()
            result = await task
        log("->", result)
    except BaseException as error:
        log("-> raised", error)
    await wait_idle()
    for task in sorted(asyncio.all_tasks() - {asyncio.current_task()}, key=birth):
        log("cancelling a scheduled one")
        task.cancel()
    await wait_idle()
    log("left behind:", len(asyncio.all_tasks()) - 1, await cyevents.drain_async(30))


def nested(thunk):
    """Run an operation in a handler or a condition; skip it in a thread, where the order would be random."""
    global fuel
    if fuel > 0 and threading.get_ident() == main and not threaded:
        fuel -= 1
        outcome(thunk)


async def nested_async(thunk):
    global fuel, count
    if fuel > 0 and threading.get_ident() == main and not threaded:
        fuel -= 1
        count += 1
        try:
            log("->", await thunk())
        except Exception as error:
            log("-> raised", error)


async def run_turns(number):
    for _ in range(number):
        await asyncio.sleep(0)


async def forever():
    """Wait until cancelled; in the background loop, where no code cancels it, return at once."""
    if threading.get_ident() == main:
        log("waiting")
        try:
            await loop.create_future()
        finally:
            log("waited")


async def later(value):
    await run_turns(1)
    return value


async def wait_idle():
    """Let the loop run until nothing can continue."""
    await asyncio.sleep(0)
    while loop._ready:
        await asyncio.sleep(0)


def kill(*dying):
    """Release handlers, objects and senders by name."""
    for name in dying:
        names.pop(name, None)


def reborn(name):
    """Let an object die, and create another, with the same id if possible."""
    old = id(names[name])
    names.pop(name)
    others = []
    for _ in range(50):
        others.append(Obj(name))
        if id(others[-1]) == old:
            break
    names[name] = others.pop()


def enter(key, manager):
    leave(key)
    manager.__enter__()
    managers[key] = manager


def leave(key):
    if key in managers:
        managers.pop(key).__exit__(None, None, None)


def within(manager, thunk):
    with manager:
        return thunk()


def subscribe(key, subscription):
    managers[key] = subscription


def cancel(key):
    subscription = managers.pop(key, None)
    return subscription and subscription.cancel()


def delete(name):
    del ns[name]


def policy(where, value):
    where.on_error = value


def swallow(error, handler, event, sender):
    log("on_error", error, handler, event, sender)


def raise_cancel(error, handler, event, sender):
    log("on_error throws", error, handler)
    raise cyevents.Cancel("thrown by on_error")


def raise_error(error, handler, event, sender):
    log("on_error throws", error, handler)
    raise Boom("thrown by on_error")


def value(sender):
    """Return a sender as it is compared: the library may keep any of several equal ones."""
    return str(sender) if isinstance(sender, Text) else int(sender) if isinstance(sender, Number) else sender


def look(event):
    for each in event.handlers:
        log(
            *(
                "  ",
                each.handler,
                value(each.sender),
                "priority",
                each.priority,
                "if",
                each.condition,
                "weak",
                each.weak,
            ),
            *("once", each.once, each.kind, "with_event", each.with_event, "thread", each.thread, each.pattern),
        )


def observe():
    """Log everything visible from outside."""
    log("namespace:", list(ns))
    for event in {id(event): event for event in [*old.values(), *ns.values()]}.values():
        log(event)
        look(event)
        if warm:
            for name in ("ANY", "s0", "s1", "deque"):
                log("  has handlers for", name, event.has_handlers_for(names.get(name)))
            log(
                "  and for",
                [each for each in ("text", 7, 1, True, names.get("i0"), b"raw", many) if event.has_handlers_for(each)],
            )


def finish():
    """Release everything, and log what remains alive."""
    for key in list(managers):
        if hasattr(managers[key], "cancel"):
            cancel(key)
        else:
            leave(key)
    for event in [*old.values(), *ns.values(), *map(ns.event, ("user.*", "*", "!a", "user.?reated"))]:
        event.clear()
    kill(*[name for name in names if re.fullmatch("[hkosp][0-9]|c0", name)])
    gc.collect()
    log("alive:", len(census))


# Where the program runs


class Inline(concurrent.futures.ThreadPoolExecutor):
    """An executor without threads, so that a program behaves the same each time."""

    def submit(self, function, /, *args, **kwargs):
        global threaded
        future = concurrent.futures.Future()
        threaded += 1
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        threaded -= 1
        return future


class Logged(logging.Handler):
    def emit(self, record):
        if record.exc_info:  # ignores deaths, which are logged at other times
            log("logged", record.levelname, record.exc_info[1])


loop = asyncio.new_event_loop()
loop.set_default_executor(Inline())
loop.set_exception_handler(lambda loop, context: log("unhandled", context["exception"]))
logger = logging.getLogger("cyevents")
logged = Logged()
logger.propagate = False
logger.setLevel(logging.DEBUG)
old = {name: ns.event(name) for name in ("a", "user.created", "user.deleted")}
many = (1, 2, 3)
deque = collections.deque(maxlen=5)
plain = []
