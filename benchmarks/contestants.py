"""The contestants: how each library makes an emitter, connects to it and emits, and what it can do at all."""

import importlib
import importlib.metadata
import os
import sys
import warnings
from functools import cache

from . import floor

# What a case asks for, and a contestant may be able to do.
PLAIN = "plain"  # handlers that take the sender alone
ANY_KEYWORDS = "**kwargs"  # handlers that take any keywords
KEYWORDS = "keywords"  # emission with keywords
RESULTS = "results"  # what the handlers returned comes back, in order
METHODS = "methods"  # bound methods whose objects are held weakly
SENDERS = "senders"  # handlers for one sender only
CONDITIONS = "conditions"  # handlers that are asked whether they want to be called
CANCELLING = "cancelling"  # a handler that returns False ends the emission
NAMES = "names"  # events are emitted by name
ONE_BY_ONE = "one by one"  # handlers can be connected and disconnected


class Contestant:
    """One way of emitting. The statements are what a user would write, and what is timed."""

    name = ""
    module = ""  # what is imported,
    distribution = ""  # and what it is installed by
    note = ""  # what a reader of the figures must know
    can: frozenset[str] = frozenset()
    emits = "emit(sender)"
    connects = "token = connect(handler)"
    disconnects = "disconnect(handler)"
    churns = ""  # connect, emit and disconnect, where that is not just one after the other
    in_order = True  # whether handlers are called in the order in which they were connected

    def __init__(self):
        self.load()

    def load(self):
        """Import the library."""
        self.library = importlib.import_module(self.module)

    @property
    def version(self):
        """The library's version, or the empty string."""
        return importlib.metadata.version(self.distribution) if self.distribution else ""

    def make(self):
        """A new emitter without handlers."""
        raise NotImplementedError

    def connector(self, emitter):
        """The `connect` of the statement `connects`."""
        return emitter.connect

    def disconnector(self, emitter):
        """The `disconnect` of the statement `disconnects`."""
        return emitter.disconnect

    def emission(self, emitter):
        """The `emit` of the statement `emits`."""
        return emitter.emit

    def connect(self, emitter, handler, *, weak_method=False):
        """Connect one handler."""
        run(self.connects, connect=self.connector(emitter), handler=handler, emitter=emitter)

    def connect_for(self, emitter, handler, sender):
        """Connect one handler for one sender."""
        emitter.connect(handler, sender=sender)

    def connect_if(self, emitter, handler, condition):
        """Connect one handler under a condition."""
        raise NotImplementedError

    def emission_if(self, emitter):
        """The `emit` for handlers under conditions."""
        return self.emission(emitter)

    def values(self, returned):
        """The handlers' results in what an emission returned; None without results."""

    def drop(self, emitter):
        """Forget an emitter that a library keeps in a global table."""


@cache
def compiled(statement):
    return compile(statement, "<statement>", "exec")


def run(statement, **names):
    """Run a statement once."""
    exec(compiled(statement), names)


class Cyevents(Contestant):
    name = "cyevents"
    module = distribution = "cyevents"
    can = frozenset(
        (PLAIN, ANY_KEYWORDS, KEYWORDS, RESULTS, METHODS, SENDERS, CONDITIONS, CANCELLING, NAMES, ONE_BY_ONE)
    )
    note = "functions held weakly"
    churns = "token = emitter.subscribe(handler)\nemit(sender)\ntoken.cancel()"

    def load(self):
        super().load()
        if self.library.backend != "cython":
            raise ImportError(f"the compiled core is not in use: {self.library._core.reason}")

    def make(self):
        return self.library.Event("benchmark")

    def connect_if(self, emitter, handler, condition):
        emitter.connect(handler, condition=condition)

    def values(self, returned):
        return list(returned)


class CyeventsPure(Cyevents):
    """The same package with its pure core, beside the other one in this process."""

    name = "cyevents (pure)"

    def load(self):
        self.library = pure_cyevents()


@cache
def pure_cyevents():
    """The package with the pure core, whichever `import cyevents` gives."""

    def modules():
        return {name: sys.modules[name] for name in list(sys.modules) if name.split(".")[0] == "cyevents"}

    switch = "CYEVENTS_PURE_PYTHON"
    wish = os.environ.get(switch)
    before = modules()
    for name in before:
        del sys.modules[name]
    os.environ[switch] = "1"
    try:
        package = importlib.import_module("cyevents")
        importlib.import_module("cyevents._async.gather")  # to be found later under this package's name
        return package
    finally:
        if wish is None:
            del os.environ[switch]
        else:
            os.environ[switch] = wish
        for name in modules():
            del sys.modules[name]
        sys.modules.update(before)


class CyeventsByName(Cyevents):
    name = "cyevents by name"
    note = 'emit("name", sender)'
    can = frozenset((PLAIN, ANY_KEYWORDS, KEYWORDS, RESULTS, METHODS, SENDERS, CONDITIONS, CANCELLING, NAMES))
    emits = 'emit("benchmark", sender)'

    def make(self):
        return self.library.Namespace()

    def connector(self, emitter):
        return emitter.event("benchmark").connect

    def connect_for(self, emitter, handler, sender):
        emitter.event("benchmark").connect(handler, sender=sender)

    def connect_if(self, emitter, handler, condition):
        emitter.event("benchmark").connect(handler, condition=condition)


class Blinker(Contestant):
    name = "blinker"
    module = distribution = "blinker"
    can = frozenset((PLAIN, ANY_KEYWORDS, KEYWORDS, RESULTS, METHODS, SENDERS, ONE_BY_ONE))
    note = "functions held weakly; in no order"
    in_order = False

    def make(self):
        return self.library.Signal()

    def emission(self, emitter):
        return emitter.send

    def values(self, returned):
        return [value for _, value in returned if value is not None]


class BlinkerByName(Blinker):
    name = "blinker by name"
    note = 'signal("name").send(sender)'
    can = frozenset((PLAIN, ANY_KEYWORDS, KEYWORDS, RESULTS, METHODS, NAMES))
    emits = 'emit("benchmark").send(sender)'

    def make(self):
        return self.library.Namespace()

    def connector(self, emitter):
        return emitter.signal("benchmark").connect

    def emission(self, emitter):
        return emitter.signal


class CyeventsBlinker(Blinker):
    name = "cyevents.blinker"
    module = "cyevents.blinker"
    distribution = "cyevents"
    note = "what cyevents has in place of blinker"
    in_order = True

    def load(self):
        super().load()
        import cyevents

        if cyevents.backend != "cython":
            raise ImportError(f"the compiled core is not in use: {cyevents._core.reason}")


class Psygnal(Contestant):
    name = "psygnal emit"
    module = distribution = "psygnal"
    can = frozenset((PLAIN, ANY_KEYWORDS, METHODS, ONE_BY_ONE))
    note = "functions held strongly; no keywords, no results"

    def load(self):
        super().load()
        self.owner = type("Owner", (), {"changed": self.library.Signal(object)})

    def make(self):
        return self.owner()

    def connector(self, emitter):
        return emitter.changed.connect

    def disconnector(self, emitter):
        return emitter.changed.disconnect

    def emission(self, emitter):
        return emitter.changed.emit


class PsygnalFast(Psygnal):
    name = "psygnal emit_fast"

    def emission(self, emitter):
        return emitter.changed.emit_fast


class Pyee(Contestant):
    name = "pyee"
    module = distribution = "pyee"
    can = frozenset((PLAIN, ANY_KEYWORDS, KEYWORDS, NAMES, ONE_BY_ONE))
    note = "handlers held strongly; by name; no results"
    emits = 'emit("benchmark", sender)'
    connects = 'token = connect("benchmark", handler)'
    disconnects = 'disconnect("benchmark", handler)'

    def make(self):
        return self.library.EventEmitter()

    def connector(self, emitter):
        return emitter.add_listener

    def disconnector(self, emitter):
        return emitter.remove_listener


class Django(Contestant):
    name = "Django"
    module = "django.dispatch"
    distribution = "Django"
    can = frozenset((ANY_KEYWORDS, KEYWORDS, METHODS, SENDERS, ONE_BY_ONE))
    note = "functions held weakly; handlers must take **kwargs"
    caching = False

    def make(self):
        return self.library.Signal(use_caching=self.caching)

    def emission(self, emitter):
        return emitter.send

    def values(self, returned):
        return [value for _, value in returned if value is not None]


class DjangoCaching(Django):
    name = "Django (caching)"
    caching = True


class Pymitter(Contestant):
    name = "pymitter"
    module = distribution = "pymitter"
    can = frozenset((PLAIN, ANY_KEYWORDS, KEYWORDS, NAMES, ONE_BY_ONE))
    note = "handlers held strongly; by name; no results"
    emits = 'emit("benchmark", sender)'
    connects = 'token = connect("benchmark", handler)'
    disconnects = 'disconnect("benchmark", handler)'

    def make(self):
        return self.library.EventEmitter()

    def connector(self, emitter):
        return emitter.on

    def disconnector(self, emitter):
        return emitter.off


class PyDispatcher(Contestant):
    name = "PyDispatcher"
    module = "pydispatch.dispatcher"
    distribution = "PyDispatcher"
    can = frozenset((PLAIN, ANY_KEYWORDS, KEYWORDS, RESULTS, METHODS, SENDERS, NAMES, ONE_BY_ONE))
    note = "functions held weakly; by signal and sender"
    emits = 'emit("benchmark", sender)'
    connects = 'token = connect(handler, "benchmark")'
    disconnects = 'disconnect(handler, "benchmark")'

    def make(self):  # its tables are global
        return self

    def connector(self, emitter):
        return self.library.connect

    def disconnector(self, emitter):
        return self.library.disconnect

    def emission(self, emitter):
        return self.library.send

    def connect_for(self, emitter, handler, sender):
        self.library.connect(handler, "benchmark", sender)

    def values(self, returned):
        return [value for _, value in returned if value is not None]

    def drop(self, emitter):
        for table in (self.library.connections, self.library.senders, self.library.sendersBack):
            table.clear()


class Eventkit(Contestant):
    name = "eventkit"
    module = distribution = "eventkit"
    can = frozenset((PLAIN, ANY_KEYWORDS, METHODS, ONE_BY_ONE))
    note = "functions held weakly; no keywords, no results"

    def make(self):
        return self.library.Event("benchmark")


class Atom(Contestant):
    name = "atom"
    module = "atom.api"
    distribution = "atom"
    can = frozenset((PLAIN, ANY_KEYWORDS, KEYWORDS, METHODS, ONE_BY_ONE))
    note = "compiled (C++); functions held strongly; no results"

    def load(self):
        super().load()
        self.owner = type("Owner", (self.library.Atom,), {"changed": self.library.Signal()})

    def make(self):
        return self.owner()

    def connector(self, emitter):
        return emitter.changed.connect

    def disconnector(self, emitter):
        return emitter.changed.disconnect

    def emission(self, emitter):
        return emitter.changed.emit


class DustRiven(Contestant):
    name = "dust-riven"
    module = "dust_riven"
    distribution = "dust-riven"
    can = frozenset((PLAIN, ANY_KEYWORDS, KEYWORDS, RESULTS, METHODS, ONE_BY_ONE))
    note = "compiled (Rust); functions held strongly"
    disconnects = "disconnect(token)"

    def make(self):
        return self.library.Signal()

    def connect(self, emitter, handler, *, weak_method=False):
        emitter.connect(handler, weak_method)

    def values(self, returned):
        return [value for value in returned if value is not None]


class Emitter:
    """What one writes in five minutes."""

    def __init__(self):
        self.handlers = []

    def connect(self, handler):
        self.handlers.append(handler)

    def disconnect(self, handler):
        self.handlers.remove(handler)

    def emit(self, sender, **kwargs):
        results = []
        for handler in self.handlers:
            result = handler(sender, **kwargs)
            if result is False:
                break
            if result is not None:
                results.append(result)
        return results


class HandWritten(Contestant):
    name = "hand-written"
    note = "a loop in Python: **kwargs, results, stops at False; handlers held strongly"
    can = frozenset((PLAIN, ANY_KEYWORDS, KEYWORDS, RESULTS, CANCELLING, ONE_BY_ONE))

    def load(self):
        self.library = None

    def make(self):
        return Emitter()

    def values(self, returned):
        return list(returned)


class Handlers(list):
    """A list that can be emitted."""

    def emit(self, sender):
        for handler in self:
            handler(sender)


class BareLoop(Contestant):
    name = "bare loop"
    note = "for handler in handlers: handler(sender)"
    can = frozenset((PLAIN, ANY_KEYWORDS))
    connects = "connect(handler)"

    def load(self):
        self.library = None

    def make(self):
        return Handlers()

    def connector(self, emitter):
        return emitter.append


class FloorUnder:
    """The handlers for a floor, which is made when all are there: it holds a tuple."""

    def __init__(self):
        self.handlers = []
        self.conditions = []

    def connect(self, handler):
        self.handlers.append(handler)


class Floor(Contestant):
    name = "the floor"
    note = "C, one vectorcall per handler from the caller's own arguments, results collected, nothing else"
    can = frozenset((PLAIN, ANY_KEYWORDS, KEYWORDS, RESULTS, METHODS, CONDITIONS))

    def load(self):
        self.library = floor.load()

    def make(self):
        return FloorUnder()

    def emission(self, emitter):
        return self.library(tuple(emitter.handlers)).emit

    def connect_if(self, emitter, handler, condition):
        emitter.handlers.append(handler)
        emitter.conditions.append(condition)

    def emission_if(self, emitter):
        return self.library(tuple(emitter.handlers), tuple(emitter.conditions)).emit_if

    def values(self, returned):
        return returned


ALL = (
    Floor,
    Cyevents,
    CyeventsByName,
    CyeventsPure,
    BareLoop,
    HandWritten,
    Atom,
    DustRiven,
    Eventkit,
    Pyee,
    PsygnalFast,
    Psygnal,
    Pymitter,
    CyeventsBlinker,
    Blinker,
    BlinkerByName,
    DjangoCaching,
    Django,
    PyDispatcher,
)


@cache
def muster():
    """The contestants that can be had here by name, and of the others the reasons why not."""
    present = {}
    absent = {}
    for cls in ALL:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of Pythons that are newer than the library
                present[cls.name] = cls()
        except Exception as error:  # whatever a library does when it is imported on a Python that it does not know
            absent[cls.name] = f"{type(error).__name__}: {error}"
    return present, absent
