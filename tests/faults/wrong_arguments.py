"""Call everything in the compiled core with wrong arguments: exceptions are fine, interpreter crashes are not.

`python wrong_arguments.py TARGET...` tests a class of the core, `functions`, or a scenario below; without a target, all
of them. `--list` lists the targets. Each call is first written to the file that CYEVENTS_FAULTS_LOG names, so its last
line names the call that crashed.

Each method gets valid arguments, of which one at a time is replaced by each value of a list of hostile ones, and then
random arguments. After each call the events are used, because a bad value may be stored first.
"""

import contextlib
import contextvars
import copy
import faulthandler
import gc
import inspect
import itertools
import os
import pickle
import random
import sys
import threading
import types
import warnings
import weakref

from cyevents._core._emit import AwaitedDispatch, EventCore, NamespaceCore, SignalCore

from cyevents import ANY, Event, Namespace
from cyevents._core import _emit, _tables
from cyevents._core._introspection import method_parts

MODULES = (_emit.__name__, _tables.__name__)
core = types.SimpleNamespace(**vars(_tables) | vars(_emit))
RANDOM_CALLS = int(os.environ.get("CYEVENTS_FAULTS_CALLS", 200))  # for each method
CHAIN = 20_000  # objects that each hold the next one: far more than fit on a small C stack
SCENARIOS = {}
LOG = os.open(os.environ.get("CYEVENTS_FAULTS_LOG", os.devnull), os.O_WRONLY | os.O_CREAT | os.O_APPEND)

faulthandler.enable()
faulthandler.dump_traceback_later(120, exit=True)
warnings.simplefilter("ignore")
sys.unraisablehook = lambda report: None


def log(*parts):
    os.write(LOG, (" ".join(parts) + "\n").encode("utf-8", "replace"))


def scenario(function):
    SCENARIOS[function.__name__] = function
    return function


# Arguments of the calls


class Misbehaving:
    """An object whose operations all raise or return nonsense."""

    def __init__(self, fails):
        object.__setattr__(self, "fails", fails)

    def answer(self, *args, **kwargs):
        if self.fails:
            raise ValueError("evil")
        return "nonsense"

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self.answer

    __call__ = __eq__ = __lt__ = __bool__ = __index__ = __iter__ = __len__ = __get__ = __setattr__ = answer
    __hash__ = object.__hash__


class FakeEvent:
    """An instance that claims to be an event class."""

    __class__ = type
    __bases__ = (EventCore,)
    __mro__ = (EventCore, object)

    def __call__(self, *args, **kwargs):
        return None


class HookedEvent(Event):
    """An event whose hooks return nonsense."""

    def hook(self, *args, **kwargs):
        return HookedEvent.answer()

    answer = staticmethod(lambda: 5)
    _add = _decorator = _attach_patterns = _schedule = _error_policy = _make_exception_group = _call_failed = hook
    _condition_failed = _warn_discarded_handler = _log_never_called = _log_dead_handlers = hook


class HookedDispatch(AwaitedDispatch):
    """An awaited emission whose hooks return nonsense."""

    def hook(self, *args, **kwargs):
        return HookedEvent.answer()

    begin = begin_tasks = as_coroutine = start = in_thread = not_started = hook
    take_results = finish_tier = finish_cancelled = recursion_error = hook


class SteppingDispatch(HookedDispatch):
    """An awaited emission that steps coroutines."""

    def begin(self):
        self.cancelling = int


class Suspending:
    def __await__(self):
        for _ in range(20):
            yield self


async def suspending(sender, **kwargs):
    await Suspending()


def suspended():
    """Return an awaited emission whose handler is suspended."""
    event = Event("suspended")
    event.connect(suspending)
    return event._start_async(SteppingDispatch, None, 1, (), {})


def attempt_async(event, dispatch_class, sender=None, args=(), kwargs=None, plan=None):
    """Begin an awaited emission, and go on with it in every way."""
    for go_on in (next, lambda made: made.send(1), lambda made: made.throw(ValueError()), AwaitedDispatch.close):
        given = dispatch_class, None, sender, args, {} if kwargs is None else kwargs, plan
        for made in (
            attempt(event._start_async, *given),
            *(attempt(event._start_awaiting, *given, n) for n in range(8)),
        ):
            if isinstance(made, AwaitedDispatch):
                for _ in range(3):
                    attempt(go_on, made)
                attempt(made.close)


class Task:
    """A task that is done, with a result."""

    def __init__(self, *args, **kwargs):
        pass

    def done(self):
        return True

    def cancelled(self):
        return False

    def exception(self):
        return None

    def result(self):
        return 1

    def cancel(self):
        pass


class Other(Task):
    __slots__ = ()

    def __new__(cls, *args, **kwargs):
        return 5


class Text(str):
    __slots__ = ()


class Table(dict):
    pass


class Row(tuple):
    __slots__ = ()


class Thing:
    def method(self, sender, **kwargs):
        return "method"

    async def asynchronous(self, sender, **kwargs):
        return "async"

    def generator(self, sender, **kwargs):
        yield "generator"

    def raising(self, sender, **kwargs):
        raise ValueError

    def refusing(self):
        pass

    def __call__(self, sender, **kwargs):
        return "object"


def function(sender, **kwargs):
    return "function"


def find_core_objects(*found):
    """Return the core's internal objects, found through the garbage collector; they have no public names."""
    objects = {}
    seen = set()
    queue = list(found)
    while queue:
        thing = queue.pop()
        if id(thing) in seen or len(seen) > 3000:
            continue
        seen.add(id(thing))
        if type(thing).__module__ in MODULES:
            objects.setdefault(type(thing).__name__, []).append(thing)
        if type(thing).__module__ in MODULES or isinstance(thing, (dict, tuple, list, EventCore)):
            queue += gc.get_referents(thing)
    return objects


class World:
    """Events with every kind of connection, and the objects behind them."""

    def __init__(self):
        self.namespace = Namespace()
        self.event = self.namespace.event("user.x")
        self.pattern = self.namespace.event("user.*")
        self.event.on_error = lambda *args: None
        self.pattern.on_error = self.event.on_error
        self.thing, self.sender = Thing(), Thing()
        self.event.connect(function)
        self.event.connect(self.thing.method, self.sender, priority=2)
        self.event.connect(self.thing.generator, weak=False)
        self.event.connect(self.thing.raising, once=True)
        self.event.connect(self.thing.refusing, with_event=True)
        self.event.connect([].append, weak=False, condition=lambda sender, **kwargs: True)
        self.event.connect(self.thing.__init__, weak=False)
        self.pattern.connect(function, "value", priority=1)
        self.pattern.connect(self.thing.method, thread=True)
        self.event.emit(self.sender)
        self.snapshot = self.event._snapshot(self.sender)
        self.entry = self.snapshot.entries[0]
        self.found = find_core_objects(self.event)
        self.other = Event("other")
        self.other.connect(self.thing.raising)
        self.hooked = HookedEvent("hooked")
        EventCore._connect(self.hooked, self.thing.raising, ANY, True, 0, None, 0, "raising", None)
        EventCore._connect(self.hooked, self.thing.refusing, ANY, True, 0, None, 0, "refusing", None)
        EventCore._connect(self.hooked, self.thing.asynchronous, ANY, True, 0, None, 0, "asynchronous", None)
        self.foreign_namespace = NamespaceCore()
        dict.__setitem__(self.foreign_namespace, "user.x", Misbehaving(False))

    def instances(self, cls):
        """Return objects of a class of the core."""
        if cls is EventCore:
            return [self.event, EventCore(), self.hooked, self.pattern]
        if cls is NamespaceCore:
            return [self.namespace, NamespaceCore(), self.foreign_namespace]
        if cls is AwaitedDispatch:
            return [suspended(), AwaitedDispatch(), HookedDispatch()]
        if cls is SignalCore:
            return [SignalCore(self.event), SignalCore(EventCore())]
        return self.found.get(cls.__name__, [])[:2]

    def hostile(self):
        """Return values that replace each argument in turn."""
        entries = self.snapshot.entries
        for cls in classes():
            yield from self.instances(cls)
            yield cls
            for make in (cls, lambda cls=cls: cls.__new__(cls), lambda cls=cls: cls(function)):
                with contextlib.suppress(Exception):
                    yield make()
        yield from [None, 0, -1, 1, 2**70, 1.5, "", "user.x", b"", (), (1,), (None,), (None, None), [], [1], {}]
        yield from [
            {1: 2},
            {"sender": 1},
            {"a": 1},
            {None: 1},
            set(),
            {None},
            object(),
            type,
            int,
            FakeEvent(),
            Misbehaving(True),
        ]
        yield from [Misbehaving(False), Text("user.x"), Table(a=1), Row((1,)), list(entries), entries, (*entries, None)]
        yield from [(None, *entries), (self.entry, 1), [None], [None] * 40, (1,) * 40, {f"k{i}": i for i in range(40)}]
        yield from [function, self.thing.method, self.thing.asynchronous, [].append, print, self.thing, len]
        yield from [sys._getframe(), function.__code__, (x for x in [1, False]), iter([1]), weakref.ref(self.thing)]
        yield from [self.namespace, self.event.emit, Event, Namespace, EventCore.emit, NotImplemented, ..., ANY]
        yield from [_tables, True, False, Task(), Task, Other, "\ud800", 512, 64, 128, 1024, 2047, types.CodeType]

    def fitting(self):
        """Return a value for each parameter name with which the call succeeds, or nearly so."""
        return {
            "entries": self.snapshot.entries,
            "sender": self.sender,
            "args": (1,),
            "kwargs": {"a": 1},
            "results": [],
            "errors": [],
            "dispatch_class": SteppingDispatch,
            "loop": None,
            "plan": None,
            "receiver": function,
            "handler": self.thing.method,
            "weak": True,
            "priority": 0,
            "condition": None,
            "flags": 0,
            "name": "name",
            "frame": sys._getframe(),
            "made": [],
            "entry": self.entry,
            "previous": self.snapshot.entries[-1],
            "by": object(),
            "keys": [],
            "observer": None,
            "source": self.pattern,
            "to_release": [],
            "mutes": (),
            "once": False,
            "with_event": False,
            "thread": False,
            "evt": "user.x",
            "error": ValueError(),
            "function": function,
            "what": self.entry,
            "task": Task(),
            "coroutine": Task(),
            "generator": iter([1]),
            "watch": Misbehaving(False),
            "cls": Event,
            "core": self.event,
            "handlers": [],
        }

    def use(self):
        """Use events as a program does, after calls that may have changed them in any way."""
        for event in (self.event, self.hooked, self.other):
            for call in (
                lambda event=event: event.emit(self.sender),
                lambda event=event: event.send("value", a=1),
                lambda event=event: event._connections(),
            ):
                attempt(call)
        for call in (
            lambda: self.namespace.emit("user.x", None),
            lambda: self.foreign_namespace.emit("user.x", None),
            lambda: self.event.disconnect(self.thing.method),
            lambda: self.event.connect(self.thing.method, self.sender),
            core.purge_dead,
        ):
            attempt(call)


def attempt(function, /, *args, **kwargs):
    try:
        result = function(*args, **kwargs)
        if inspect.iscoroutine(result):
            result.close()
        return result
    except Exception:
        return None


# The calls


def classes():
    return [value for value in vars(core).values() if isinstance(value, type) and value.__module__ in MODULES]


def targets():
    return ["functions", *[cls.__name__ for cls in classes()], *SCENARIOS]


def parameters(function):
    """Return the names of a function's parameters, as far as they are known."""
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        names = ["evt", "sender"]
    return [name for name in names if name != "self"]


def label(thing):
    """Return a name for a value without calling it."""
    return f"{type(thing).__name__}:{id(thing):x}" if isinstance(thing, Misbehaving) else describe(thing)


def describe(thing):
    try:
        return repr(thing)[:60]
    except Exception:
        return type(thing).__name__


def call(name, function, /, *args, **kwargs):
    if name == "consume" and any(
        isinstance(each, (EventCore, SignalCore, Misbehaving)) for each in (*args, *kwargs.values())
    ):
        return  # its `send` never ends
    log(name, *map(label, args), *[f"{key}={label(value)}" for key, value in kwargs.items()])
    result = attempt(function, *args, **kwargs)
    if result is not None and not isinstance(result, (Misbehaving, FakeEvent)):
        attempt(repr, result)


def call_with_hostile_values(name, function, owners):
    """Call a function, or a method of each of some objects, with hostile values."""
    names = parameters(function)
    answers = itertools.cycle([5, None, False, "raise", Task(), Misbehaving(False), Misbehaving(True)])
    HookedEvent.answer = staticmethod(lambda: next(answers))
    count = len(list(World().hostile()))
    for owner in range(owners):
        world = World()
        for index in range(count * max(len(names), 1)):
            if index % 100 == 0:
                world = World()
            at, place = index % count, index // count
            start = [world_owner(world, name, owner)] if owners > 1 or "." in name else []
            fitting = world.fitting()
            args = [fitting.get(each, world.sender) for each in names]
            value = next(itertools.islice(world.hostile(), at, None), None)
            if args:
                args[place] = value
            call(name, function, *start, *args)
            if index % 15 == 0:
                world.use()
    if "." in name:
        world = World()
        for value in world.hostile():  # as self
            fitting = world.fitting()
            call(name, function, value, *[fitting.get(each, world.sender) for each in names])
            call(name, function, value)
        call(name, function)
    choices = random.Random(name)
    world = World()
    values = list(world.hostile())
    for index in range(RANDOM_CALLS):
        start = [world_owner(world, name, index)] if "." in name else []
        args = choices.choices(values, k=choices.choice([0, 1, 2, 3, 5, 8, len(names)]))
        keywords = {}
        if names and choices.random() < 0.3:
            keywords[choices.choice(names)] = args.pop() if args else None
        call(name, function, *start, *args, **keywords)
        if index % 10 == 0:
            world.use()
            world = World()
            values = list(world.hostile())


def world_owner(world, name, number):
    found = world.instances(getattr(core, name.partition(".")[0]))
    return found[number % len(found)] if found else None


def fuzz_functions():
    for name, value in list(vars(core).items()):
        if callable(value) and not isinstance(value, type) and not name.startswith("__"):
            call_with_hostile_values(name, value, 1)


def fuzz_class(cls):
    name = cls.__name__
    instances = World().instances(cls)
    for attribute, value in list(vars(cls).items()):
        if isinstance(value, types.GetSetDescriptorType):
            fuzz_attribute(f"{name}.{attribute}", cls, value)
        elif callable(value) and attribute != "__new__":
            call_with_hostile_values(f"{name}.{attribute}", value, max(len(instances), 1))
    fuzz_constructors(name, cls)
    fuzz_protocols(name, cls)


def fuzz_attribute(name, cls, descriptor):
    world = World()
    for value in world.hostile():
        call(name, descriptor.__get__, value)
        call(name, descriptor.__set__, value, None)
        call(name, descriptor.__delete__, value)
    for owner in range(len(world.instances(cls))):
        for value in world.hostile():
            found = world.instances(cls)[owner]
            call(name, descriptor.__set__, found, value)
            call(name, descriptor.__get__, found)
            if cls is AwaitedDispatch:
                call(name, AwaitedDispatch.__next__, found)
        call(name, descriptor.__delete__, found)
        world.use()


def fuzz_constructors(name, cls):
    world = World()
    values = list(world.hostile())
    makers = [cls, lambda *args: cls.__new__(cls, *args), lambda *args: object.__new__(cls)]
    makers += [lambda *args, base=base: base.__new__(cls, *args) for base in cls.__mro__[1:]]
    made = []
    for maker in makers:
        log(name, "made by", str(maker))
        made.append(attempt(maker))
        for value in values:
            made.append(attempt(maker, value))
            made.append(attempt(maker, value, value))
    made = [one for one in made if one is not None]
    log(name, f"makes {len(made)}")
    for one in made + world.instances(cls):
        for value in values:
            attempt(cls.__init__, one, value)
        attempt(cls.__init__, one)
    for one in [each for each in made if type(each) is cls][:20]:  # each as an argument of all others
        use_everywhere(name, one)
    for base in (cls, EventCore, NamespaceCore, dict, weakref.ref, Exception):
        attempt(type, "Sub", (cls, base), {})


def use_everywhere(name, one):
    """Use an object in each place where the core accepts any."""
    world = World()
    event = world.event
    log(name, "everywhere:", describe(one))
    for attribute in dir(type(one)):
        if not attribute.startswith("__"):
            value = attempt(getattr, one, attribute)
            if callable(value):
                attempt(value)
    for entries in ((one,), (one, one), (world.entry, one)):
        attempt(event._dispatch, entries, None, (), {}, [], [])
        attempt(event._dispatch, entries, None, (), {}, [], None)
        attempt(event._dispatch, entries, None, (), {}, [], [], Misbehaving(False))
        attempt(event._pairs, entries, None, (), {})
        attempt(event._pairs, entries, None, (), {}, Misbehaving(False))
    for method in (event._disconnect_entry, event._has_entry, core.expect_death, core._on_weakref_dead):
        attempt(method, one)
    for previous in (None, world.entry, one):
        attempt(event._restore, one, previous, None)
        attempt(event._restore, world.entry, one, previous)
        world.use()
    attempt(event._observe, one)
    world.use()
    for container in (event._patterns, event._mutes, world.namespace, world.namespace._cached):
        container = attempt(dict.__setitem__, container, "user.x", one)
        world.use()


def fuzz_protocols(name, cls):
    world = World()
    for one in world.instances(cls):
        log(name, "protocols", describe(one))
        for version in range(pickle.HIGHEST_PROTOCOL + 1):
            attempt(one.__reduce_ex__, version)
            attempt(pickle.dumps, one, version)
        for function in (copy.copy, copy.deepcopy, one.__reduce__, hash, repr, str, bool, iter, len, dir, vars):
            attempt(function, *([] if function == one.__reduce__ else [one]))
        for value in list(world.hostile()):
            for method in (
                "__setstate__",
                "__eq__",
                "__lt__",
                "__call__",
                "__getattribute__",
                "__format__",
                "__sizeof__",
            ):
                attempt(lambda method=method, value=value: getattr(one, method)(value))
            if isinstance(value, type):
                attempt(setattr, one, "__class__", value)
        for attribute in ("__dict__", "__weakref__", "anything", "emit", "_cached"):
            attempt(setattr, one, attribute, world)
            attempt(delattr, one, attribute)
    world.use()
    for attribute in ("emit", "__new__", "__bases__", "__name__", "__class__", "__pyx_vtable__"):
        attempt(setattr, cls, attribute, None)
        attempt(delattr, cls, attribute)


# Scenarios that a single call with wrong arguments does not reach


@scenario
def foreign_objects_in_a_namespace():
    class Foreign:
        emit = EventCore.emit

    class Borrowing:
        emit = Event.emit

    class Described:
        emit = Event.__dict__["emit"]

    namespace = Namespace()
    for found in (
        Foreign(),
        Borrowing(),
        Described(),
        1,
        None,
        Foreign,
        Event,
        EventCore,
        object(),
        (),
        Misbehaving(False),
        FakeEvent(),
    ):
        for table in (namespace, namespace._cached):
            dict.__setitem__(table, "x", found)
            attempt(namespace.emit, "x")
            attempt(namespace.emit, "x", 1, a=2)
            attempt(NamespaceCore.emit, namespace, "x", sender=1)
            dict.clear(table)
    for wrong in (object(), {}, {"x": Event("x")}, None, Namespace, Event("x")):
        attempt(Namespace.emit, wrong, "x")
        attempt(NamespaceCore.emit, wrong, "x")


@scenario
def tables_that_others_change():
    for junk in (None, 1, object(), (), [], {}, EventCore, Misbehaving(False), Misbehaving(True)):
        for attribute in ("_patterns", "_mutes"):
            world = World()
            attempt(world.event.muted().__enter__)
            getattr(world.event, attribute)["junk"] = junk
            world.use()
        world = World()
        dying = Thing()
        world.event.connect(dying.method)
        del dying  # its name is noted
        world.event._dead_handler_names.append(junk)
        world.use()
        for owner in ("Group", "EventCore"):  # only the garbage collector finds their dicts
            world = World()
            for found in [world.event, world.pattern] if owner == "EventCore" else world.found[owner]:
                for table in gc.get_referents(found):
                    if type(table) is dict and table is not vars(found if owner == "EventCore" else world):
                        for key in list(table):
                            table[key] = junk
                        table["junk"] = junk
            world.use()
            attempt(world.event._clear)
            attempt(world.event._has_connection, function, ANY)
            attempt(world.event._is_connected)
            attempt(world.event._has_live_handlers, world.sender)
            attempt(world.event._detach, world.pattern, [])
            attempt(world.event._attach, world.pattern, [])
            attempt(world.event._hide, [])
            attempt(world.event._unmute, None)
            attempt(world.event._disconnect_entry, world.entry)
            attempt(world.event._restore, world.entry, world.entry, None)
            world = found = table = None
            gc.collect()
            for _ in range(20):  # each call may fail at one handler that has died with its event's junk
                attempt(core.purge_dead)


def referents(owner, cls):
    return [found for found in gc.get_referents(owner) if type(found) is cls]


@scenario
def tables_of_a_plain_event_that_others_change():
    """Here nothing but the order of entries looks at what is in the tables."""
    for junk in (None, 1, object(), "a" * 5000, (), [], Misbehaving(True)):
        event, sender = Event("plain"), Thing()
        event.connect(function)
        event.connect(function, sender)
        event.emit(sender)
        (general,) = referents(event, _tables.Snapshot)
        tables = [*referents(event, list), *referents(general, list)]  # by address
        for content in ([junk], referents(event, _tables.Group), [general], [sender], []):
            for table in tables:
                table[:] = content
            attempt(event.emit, sender)
            attempt(event.emit, ANY)
            attempt(event.connect, function, sender)
            attempt(event.connect, function, Thing())
            attempt(event.disconnect, function, sender)
        for group in referents(event, _tables.Group):
            for table in referents(group, dict):
                table["junk"] = junk
        event.connect(function)
        attempt(event.emit, sender)
        attempt(lambda event=event: event.handlers)


class Clearing:
    """A priority, and garbage, that clears the lists of entries."""

    def __init__(self):
        self.itself = self

    def __index__(self):
        for each in gc.get_objects():
            if type(each) is list and each and type(each[0]) is _tables.Entry:
                each.clear()
        return 1

    def __del__(self):
        self.__index__()


@scenario
def lists_of_entries_that_others_clear():
    things = [Thing() for _ in range(100)]
    event = Event("index")
    for number, thing in enumerate(things):
        event._connect(thing.method, ANY, True, Clearing() if number % 2 else 1, None, 0, "method", None)
    attempt(event.emit, 1)
    event = Event("garbage")
    for thing in things:
        event.connect(thing.method)
    for number in range(20):
        event.connect(things[0].method)  # discards the snapshot
        gc.collect()
        Clearing()
        gc.set_threshold(gc.get_count()[0] + number)
        attempt(event.emit, 1)
        gc.set_threshold(700)


@scenario
def junk_in_the_queue_of_dead_handlers():
    world = World()
    with held_elsewhere():  # keeps the queue from being emptied
        core._on_weakref_dead(world.entry)
        queues = [each for each in gc.get_objects() if type(each) is list and len(each) == 1 and type(each[0]) is list]
        queues = [each for each in queues if each[0][:2] == [world.event, world.entry]]
        assert queues, "the queue was not found"
        (queue,) = queues[:1]
    for junk in (None, 1, [], [1, 2, 3], [None, None, None], [None, world.entry, True], [world.event, None, True]):
        queue.append(junk)
        attempt(core.purge_dead)
    for what in world.hostile():
        queue.append([world.event, what, True])
        attempt(core.purge_dead)
        queue.append([what, world.entry, False])
        attempt(core.purge_dead)


@contextlib.contextmanager
def held_elsewhere():
    held, done = threading.Event(), threading.Event()

    def hold():
        held.set()
        done.wait(30)

    thread = threading.Thread(target=core.call_locked, args=(hold,))
    thread.start()
    held.wait(30)
    yield
    done.set()
    thread.join()


@scenario
def events_attached_in_a_circle():
    for circle in ([Event("a")], [Event("a"), Event("b")], [Event("a"), Event("b"), Event("c")]):
        for one, other in zip(circle, [*circle[1:], circle[0]], strict=True):
            attempt(one._attach, other, [])
        for event in circle:
            attempt(event.connect, function, "sender")
            attempt(event.emit, "sender")
            attempt(event.send, "sender")
            attempt(event.disconnect, function, "sender")
            attempt(event._connections)
            attempt(event._settle)
        for event in circle:
            attempt(event._hide, [])
            attempt(event._detach, circle[0], [])
    one, other = Event("a"), Event("b")
    for event in (one, other):  # makes the dicts
        event._attach(event, [])
        event._detach(event, [])
    for first, second in ((one, other), (other, one)):  # as above, in the dicts themselves
        for table in gc.get_referents(first):
            if type(table) is dict and not table:
                table[id(second)] = second
    for event in (one, other):
        attempt(event.connect, function, "sender")
        attempt(event.emit, "sender")
        attempt(event._settle)
        attempt(event.disconnect, function, "sender")


@scenario
def entries_replaced_in_a_circle():
    event = Event("x")
    first = event._connect(function, ANY, True, 0, None, 0, "f", None)[0]
    second = event._connect(function, ANY, True, 0, None, 0, "f", None)[0]
    third = event._connect(function, ANY, True, 0, None, 0, "f", None)[0]
    for entry, previous in itertools.product([first, second, third], repeat=2):
        attempt(event._restore, entry, previous, ANY)
    event.emit()


@scenario
def long_chains():
    if sys.version_info[:2] != (3, 13):  # 3.13 itself needs the whole stack for that
        threading.stack_size(256 * 1024)
    thread = threading.Thread(target=make_long_chains)
    thread.start()
    thread.join()
    threading.stack_size(0)


def make_long_chains():
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(2 * CHAIN)  # emissions in emissions are counted

    def chained(grow, start):
        link = start
        for _ in range(CHAIN):
            link = grow(link)
            if link is None:
                return

    event = Event("x")
    event.connect(function)
    entry = event._snapshot(None).entries[0]

    def condition(link):
        return event._connect(function, ANY, True, 0, link, core.CONDITION, "f", None)[0]

    def priority(link):
        return event._connect(function, ANY, True, link, None, 0, "f", None)[0]

    def held(link):
        return EventCore()._connect(link, ANY, False, 0, None, 0, "f", None)[0]

    def pending(link):
        made = AwaitedDispatch()
        made.make = link
        return made

    def observing(link):
        made = EventCore()
        made._observe(link)
        return made

    def signal(link):
        made = EventCore()
        made._observe(link)
        return SignalCore(made)

    def namespace(link):
        made = NamespaceCore()
        made["x"] = link
        return made

    def belonging(link):
        made = EventCore()
        made._namespace = namespace(link)
        return made

    def cached(link):
        made = NamespaceCore()
        made._cached["x"] = link
        return made

    def sender(link):
        made = EventCore()
        made._connect(function, link, True, 0, None, 0, "f", None)
        return made

    def strongly(link):
        made = EventCore()
        made._connect(link.emit, ANY, False, 0, None, 0, "f", None)
        return made

    class Stepping(AwaitedDispatch):
        __slots__ = ()

        def begin(self):
            self.cancelling = int

    contexts = []

    @types.coroutine
    def suspends():
        contexts.append(contextvars.copy_context())
        yield

    async def awaits(sender):
        await suspends()

    awaited = Event("x")
    awaited.connect(awaits)

    def nested(link):
        link.run(awaited._start_async, Stepping, None, None, (), {})
        return contexts.pop()

    for grow, start in [
        (condition, None),
        (priority, 0),
        (held, entry),
        (pending, int),
        (observing, print),
        (signal, print),
        (namespace, None),
        (belonging, None),
        (cached, None),
        (sender, EventCore()),
        (strongly, EventCore()),
        (nested, contextvars.copy_context()),
    ]:
        log("chain of", grow.__name__)
        try:
            chained(grow, start)
        except Exception as error:
            log(describe(error))
        event._clear()
        gc.collect()
    sys.setrecursionlimit(limit)


@scenario
def runaway_recursion():
    def raising(sender, *args, **kwargs):
        raise ValueError

    event = Event("x")
    event.connect(raising)
    event.on_error = event.emit
    attempt(event.emit)
    event.on_error = event.send
    attempt(event.emit)
    event.on_error = None
    for observer in (event, types.SimpleNamespace(emit=event.emit, send=event.send), Namespace()):
        event._observe(observer)
        attempt(event.emit)
        attempt(event.send)
    event._observe(None)
    for recursing in (event.emit, event.send):
        event.clear()
        event.connect(recursing, weak=False)
        attempt(event.emit)
        attempt(event.send)
        event.clear()
        event.connect(function, condition=recursing)
        attempt(event.emit)
        attempt(event.send)

    async def asynchronous(sender, *args, **kwargs):
        pass

    def binding(sender, /, *, missing):
        pass

    hooks = [
        "_schedule",
        "_error_policy",
        "_make_exception_group",
        "_call_failed",
        "_condition_failed",
        "_log_dead_handlers",
        "_attach_patterns",
    ]
    for hook in hooks:  # a C function, which counts as less of the stack than it uses
        for handler, condition in ((raising, None), (asynchronous, None), (binding, None), (function, raising)):
            recursing = Event("recursing")
            hooked = type("Hooked", (Event,), {hook: recursing.emit})("hooked")
            attempt(EventCore._connect, hooked, handler, ANY, True, 0, None, 0, "f", None)
            if condition is not None:
                attempt(EventCore._connect, hooked, handler, ANY, True, 0, condition, core.CONDITION, "f", None)
            recursing.connect(hooked.emit, weak=False)
            attempt(hooked.emit)
            attempt(hooked.send)

    event.clear()
    event.connect(raising)
    entries = event._snapshot(None).entries
    for returned in (event.emit, event.send):
        watch = types.SimpleNamespace(call=lambda *args, returned=returned: returned, skip=event.emit)
        event._observe(types.SimpleNamespace(emit=lambda *args, watch=watch: event._pairs(entries, 1, (), {}, watch)))
        attempt(event.emit)
        starting = type("Starting", (AwaitedDispatch,), {"start": event.emit, "in_thread": event.emit})
        attempt_async(event, starting, plan=lambda tier, watch=watch: watch)
        attempt(event._dispatch, entries, None, (), {}, [], [], watch)
    event._observe(None)
    event.clear()

    class Signal(SignalCore):
        _SignalCore__send_slow = SignalCore.send

    signal = Signal(event)
    signal._SignalCore__uses_python_send = True
    attempt(signal.send)
    namespace = Namespace()
    dict.__setitem__(namespace, "x", types.SimpleNamespace(emit=namespace.emit))
    attempt(namespace.emit, "x", "x")
    attempt(namespace.emit, "x", "x", "x")


@scenario
def all_flags():
    for flags in [*range(2048), -1, 1 << 30, 1 << 31, 1 << 40]:
        for handler in (function, Thing().method, print, [].append, Thing()):
            for weak, condition in ((True, None), (False, None), (True, handler), (False, 1)):
                event = Event("x")
                event.on_error = lambda *args: None
                for _ in range(2):
                    made = []
                    attempt(event._connect, handler, ANY, weak, 0, condition, flags, "f", None, made)
                if flags % 16 and made and flags < 2048:
                    attempt(
                        lambda made=made: (made[0].get(), made[0].condition, made[0].is_consumed, made[0].is_inactive())
                    )
                attempt(event.emit, 1)
                attempt(event.send, 1, a=1)
                attempt(event._dispatch, tuple(made), None, (), {}, [], [])
                attempt_async(event, SteppingDispatch)
                attempt(event._connections)


@scenario
def keywords_that_are_not_strings():
    event = Event("x")
    for handler in (print, dict, function, sorted, Thing().method, [].sort, Thing, max, int, "".encode, Event, open):
        event._connect(handler, ANY, False, 0, None, 0, "f", None)
        event._connect(handler, 1, False, 0, handler, core.CONDITION, "f", None)
    for sender in (None, 1):
        entries = event._snapshot(sender).entries
        for kwargs in (
            {1: 2},
            {None: 1},
            {(): 1},
            {b"a": 1},
            {"a": 1, 2: 3},
            {Misbehaving(False): 1},
            {"": 1, Text("a"): 2},
        ):
            for each, watch in itertools.product([(entry,) for entry in entries], [None, Misbehaving(False)]):
                attempt(event._dispatch, each, sender, (), kwargs, [], [], watch)
                attempt(event._dispatch, each, sender, (1,) * 20, kwargs, [], [], watch)
                attempt(event._pairs, each, sender, (), kwargs, watch)
                attempt(event._pairs, each, sender, (1,), kwargs, watch)
            for args, plan in itertools.product([(), (1,), (1,) * 20], [None, lambda tier: Misbehaving(False)]):
                attempt_async(event, HookedDispatch, sender, args, kwargs, plan)


@scenario
def lists_changed_during_an_emission():
    """A handler finds all lists of the running emission and changes them."""
    marker = object()

    def change(sender, *args, **kwargs):
        for found in gc.get_objects():
            if type(found) is list and any(each is marker for each in found[:50]):
                found.clear()
                found.extend(range(3))
        return marker

    def sort(sender, *args, **kwargs):
        gathered.sort(key=lambda item: event._dispatch(entries, marker, (), {}, gathered, []) if item else 0)
        return marker

    async def add(sender, *args, **kwargs):
        for found in gc.get_objects():
            if isinstance(found, AwaitedDispatch) and found.tasks is not None and found.result_slots is not None:
                found.tasks.clear()
                found.handlers.clear()
                found.result_slots.extend([1, 2])
        return marker

    gathered = [marker]
    event = Event("x")
    event.on_error = lambda *args: None
    for handler in (lambda sender, *args, **kwargs: marker, change, add):
        event.connect(handler, weak=False)
        entries = event._snapshot(None).entries
        for count in (0, 1, 40):
            arguments = tuple(object() for _ in range(count))
            attempt(event.emit, marker, *arguments)
            attempt(event.send, marker, *arguments)
            attempt(event._dispatch, entries, marker, arguments, {"a": marker}, [marker], [])
            for dispatch_class in (HookedDispatch, SteppingDispatch):
                attempt_async(event, dispatch_class, marker, arguments, {"a": marker})
            attempt(event._pairs, entries, marker, arguments, {"a": marker})
            attempt(event._dispatch, entries, marker, arguments, {f"k{i}": object() for i in range(count)}, [], [])
    event.clear()
    event.connect(sort, weak=False, once=True)
    event.connect(function)
    entries = event._snapshot(None).entries
    attempt(event.emit, marker)


@scenario
def tasks_of_any_type():
    def generator(coroutine, **kwargs):
        yield coroutine

    class Slots(Task):
        __slots__ = ("a",)

        def __new__(cls, *args, **kwargs):
            return Task()

    types_ = [
        None,
        1,
        object(),
        object,
        int,
        type,
        type(iter([])),
        types.FrameType,
        types.CodeType,
        types.GeneratorType,
    ]
    types_ += [
        type(sys._getframe()),
        Other,
        Slots,
        Task,
        generator,
        Event,
        AwaitedDispatch,
        Misbehaving(False),
        Misbehaving,
        FakeEvent(),
        bool,
        str,
    ]
    types_ += [getattr(core, cls.__name__) for cls in classes()]
    event = Event("x")
    thing = Thing()
    event.connect(thing.asynchronous)
    for cls in types_:
        for keywords in (None, {}, {1: 2}, {"a": 1}, {"loop": None}):

            class Making(HookedDispatch):
                def begin_tasks(self, cls=cls, keywords=keywords):
                    for name, value in (("make", cls), ("keywords", keywords), ("methods", (Task.done, 1, None, 2))):
                        attempt(setattr, self, name, value)

            attempt_async(event, Making)


@scenario
def unfinished_constructors():
    """Code run by a constructor finds the unfinished object through the garbage collector."""

    class Spy:
        found = []

        def __repr__(self):
            Spy.found = [each for each in gc.get_objects() if isinstance(each, SignalCore)]
            for signal in Spy.found:
                signal._SignalCore__uses_python_send = False
                attempt(signal.send)
                attempt(signal.send, 1, _async_wrapper=2)
            return "spy"

    attempt(SignalCore, Spy())
    for signal in Spy.found:
        attempt(signal.send, 1)

    class Probe:
        """Checks all objects of the core whenever the garbage collector runs."""

        def __del__(self):
            for each in gc.get_objects():
                if isinstance(each, EventCore):
                    attempt(EventCore.emit, each)
                    attempt(each._connections)
                elif type(each).__name__ == "Entry":
                    attempt(each.get)
                    attempt(event._dispatch, (each,), None, (), {}, [], [], None)

    event = Event("x")
    threshold = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(7)
    try:
        for _ in range(300):
            probe = Probe()
            probe.cycle = probe
            del probe
            EventCore().connect(Thing().method)
            Event("y").connect(Thing())
    finally:
        gc.set_threshold(*threshold)
        gc.unfreeze()


@scenario
def methods_installed_on_any_class():
    class Sub(Event):
        pass

    class Meta(type):
        def __subclasscheck__(cls, other):
            return True

        def __instancecheck__(cls, other):
            return True

    class Claiming(metaclass=Meta):
        pass

    for cls in (
        int,
        object,
        type,
        None,
        1,
        FakeEvent(),
        Claiming,
        dict,
        Exception,
        Sub,
        EventCore,
        NamespaceCore,
        SignalCore,
    ):
        attempt(core.install_methods, cls)
    for namespace in (Namespace(), NamespaceCore()):
        for event in (Sub("x"), EventCore(), Event("x")):
            dict.__setitem__(namespace, "x", event)
            attempt(namespace.emit, "x")
    attempt((0).emit if hasattr(int, "emit") else print)


@scenario
def anything_called_under_the_lock():
    world = World()
    for value in world.hostile():
        attempt(core.call_locked, value)
        attempt(core.call_locked, value, value)
    for method in ("emit", "send", "_clear", "_show", "_connections", "_log_dead_handlers"):
        attempt(core.call_locked, getattr(world.event, method))
    attempt(core.call_locked, core.call_locked, world.event.connect, function)
    for value in world.hostile():
        attempt(method_parts, value)
        attempt(core.handler_key, value)


def main(names):
    for name in names or targets():
        log("===", name)
        if name == "functions":
            fuzz_functions()
        elif name in SCENARIOS:
            SCENARIOS[name]()
        else:
            fuzz_class(getattr(core, name))
    gc.collect()
    faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    if sys.argv[1:] == ["--list"]:
        print(*targets())
    else:
        main(sys.argv[1:])
