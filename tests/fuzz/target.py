"""The fuzz target: one call of an entry point, built from bytes, on both cores, which must agree.

`python tests/fuzz/target.py SECONDS` makes as many calls as it can: with Atheris, if installed, which searches for new
paths through the pure core, and otherwise from random bytes.
"""

import functools
import random
import re
import sys
import time
from pathlib import Path

COUNTS = [0, 1, 2, 3, 9, 10, 11, 12, 13, 14, 40, 300]  # around the size of the C stack buffer for arguments, and beyond
NAMES = [
    "sender",
    "self",
    "event",
    "evt",
    "name",
    "args",
    "kwargs",
    "receiver",
    "a",
    "b",
    "",
    "not a name",
    "\ud800",
    "é",
]


class Choices:
    """Bytes as a source of choices. After the last one, it always chooses the first option."""

    def __init__(self, data):
        self.data = iter(data)

    def of(self, options):
        return options[next(self.data, 0) % len(options)]


class Same(str):
    """A str subclass without changes."""

    __slots__ = ()


class Other(str):
    """A str that equals no other, so that one dict can hold two with the same text."""

    __slots__ = ()
    __hash__ = object.__hash__
    __eq__ = object.__eq__


def keyword(choices):
    name = choices.of(NAMES)
    kind = choices.of(["interned", "copy", "subclass", "interned", "other"])
    if kind == "copy":
        return "".join(list(name))
    if kind == "other" and name == "sender":  # functions written in C compare the text, others use `==`
        kind = "subclass"
    return {"interned": str, "subclass": Same, "other": Other}[kind](name)


def label(thing):
    """Return a text for a value: keywords with their types."""
    if isinstance(thing, dict):
        return [(type(key).__name__, str.__str__(key), label(value)) for key, value in thing.items()]
    if isinstance(thing, (list, tuple)):
        return [type(thing).__name__, *map(label, thing)]
    return repr(thing)


class Side:
    """One core, with events and handlers of every shape."""

    def __init__(self, api):
        class Overriding(api.Event):
            def emit(self, *args, **kwargs):
                return ["overridden", label(args), label(kwargs)]

        class Calling(api.Event):
            def emit(self, /, sender=None, *args, **kwargs):
                return [sender, *super().emit(sender, *args, **kwargs)]

        class Method:
            def method(self, sender, *args, **kwargs):
                return "method", label(args), label(kwargs)

            def __call__(self, sender, /, *args, **kwargs):
                return "called", label(args), label(kwargs)

        def function(sender, /, *args, **kwargs):
            return "function", label(sender), label(args), label(kwargs)

        def named(sender=1, event=2, self=3, evt=4, a=5, **kwargs):
            return "named", label([sender, event, self, evt, a, kwargs])

        def strict(sender):
            return "strict"

        def condition(sender, /, **kwargs):
            self.checked.append((label(sender), label(kwargs)))
            return True

        def on_error(error, handler, event, sender):
            self.checked.append(described(error))

        self.api = api
        self.checked = []
        self.owner = Method()
        self.seen = []
        self.on_error = on_error
        self.handlers = {
            "function": function,
            "method": self.owner.method,
            "object": self.owner,
            "named": named,
            "strict": strict,
            "builtin": self.seen.append,
            "partial": functools.partial(function, "bound"),
            "type": dict,
        }
        self.condition = condition
        self.classes = {"plain": api.Event, "overriding": Overriding, "calling": Calling}

    def call(self, data):
        """Make the call; return a description of it and its outcome."""
        choices = Choices(data)
        namespace = self.api.Namespace()
        kind = choices.of(["plain", "plain", "plain", "overriding", "calling"])
        event = namespace.event("x") if kind == "plain" else self.classes[kind]("x")
        target = namespace.event("*") if choices.of([False, False, True]) else event
        story = [kind]
        for _ in range(choices.of([1, 1, 2, 0, 3])):
            name = choices.of(list(self.handlers))
            options = {
                "with_event": choices.of([False, True]),
                "condition": choices.of([None, self.condition]),
                "sender": choices.of([self.api.ANY, self.api.ANY, "s", 1]),
                "weak": False,
            }
            target.connect(self.handlers[name], **options)
            story.append((name, options["with_event"], options["condition"] is not None, label(options["sender"])))
        event.on_error = choices.of([None, self.on_error])
        positionals = [choices.of(["s", 1, None, (), self.api.ANY]) for _ in range(choices.of(COUNTS))]
        keywords = {}
        for number in range(choices.of(COUNTS[:-1]) if choices.of([True, False]) else 0):
            keywords[keyword(choices) if number < 5 else f"k{number}"] = choices.of(["s", 1, None, self.api.ANY])
        where = choices.of(["bound", "unbound", "by name", "by event", "unbound namespace", "partial", "got", "super"])
        first = choices.of([True, True, True, True, False])
        strange = choices.of([None, 1, "y", "x*", object, namespace, event, {}])
        calls = {
            "bound": (event.emit, []),
            "unbound": (type(event).emit, [event if first else strange]),
            "by name": (namespace.emit, ["x" if first else strange]),
            "by event": (namespace.emit, [event if first else strange]),
            "unbound namespace": (self.api.Namespace.emit, [namespace if first else strange, event]),
            "partial": (functools.partial(event.emit, *positionals[:1]), []),
            "got": (self.api.Event.emit.__get__(event), []),
            "super": (super(self.api.Event, event).emit, []),
        }
        function, start = calls[where]
        twice = choices.of([0] * 11 + [1])
        if twice or choices.of([False, False, False, True]):
            function = raw(function, twice)
        if not choices.of([True] * 9 + [False]):
            start = []
        owners = {"unbound": self.api.Event if kind == "plain" else None, "unbound namespace": self.api.Namespace}
        given = [*start, *positionals]
        wrong = owners.get(where) is not None and not (given and isinstance(given[0], owners[where]))
        story += [where, label(start), len(positionals), label(keywords), twice]
        try:
            came = label(function(*start, *positionals, **keywords))
        except Exception as error:
            came = described(error)
        if wrong and came[0] in ("TypeError", "AttributeError"):  # see `check`
            came = "wrong self"
        observed = [came, label(self.checked), label(self.seen)]
        if twice:  # such a caller breaks a rule: only require that nothing crashes
            observed = []
        self.checked.clear()
        self.seen.clear()
        return story, [re.sub("0x[0-9a-f]+", "0x", str(each)) for each in observed]


def raw(function, twice):
    """Return a function that calls with an argument array, as only C code does: a keyword may occur twice."""
    try:
        from _testcapi import pyobject_vectorcall
    except ImportError:
        return function

    def call(*args, **kwargs):
        names = [*kwargs, *list(kwargs)[:twice]]
        values = [*kwargs.values(), *kwargs.values()][: len(names)]
        return pyobject_vectorcall(function, (*args, *values), tuple(names))

    return call


def described(error):
    return type(error).__name__, str(error)


def sides(cores):
    return [Side(api) for api in cores.values()]


def check(sides, data):
    """Make the call on all sides; raise if they disagree.

    An unbound call with no self or a wrong one raises the interpreter's `TypeError` in the compiled core. The pure core
    raises an `AttributeError`, or a `TypeError` with another text: a check would slow down each of its emissions.
    """
    (story, first), *others = [side.call(data) for side in sides]
    for _, other in others:
        assert first == other, f"the cores differ in {story}:\n  {first}\n  {other}\nas of {data!r}"


def main(seconds):
    import importlib.util

    spec = importlib.util.spec_from_file_location("conftest", Path(__file__).parents[1] / "conftest.py")
    conftest = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conftest)
    cores = {"cython": conftest.load("cython")}
    try:
        import atheris
    except ImportError:
        cores["python"] = conftest.load("python")
        run_random(sides(cores), seconds)
        return
    with atheris.instrument_imports(include=["cyevents"]):
        cores["python"] = conftest.load("python")
    both = sides(cores)
    atheris.Setup([sys.argv[0], f"-max_total_time={seconds:.0f}", "-max_len=100"], lambda data: check(both, data))
    atheris.Fuzz()


def run_random(both, seconds):
    calls = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        check(both, random.randbytes(random.choice([8, 20, 60])))
        calls += 1
    print(f"{calls} calls, in which both cores agree")


if __name__ == "__main__":
    main(float(sys.argv[1]))
