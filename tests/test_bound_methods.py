"""Bound methods of all types: the same handler each time, held by their object, found again by what is given back."""

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
    """A list that can be referred to weakly."""


class Counts(dict):
    def pop(self, key):
        return "Counts.pop"


class Compiled:
    """A function and a method as compilers make them: types of their own, bound by the function's `__get__`."""

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


def test_it_is_the_same_handler_each_time(event, method):
    owner, get = method
    event.connect(get(), weak=False)
    event.connect(get(), weak=False, priority=5)
    assert [connection.priority for connection in event.handlers] == [5]
    assert event.is_connected(get())
    assert event.disconnect(get())
    assert event.handlers == []


def test_what_is_given_back_can_be_disconnected(event, method):
    owner, get = method
    for weak in (True, False):
        try:
            event.connect(get(), weak=weak)
        except TypeError:  # its object cannot be referred to weakly
            assert weak
            continue
        assert event.disconnect(event.handlers[0].handler)
        assert not event.disconnect(get())


@pytest.mark.parametrize("weak", [True, False])
def test_send_and_cancelled_give_back_what_disconnect_takes(event, weak):
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


def test_another_object_or_function_is_another_handler(event):
    one, other = collections.deque(), collections.deque()
    event.connect(one.append)
    event.connect(other.append)
    event.connect(one.appendleft)
    assert len(event.handlers) == 3
    assert event.disconnect(one.appendleft)
    event.emit("a")
    assert (list(one), list(other)) == (["a"], ["a"])


def test_they_are_held_by_their_object(event):
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


def test_compiled_methods_of_all_kinds_are_called(event, run):
    shop = Shop()
    for method in shop.handle, shop.handle_async, shop.handle_each:
        event.connect(method)

    async def main():
        return await event.emit_async("ada")

    assert run(main()) == ["handled ada", "awaited ada", ["ada"]]


def test_a_future_is_set(api, run):
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


def test_a_function_is_no_method(event):
    for function in print, len, sys.getsizeof, str.maketrans:
        event.connect(function)
        assert event.disconnect(function)


def test_what_binds_more_is_compared_by_identity(event):
    class Bound:
        def __init__(self, owner, more):
            self.__self__, self.__func__, self.more = owner, Shop.method, more

        def __call__(self, sender):
            return self.more

    one, other = Bound(self := Shop(), 1), Bound(self, 2)
    event.connect(one)
    event.connect(other)
    assert event.emit() == [1, 2]


def test_hostile_classes_are_no_methods(event):
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


def test_methods_are_the_same_sender_each_time(event, method):
    owner, get = method

    def handler(sender):
        return "called"

    event.connect(handler, sender=get())
    assert event.has_handlers_for(get())
    assert event.emit(get()) == ["called"]
    assert event.emit(owner) == []
    assert event.disconnect(handler, get())
    assert event.handlers == []


def test_callable_objects_and_classes_are_senders_by_identity(event):
    class App:
        def __call__(self):
            pass

    def handler(sender):
        return "called"

    for sender in App(), App, test_hostile_classes_are_no_methods, print, len:
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
def test_a_condition_of_its_own_object_does_not_keep_it_alive(event, get, run):
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


def test_a_condition_of_another_object_is_held(event):
    door, other = Door(), Door()
    event.connect(door.enter, condition=other.is_open)
    ref = weakref.ref(other)
    del other
    gc.collect()
    assert ref() is not None
    assert event.emit(1) == ["entered"]


def test_a_condition_of_an_object_that_is_held_strongly(event):
    event.connect(Door().enter, weak=False, condition=Door().is_open)
    assert event.emit(1) == ["entered"]


def test_a_condition_that_disconnects_its_own_object(event):
    class Fickle(Door):
        def is_open(self, sender):
            event.disconnect(self.enter)
            return True

    door = Fickle()
    event.connect(door.enter, condition=door.is_open)
    assert event.emit(1) == []
