"""Handlers are held weakly: dead ones leave nothing behind, and a temporary one warns at once."""

import collections
import contextlib
import functools
import gc
import logging
import sys
import threading
import types
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()


class Owner:
    """A callable object with methods."""

    def method(self, sender, **kwargs):
        return "method"

    @classmethod
    def classmethod(cls, sender, **kwargs):
        return "classmethod"

    @staticmethod
    def staticmethod(sender, **kwargs):
        return "staticmethod"

    def __call__(self, sender, **kwargs):
        return "object"


class Slotted:
    """Supports no weak references."""

    __slots__ = ()

    def method(self, sender, **kwargs):
        return "method"

    def __call__(self, sender, **kwargs):
        return "object"


def function_and_owner():
    def handler(sender, **kwargs):
        return "function"

    return handler, handler


def partial_and_owner():
    handler = functools.partial(Owner.staticmethod)
    return handler, handler


def object_and_owner():
    owner = Owner()
    return owner, owner


def method_and_owner():
    owner = Owner()
    return owner.method, owner


def classmethod_and_owner():
    class Local(Owner):
        pass

    return Local.classmethod, Local


def class_and_owner():
    class Local:
        def __init__(self, sender, **kwargs):
            pass

    return Local, Local


def lambda_and_owner():
    handler = lambda sender, **kwargs: "lambda"  # noqa: E731
    return handler, handler


def coroutine_function_and_owner():
    async def handler(sender, **kwargs):
        return "async"

    return handler, handler


def set_add_and_owner():
    owner = set()
    return owner.add, owner


def deque_append_and_owner():
    owner = collections.deque()
    return owner.append, owner


WEAK = {
    "function": function_and_owner,
    "lambda": lambda_and_owner,
    "coroutine function": coroutine_function_and_owner,
    "partial": partial_and_owner,
    "callable object": object_and_owner,
    "method": method_and_owner,
    "classmethod": classmethod_and_owner,
    "class": class_and_owner,
    "set.add": set_add_and_owner,
    "deque.append": deque_append_and_owner,
}


class Thing:
    """A weakly referenceable object, held by an object that should be released."""


@pytest.fixture
def no_warning():
    """Fail if the test gives any warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    assert [str(warning.message) for warning in caught] == []


@pytest.mark.parametrize("warm", [False, True], ids=["", "after an emission"])
@pytest.mark.parametrize("place", ["user.created", "user.*"])
@pytest.mark.parametrize("kind", WEAK)
def test_handler_is_held_weakly(api, ns, collect, no_warning, kind, place, warm):
    event, target = ns.event("user.created"), ns.event(place)
    handler, owner = WEAK[kind]()
    target.connect(handler, condition=lambda sender: warm)
    del handler
    collect()
    (connection,) = event.handlers
    assert connection.weak
    del connection
    assert event.has_handlers_for(1)
    event.emit(1)
    assert api.drain(timeout=30)  # a running call keeps its handler alive
    gone = weakref.ref(owner)
    del owner
    collect()
    assert gone() is None
    assert event.handlers == target.handlers == []
    assert not event.has_handlers_for(1)
    assert event.emit(1) == []


@pytest.mark.parametrize("kind", WEAK)
def test_weak_false_holds_until_disconnected(ns, collect, no_warning, kind):
    event = ns.event("x")
    handler, owner = WEAK[kind]()
    gone = weakref.ref(owner)
    event.connect(handler, weak=False)
    del handler, owner
    collect()
    (connection,) = event.handlers
    assert not connection.weak
    assert event.disconnect(connection.handler)
    del connection
    collect()
    assert gone() is None


@pytest.mark.parametrize("way", ["emit", "send"])
def test_module_function_survives_its_call(ns, collect, way):
    # Free-threaded builds do not count the reference that a call has: the emission must have one that is counted.
    scope = {"collect": collect, "was_alive": []}
    exec(
        "def handler(sender):\n"
        "    global handler\n"
        "    del handler\n"
        "    collect()\n"
        "    was_alive.append(gone() is not None)\n",
        scope,
    )
    gone = scope["gone"] = weakref.ref(scope["handler"])
    event = ns.event("x")
    event.connect(scope["handler"])
    getattr(event, way)("s")
    assert scope["was_alive"] == [True]
    collect()
    assert gone() is None
    assert event.handlers == []


@pytest.mark.parametrize("way", ["emit", "send"])
@pytest.mark.parametrize("ending", ["returns", "raises"])
@pytest.mark.parametrize("kind", ["function", "method", "object"])
def test_held_handler_survives_its_disconnection(ns, collect, kind, ending, way):
    event = ns.event("x")
    was_alive = []

    def leave():
        event.clear()
        collect()
        was_alive.append(gone() is not None)
        if ending == "raises":
            raise KeyError

    class Leaving:
        def method(self, sender):
            leave()

        __call__ = method

    def make_handler():
        owner = Leaving()
        handlers = {"function": lambda sender: leave(), "method": owner.method, "object": owner}
        return handlers[kind], owner if kind != "function" else handlers[kind]

    handler, owner = make_handler()
    gone = weakref.ref(owner)
    event.connect(handler, weak=False)
    del handler, owner
    with contextlib.nullcontext() if ending == "returns" else pytest.raises(KeyError):
        getattr(event, way)("s")
    assert was_alive == [True]
    collect()
    assert gone() is None


def test_methods_are_called_with_their_objects(ns, no_warning):
    event = ns.event("x")
    owner, seen, last = Owner(), set(), collections.deque(maxlen=1)
    event.connect(owner.method)
    event.connect(Owner.classmethod)
    event.connect(owner.staticmethod)
    event.connect(owner)
    event.connect(seen.add)
    event.connect(last.append)
    assert event.emit("s") == ["method", "classmethod", "staticmethod", "object"]
    assert (seen, list(last)) == ({"s"}, ["s"])


def test_new_bound_method_object_disconnects(ns, no_warning):
    event = ns.event("x")
    owner, seen = Owner(), set()
    event.connect(owner.method)
    event.connect(seen.add)
    assert event.disconnect(owner.method)
    assert event.disconnect(seen.add)
    assert event.emit("s") == []
    assert seen == set()


def test_builtin_functions_can_be_held_weakly(ns, capsys, no_warning):
    event = ns.event("x")
    event.connect(print)
    event.emit("hello")
    assert capsys.readouterr().out == "hello\n"


BUILTIN_OWNERS = [[], Slotted()]
NOT_WEAK = {
    "list.append": [].append,
    "dict.update": {}.update,
    "method": Slotted().method,
    "object": Slotted(),
}


@pytest.mark.parametrize("way", ["connect", "on", "subscribe", "connected_to"])
@pytest.mark.parametrize("kind", NOT_WEAK)
def test_unsupported_weak_reference_suggests_weak_false(ns, kind, way):
    event, handler = ns.event("x"), NOT_WEAK[kind]
    with pytest.raises(TypeError, match="weak=False"):
        if way == "on":
            ns.on("x")(handler)
        elif way == "connected_to":
            with event.connected_to(handler):
                pass
        else:
            getattr(event, way)(handler)
    assert event.handlers == []
    event.connect(handler, weak=False)
    assert len(event.handlers) == 1


def test_failed_connect_keeps_the_old_connection(ns):
    event, handler = ns.event("x"), NOT_WEAK["list.append"]
    event.connect(handler, weak=False, priority=3)
    with pytest.raises(TypeError):
        event.connect(handler)
    assert [connection.priority for connection in event.handlers] == [3]


# Nothing is left in the tables


def strong_handler_and_condition():
    """Return a handler, a condition, and weak references that show whether they were released."""

    def handler(sender, **kwargs):
        return "called"

    def condition(sender, **kwargs):
        return True

    return handler, condition, weakref.ref(handler), weakref.ref(condition)


def by_disconnect(ns, target, handler, sender):
    assert target.disconnect(handler)


def by_disconnect_for_the_sender(ns, target, handler, sender):
    assert target.disconnect(handler, sender)


def by_clear(ns, target, handler, sender):
    target.clear()


def by_replacing(ns, target, handler, sender):
    target.connect(handler, sender)


@pytest.mark.parametrize("special", [False, True], ids=["any sender", "sender"])
@pytest.mark.parametrize("warm", [False, True], ids=["", "after an emission"])
@pytest.mark.parametrize("place", ["user.created", "user.*"])
@pytest.mark.parametrize(
    "way", [by_disconnect, by_disconnect_for_the_sender, by_clear, by_replacing], ids=lambda way: way.__name__
)
def test_disconnect_releases_at_once(api, ns, collect, way, place, warm, special):
    event, target = ns.event("user.created"), ns.event(place)
    handler, condition, handler_gone, condition_gone = strong_handler_and_condition()
    sender = "ada" if special else api.ANY
    target.connect(handler, sender, weak=False, condition=condition)
    if warm:
        assert event.emit("ada") == ["called"]
    way(ns, target, handler, sender)
    del handler, condition
    collect()
    assert handler_gone() is condition_gone() is None


def test_deleted_pattern_releases_its_handlers(ns, collect):
    event, pattern = ns.event("user.created"), ns.event("user.*")
    handler, condition, handler_gone, condition_gone = strong_handler_and_condition()
    pattern.connect(handler, weak=False, condition=condition)
    pattern.connect(handler, "ada", weak=False, condition=condition)
    assert event.emit("ada") == ["called"]
    del ns["user.*"], pattern, handler, condition
    collect()
    assert handler_gone() is condition_gone() is None


def test_freed_event_releases_its_handlers(ns, collect):
    handler, condition, handler_gone, condition_gone = strong_handler_and_condition()
    event = ns.event("x")
    event.connect(handler, weak=False, condition=condition)
    event.connect(handler, "ada", weak=False, condition=condition)
    ns.event("*").connect(handler)
    assert event.emit("ada") == ["called"]
    event_gone = weakref.ref(event)
    del ns["x"], event, handler, condition
    collect()
    assert event_gone() is handler_gone() is condition_gone() is None
    assert ns.event("*").handlers == []


def test_handler_that_refers_to_its_event_is_freed(api, collect):
    event = api.Event("x")
    gone = weakref.ref(event)

    def handler(sender, event=event):
        return event

    event.connect(handler, weak=False)
    assert event.emit(1) == [event]
    del event, handler
    collect()
    assert gone() is None


@pytest.mark.parametrize("place", ["user.created", "user.*"])
def test_dead_handler_releases_condition_and_sender(ns, collect, place):
    event, target = ns.event("user.created"), ns.event(place)
    handler, condition, handler_gone, condition_gone = strong_handler_and_condition()
    inside = Thing()
    sender, sender_gone = (inside,), weakref.ref(inside)
    target.connect(handler, sender, condition=condition)
    assert event.emit(sender) == ["called"]
    del handler, condition, inside, sender
    collect()
    assert handler_gone() is condition_gone() is sender_gone() is None


@pytest.mark.parametrize("place", ["user.created", "user.*"])
@pytest.mark.parametrize("warm", [False, True], ids=["", "after an emission"])
def test_dead_sender_releases_handler_and_condition(ns, collect, place, warm):
    event, target = ns.event("user.created"), ns.event(place)
    handler, condition, handler_gone, condition_gone = strong_handler_and_condition()
    sender = Thing()
    target.connect(handler, sender, weak=False, condition=condition)
    if warm:
        assert event.emit(sender) == ["called"]
    del handler, condition, sender
    collect()
    assert handler_gone() is condition_gone() is None
    assert event.handlers == target.handlers == []


@pytest.mark.parametrize("place", ["user.created", "user.*"])
def test_consumed_handler_is_released_at_once(ns, collect, place):
    event, target = ns.event("user.created"), ns.event(place)
    handler, condition, handler_gone, condition_gone = strong_handler_and_condition()
    target.connect(handler, weak=False, condition=condition, once=True)
    assert event.emit(1) == ["called"]
    del handler, condition
    collect()
    assert handler_gone() is condition_gone() is None


def test_emission_that_disconnects_keeps_nothing(ns, collect):
    event = ns.event("x")
    handler, condition, handler_gone, condition_gone = strong_handler_and_condition()
    event.connect(handler, weak=False, condition=condition)

    def clear(sender):
        event.clear()

    event.connect(clear, priority=1)
    assert event.emit(1) == []
    del handler, condition
    collect()
    assert handler_gone() is condition_gone() is None


def test_short_lived_handlers_and_senders_leave_nothing(ns, collect):
    event, pattern = ns.event("user.created"), ns.event("user.*")

    def come_and_go():
        for number in range(200):
            sender, owner = Thing(), Owner()
            event.connect(owner.method, sender)
            pattern.connect(owner, sender)
            event.connect(owner.method, str(number))
            pattern.connect(owner, (number,))
            event.emit(sender)
            event.emit(str(number))

    def objects():
        collect()
        return len(gc.get_objects())

    come_and_go()
    before = objects()
    come_and_go()
    come_and_go()
    assert objects() < before + 100
    assert event.handlers == pattern.handlers == []


# Temporary handlers


def line():
    return sys._getframe(1).f_lineno


def temporary_function():
    def handler(sender):
        pass

    return handler


TEMPORARY = {
    "function": temporary_function,
    "partial": lambda: functools.partial(print),
    "method": lambda: Owner().method,
    "object": Owner,
    "set.add": lambda: set().add,
}
if FREE_THREADED:  # only the collector deletes functions
    del TEMPORARY["function"]
functions_die_at_once = pytest.mark.skipif(FREE_THREADED, reason="functions die only at a collection")


def assert_one_warning(caught, number):
    (warning,) = caught
    assert (warning.category, warning.filename, warning.lineno) == (RuntimeWarning, __file__, number)


@pytest.mark.parametrize("make", TEMPORARY.values(), ids=TEMPORARY)
def test_temporary_handler_warns_at_the_callers_line(ns, collect, make):
    event = ns.event("x")
    with pytest.warns(RuntimeWarning, match="x") as caught:
        number = line() + 1
        event.connect(make())
    assert_one_warning(caught, number)
    collect()
    assert event.handlers == []


@functions_die_at_once
def test_lambda_warns(ns):
    event = ns.event("x")
    with pytest.warns(RuntimeWarning) as caught:
        number = line() + 1
        event.connect(lambda sender: None)
    assert_one_warning(caught, number)


def connect_with_sender(api, ns, make):
    ns.event("x").connect(make(), sender="s")
    return line() - 1


def connect_with_weak_sender(api, ns, make):
    sender = Thing()
    ns.event("x").connect(make(), sender=sender)
    return line() - 1


def connect_with_options(api, ns, make):
    ns.event("x").connect(make(), priority=1, condition=callable, once=True, with_event=True)
    return line() - 1


def connect_by_keyword(api, ns, make):
    ns.event("x").connect(receiver=make())
    return line() - 1


def connect_a_bound_connect(api, ns, make):
    connect = ns.event("x").connect
    connect(make())
    return line() - 1


def connect_a_pattern(api, ns, make):
    ns.event("x*").connect(make())
    return line() - 1


def connect_over_lines(api, ns, make):
    ns.event("x").connect(
        make(),
        priority=1,
    )
    return line() - 4


def on(api, ns, make):
    ns.on("x")(make())
    return line() - 1


def on_event(api, ns, make):
    ns.on(ns.event("x"), priority=1)(make())
    return line() - 1


def module_level_on(api, ns, make):
    api.on("x")(make())
    return line() - 1


def on_kept(api, ns, make):
    decorate = ns.on("x", sender="s")
    decorate(make())
    return line() - 1


def connect_in_a_loop(api, ns, make):
    for _ in range(1):
        ns.event("x").connect(make())
    return line() - 1


def connect_in_a_with(api, ns, make):
    with threading.Lock():
        ns.event("x").connect(make())
    return line() - 1


WAYS = [
    connect_with_sender,
    connect_with_weak_sender,
    connect_with_options,
    connect_by_keyword,
    connect_a_bound_connect,
    connect_a_pattern,
    connect_over_lines,
    on,
    on_event,
    module_level_on,
    on_kept,
    connect_in_a_loop,
    connect_in_a_with,
]


@pytest.mark.parametrize("make", TEMPORARY.values(), ids=TEMPORARY)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_way_to_connect_a_temporary_warns(api, ns, way, make):
    with pytest.warns(RuntimeWarning) as caught:
        number = way(api, ns, make)
    assert_one_warning(caught, number)


def test_each_temporary_warns(ns):
    with pytest.warns(RuntimeWarning) as caught:
        for _ in range(3):
            ns.event("x").connect(functools.partial(print))
    assert len(caught) == 3


def test_two_temporaries_in_one_line_warn_twice(ns):
    event = ns.event("x")
    with pytest.warns(RuntimeWarning) as caught:
        event.connect(functools.partial(print)); event.connect(functools.partial(print))  # noqa: E702  # fmt: skip
    assert len(caught) == 2


def test_warning_is_in_the_connecting_module(ns):
    source = "import functools\n\nevent.connect(functools.partial(print))\n"
    with pytest.warns(RuntimeWarning) as caught:
        exec(compile(source, "the_module.py", "exec"), {"event": ns.event("x"), "__name__": "the_module"})
    (warning,) = caught
    assert (warning.filename, warning.lineno) == ("the_module.py", 3)


# No false warnings


def assigned(api, event):
    handler = event.connect(lambda sender: None)
    return handler


def assigned_to_an_attribute(api, event):
    thing = Thing()
    thing.handler = event.connect(lambda sender: None)
    return thing


def deleted_later(api, event):
    handler = lambda sender: None  # noqa: E731
    event.connect(handler)
    del handler


def deleted_in_the_same_line(api, event):
    handler = lambda sender: None  # noqa: E731
    event.connect(handler); del handler  # noqa: E702  # fmt: skip


def replaced_in_the_same_line(api, event):
    handler = lambda sender: None  # noqa: E731
    event.connect(handler); handler = None  # noqa: E702  # fmt: skip


def made_connected_and_deleted_in_one_line(api, event):
    handler = functools.partial(print); event.connect(handler); del handler  # noqa: E702  # fmt: skip


def method_of_an_object_deleted_in_the_same_line(api, event):
    owner = Owner(); event.connect(owner.method); del owner  # noqa: E702  # fmt: skip


def in_a_loop(api, event):
    for number in range(5):
        handler = functools.partial(print, number)
        event.connect(handler)


def in_a_loop_of_one_line(api, event):
    for number in range(5): handler = functools.partial(print, number); event.connect(handler)  # noqa: E701, E702  # fmt: skip


def assigned_in_a_loop(api, event):
    for number in range(5):
        handler = event.connect(functools.partial(print, number))
    return handler


def decorated_in_a_loop(api, event):
    for _ in range(5):

        @event.connect
        def handler(sender):
            pass

    return handler


def decorated_by_on_in_a_loop(api, event):
    for _ in range(5):

        @api.on(event, priority=1)
        def handler(sender):
            pass

    return handler


def in_a_comprehension(api, event):
    return [event.connect(lambda sender, number=number: number) for number in range(5)]


def methods_in_a_loop(api, event):
    for owner in [Owner() for _ in range(5)]:
        event.connect(owner.method)


def popped_in_a_loop(api, event):
    owners = [Owner() for _ in range(5)]
    while owners:
        owner = owners.pop()
        event.connect(owner)


def local_function_after_return(api, event):
    @event.connect
    def handler(sender):
        pass


def local_function_of_a_helper(api, event):
    local_function_after_return(api, event)
    local_function_after_return(api, event); local_function_after_return(api, event)  # noqa: E702  # fmt: skip


def held_by_the_caller_of_a_helper(api, event):
    def helper(handler):
        event.connect(handler)

    handler = functools.partial(print)
    helper(handler)
    del handler


def temporary_in_a_helper_that_keeps_it_for_a_while(api, event):
    def helper(handler):
        event.connect(handler)
        handler(1)

    helper(functools.partial(callable))


def given_back_by_a_helper(api, event):
    def helper(handler):
        return event.connect(handler)

    handler = helper(functools.partial(print))
    del handler


def disconnected_at_once(api, event):
    event.disconnect(event.connect(lambda sender: None))


def replaced_at_once(api, event):
    handler = event.connect(functools.partial(print))
    event.connect(handler, priority=1)
    event.connect(handler, priority=2); handler = None  # noqa: E702  # fmt: skip


def held_strongly(api, event):
    event.connect(lambda sender: None, weak=False)
    event.clear()


def held_by_a_subscription(api, event):
    subscription = event.subscribe(lambda sender: None)
    subscription.cancel()
    with event.subscribe(lambda sender: None):
        pass


def held_by_connected_to(api, event):
    with event.connected_to(lambda sender: None):
        pass


def older_handlers_collected_in_a_later_connect(api, event):
    """They are in cycles, so the collector frees them at any moment, also inside the next call of connect."""
    threshold = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for _ in range(100):
            owner = Owner()
            owner.itself = owner
            event.connect(owner.method, priority=int("5"))
    finally:
        gc.set_threshold(*threshold)


def older_handler_collected_in_the_statement_of_a_later_connect(api, event):
    for _ in range(3):
        owner = Owner()
        owner.itself = owner
        event.connect((gc.collect(), owner.method)[1])


def older_handler_dies_in_the_statement_of_a_later_connect(api, event):
    owners = [Owner()]
    event.connect(owners[0])
    kept = Owner()
    event.connect((owners.clear(), kept)[1])
    return kept


def recursive(api, event, depth=3):
    handler = functools.partial(print)
    event.connect(handler)
    if depth:
        recursive(api, event, depth - 1)


def by_a_function_that_calls_anything(api, event):
    """The frames of the call that connects the handler and of the one that frees it stop at the same instruction."""

    def call(function, *args):
        function(*args)

    owners = [Owner()]
    call(event.connect, owners[0])
    call(owners.clear)


def by_a_function_that_drops_results(api, event):
    """As above, but the result of another call is dropped there."""

    def call(function, *args):
        function(*args)

    owners = [Owner()]
    call(event.connect, owners[0])
    call(owners.pop)


def by_threads(api, event):
    def in_thread(target, *args):
        thread = threading.Thread(target=target, args=args)
        del args
        thread.start()
        thread.join()

    owners = [Owner()]
    in_thread(event.connect, owners[0])
    in_thread(owners.pop)


def by_an_exit_stack(api, event):
    owners = [Owner()]
    with contextlib.ExitStack() as stack:
        stack.callback(owners.pop)
        stack.callback(lambda: None)
        stack.callback(event.connect, owners[0])


def by_a_thread_pool(api, event):
    owners = [Owner()]
    with ThreadPoolExecutor(1) as pool:
        pool.submit(event.connect, owners[0]).result()
        pool.submit(owners.clear).result()


def by_an_instruction_that_connects_first_and_drops_then(api, event):
    """The frame returns to that statement; it has not stayed there."""
    owners = [Owner()]
    for function, count in ((event.connect, 1), (owners.clear, 0)):
        function(*owners[:count])


def by_an_instruction_that_connects_first_and_assigns_then(api, event):
    for function in (event.connect, callable):
        handler = function(functools.partial(print))
    return handler


def in_a_generator(api, event):
    def setup():
        handler = functools.partial(print)
        event.connect(handler)
        yield

    for _ in setup():
        pass


def in_an_exception(api, event):
    handler = functools.partial(print)
    with pytest.raises(ZeroDivisionError):
        event.connect(handler) and 1 / 0
    del handler


SILENT_CASES = [
    assigned,
    assigned_to_an_attribute,
    deleted_later,
    deleted_in_the_same_line,
    replaced_in_the_same_line,
    made_connected_and_deleted_in_one_line,
    method_of_an_object_deleted_in_the_same_line,
    in_a_loop,
    in_a_loop_of_one_line,
    assigned_in_a_loop,
    decorated_in_a_loop,
    decorated_by_on_in_a_loop,
    in_a_comprehension,
    methods_in_a_loop,
    popped_in_a_loop,
    local_function_after_return,
    local_function_of_a_helper,
    held_by_the_caller_of_a_helper,
    temporary_in_a_helper_that_keeps_it_for_a_while,
    given_back_by_a_helper,
    disconnected_at_once,
    replaced_at_once,
    held_strongly,
    held_by_a_subscription,
    held_by_connected_to,
    older_handlers_collected_in_a_later_connect,
    older_handler_collected_in_the_statement_of_a_later_connect,
    older_handler_dies_in_the_statement_of_a_later_connect,
    recursive,
    by_a_function_that_calls_anything,
    by_a_function_that_drops_results,
    by_threads,
    by_an_exit_stack,
    by_a_thread_pool,
    by_an_instruction_that_connects_first_and_drops_then,
    by_an_instruction_that_connects_first_and_assigns_then,
    in_a_generator,
    in_an_exception,
]


@pytest.mark.parametrize("case", SILENT_CASES, ids=lambda case: case.__name__)
def test_no_false_warnings(api, ns, collect, no_warning, case):
    event = ns.event("x")
    kept = case(api, event)
    event.emit(1)
    del kept
    collect()
    assert event.handlers == []


def test_no_warning_in_a_module_that_releases_later(ns, no_warning):
    source = "handler = lambda sender: 5\nevent.connect(handler)\ndel handler\n"
    exec(source, {"event": ns.event("x")})


# A method decorated in its class


def connect_in_class(api, ns):
    class Decorated:
        @ns.event("x").connect
        def method(self, **kwargs):
            pass

    return Decorated


def connect_pattern_in_class(api, ns):
    class Decorated:
        @ns.event("x*").connect
        def method(self, **kwargs):
            pass

    return Decorated


def on_in_class(api, ns):
    class Decorated:
        @ns.on("x", weak=False)
        def method(self, sender, **kwargs):
            pass

    return Decorated


def async_in_class(api, ns):
    class Decorated:
        @api.on(ns.event("x"))
        async def method(self, sender, **kwargs):
            pass

    return Decorated


@pytest.mark.parametrize(
    "case", [connect_in_class, connect_pattern_in_class, on_in_class, async_in_class], ids=lambda case: case.__name__
)
def test_method_decorated_in_its_class_warns(api, ns, case):
    with pytest.warns(RuntimeWarning, match="self") as caught:
        kept = case(api, ns)
    first = case.__code__.co_firstlineno
    (warning,) = caught
    assert warning.filename == __file__
    assert first + 2 <= warning.lineno <= first + 3  # the line of the decorator or of the function
    assert kept


def test_function_with_self_parameter_warns(ns):
    event = ns.event("x")
    with pytest.warns(RuntimeWarning, match="method") as caught:
        number = line() + 1
        event.connect(Owner.method)
    assert_one_warning(caught, number)


@pytest.mark.parametrize(
    "handler",
    [
        Owner().method,
        Owner.classmethod,
        Owner.staticmethod,
        Owner(),
        functools.partial(Owner.method, Owner()),
        types.MethodType(lambda self, sender: None, Owner()),
        lambda sender, self=None: None,
        lambda sender, *, self=None: None,
        lambda *self: None,
        lambda **self: None,
        lambda: None,
    ],
    ids=[
        "method",
        "classmethod",
        "staticmethod",
        "object",
        "partial",
        "MethodType",
        "second parameter",
        "keyword",
        "*self",
        "**self",
        "no parameter",
    ],
)
def test_other_handlers_with_self_do_not_warn(ns, no_warning, handler):
    ns.event("x").connect(handler, weak=False)


# Later deaths are logged


def deaths(caplog):
    return [record for record in caplog.records if record.name == "cyevents" and record.levelno == logging.DEBUG]


@pytest.mark.parametrize("special", [False, True], ids=["any sender", "sender"])
@pytest.mark.parametrize("place", ["user.created", "user.*"])
@pytest.mark.parametrize("kind", ["function", "method", "callable object", "partial", "classmethod"])
def test_death_is_logged_at_the_next_table_change(api, ns, collect, caplog, no_warning, kind, place, special):
    caplog.set_level(logging.DEBUG, logger="cyevents")
    event, target = ns.event("user.created"), ns.event(place)
    handler, owner = WEAK[kind]()
    target.connect(handler, sender="s" if special else api.ANY)
    event.emit("s")
    name = getattr(handler, "__name__", "Owner")
    del handler, owner
    collect()
    assert deaths(caplog) == []
    assert event.emit("s") == []
    (record,) = deaths(caplog)
    assert name in record.getMessage()
    assert "user." in record.getMessage()
    event.emit("s")
    assert len(deaths(caplog)) == 1


def test_death_after_disconnect_is_not_logged(ns, collect, caplog):
    caplog.set_level(logging.DEBUG, logger="cyevents")
    event = ns.event("x")
    handler, owner = WEAK["function"]()
    event.connect(handler)
    event.emit(1)
    event.disconnect(handler)
    del handler, owner
    collect()
    event.emit(1)
    assert deaths(caplog) == []


def test_death_after_an_emission_logs_at_debug(ns, collect, caplog):
    caplog.set_level(logging.INFO, logger="cyevents")
    event = ns.event("x")
    handler, owner = WEAK["function"]()
    event.connect(handler)
    event.emit(1)
    del handler, owner
    collect()
    event.emit(1)
    assert caplog.records == []
