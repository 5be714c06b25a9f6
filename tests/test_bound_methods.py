"""Bound methods of all types: equal each time, held through their object, and accepted back by `disconnect`."""

import asyncio
import collections
import gc
import sys
import threading
import weakref

import pytest


@pytest.fixture
def event(ns):
    return ns.event("x")


class Box(list):
    """A list that supports weak references."""


class Counts(dict):
    def pop(self, key):
        return "Counts.pop"


class Compiled:
    """A function and a method of their own types, as compilers make them: the function's `__get__` binds the method."""

    class method:
        __slots__ = ("__func__", "__self__", "__weakref__")

        def __init__(self, function, owner):
            self.__func__, self.__self__ = function, owner

        def __call__(self, *args, **kwargs):
            return self.__func__(self.__self__, *args, **kwargs)

    class function:
        def __init__(self, function):
            self.function = function

        def __get__(self, owner, cls=None):
            return self if owner is None else Compiled.method(self, owner)

        def __call__(self, *args, **kwargs):
            return self.function(*args, **kwargs)


class Shop:
    @Compiled.function
    def handle(self, sender):
        return f"handled {sender}"

    @Compiled.function
    async def handle_async(self, sender):
        return f"awaited {sender}"

    @Compiled.function
    def handle_each(self, sender):
        yield sender

    def method(self, sender):
        return "method"


METHODS = {
    "Python": lambda: (owner := Shop(), lambda: owner.method),
    "compiled": lambda: (owner := Shop(), lambda: owner.handle),
    "deque.append": lambda: (owner := collections.deque(), lambda: owner.append),
    "set.add": lambda: (owner := set(), lambda: owner.add),
    "subclass": lambda: (owner := Box(), lambda: owner.append),
    "overridden": lambda: (owner := Counts(), lambda: super(Counts, owner).pop),
    "class method": lambda: (dict, lambda: dict.fromkeys),
    "class method of a subclass": lambda: (Counts, lambda: Counts.fromkeys),
    "method-wrapper": lambda: (owner := Box(), lambda: owner.__eq__),
    "lock": lambda: (owner := threading.Lock(), lambda: owner.acquire),
}


@pytest.fixture(params=list(METHODS))
def method(request):
    return METHODS[request.param]()


def test_same_method_is_the_same_handler(event, method):
    owner, get = method
    event.connect(get(), weak=False)
    event.connect(get(), weak=False, priority=5)
    assert [connection.priority for connection in event.handlers] == [5]
    assert event.is_connected(get())
    assert event.disconnect(get())
    assert event.handlers == []


def test_reported_handler_can_be_disconnected(event, method):
    owner, get = method
    for weak in (True, False):
        try:
            event.connect(get(), weak=weak)
        except TypeError:  # its object cannot be weakly referenced
            assert weak
            continue
        assert event.disconnect(event.handlers[0].handler)
        assert not event.disconnect(get())


@pytest.mark.parametrize("weak", [True, False])
def test_handlers_from_results_can_be_disconnected(event, weak):
    class Veto(Shop):
        @Compiled.function
        def handle(self, sender):
            return False

        def method(self, sender):
            return False

    owner = Veto()
    for get in (lambda: owner.handle, lambda: owner.method):
        held = get()
        event.connect(held, weak=weak)
        ((handler, value),) = event.send(1)
        cancelled = event.emit(1)
        assert value is False
        if not weak:
            assert handler is cancelled.handler is held
        assert event.disconnect(handler)
        event.connect(get(), weak=weak)
        assert event.disconnect(cancelled.handler)


def test_other_object_or_function_is_another_handler(event):
    one, other = collections.deque(), collections.deque()
    event.connect(one.append)
    event.connect(other.append)
    event.connect(one.appendleft)
    assert len(event.handlers) == 3
    assert event.disconnect(one.appendleft)
    event.emit("a")
    assert (list(one), list(other)) == (["a"], ["a"])


def test_method_lives_as_long_as_its_object(event):
    queue, shop = collections.deque(), Shop()
    event.connect(queue.append)
    event.connect(shop.handle)
    gc.collect()
    assert event.emit("ada") == ["handled ada"]
    assert list(queue) == ["ada"]
    ref = weakref.ref(queue)
    del queue, shop
    gc.collect()
    assert ref() is None
    assert event.handlers == []


def test_compiled_methods_of_every_kind_are_called(event, run):
    shop = Shop()
    for method in shop.handle, shop.handle_async, shop.handle_each:
        event.connect(method)

    async def main():
        return await event.emit_async("ada")

    assert run(main()) == ["handled ada", "awaited ada", ["ada"]]


def test_future_set_result_is_a_handler(api, run):
    event = api.Event("replied")

    async def main():
        future = asyncio.get_running_loop().create_future()
        event.connect(future.set_result, once=True)
        event.emit("ada")
        other = asyncio.get_running_loop().create_future()
        event.connect(other.set_exception)
        assert event.disconnect(other.set_exception)
        return await future

    assert run(main()) == "ada"


def test_function_is_not_a_method(event):
    for function in print, len, sys.getsizeof, str.maketrans:
        event.connect(function)
        assert event.disconnect(function)


def test_method_with_more_state_compares_by_identity(event):
    class Bound:
        def __init__(self, owner, more):
            self.__self__, self.__func__, self.more = owner, Shop.method, more

        def __call__(self, sender):
            return self.more

    one, other = Bound(self := Shop(), 1), Bound(self, 2)
    event.connect(one)
    event.connect(other)
    assert event.emit() == [1, 2]


def test_misleading_classes_are_not_methods(event):
    class Meta(type):
        def __getattribute__(cls, name):
            raise ZeroDivisionError(name)

    class Hostile(metaclass=Meta):
        def __call__(self, sender):
            return "called"

    handler = Hostile()
    event.connect(handler, handler)
    assert event.emit(handler) == ["called"]
    assert event.disconnect(handler, handler)


# Senders


def test_same_method_is_the_same_sender(event, method):
    owner, get = method

    def handler(sender):
        return "called"

    event.connect(handler, sender=get())
    assert event.has_handlers_for(get())
    assert event.emit(get()) == ["called"]
    assert event.emit(owner) == []
    assert event.disconnect(handler, get())
    assert event.handlers == []


def test_callable_senders_are_compared_by_identity(event):
    class App:
        def __call__(self):
            pass

    def handler(sender):
        return "called"

    for sender in App(), App, test_misleading_classes_are_not_methods, print, len:
        event.connect(handler, sender=sender)
        assert event.emit(sender) == ["called"]
        assert event.disconnect(handler, sender)
    assert event.emit(App()) == []


# Conditions of the handler's own object


class Door:
    open = True

    def is_open(self, sender, **kwargs):
        return self.open

    def enter(self, sender, **kwargs):
        return "entered"

    def __call__(self, sender, **kwargs):
        return "called"


@pytest.mark.parametrize("get", [lambda door: door.enter, lambda door: door], ids=["method", "object"])
def test_condition_of_the_same_object_is_held_weakly(event, get, run):
    door = Door()
    event.connect(get(door), condition=door.is_open)
    assert event.emit(1, a=2) == [get(door)(1)]
    assert [value for _, value in event.send(1)] == run(event.emit_async(1)) == [get(door)(1)]
    door.open = False
    assert event.emit(1) == event.send(1) == run(event.emit_async(1)) == []
    (connection,) = event.handlers
    assert connection.condition == door.is_open
    assert "condition=Door.is_open" in repr(connection)
    ref = weakref.ref(door)
    del door, connection
    gc.collect()
    assert ref() is None
    assert event.handlers == []


def test_condition_of_another_object_is_held_strongly(event):
    door, other = Door(), Door()
    event.connect(door.enter, condition=other.is_open)
    ref = weakref.ref(other)
    del other
    gc.collect()
    assert ref() is not None
    assert event.emit(1) == ["entered"]


def test_condition_of_a_strongly_held_object(event):
    event.connect(Door().enter, weak=False, condition=Door().is_open)
    assert event.emit(1) == ["entered"]


def test_condition_that_disconnects_its_own_object(event):
    class Fickle(Door):
        def is_open(self, sender):
            event.disconnect(self.enter)
            return True

    door = Fickle()
    event.connect(door.enter, condition=door.is_open)
    assert event.emit(1) == []
