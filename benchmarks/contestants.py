"""The contestants: how each library makes an emitter, connects and emits, and what it supports."""

import asyncio
import importlib
import importlib.metadata
import os
import sys
import warnings
from functools import cache
from operator import methodcaller

from . import floor

# The abilities that cases need.
PLAIN = "plain"  # handlers that take the sender alone
ANY_KEYWORDS = "**kwargs"  # handlers that accept any keywords
KEYWORDS = "keywords"  # emission with keywords
RESULTS = "results"  # the handlers' results are returned, in order
METHODS = "methods"  # bound methods whose objects are held weakly
SENDERS = "senders"  # handlers for one sender only
CONDITIONS = "conditions"  # handlers with a condition, evaluated before each call
CANCELLING = "cancelling"  # a handler that returns False ends the emission
NAMES = "names"  # events are emitted by name
ONE_BY_ONE = "one by one"  # handlers can be connected and disconnected
CHANGES = "changes"  # another way to connect and disconnect, for the race of that alone


class Contestant:
    """One way of emitting. The statements are what a user would write, and they are what is timed."""

    name = ""
    module = ""  # the module to import
    distribution = ""  # the name of its distribution
    note = ""  # shown beside the figures
    abilities: frozenset[str] = frozenset()
    emit_statement = "emit(sender)"
    connect_statement = "token = connect(handler)"
    disconnect_statement = "disconnect(handler)"
    churn_statement = ""  # connect, emit and disconnect, unless the three statements do it
    slow_to_connect = False  # each connection takes longer than the one before
    in_order = True  # whether handlers are called in the order in which they were connected

    def __init__(self):
        self.load()

    def load(self):
        """Import the library."""
        self.library = importlib.import_module(self.module)

    @property
    def version(self):
        """The version of the distribution, or the empty string."""
        return importlib.metadata.version(self.distribution) if self.distribution else ""

    def make_emitter(self):
        """Return a new emitter without handlers."""
        raise NotImplementedError

    def get_connect(self, emitter):
        """Return the `connect` that the connect statement calls."""
        return emitter.connect

    def get_disconnect(self, emitter):
        """Return the `disconnect` that the disconnect statement calls."""
        return emitter.disconnect

    def get_emit(self, emitter):
        """Return the `emit` that the emit statement calls."""
        return emitter.emit

    def get_emit_with_keywords(self, emitter):
        """Return the `emit` that the emit statement calls with keywords."""
        return self.get_emit(emitter)

    def get_assignment(self, statement):
        """Return the statement that emits and keeps what the emission returns as `returned`."""
        return f"returned = {statement}"

    def connect(self, emitter, handler, *, weak_method=False):
        """Connect one handler."""
        run(self.connect_statement, connect=self.get_connect(emitter), handler=handler, emitter=emitter)

    def connect_for_sender(self, emitter, handler, sender):
        """Connect one handler for one sender."""
        emitter.connect(handler, sender=sender)

    def connect_with_condition(self, emitter, handler, condition):
        """Connect one handler with a condition."""
        raise NotImplementedError

    def get_emit_if(self, emitter):
        """Return the `emit` for handlers with conditions."""
        return self.get_emit(emitter)

    def get_results(self, returned):
        """Return the handlers' results from what an emission returned, or None if it returns none."""

    def drop(self, emitter):
        """Remove an emitter that the library keeps in a global table."""


@cache
def compiled(statement):
    return compile(statement, "<statement>", "exec")


def run(statement, **names):
    """Run a statement once."""
    exec(compiled(statement), names)


class Cyevents(Contestant):
    name = "cyevents"
    module = distribution = "cyevents"
    abilities = frozenset(
        (PLAIN, ANY_KEYWORDS, KEYWORDS, RESULTS, METHODS, SENDERS, CONDITIONS, CANCELLING, NAMES, ONE_BY_ONE)
    )
    note = "functions held weakly"

    def load(self):
        super().load()
        if self.library.backend != "cython":
            raise ImportError(f"the compiled core is not in use: {self.library._core.reason}")

    def make_emitter(self):
        return self.library.Event("benchmark")

    def connect_with_condition(self, emitter, handler, condition):
        emitter.connect(handler, condition=condition)

    def get_results(self, returned):
        return list(returned)


class CyeventsPure(Cyevents):
    """The same package with its pure core, loaded a second time in this process."""

    name = "cyevents (pure)"

    def load(self):
        self.library = pure_cyevents()


@cache
def pure_cyevents():
    """Return the package with the pure core, whichever core `import cyevents` chooses."""

    def modules():
        return {name: sys.modules[name] for name in list(sys.modules) if name.split(".")[0] == "cyevents"}

    switch = "CYEVENTS_PURE_PYTHON"
    setting = os.environ.get(switch)
    before = modules()
    for name in before:
        del sys.modules[name]
    os.environ[switch] = "1"
    try:
        package = importlib.import_module("cyevents")
        # The package imports this when it is first used. That must happen now, while `sys.modules` has this package.
        asyncio.run(package.Event("first").emit_async())
        return package
    finally:
        if setting is None:
            del os.environ[switch]
        else:
            os.environ[switch] = setting
        for name in modules():
            del sys.modules[name]
        sys.modules.update(before)


class CyeventsSubscribe(Cyevents):
    """Subscriptions, which are timed where connections change."""

    name = "cyevents subscribe"
    abilities = frozenset((CHANGES,))
    churn_statement = "token = emitter.subscribe(handler)\nemit(sender)\ntoken.cancel()"


class CyeventsByName(Cyevents):
    name = "cyevents by name"
    note = 'emit("name", sender)'
    abilities = frozenset((PLAIN, ANY_KEYWORDS, KEYWORDS, RESULTS, METHODS, SENDERS, CONDITIONS, CANCELLING, NAMES))
    emit_statement = 'emit("benchmark", sender)'

    def make_emitter(self):
        return self.library.Namespace()

    def get_connect(self, emitter):
        return emitter.event("benchmark").connect

    def connect_for_sender(self, emitter, handler, sender):
        emitter.event("benchmark").connect(handler, sender=sender)

    def connect_with_condition(self, emitter, handler, condition):
        emitter.event("benchmark").connect(handler, condition=condition)


class Blinker(Contestant):
    name = "blinker"
    module = distribution = "blinker"
    abilities = frozenset((PLAIN, ANY_KEYWORDS, KEYWORDS, RESULTS, METHODS, SENDERS, ONE_BY_ONE))
    note = "functions held weakly; in no order"
    in_order = False

    def make_emitter(self):
        return self.library.Signal()

    def get_emit(self, emitter):
        return emitter.send

    def get_results(self, returned):
        return [value for _, value in returned if value is not None]


class BlinkerByName(Blinker):
    name = "blinker by name"
    note = 'signal("name").send(sender)'
    abilities = frozenset((PLAIN, ANY_KEYWORDS, KEYWORDS, RESULTS, METHODS, NAMES))
    emit_statement = 'emit("benchmark").send(sender)'

    def make_emitter(self):
        return self.library.Namespace()

    def get_connect(self, emitter):
        return emitter.signal("benchmark").connect

    def get_emit(self, emitter):
        return emitter.signal


class CyeventsBlinker(Blinker):
    name = "cyevents.blinker"
    module = "cyevents.blinker"
    distribution = "cyevents"
    note = "blinker's API over cyevents"
    in_order = True

    def load(self):
        super().load()
        import cyevents

        if cyevents.backend != "cython":
            raise ImportError(f"the compiled core is not in use: {cyevents._core.reason}")


class Psygnal(Contestant):
    name = "psygnal emit"
    module = distribution = "psygnal"
    abilities = frozenset((PLAIN, ANY_KEYWORDS, METHODS, ONE_BY_ONE))
    note = "functions held strongly; no keywords, no results"

    def load(self):
        super().load()
        self.owner = type("Owner", (), {"changed": self.library.Signal(object)})

    def make_emitter(self):
        return self.owner()

    def get_connect(self, emitter):
        return emitter.changed.connect

    def get_disconnect(self, emitter):
        return emitter.changed.disconnect

    def get_emit(self, emitter):
        return emitter.changed.emit


class PsygnalFast(Psygnal):
    name = "psygnal emit_fast"

    def get_emit(self, emitter):
        return emitter.changed.emit_fast


class Pyee(Contestant):
    name = "pyee"
    module = distribution = "pyee"
    abilities = frozenset((PLAIN, ANY_KEYWORDS, KEYWORDS, NAMES, ONE_BY_ONE))
    note = "handlers held strongly; by name; no results"
    emit_statement = 'emit("benchmark", sender)'
    connect_statement = 'token = connect("benchmark", handler)'
    disconnect_statement = 'disconnect("benchmark", handler)'

    def make_emitter(self):
        return self.library.EventEmitter()

    def get_connect(self, emitter):
        return emitter.add_listener

    def get_disconnect(self, emitter):
        return emitter.remove_listener


class Django(Contestant):
    name = "Django"
    module = "django.dispatch"
    distribution = "Django"
    abilities = frozenset((ANY_KEYWORDS, KEYWORDS, METHODS, SENDERS, ONE_BY_ONE))
    note = "functions held weakly; handlers must take **kwargs"
    caching = False

    def make_emitter(self):
        return self.library.Signal(use_caching=self.caching)

    def get_emit(self, emitter):
        return emitter.send

    def get_results(self, returned):
        return [value for _, value in returned if value is not None]


class DjangoCaching(Django):
    name = "Django (caching)"
    caching = True


class Pymitter(Contestant):
    name = "pymitter"
    module = distribution = "pymitter"
    abilities = frozenset((PLAIN, ANY_KEYWORDS, KEYWORDS, NAMES, ONE_BY_ONE))
    note = "handlers held strongly; by name; no results"
    emit_statement = 'emit("benchmark", sender)'
    connect_statement = 'token = connect("benchmark", handler)'
    disconnect_statement = 'disconnect("benchmark", handler)'

    def make_emitter(self):
        return self.library.EventEmitter()

    def get_connect(self, emitter):
        return emitter.on

    def get_disconnect(self, emitter):
        return emitter.off


class PyDispatcher(Contestant):
    name = "PyDispatcher"
    module = "pydispatch.dispatcher"
    distribution = "PyDispatcher"
    abilities = frozenset((PLAIN, ANY_KEYWORDS, KEYWORDS, RESULTS, METHODS, SENDERS, NAMES, ONE_BY_ONE))
    note = "functions held weakly; by signal and sender"
    emit_statement = 'emit("benchmark", sender)'
    connect_statement = 'token = connect(handler, "benchmark")'
    disconnect_statement = 'disconnect(handler, "benchmark")'

    def make_emitter(self):  # its tables are global
        return self

    def get_connect(self, emitter):
        return self.library.connect

    def get_disconnect(self, emitter):
        return self.library.disconnect

    def get_emit(self, emitter):
        return self.library.send

    def connect_for_sender(self, emitter, handler, sender):
        self.library.connect(handler, "benchmark", sender)

    def get_results(self, returned):
        return [value for _, value in returned if value is not None]

    def drop(self, emitter):
        for table in (self.library.connections, self.library.senders, self.library.sendersBack):
            table.clear()


class Eventkit(Contestant):
    name = "eventkit"
    module = distribution = "eventkit"
    abilities = frozenset((PLAIN, ANY_KEYWORDS, METHODS, ONE_BY_ONE))
    note = "functions held weakly; no keywords, no results"

    def load(self):
        asyncio.set_event_loop(asyncio.new_event_loop())  # which it wants when it is imported
        super().load()

    def make_emitter(self):
        return self.library.Event("benchmark")


class Atom(Contestant):
    name = "atom"
    module = "atom.api"
    distribution = "atom"
    abilities = frozenset((PLAIN, ANY_KEYWORDS, KEYWORDS, METHODS, ONE_BY_ONE))
    note = "compiled (C++); functions held strongly; no results"

    def load(self):
        super().load()
        self.owner = type("Owner", (self.library.Atom,), {"changed": self.library.Signal()})

    def make_emitter(self):
        return self.owner()

    def get_connect(self, emitter):
        return emitter.changed.connect

    def get_disconnect(self, emitter):
        return emitter.changed.disconnect

    def get_emit(self, emitter):
        return emitter.changed.emit


class DustRiven(Contestant):
    name = "dust-riven"
    module = "dust_riven"
    distribution = "dust-riven"
    abilities = frozenset((PLAIN, ANY_KEYWORDS, KEYWORDS, RESULTS, METHODS, ONE_BY_ONE))
    note = "compiled (Rust); functions held strongly"
    disconnect_statement = "disconnect(token)"

    def make_emitter(self):
        return self.library.Signal()

    def connect(self, emitter, handler, *, weak_method=False):
        emitter.connect(handler, weak_method)

    def get_results(self, returned):
        return [value for value in returned if value is not None]


class Pluggy(Contestant):
    name = "pluggy"
    module = distribution = "pluggy"
    abilities = frozenset((PLAIN, ANY_KEYWORDS, RESULTS, ONE_BY_ONE))
    note = "a hook; handlers held strongly, the last one first; keywords only as far as handlers name them"
    slow_to_connect = True
    in_order = False
    emit_statement = "emit(sender=sender)"
    disconnect_statement = "disconnect(token)"

    def load(self):
        super().load()
        self.implementation = self.library.HookimplMarker("benchmark")
        specification = self.library.HookspecMarker("benchmark")

        class Specification:
            @specification
            def handle(self, sender):
                """Take a sender."""

        class Plugin:
            def __init__(self, handle):
                self.handle = handle

        self.specification = Specification
        self.plugin = Plugin

    def make_emitter(self):
        manager = self.library.PluginManager("benchmark")
        manager.add_hookspecs(self.specification)
        return manager

    def get_connect(self, emitter):
        def connect(handler):
            plugin = self.plugin(self.implementation(handler))
            emitter.register(plugin)
            return plugin

        return connect

    def get_disconnect(self, emitter):
        return emitter.unregister

    def get_emit(self, emitter):
        return emitter.hook.handle

    def get_results(self, returned):
        return list(returned)


class Traitlets(Contestant):
    name = "traitlets"
    module = distribution = "traitlets"
    abilities = frozenset((PLAIN, ANY_KEYWORDS, ONE_BY_ONE))
    note = "notify_change of a trait: handlers get the change; held strongly; no keywords, no results"
    emit_statement = 'emit({"name": "changed", "type": "change", "new": sender})'
    connect_statement = 'token = connect(handler, "changed")'
    disconnect_statement = 'disconnect(handler, "changed")'

    def load(self):
        super().load()
        self.owner = type("Owner", (self.library.HasTraits,), {"changed": self.library.Any()})

    def make_emitter(self):
        return self.owner()

    def get_connect(self, emitter):
        return emitter.observe

    def get_disconnect(self, emitter):
        return emitter.unobserve

    def get_emit(self, emitter):
        return emitter.notify_change


class ReactiveX(Contestant):
    name = "reactivex"
    module = distribution = "reactivex"
    abilities = frozenset((PLAIN, ANY_KEYWORDS, ONE_BY_ONE))
    note = "a Subject; handlers held strongly; no keywords, no results"
    disconnect_statement = "disconnect(token)"

    def make_emitter(self):
        return self.library.Subject()

    def get_connect(self, emitter):
        return emitter.subscribe

    def get_disconnect(self, emitter):
        return methodcaller("dispose")

    def get_emit(self, emitter):
        return emitter.on_next


class ZopeEvent(Contestant):
    name = "zope.event"
    module = distribution = "zope.event"
    abilities = frozenset((PLAIN, ANY_KEYWORDS, ONE_BY_ONE))
    note = "one global list of subscribers, held strongly; no keywords, no results"

    def make_emitter(self):  # there is only one
        return self

    def get_connect(self, emitter):
        return self.library.subscribers.append

    def get_disconnect(self, emitter):
        return self.library.subscribers.remove

    def get_emit(self, emitter):
        return self.library.notify

    def drop(self, emitter):
        self.library.subscribers.clear()


class Events(Contestant):
    name = "events"
    module = "events"
    distribution = "Events"
    abilities = frozenset((PLAIN, ANY_KEYWORDS, KEYWORDS, ONE_BY_ONE))
    note = "handlers held strongly; no results"

    def make_emitter(self):
        return self.library.Events().changed

    def get_connect(self, emitter):
        return emitter.__iadd__

    def get_disconnect(self, emitter):
        return emitter.__isub__

    def get_emit(self, emitter):
        return emitter


class Emitter:
    """A simple emitter, as programs write one themselves."""

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
    abilities = frozenset((PLAIN, ANY_KEYWORDS, KEYWORDS, RESULTS, CANCELLING, ONE_BY_ONE))

    def load(self):
        self.library = None

    def make_emitter(self):
        return Emitter()

    def get_results(self, returned):
        return list(returned)


class Handlers(list):
    """A list of handlers with functions that call them."""

    def emit(self, sender):
        for handler in self:
            handler(sender)

    def emit_with_keywords(self, sender, **kwargs):
        for handler in self:
            handler(sender, **kwargs)


class BareLoop(Contestant):
    name = "bare loop"
    note = "a function with `for handler in handlers: handler(sender)`, or `handler(sender, **kwargs)` for keywords"
    abilities = frozenset((PLAIN, ANY_KEYWORDS, KEYWORDS))
    connect_statement = "connect(handler)"

    def load(self):
        self.library = None

    def make_emitter(self):
        return Handlers()

    def get_connect(self, emitter):
        return emitter.append

    def get_disconnect(self, emitter):
        return emitter.remove

    def get_emit_with_keywords(self, emitter):
        return emitter.emit_with_keywords


class InlineLoop(BareLoop):
    """The loop without a function around it, which can call with the keywords by their names."""

    name = "inline loop"
    note = "the bare loop in place, without the call of a function around it"
    emit_statement = "for handler in emit:\n    handler(sender)"

    def get_emit(self, emitter):
        return emitter

    def get_emit_with_keywords(self, emitter):
        return emitter

    def get_assignment(self, statement):
        return statement


class FloorHandlers:
    """The handlers for a `Floor`, which takes a tuple of them when all are connected."""

    def __init__(self):
        self.handlers = []
        self.conditions = []

    def connect(self, handler):
        self.handlers.append(handler)


class Floor(Contestant):
    name = "the floor"
    note = "C, one vectorcall per handler from the caller's own arguments, results collected, nothing else"
    abilities = frozenset((PLAIN, ANY_KEYWORDS, KEYWORDS, RESULTS, METHODS, CONDITIONS))

    def load(self):
        self.library = floor.load()

    def make_emitter(self):
        return FloorHandlers()

    def get_emit(self, emitter):
        return self.library(tuple(emitter.handlers)).emit

    def connect_with_condition(self, emitter, handler, condition):
        emitter.handlers.append(handler)
        emitter.conditions.append(condition)

    def get_emit_if(self, emitter):
        return self.library(tuple(emitter.handlers), tuple(emitter.conditions)).emit_if

    def get_results(self, returned):
        return returned


ALL = (
    Floor,
    Cyevents,
    CyeventsByName,
    CyeventsPure,
    CyeventsSubscribe,
    BareLoop,
    InlineLoop,
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
    Pluggy,
    Traitlets,
    ReactiveX,
    ZopeEvent,
    Events,
)


@cache
def load_contestants():
    """Return the contestants that can be imported by name, and by name why the others cannot."""
    present = {}
    absent = {}
    for cls in ALL:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # on a Python that is newer than the library
                present[cls.name] = cls()
        except Exception as error:  # an import may fail in any way on a newer Python
            absent[cls.name] = f"{type(error).__name__}: {error}"
    return present, absent
