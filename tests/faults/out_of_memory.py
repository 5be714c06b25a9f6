"""Fail every allocation of one operation in turn, and check the events after each failure.

`python out_of_memory.py [OPERATION...]` runs the operation in a fresh world for n = 0, 1, 2 ... With `once`, only the
n-th allocation fails; with `on` (compiled core), all allocations from the n-th on fail. It stops when the operation
succeeds in spite of that. The operation must be done completely or not at all, emissions must agree with the tables,
and nothing may leak. Prints what is wrong, and how many allocations there were. Exit status 0, 1, or that of a crash.
"""

import _testcapi
import asyncio
import faulthandler
import functools
import gc
import os
import sys
import traceback
import types
import weakref

from cyevents import ANY, Event, Mailbox, Namespace, _core, backend

faulthandler.enable()
sys.unraisablehook = lambda report: None  # callbacks without memory
LIMIT = int(os.environ.get("CYEVENTS_FAULTS_ALLOCATIONS", 2000))
MODES = os.environ.get("CYEVENTS_FAULTS_MODES", "once on").split()


CPYTHON_LEAKS = 3  # places where CPython itself may leak: list(), sorted() and a call with cells do in some versions


class Thing:
    """A sender, and the object of a method."""

    def __init__(self, name):
        self.name = name

    def method(self, sender, *args, **kwargs):
        return self.name

    def __call__(self, sender, *args, **kwargs):
        return self.name

    def __repr__(self):
        return self.name


class World:
    """Two events, a pattern that matches both, senders, and handlers that return their names."""

    def __init__(self):
        self.ns = Namespace()
        self.x, self.y = self.ns.event("user.x"), self.ns.event("user.y")
        self.pattern = self.ns.event("user.*")
        self.weakly, self.strongly, self.new = Thing("weakly"), ("strongly",), Thing("new sender")
        self.handlers = {name: Thing(name) for name in ("a", "b", "c", "d", "e", "f")}
        self.fresh, self.owner = Thing("fresh"), Thing("owner")
        self.yes = Thing("yes")
        self.__dict__ |= self.handlers
        self.x.connect(self.a, priority=2)
        self.x.connect(self.b, self.weakly)
        self.x.connect(self.c, "value")
        self.pattern.connect(self.d, priority=1)
        self.pattern.connect(self.e, self.weakly)
        self.y.connect(self.f, self.strongly, condition=self.yes)
        self.kept = []

    def senders(self):
        return [self.weakly, self.strongly, self.new, "value", 7]

    def warm(self):
        """Emit, so that every snapshot exists."""
        for event in (self.x, self.y):
            for sender in self.senders():
                event.emit(sender)

    def tables(self):
        """Return the connections in the tables, in a comparable form."""
        return [self.rows(self.x), self.rows(self.y), self.rows(self.pattern), sorted(self.ns)]

    def rows(self, event):
        return [
            (name_of(row.handler), row.sender if isinstance(row.sender, str | tuple) else repr(row.sender))
            + (row.priority, row.once, row.weak, row.pattern)
            for row in event.handlers
        ]

    def wrong_emissions(self):
        """Return the emissions that do not agree with the tables."""
        wrong = []
        for event in {self.x, self.y, *self.ns.values()}:
            for sender in self.senders():
                expected = [
                    name_of(row.handler)
                    for row in event.handlers
                    if (row.sender is sender or row.sender == sender or row.sender is ANY) and row.kind == "sync"
                ]
                found = event.emit(sender)
                if found != expected:
                    wrong.append((event.name, sender, found, expected))
        return wrong


def name_of(handler):
    handler = getattr(handler, "__self__", handler)
    return handler.name if isinstance(handler, Thing) else handler.__name__


# The operations


def connecting(place="x", handler="fresh", sender=None, **options):
    def operate(world):
        options_now = dict(options)
        if options_now.get("condition"):
            options_now["condition"] = world.yes
        if sender is not None:
            options_now["sender"] = getattr(world, sender, sender)
        receiver = world.owner.method if handler == "method" else getattr(world, handler)
        return lambda: getattr(world, place).connect(receiver, **options_now)

    return operate


def disconnecting(place, handler, *sender):
    def operate(world):
        event, receiver, senders = (
            getattr(world, place),
            getattr(world, handler),
            [getattr(world, s, s) for s in sender],
        )
        return lambda: event.disconnect(receiver, *senders)

    return operate


def emitting(sender="value", *args, by="event", **kwargs):
    """Emissions of x with a sender and an expected result."""

    def operate(world):
        given = getattr(world, sender, sender)
        expected = world.x.emit(given)
        world.x.connect(world.fresh)
        world.x.disconnect(world.fresh)  # the snapshots are outdated again

        def emit():
            if by == "name":
                result = world.ns.emit("user.x", given, *args, **kwargs)
            elif by == "keyword":
                result = world.x.emit(sender=given, **kwargs)
            else:
                result = world.x.emit(given, *args, **kwargs)
            assert result == expected, (result, expected)

        return emit

    return operate


def again(operation):
    """Run the operation when the snapshots exist."""

    def operate(world):
        action = operation(world)
        world.warm()
        return action

    return operate


UNRAISABLE = []  # operations that ignore memory errors
OPERATIONS = {
    "connect": connecting(),
    "connect_to_warm": again(connecting()),
    "connect_method": connecting(handler="method"),
    "connect_strongly": connecting(weak=False),
    "connect_once": connecting(once=True, condition=True),
    "connect_new_sender": connecting(sender="new"),
    "connect_new_value": connecting(sender="new value"),
    "connect_known_sender": again(connecting(sender="weakly")),
    "reconnect": again(connecting(handler="a", priority=-5)),
    "reconnect_with_sender": again(connecting(handler="b", sender="weakly", priority=-5)),
    "connect_pattern": again(connecting("pattern", priority=3)),
    "connect_pattern_sender": again(connecting("pattern", sender="new")),
    "reconnect_pattern": again(connecting("pattern", handler="d", priority=9)),
    "disconnect": again(disconnecting("x", "a")),
    "disconnect_with_sender": again(disconnecting("x", "b", "weakly")),
    "disconnect_last_of_value": again(disconnecting("x", "c", "value")),
    "disconnect_pattern": again(disconnecting("pattern", "d")),
    "disconnect_pattern_sender": again(disconnecting("pattern", "e", "weakly")),
    "emit": emitting(),
    "emit_warm": again(emitting()),
    "emit_to_weak_sender": emitting("weakly"),
    "emit_without_group": emitting("other"),
    "emit_keywords": emitting("value", 1, 2, key=3, other=4),
    "emit_many": again(emitting("value", *range(20), key=3)),
    "emit_by_name": again(emitting("value", by="name", key=1)),
    "emit_sender_by_keyword": again(emitting("value", by="keyword", key=1)),
}


def operation(function):
    OPERATIONS[function.__name__] = function
    return function


@operation
def make_event(world):
    return lambda: world.ns.event("user.new")


@operation
def make_unmatched_event(world):
    return lambda: world.ns.event("other")


@operation
def make_pattern(world):
    def make():
        world.kept.append(world.ns.event("u*"))

    world.ns.event("u?")  # imports what patterns need
    return make


@operation
def make_pattern_with_handler(world):
    world.warm()

    def make():
        world.ns.event("user.?").connect(world.fresh, priority=7)

    return make


@operation
def connect_first_sender_to_a_pattern(world):
    """The connection after the one that may fail must work: emissions of the event find both."""
    world.ns.event("other")
    pattern = world.ns.event("o*")

    def do():
        try:
            pattern.connect(world.a, "value")
        finally:
            _testcapi.remove_mem_hooks()
            pattern.connect(world.fresh, world.new)

    return do


@operation
def delete_event(world):
    world.warm()
    return functools.partial(world.ns.__delitem__, "user.y")


@operation
def delete_pattern(world):
    world.warm()
    return functools.partial(world.ns.__delitem__, "user.*")


@operation
def clear(world):
    world.warm()
    return world.x.clear


@operation
def subscribe(world):
    world.warm()

    def do():
        world.kept.append(world.x.subscribe(world.fresh))

    return do


@operation
def cancel(world):
    subscription = world.x.subscribe(world.fresh)
    world.warm()
    return subscription.cancel


@operation
def enter_connected_to(world):
    connected = world.x.connected_to(world.a, priority=-3)
    world.warm()
    return connected.__enter__


@operation
def leave_connected_to(world):
    connected = world.x.connected_to(world.a, priority=-3)
    connected.__enter__()
    world.warm()
    return lambda: connected.__exit__(None, None, None)


@operation
def leave_connected_to_of_a_sender(world):
    connected = world.x.connected_to(world.fresh, world.new)
    connected.__enter__()
    world.warm()
    return lambda: connected.__exit__(None, None, None)


@operation
def mute_and_unmute(world):
    muted, some = world.x.muted(), world.x.muted(world.a, world.d)
    world.warm()

    def do():
        with some:
            assert world.x.emit("value") == ["c"]
        with muted:
            assert world.x.emit("value") == []

    return do


def holding(source):
    def operate(world):
        held = getattr(world, source).held
        with held():  # imports what holds need
            pass
        world.warm()

        def do():
            with held():
                assert world.x.emit("value") == []

        return do

    return operate


OPERATIONS["hold_namespace"] = holding("ns")
OPERATIONS["hold_event"] = holding("x")


@operation
def emit_once(world):
    world.x.connect(world.fresh, once=True)
    return lambda: world.x.emit(7)


@operation
def emit_with_everything(world):
    """Use a condition, a generator, a method, the event, and a handler that cancels."""

    def generate(sender, **kwargs):
        yield from ("generated", None, "too")

    def with_event(sender, event, **kwargs):
        return event.name

    event = Event("of its own")
    world.kept += (event, generate, with_event)
    event.connect(generate, condition=world.yes)
    event.connect(with_event, with_event=True)
    event.connect(world.owner.method)
    event.connect(refuse, priority=-1)

    def emit():
        results = event.emit(1, key=2)
        # A condition that raises MemoryError skips its handler.
        assert results in ([["generated", "too"], "of its own", "owner"], ["of its own", "owner"]), results
        assert results.handler is refuse

    return emit


def refuse(sender, **kwargs):
    return False


def fail(sender, **kwargs):
    raise ZeroDivisionError


def fail_too(sender, **kwargs):
    raise LookupError


@operation
def emit_to_failing(world):
    event = Event("of its own", on_error="group")
    event.connect(fail)
    event.connect(fail_too)
    event.connect(world.fresh)
    world.kept.append(event)

    def emit():
        try:
            event.emit(1)
        except* (ZeroDivisionError, LookupError, MemoryError):
            pass
        else:
            raise AssertionError("no exception")

    return emit


@operation
def emit_to_raising(world):
    """Without memory, an exception may have no traceback either."""
    event = Event("of its own")
    event.connect(fail)
    event.connect(fail, 1, thread=True)  # so that it is called by the slow path
    world.kept.append(event)

    def emit():
        for way, sender in ((event.emit, 1), (event.emit, 2), (event.send, 1), (event.send, 2)):
            try:
                way(sender)
            except ZeroDivisionError:
                pass
            except SystemError as error:
                if "<function fail " not in str(error):  # CPython 3.11 itself may lose what `fail` raises
                    raise
            else:
                raise AssertionError("no exception")

    return emit


@operation
def emit_to_failing_with_callable(world):
    event = Event("of its own", on_error=ignore)
    event.connect(fail)
    event.connect(world.fresh)
    world.kept.append(event)

    def emit():
        assert event.emit(1) in (["fresh"], [])

    return emit


def ignore(*args):
    return None


def with_full_mailbox(overflow):
    """No place is left: what says so has no traceback without memory."""

    def operate(world):
        event, box = Event("of its own"), Mailbox(1, overflow)
        event.connect(world.fresh, via=box)
        event.emit(1)
        world.kept += event, box, Drained(box)
        return lambda: event.emit(2)

    OPERATIONS[f"emit_with_{overflow}_mailbox"] = operate


class Drained:
    """Checks at the end that a mailbox has lost no place."""

    def __init__(self, box):
        self.box = box

    def check(self):
        self.box.drain()
        # Without memory for a pair, CPython's `OrderedDict.popitem` loses the call that it was to return.
        if len(self.box._places) != self.box.maxsize and self.box.overflow != "latest":
            yield f"{self.box} has {len(self.box._places)} places"


for overflow in ("drop_oldest", "drop_newest", "latest"):
    with_full_mailbox(overflow)


def with_dying_object(operate):
    """An object dies that has only one weak reference.

    (With more of them, CPython 3.11 and 3.12 keep all of them when memory runs out, and crash.)
    """

    def outer(world):
        single = [Thing("single")]
        operate(world, single[0])
        return single.clear

    OPERATIONS[operate.__name__] = outer
    UNRAISABLE.append(operate.__name__)
    return outer


@with_dying_object
def handler_dies(world, single):
    world.x.connect(single)


@with_dying_object
def owner_of_a_method_dies(world, single):
    world.x.connect(single.method)


@with_dying_object
def sender_dies(world, single):
    world.x.connect(world.fresh, single)
    world.x.emit(single)


@with_dying_object
def sender_dies_before_any_emission(world, single):
    world.x.connect(world.fresh, single)


async def answer(sender, **kwargs):
    return "answer"


async def answer_late(sender, **kwargs):
    await asyncio.sleep(0)
    return "late"


def in_a_loop(operate):
    """The operation is a coroutine; allocations fail until it first suspends."""

    @functools.wraps(operate)
    def outer(world):
        coroutine = operate(world)

        def do(begin=None):
            async def main():
                await suspended(coroutine(), begin)

            asyncio.run(asyncio.wait_for(main(), 20))

        do.begins_itself = True
        return do

    OPERATIONS[operate.__name__] = outer
    return outer


@types.coroutine
def suspended(coroutine, begin):
    """Await a coroutine; allocations fail during its first step."""
    value = None
    begin and begin()
    try:
        while True:
            try:
                waits_for = coroutine.send(value)
            finally:
                _testcapi.remove_mem_hooks()
            value = yield waits_for
    except StopIteration as stop:
        return stop.value


@in_a_loop
def emit_async(world):
    event = Event("of its own")
    event.connect(world.a)
    event.connect(answer)
    event.connect(answer_late, weak=False)

    async def emit():
        result = await event.emit_async("value")
        assert result == ["a", "answer", "late"], result

    return emit


@in_a_loop
def emit_async_in_tiers(world):
    event = Event("of its own")
    event.connect(answer, priority=5)
    event.connect(world.a)
    event.connect(answer_late, weak=False, priority=-3)

    async def emit():
        assert await event.emit_async("value", key=2) == ["answer", "a", "late"]

    return emit


@in_a_loop
def schedule(world):
    from cyevents import drain_async

    handled = []

    async def handle(sender):
        handled.append(sender)

    event = Event("of its own")
    event.connect(handle, weak=False)

    async def emit():
        try:
            event.emit(1)
        except MemoryError:
            _testcapi.remove_mem_hooks()
            assert await drain_async(10)
            raise
        finally:
            _testcapi.remove_mem_hooks()
        assert await drain_async(10)
        assert handled == [1], handled

    return emit


@operation
def schedule_in_the_background(world):
    from cyevents import drain

    event, handled = Event("of its own"), []

    async def handle(sender):
        handled.append(sender)

    event.connect(handle, weak=False)
    event.emit(1)
    assert drain(10)

    def do():
        try:
            event.emit(2)
        finally:
            _testcapi.remove_mem_hooks()
            assert drain(10)
        assert handled == [1, 2], handled

    return do


# Without memory, CPython itself hangs or crashes in these operations, since generators and context variables do not
# check for it, or a started operation cannot be undone.
THROUGH_PYTHON = [
    name
    for name in OPERATIONS
    if name.startswith(("make", "delete", "mute", "hold", "emit_async", "emit_with_", "schedule"))
]
# In CPython 3.12 and 3.13, one failed allocation while creating a function is enough: its code loses one reference too
# many, as `sys.getrefcount` shows after `return lambda: None` in any program.
MAKES_FUNCTIONS = ["make_pattern", "make_pattern_with_handler", "schedule"]
# Since CPython 3.12, `asyncio.Task(coroutine, loop=loop, eager_start=True)` may fail with an exception that leaves the
# loop: a SystemError before 3.14, and later a half-made task that `asyncio.run` waits for forever.
STARTS_TASKS = ["emit_async", "emit_async_in_tiers"]
# Since 3.12, the failed allocation may be one of the loop in its own thread, which then loses a callback.
IN_A_THREAD = ["schedule_in_the_background"]


def is_beyond_cpython(name, mode):
    """Return whether CPython itself cannot run the operation without memory."""
    version = sys.version_info[:2]
    loses_references = (3, 12) <= version < (3, 14)
    if mode == "on":
        return backend == "python" or name in THROUGH_PYTHON
    if name in STARTS_TASKS + IN_A_THREAD:
        return version >= (3, 12)
    return loses_references and (backend == "python" or name in MAKES_FUNCTIONS)


def fails_at_the_end_of_a_with(error):
    """Return whether memory was missing for the arguments of a lock's `__exit__`, which leaves it held."""
    calls = traceback.extract_tb(error.__traceback__)
    return bool(calls) and calls[-1].line == "with lock:"


# Checks afterwards


def expected_states(name):
    """Return the tables before and after the operation."""
    world = World()
    action = OPERATIONS[name](world)
    before = world.tables()
    action()
    return before, world.tables()


def with_fault(name, n, mode, states):
    """Run the operation with a failing allocation; return whether it succeeded, and what is wrong."""
    gc.collect()
    events = count_events()
    world = World()
    action = OPERATIONS[name](world)
    things = (*world.handlers.values(), world.weakly, world.new, world.fresh, world.owner, world.yes)
    alive = [weakref.ref(thing) for thing in things]
    del things
    begin = functools.partial(_testcapi.set_nomemory, n, n + 1 if mode == "once" else 0)
    wrong, error = [], None
    try:
        if getattr(action, "begins_itself", False):
            action(begin)
        else:
            begin()
            action()
    except BaseException as failure:
        _testcapi.remove_mem_hooks()
        error = failure
    _testcapi.remove_mem_hooks()
    if isinstance(error, AttributeError) and hasattr(error.obj, error.name):
        error = MemoryError()  # CPython's attribute lookup cannot report it otherwise
    if isinstance(error, SystemError) and backend == "python":
        error = error.__cause__  # CPython continued after the MemoryError: none of this package's C code is here
    if error is not None and not isinstance(error, MemoryError):
        wrong += traceback.format_exception(error)
    if _core.lock._is_owned():
        if error is None or not fails_at_the_end_of_a_with(error):
            wrong.append("the lock is held")
        _core.lock.release()
    failed, error = error is not None, None
    try:
        wrong += find_errors(world, name, failed, states)
    except Exception as failure:
        wrong += traceback.format_exception(failure)
    action = begin = None
    world.__dict__.clear()
    gc.collect()
    leaks = [repr(ref()) for ref in alive if ref() is not None] + ["an event"] * (count_events() - events)
    return not failed, wrong, leaks


def after_next_change(world):
    """Make a change: it finds what could not be recorded when it happened."""
    world.x.connect(world.a, priority=2)
    world.warm()


def find_errors(world, name, failed, states):
    if name.startswith("sender_dies"):
        after_next_change(world)
    state = world.tables()
    before, after = states
    if failed and name == "clear":
        if not all(set(now) <= set(then) for now, then in zip(state, before, strict=True)):
            yield f"the tables are {state}"
    elif failed and state not in states:
        yield f"the tables are {state}, neither {before} nor {after}"
    elif not failed and state != after:
        yield f"it has succeeded, and the tables are {state}, not {after}"
    yield from world.wrong_emissions()
    for kept in world.kept:
        if isinstance(kept, Drained):
            yield from kept.check()
    world.x.connect(world.a, priority=3)
    world.pattern.connect(world.d, priority=-3)
    world.x.connect(world.f, world.new)
    yield from world.wrong_emissions()
    for event in (world.x, world.y, world.pattern):
        event.clear()
    for pattern in list(world.ns._patterns):
        del world.ns[pattern]
    if world.x.emit(1) or world.x.handlers or world.pattern.handlers:
        yield f"cleared, and there are {world.x.handlers}"


def count_events():
    return sum(isinstance(thing, Event) for thing in gc.get_objects())


def main():
    status = 0
    gc.freeze()
    for name in sys.argv[1:] or OPERATIONS:
        states = expected_states(name)
        for mode in MODES:
            if is_beyond_cpython(name, mode):
                continue
            n = successes = leaking = 0
            while n < LIMIT and (successes < 3 or (name in UNRAISABLE and n < 40)):
                print(f"{backend}: {name}, allocation {n} ({mode})", file=sys.stderr, flush=True)
                succeeded, wrong, leaks = with_fault(name, n, mode, states)
                leaking += bool(leaks)
                if leaks and leaking > CPYTHON_LEAKS:
                    wrong.append(f"alive: {leaks}")
                for line in wrong:
                    print(f"{name}, allocation {n} ({mode}): {line}", flush=True)
                    status = 1
                successes = successes + 1 if succeeded else 0
                n += 1
            print(f"{name} ({mode}): {n} allocations", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
