"""cyevents.blinker: what blinker promises, and where it does better."""

import asyncio
import collections
import copy
import functools
import importlib
import inspect
import pickle
import weakref

import pytest


@pytest.fixture
def signal(blinker):
    return blinker.Signal()


class Log(list):
    """The arguments of the receivers' calls."""

    def receiver(self, key, value=None):
        def receive(sender, /, **kwargs):
            self.append((key, sender, kwargs))
            return value

        return receive

    def take(self):
        taken = list(self)
        del self[:]
        return taken


@pytest.fixture
def log():
    return Log()


class Sender:
    pass


# Sending


def test_send_returns_pairs_in_order_of_connection(signal):
    receivers = [lambda sender, value=value: value for value in (None, False, 0, [1])]
    for receiver in receivers:
        signal.connect(receiver)
    assert signal.send("s") == list(zip(receivers, (None, False, 0, [1]), strict=True))


def test_send_is_the_method_of_the_core(blinker, signal, backend):
    assert type(signal).send is importlib.import_module("cyevents._core").SignalCore.send
    assert inspect.isfunction(type(signal).send) is (backend == "python")
    signal.connect(print)
    assert signal._SignalCore__uses_python_send is False


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        ((), {"a": 1}),
        ((), {"sender": 1, "self": 2, "receiver": 3}),
        (("s",), {}),
        (("s",), {"sender": 1, "a": 2, "b": 3}),
        (("s",), {f"k{n}": n for n in range(20)}),
        ((None,), {"_other": 1}),
    ],
)
@pytest.mark.parametrize("wrapper", ["none", "given", "first", "last"])
@pytest.mark.parametrize("by_hand", [False, True])
def test_arguments_reach_every_kind_of_receiver(signal, args, kwargs, wrapper, by_hand):
    class Owner:
        def method(*args, **kwargs):
            return args[1:], kwargs

        def __call__(*args, **kwargs):
            return args[1:], kwargs

    def function(*args, **kwargs):
        return args, kwargs

    owner = Owner()
    for receiver in (function, owner.method, owner, functools.partial(function)):
        signal.connect(receiver, weak=False)
    if by_hand:
        other = Sender()
        signal.connect(asyncio.sleep, sender=other)
        assert signal._SignalCore__uses_python_send is True
    expected = (args or (None,), kwargs)
    given = dict(kwargs)
    if wrapper == "given":
        given["_async_wrapper"] = None
    elif wrapper == "first":
        given = {"_async_wrapper": print, **kwargs}
    elif wrapper == "last":
        given["_async_wrapper"] = print
    assert [value for _, value in signal.send(*args, **given)] == [expected] * 4
    assert [receiver for receiver, _ in signal.send(*args, **given)][:3] == [function, owner.method, owner]


def test_second_positional_argument_is_rejected(signal, log):
    signal.connect(log.receiver("r"), weak=False)
    with pytest.raises(TypeError, match=r"Signal\.send\(\) takes from 1 to 2 positional arguments but 3 were given"):
        signal.send(1, 2)
    assert log == []


def test_exception_propagates_and_ends_the_emission(signal, log):
    def bad(sender):
        raise KeyError("bad")

    signal.connect(bad)
    signal.connect(log.receiver("r"), weak=False)
    with pytest.raises(KeyError, match="bad"):
        signal.send()
    assert log == []


def test_disconnected_receiver_is_not_called(signal):
    assert signal.send() == []
    assert signal.send("s", a=1, _async_wrapper=print) == []


def test_receiver_disconnected_during_send_is_not_called(signal, log):
    def first(sender):
        signal.disconnect(second)
        signal.connect(third)

    second, third = log.receiver("second"), log.receiver("third")
    signal.connect(first)
    signal.connect(second)
    assert signal.send("s") == [(first, None)]
    assert [receiver for receiver, _ in signal.send("s")] == [first, third]


def test_generators_are_values(signal):
    @signal.connect
    def generator(sender):
        yield 1

    ((_, value),) = signal.send()
    assert list(value) == [1]


# Async receivers


def async_wrapper(function):
    return lambda *args, **kwargs: asyncio.run(function(*args, **kwargs))


def sync_wrapper(function):
    async def inner(*args, **kwargs):
        return function(*args, **kwargs)

    return inner


def coroutine_functions():
    class Owner:
        async def method(self, sender, **kwargs):
            return sender, kwargs

    async def function(sender, **kwargs):
        return sender, kwargs

    owner = Owner()
    return [function, owner.method, functools.partial(function), functools.partial(owner.method)]


@pytest.mark.parametrize("number", range(4))
def test_coroutine_function_needs_wrapper_or_send_async(signal, log, number):
    receiver = coroutine_functions()[number]
    before = signal.connect(log.receiver("before", 1))
    signal.connect(receiver, weak=False)
    after = signal.connect(log.receiver("after", 2))
    with pytest.raises(RuntimeError, match=r"^Cannot send to a coroutine function\.$"):
        signal.send("s", a=1)
    assert [key for key, _, _ in log.take()] == ["before"]
    expected = [(before, 1), (receiver, ("s", {"a": 1})), (after, 2)]
    assert signal.send("s", _async_wrapper=async_wrapper, a=1) == expected
    with pytest.raises(RuntimeError, match=r"^Cannot send to a non-coroutine function\.$"):
        asyncio.run(signal.send_async("s", a=1))
    assert asyncio.run(signal.send_async("s", a=1, _sync_wrapper=sync_wrapper)) == expected
    signal.disconnect(before)
    signal.disconnect(after)
    assert asyncio.run(signal.send_async("s", a=1)) == expected[1:2]


def test_plain_functions_are_not_wrapped_or_awaited(signal):
    class Awaiting:
        async def __call__(self, sender):
            return sender

    receiver = Awaiting()
    signal.connect(receiver)
    ((_, coroutine),) = signal.send("s", _async_wrapper=None)
    assert asyncio.run(coroutine) == "s"


def test_send_async_awaits_sequentially(signal, log):
    async def slow(sender):
        for _ in range(3):
            await asyncio.sleep(0)
        log.append("slow")

    async def quick(sender):
        log.append("quick")

    signal.connect(slow)
    signal.connect(quick)
    assert asyncio.run(signal.send_async()) == [(slow, None), (quick, None)]
    assert log == ["slow", "quick"]


@pytest.mark.parametrize("marked", [False, True])
def test_coroutine_functions_are_detected_like_inspect(blinker, marked):
    base = blinker.base

    def wrapping(function):
        @functools.wraps(function)
        def inner(*args):
            return function(*args)

        return inner

    class Called:
        async def __call__(self):
            pass

    things = [*coroutine_functions(), print, Log().append, Called(), Called().__call__, Called, wrapping(asyncio.sleep)]
    things += [asyncio.sleep, lambda: None, functools.partial(print), 5, inspect]
    if marked and hasattr(inspect, "markcoroutinefunction"):
        things = [inspect.markcoroutinefunction(lambda: None), functools.partial(print)]
    for thing in things:
        assert base.is_coroutine_function(thing) is inspect.iscoroutinefunction(thing), thing


# Senders


def test_receivers_for_a_sender(blinker, signal, log):
    some, any_ = log.receiver("some"), log.receiver("any")
    sender = Sender()
    signal.connect(some, sender)
    signal.connect(any_, blinker.ANY)
    signal.send(sender, a=1)
    assert log.take() == [("some", sender, {"a": 1}), ("any", sender, {"a": 1})]
    signal.send(Sender())
    signal.send()
    signal.send(blinker.ANY)
    assert [key for key, _, _ in log.take()] == ["any"] * 3
    signal.connect(any_, sender)
    signal.send(sender)
    assert [key for key, _, _ in log.take()] == ["some", "any"]


def test_one_receiver_for_several_senders(signal, log):
    receiver = log.receiver("r")
    for sender in ("a", "b"):
        signal.connect(receiver, sender)
    signal.send("a")
    signal.send("b")
    signal.send("c")
    assert [sender for _, sender, _ in log.take()] == ["a", "b"]
    signal.disconnect(receiver, "a")
    signal.send("a")
    signal.send("b")
    assert [sender for _, sender, _ in log.take()] == ["b"]
    signal.connect(receiver, "a")
    signal.disconnect(receiver)
    signal.send("a")
    signal.send("b")
    assert log == []
    assert not signal.receivers


@pytest.mark.parametrize("sender", [0, 1, -1, "", "a", 10**30])
def test_values_are_senders(signal, log, sender):
    signal.connect(log.receiver("r"), sender, weak=False)
    equal = int(str(sender)) if isinstance(sender, int) else "".join(list(sender))
    signal.send(equal)
    signal.send(2)
    signal.send()
    assert [sender for _, sender, _ in log] == [sender]


def test_none_is_a_sender(signal, log):
    signal.connect(log.receiver("r"), None, weak=False)
    signal.send()
    signal.send(0)
    assert log == [("r", None, {})]


def test_dead_sender_loses_its_connections(signal, log, collect):
    sender = Sender()
    signal.connect(log.receiver("r"), sender, weak=False)
    reference = weakref.ref(sender)
    assert signal.receivers
    del sender
    collect()
    assert reference() is None
    assert not signal.receivers


# Weak and temporary receivers


def test_receivers_are_held_weakly(signal, log, collect):
    class Owner:
        def method(self, sender):
            log.append(sender)

    receiver, owner = log.receiver("r"), Owner()
    signal.connect(receiver)
    signal.connect(owner.method)
    signal.send("s")
    assert log.take() == [("r", "s", {}), "s"]
    del receiver, owner
    collect()
    assert signal.send("s") == []
    assert not signal.receivers
    assert log == []


def test_receivers_can_be_held_strongly(signal, log, collect):
    signal.connect(log.receiver("r"), weak=False)

    @signal.connect_via("s")
    def other(sender):
        log.append("via")

    reference = weakref.ref(other)
    del other
    collect()
    signal.send("s")
    assert [entry[0] if type(entry) is tuple else entry for entry in log] == ["r", "via"]

    @signal.connect_via("s", weak=True)
    def third(sender):
        log.append("weak")

    del third
    collect()
    del log[:]
    signal.send("s")
    assert len(log) == 2
    signal.disconnect(reference())
    collect()
    assert reference() is None


def test_connect_is_a_stackable_decorator(signal, log):
    @signal.connect_via(1)
    @signal.connect_via(3)
    def odd(sender):
        log.append(sender)

    assert signal.connect(odd, 5) is odd
    for sender in range(6):
        signal.send(sender)
    assert log == [1, 3, 5]


def test_temporary_receiver_warns(signal):
    with pytest.warns(
        RuntimeWarning, match=r"receiver .*<lambda> of <cyevents\.blinker\.base\.Signal .* was garbage-collected"
    ) as caught:
        signal.connect(lambda sender: None)
    assert caught[0].filename == __file__


def test_receiver_without_weak_references_is_rejected(signal):
    class Slotted:
        __slots__ = ()

        def __call__(self, sender):
            return "called"

    receiver = Slotted()
    with pytest.raises(TypeError, match="cannot be held weakly"):
        signal.connect(receiver)
    signal.connect(receiver, weak=False)
    assert signal.send() == [(receiver, "called")]


# Introspection


def test_receivers_is_true_if_there_are_any(blinker, signal, log, collect):
    receivers = signal.receivers
    assert not receivers
    assert receivers == {}
    receiver = log.receiver("r")
    signal.connect(receiver, "s")
    assert receivers
    assert len(receivers) == 1
    assert [ref() for ref in signal.receivers.values()] == [receiver]
    assert id(receiver) in receivers
    assert receivers[id(receiver)]() is receiver
    signal.connect(receiver, "t")
    assert len(receivers) == 1
    signal.connect(receiver, weak=False)
    assert list(receivers.values()) == [receiver]
    assert repr(receivers) == repr(dict(receivers))
    with signal.muted():
        assert signal.receivers
    signal.disconnect(receiver)
    assert not receivers

    class Owner:
        def method(self, sender):
            pass

    owner = Owner()
    signal.connect(owner.method)
    assert [ref() for ref in receivers.values()] == [owner.method]
    with pytest.raises(AttributeError):
        signal.receivers = {}


def test_receivers_for(blinker, signal, log):
    sender = Sender()
    some, any_, both = log.receiver("some"), log.receiver("any"), log.receiver("both")
    signal.connect(some, sender)
    signal.connect(any_)
    signal.connect(both)
    signal.connect(both, sender)
    assert list(signal.receivers_for(sender)) == [some, any_, both]
    assert list(signal.receivers_for("other")) == [any_, both]
    assert list(signal.receivers_for(blinker.ANY)) == [any_, both]
    with signal.muted():
        assert list(signal.receivers_for(sender)) == [some, any_, both]
    walk = signal.receivers_for(sender)
    assert next(walk) is some
    signal.disconnect(any_)
    assert list(walk) == [both]


def test_has_receivers_for(blinker, signal, log):
    sender = Sender()
    receiver = log.receiver("r")
    assert not signal.has_receivers_for(sender)
    signal.connect(receiver, sender)
    with signal.muted():
        assert signal.has_receivers_for(sender) is True
    assert not signal.has_receivers_for(None)
    assert not signal.has_receivers_for(blinker.ANY)
    signal.connect(receiver)
    assert signal.has_receivers_for(None)
    assert signal.has_receivers_for(blinker.ANY)
    signal.disconnect(receiver)
    assert not signal.has_receivers_for(sender)


# Changing the receivers


@pytest.mark.parametrize("how", ["del", "pop", "popitem", "clear"])
def test_receivers_can_be_removed(signal, log, how):
    kept, gone = log.receiver("kept", 1), log.receiver("gone", 2)
    notified = []
    signal.receiver_disconnected.connect(lambda sender, /, **kwargs: notified.append(kwargs), weak=False)
    if how != "clear":
        signal.connect(kept)
    signal.connect(gone)
    signal.connect(gone, "s", weak=False)
    if how == "del":
        del signal.receivers[id(gone)]
    elif how == "pop":
        assert signal.receivers.pop(id(gone)) is gone
    elif how == "popitem":
        assert signal.receivers.popitem() == (id(gone), gone)
    else:
        assert signal.receivers.clear() is None
    expected = [] if how == "clear" else [(kept, 1)]
    assert signal.send("s") == signal.send("t") == expected
    assert len(signal.receivers) == len(expected)
    assert bool(signal.receivers) is bool(expected)
    assert notified == []


def test_removing_unknown_receivers(signal):
    with pytest.raises(KeyError, match="^5$"):
        signal.receivers.pop(5)
    with pytest.raises(KeyError, match="^5$"):
        del signal.receivers[5]
    with pytest.raises(KeyError, match="no receivers are connected"):
        signal.receivers.popitem()
    assert signal.receivers.pop(5, None) is None
    assert signal.receivers.pop(5, default=6) == 6
    signal.receivers.clear()


@pytest.mark.parametrize("copied", [lambda receivers: receivers.copy(), dict, copy.copy])
@pytest.mark.parametrize("clear", [lambda signal: signal.receivers.clear(), lambda signal: signal._clear_state()])
def test_receivers_are_saved_and_restored(blinker, signal, log, collect, copied, clear):
    class Owner:
        def method(self, sender):
            return "method"

    owner, other, sender = Owner(), Owner(), Sender()
    first, second, third = (log.receiver(key, key) for key in ("first", "second", "third"))
    signal.connect(first, sender)
    signal.connect(owner.method)
    signal.connect(second, "s")
    signal.connect(second, sender)
    signal.connect(second, 5)
    signal.connect(third, "s", weak=False)
    signal.connect(first, other.method)
    senders = [sender, "s", 5, 6, True, None, other.method, blinker.ANY]
    before = [signal.send(each) for each in senders]
    shown = list(signal.receivers.items())
    saved = copied(signal.receivers)
    assert type(saved) is dict
    assert saved == signal.receivers
    clear(signal)
    assert not signal.receivers
    assert [signal.send(each) for each in senders] == [[]] * len(senders)
    temporary = log.receiver("temporary")
    with signal.connected_to(temporary):
        signal.connect(first, "temporary")
        signal.disconnect(first)
        assert signal.receivers.update(saved) is None
    assert [signal.send(each) for each in senders] == before
    assert [key for key, _ in shown] == list(signal.receivers)
    signal.receivers.update(saved)  # a second time there is nothing to restore
    assert [signal.send(each) for each in senders] == before
    # Each is held as before: weakly, except the third.
    references = [weakref.ref(thing) for thing in (first, second, owner, third, sender)]
    del first, second, owner, third, sender, saved, shown, before, senders, temporary, log[:]
    collect()
    assert [reference() is None for reference in references] == [True, True, True, False, True]
    assert signal.receivers


def test_deep_copy_of_receivers_restores_them(signal, log):
    weak, held = log.receiver("weak", 1), log.receiver("held", 2)
    signal.connect(weak, "s")
    signal.connect(held, weak=False)
    saved = copy.deepcopy(signal.receivers)
    signal.receivers.clear()
    signal.receivers.update(saved)
    assert signal.send("s") == [(weak, 1), (held, 2)]


def test_one_receiver_is_removed_and_restored(signal, log):
    receiver, other = log.receiver("r", 1), log.receiver("other", 2)
    for each in (receiver, other):
        for sender in ("a", "b"):
            signal.connect(each, sender)
    value = signal.receivers.pop(id(receiver))
    signal.connect(receiver, "c")
    assert signal.send("a") == [(other, 2)]
    signal.receivers[id(receiver)] = value
    assert signal.send("a") == signal.send("b") == [(other, 2), (receiver, 1)]
    assert signal.send("c") == [(receiver, 1)]
    assert signal.send("d") == []


def test_restoring_skips_dead_receivers(signal, log, collect):
    receiver, sender = log.receiver("r"), Sender()
    other = log.receiver("other")
    signal.connect(receiver)
    signal.connect(other, sender)
    saved = signal.receivers.copy()
    signal.receivers.clear()
    del receiver, sender
    collect()
    signal.receivers.update(saved)
    assert not signal.receivers


def test_removed_receivers_are_not_kept_alive(signal, log, collect):
    class Unhashable:
        __hash__ = None

    held = (log.receiver("r"), Unhashable(), Log().append)
    senders = (Sender(), Unhashable())
    for receiver in held[:2]:
        for sender in senders:
            signal.connect(receiver, sender, weak=False)
    signal.connect(held[2], senders[0], weak=False)
    references = [weakref.ref(thing) for thing in (*held[:2], held[2].__self__, *senders)]
    signal.receivers.clear()
    del held, receiver, senders, sender
    collect()
    assert [reference() for reference in references] == [None] * 5
    assert signal._SignalCore__core.removed == {}


def test_sender_values_are_stored_once(signal, log):
    receiver = log.receiver("r", 1)
    senders = ["a", b"a", 1, True, None, 10**30, Sender(), (), log.append]
    for _ in range(3):
        for sender in senders:
            signal.connect(receiver, sender)
        saved = signal.receivers.copy()
        signal.receivers.clear()
    (removed,) = signal._SignalCore__core.removed.values()
    assert len(removed.senders) == len(senders)
    signal.receivers.update(saved)
    assert [signal.send(sender) for sender in senders] == [[(receiver, 1)]] * len(senders)
    assert signal.send(2) == signal.send(False) == []


def test_key_that_was_never_connected(signal, log):
    receiver = log.receiver("r", 5)
    signal.receivers[id(receiver)] = receiver
    assert signal.send("s") == [(receiver, 5)]
    assert signal.receivers == {id(receiver): receiver}
    signal.receivers[id(receiver)] = weakref.ref(receiver)
    assert signal.send("s") == [(receiver, 5)]
    assert signal.receivers == {id(receiver): weakref.ref(receiver)}
    assert signal.receivers.setdefault(id(receiver), 5) == weakref.ref(receiver)

    async def awaited(sender):
        pass

    signal.receivers.update([(id(awaited), awaited)])
    with pytest.raises(RuntimeError, match="Cannot send to a coroutine function"):
        signal.send()
    for wrong in (5, "r", id(log)):
        with pytest.raises(ValueError, match="is not the key of .* in receivers: connect it by connect"):
            signal.receivers[wrong] = receiver
    assert len(signal.receivers) == 2


def test_strongly_held_receiver_is_shown_as_held(signal, log):
    receiver = log.receiver("r")
    for senders in (("s", "t"), ("t", "s")):
        signal.connect(receiver, senders[0], weak=False)
        signal.connect(receiver, senders[1])
        assert signal.receivers == {id(receiver): receiver}
        signal._clear_state()


def test_receivers_that_are_builtin_methods(signal, log, collect):
    seen, arrived = set(), collections.deque()
    for receiver in (seen.add, seen.remove, arrived.append, arrived.appendleft):
        signal.connect(receiver, "s")
    held = log.append
    partial = functools.partial(log.append)
    signal.connect(held, weak=False)
    signal.connect(partial)
    receivers = signal.receivers
    assert len(receivers) == len(list(receivers)) == len(set(receivers.values())) == 6
    assert receivers == dict(receivers)
    assert list(receivers.values())[4] is held
    values = [value for value in receivers.values() if isinstance(value, weakref.ref)]
    assert len(values) == 5
    assert values[0] == next(iter(receivers.values()))
    assert values[0] != values[1]
    assert values[4]() is partial
    values[0]()(1)
    assert seen == {1}
    values[1]()(1)
    values[2]()(2)
    values[3]()(1)
    assert (seen, arrived) == (set(), collections.deque([1, 2]))
    saved = receivers.copy()
    receivers.clear()
    assert signal.send("s") == []
    receivers.update(saved)
    assert [value for _, value in signal.send("s")] == [None] * 6
    signal.send("t")
    assert arrived == collections.deque(["s", 1, 2, "s"])
    assert log == ["s", "s", "t", "t"]
    seen = arrived = receiver = None
    collect()
    assert values[0]() is None
    assert len(signal.receivers) == 2


# The signals of a signal


def test_connection_signals_are_sent(blinker, log):
    signal = blinker.Signal()
    receiver = log.receiver("r")
    assert "receiver_connected" not in vars(signal)
    signal.receiver_connected.connect(log.receiver("connected"), weak=False)
    signal.receiver_disconnected.connect(log.receiver("disconnected"), weak=False)
    assert signal.receiver_connected is signal.receiver_connected
    assert type(signal.receiver_connected) is blinker.Signal

    signal.connect(receiver)
    signal.connect(receiver, sender="s", weak=False)
    signal.connect_via("t")(receiver)
    assert log.take() == [
        ("connected", signal, {"receiver": receiver, "sender": blinker.ANY, "weak": True}),
        ("connected", signal, {"receiver": receiver, "sender": "s", "weak": False}),
        ("connected", signal, {"receiver": receiver, "sender": "t", "weak": False}),
    ]
    signal.disconnect(receiver, "s")
    signal.disconnect(receiver)
    signal.disconnect(receiver)
    assert log.take() == [
        ("disconnected", signal, {"receiver": receiver, "sender": "s"}),
        *[("disconnected", signal, {"receiver": receiver, "sender": blinker.ANY})] * 2,
    ]
    with signal.connected_to(receiver, "u"):
        assert log.take() == [("connected", signal, {"receiver": receiver, "sender": "u", "weak": False})]
    assert log.take() == [("disconnected", signal, {"receiver": receiver, "sender": "u"})]


def test_type_error_in_connection_signal_undoes_it(signal, log):
    def refuse(sender, /, **kwargs):
        raise TypeError("refused")

    first, second = log.receiver("first"), log.receiver("second")
    signal.connect(first)
    signal.receiver_connected.connect(refuse)
    for receiver in (first, second):
        with pytest.raises(TypeError, match="refused"):
            signal.connect(receiver)
    assert [receiver for receiver, _ in signal.send()] == [first]


# Muting


def test_muted(signal, log):
    signal.connect(log.receiver("r"), weak=False)
    assert signal.is_muted is False
    with signal.muted() as nothing:
        assert nothing is None
        assert signal.is_muted is True
        assert signal.send() == []
        assert signal.send(1, a=2, _async_wrapper=print) == []
        assert asyncio.run(signal.send_async()) == []
    assert signal.is_muted is False
    with pytest.raises(KeyError), signal.muted():
        raise KeyError
    signal.send()
    assert len(log) == 1


def test_is_muted_can_be_set(signal, log):
    signal.connect(log.receiver("r"), weak=False)
    signal.is_muted = True
    assert signal.send() == []
    signal.is_muted = False
    assert len(signal.send()) == 1


def test_muted_is_a_decorator(signal, log):
    signal.connect(log.receiver("r"), weak=False)

    @signal.muted()
    def silent(value):
        signal.send()
        return value

    assert silent.__name__ == "silent"
    assert [silent(1), silent(value=2)] == [1, 2]
    assert log == []
    signal.send()
    assert len(log) == 1


def test_muted_signal_keeps_its_async_receivers(signal):
    async def receiver(sender):
        pass

    signal.connect(receiver)
    with signal.muted():
        pass
    with pytest.raises(RuntimeError, match="Cannot send to a coroutine function"):
        signal.send()


# Temporary connections


def test_connected_to(signal, log, collect):
    with signal.connected_to(log.receiver("r")) as nothing:
        assert nothing is None
        collect()  # it is held strongly
        signal.send(1)
    signal.send(2)
    with pytest.raises(KeyError), signal.connected_to(log.receiver("r"), sender=3):
        signal.send(3)
        signal.send(4)
        raise KeyError
    signal.send(3)
    assert [sender for _, sender, _ in log] == [1, 3]
    assert not signal.receivers


def test_connected_to_is_a_decorator(signal, log):
    @signal.connected_to(log.receiver("r"), "s")
    def within():
        signal.send("s")

    within()
    within()
    signal.send("s")
    assert len(log) == 2


# Defects of blinker that are fixed here


def test_zero_is_a_sender(signal, log):
    receiver = log.receiver("r")
    for sender in (0, False):
        signal.connect(receiver, sender)
    signal.connect(receiver, "s")
    signal.send(1)
    signal.send()
    assert log == []
    signal.send(0)
    signal.send(False)
    assert [sender for _, sender, _ in log.take()] == [0, False]
    signal.disconnect(receiver, 0)
    signal.send(0)
    signal.send("s")
    assert [sender for _, sender, _ in log] == ["s"]
    assert not signal.has_receivers_for(0)


def test_int_does_not_match_an_object_with_that_id(signal, log):
    sender = Sender()
    signal.connect(log.receiver("object"), sender, weak=False)
    signal.send(id(sender))
    assert log == []
    signal.connect(log.receiver("number"), id(sender), weak=False)
    signal.send(id(sender))
    signal.send(sender)
    assert [key for key, _, _ in log] == ["number", "object"]


def test_true_is_not_one(signal, log):
    signal.connect(log.receiver("r"), 1, weak=False)
    signal.send(True)
    assert log == []


def test_connected_to_keeps_other_connections(signal, log, collect):
    receiver = log.receiver("r")
    signal.connect(receiver, "kept")
    with signal.connected_to(receiver, "temporary"):
        pass
    signal.send("kept")
    signal.send("temporary")
    assert [sender for _, sender, _ in log.take()] == ["kept"]


def test_connected_to_restores_the_senders_connection(signal, log, collect):
    receiver = log.receiver("r")
    signal.connect(receiver)
    with signal.connected_to(receiver), signal.connected_to(receiver):
        pass
    signal.send("s")
    assert len(log) == 1
    reference = weakref.ref(receiver)
    del receiver
    collect()
    assert reference() is None  # it is weakly held again
    assert not signal.receivers


def test_muted_nests(signal, log):
    signal.connect(log.receiver("r"), weak=False)
    with signal.muted():
        with signal.muted():
            pass
        assert signal.is_muted
        assert signal.send() == []
    assert len(signal.send()) == 1
    signal.is_muted = True
    with signal.muted():
        pass
    assert signal.is_muted
    with signal.muted(), signal.muted():
        signal.is_muted = False
        assert len(signal.send()) == 1
    assert len(signal.send()) == 1


def test_receivers_omits_uncallable_ones(signal, log, collect):
    receiver, sender = log.receiver("r"), Sender()
    signal.connect(receiver, sender)
    signal.disconnect(receiver, sender)
    assert not signal.receivers
    assert not signal.has_receivers_for(sender)
    signal.connect(receiver, sender)
    del sender
    collect()
    assert not signal.receivers


# Names


def test_namespace_creates_a_signal_once(blinker):
    namespace = blinker.Namespace()
    assert not namespace
    made = namespace.signal("a", doc="what a means")
    assert namespace.signal("a") is made
    assert namespace.signal("a", "other") is made
    assert (made.name, made.__doc__, type(made)) == ("a", "what a means", blinker.NamedSignal)
    assert namespace.signal("b") is not made
    assert dict(namespace) == {"a": made, "b": namespace["b"]}
    assert isinstance(namespace, dict)


def test_default_namespace(blinker):
    made = blinker.signal("a")
    assert blinker.default_namespace["a"] is made
    assert blinker.signal("a") is made


def test_threads_that_create_a_signal_get_the_same(blinker, monkeypatch):
    namespace = blinker.Namespace()
    made = []

    def meanwhile(name, doc):
        monkeypatch.undo()
        made.append(namespace.signal(name))
        return blinker.NamedSignal(name, doc)

    monkeypatch.setattr(blinker.base, "NamedSignal", meanwhile)
    assert namespace.signal("a") is made[0]
    assert namespace["a"] is made[0]


def test_repr_and_docs(blinker):
    signal = blinker.NamedSignal("ready", "Something is ready.")
    assert repr(signal).startswith("<cyevents.blinker.base.NamedSignal object at 0x")
    assert repr(signal).endswith("; 'ready'>")
    assert signal.__doc__ == "Something is ready."
    assert blinker.Signal().__doc__ == blinker.Signal.__doc__
    assert repr(blinker.ANY) == "ANY"
    assert blinker.Signal.ANY is blinker.ANY
    assert blinker.base.ANY_ID == 0


# Subclasses, and attributes that programs set


def test_subclass_may_override_receivers_for(blinker, log):
    class Backwards(blinker.Signal):
        def receivers_for(self, sender):
            return reversed(list(super().receivers_for(sender)))

    class Louder(Backwards):
        def send(self, *args, **kwargs):
            return super().send(*args, louder=True, **kwargs)

    for cls in (Backwards, Louder):
        signal = cls()
        for key in "ab":
            signal.connect(log.receiver(key), weak=False)
        signal.send("s")
        assert [(key, kwargs) for key, _, kwargs in log.take()] == [
            (key, {"louder": True} if cls is Louder else {}) for key in "ba"
        ]


def test_subclass_without_init_or_with_slots(blinker, log):
    class Slotted(blinker.Signal):
        __slots__ = ("extra",)

        def __init__(self, extra, *, option):
            self.extra = extra, option

    signal = Slotted(1, option=2)
    receiver = signal.connect(log.receiver("r", 5))
    assert signal.send() == [(receiver, 5)]
    assert signal.extra == (1, 2)


def test_set_class_may_be_set(blinker, log, monkeypatch):
    class OrderedSet(dict):
        pass

    assert blinker.Signal.set_class is set
    monkeypatch.setattr(blinker.Signal, "set_class", OrderedSet)
    signal = blinker.Signal()
    for key in "abc":
        signal.connect(log.receiver(key), weak=False)
    signal.send()
    assert [key for key, _, _ in log] == ["a", "b", "c"]


def test_send_can_be_replaced(blinker, signal, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(signal, "send", lambda *args: args)
        assert signal.send(1) == (1,)
    assert signal.send(1) == []
    with monkeypatch.context() as patch:
        patch.setattr(blinker.Signal, "send", lambda self, *args: args)
        assert blinker.Signal().send(1) == (1,)


def test_signals_have_no_emit(signal):
    assert not hasattr(signal, "emit")
    with pytest.raises(AttributeError, match=r"^'Signal' object has no attribute 'emit'"):
        signal.emit("s")


def test_emit_can_be_set(blinker, signal, log):
    class Emitting(blinker.Signal):
        def emit(self, *args):
            return self.send(*args)

    receiver = log.receiver("r", 5)
    for each in (signal, Emitting()):
        each.connect(receiver)
        if each is signal:
            each.emit = each.send
        assert each.emit("s") == [(receiver, 5)]
    del signal.emit
    assert not hasattr(signal, "emit")


def private_names(blinker):
    """Return the library's current and former private attribute names, except those that blinker also has."""
    backend = importlib.import_module("cyevents._core")
    names = {
        *dir(backend.EventCore),
        *dir(importlib.import_module("cyevents.blinker._state").SignalState),
        *vars(blinker.base),
    }
    names |= {"_any", "_groups", "_muted", "_send_plain", "_send_otherwise", "_by_hand", "_settle", "_mutes", "_join"}
    names |= {"_told_off", "_mute_by", "_by_receiver", "_by_sender", "_Signal__core", "_Signal__send_slow"}
    names -= {"connect", "send", "name", *blinker.base.__all__}
    return sorted(name for name in names if not name.startswith("__"))


@pytest.mark.parametrize("where", ["methods", "class attributes", "instance attributes", "properties"])
def test_subclass_may_use_private_looking_names(blinker, log, collect, where):
    def own(*args, **kwargs):
        raise AssertionError("not for the library to call")

    names = private_names(blinker)
    assert {"_connect", "_dispatch", "_clear", "_groups", "_log_dead_handlers", "_restore"} <= set(names)
    made = {"methods": own, "class attributes": 5, "properties": property(own, own, own)}
    namespace = dict.fromkeys(names, made[where]) if where in made else {}
    cls = type("Signal", (blinker.NamedSignal,), namespace)
    signal = cls("name")
    if where == "instance attributes":
        for name in names:
            setattr(signal, name, own)
    receiver, other = log.receiver("r", 5), log.receiver("other")
    notified = []
    signal.receiver_connected.connect(lambda sender, /, **kwargs: notified.append("connected"), weak=False)
    signal.receiver_disconnected.connect(lambda sender, /, **kwargs: notified.append("disconnected"), weak=False)
    assert signal.connect(receiver) is receiver
    assert signal.send("s", a=1) == [(receiver, 5)]
    signal.connect_via("s")(other)
    with signal.connected_to(print, "t"):
        assert [each for each, _ in signal.send("t")] == [receiver, print]
    assert [each for each, _ in signal.send("s")] == [receiver, other]
    assert list(signal.receivers_for("s")) == [receiver, other]
    assert signal.has_receivers_for("u")
    with signal.muted():
        assert signal.is_muted
        assert signal.send("s") == []
    with pytest.raises(TypeError, match=r"Signal\.send\(\) takes from 1 to 2 positional arguments but 3 were given"):
        signal.send(1, 2)
    saved = signal.receivers.copy()
    signal.receivers.clear()
    assert not signal.receivers
    signal.receivers.update(saved)
    assert [each for each, _ in signal.send("s")] == [receiver, other]
    signal.disconnect(other)
    assert [each for each, _ in signal.send("s")] == [receiver]
    assert repr(signal).endswith("; 'name'>")
    copied = copy.copy(signal)
    assert not copied.receivers
    with pytest.warns(RuntimeWarning, match="Signal object at .*; 'name'> was garbage-collected at once"):
        signal.connect(lambda sender: None)

    async def awaited(sender):
        return "awaited"

    signal.connect(awaited, "a")
    with pytest.raises(RuntimeError, match="Cannot send to a coroutine function"):
        signal.send("a")
    assert signal.send("a", _async_wrapper=async_wrapper) == [(receiver, 5), (awaited, "awaited")]
    assert asyncio.run(signal.send_async("a", _sync_wrapper=sync_wrapper)) == [(receiver, 5), (awaited, "awaited")]
    del receiver, awaited, saved
    collect()
    del log[:]
    assert signal.send("a") == []  # also after the core has handled the names of dead receivers
    signal._clear_state()
    assert not signal.receivers
    assert notified == ["connected"] * 3 + ["disconnected"] * 2 + ["connected"] * 2


def test_overridden_methods_are_used_as_by_blinker(blinker, log):
    class Noting(blinker.Signal):
        def connect(self, receiver, sender=blinker.ANY, weak=True):
            log.append(("connect", sender, weak))
            return super().connect(receiver, sender, weak)

        def disconnect(self, receiver, sender=blinker.ANY):
            log.append(("disconnect", sender))
            super().disconnect(receiver, sender)

    signal = Noting()
    receiver = log.receiver("r", 5)
    assert signal.connect_via("s")(receiver) is receiver
    assert log.take() == [("connect", "s", False)]
    for sender in ("t", blinker.ANY):
        with signal.connected_to(receiver, sender):
            assert log.take() == [("connect", sender, False)]
            assert signal.send("t") == [(receiver, 5)]
            log.take()
        assert log.take() == [("disconnect", sender)]


def test_signal_is_in_no_reference_cycle(blinker, log, no_garbage):
    signal = blinker.Signal()
    receiver = log.receiver("r")
    signal.connect(receiver)
    signal.connect(log.receiver("held"), "s", weak=False)
    with signal.muted():
        signal.send()
    signal.receivers.clear()
    reference = weakref.ref(signal)
    del signal
    assert reference() is None


def test_signal_core_accepts_only_an_event_core(api, backend):
    module = importlib.import_module("cyevents._core")
    for wrong in (None, 5, object(), module.EventCore):
        with pytest.raises(TypeError, match="^core must be an EventCore, not "):
            module.SignalCore(wrong)
    with pytest.raises(TypeError):
        module.SignalCore()
    core = module.SignalCore(module.EventCore())
    assert core.send("s") == []
    for args in ((1, 2), (1, 2, 3)):
        with pytest.raises(NotImplementedError):
            core.send(*args)


def test_clearing(signal, log):
    for sender in ("s", signal.ANY):
        signal.connect(log.receiver("r"), sender, weak=False)
    signal._clear_state()
    assert not signal.receivers
    assert signal.send("s") == []
    assert signal._cleanup_bookkeeping() is None


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda signal: pickle.loads(pickle.dumps(signal))],
    ids=["copy", "deep", "pickle"],
)
def test_copy_is_an_independent_signal(blinker, log, copied):
    signal = blinker.NamedSignal("a", "doc")
    signal.connect(log.receiver("r"), weak=False)
    signal.receiver_connected.connect(log.receiver("connected"), weak=False)
    signal.is_muted = True
    other = copied(signal)
    assert (type(other), other.name, other.__doc__) == (blinker.NamedSignal, "a", "doc")
    assert not other.receivers
    assert not other.is_muted
    receiver = log.receiver("other", 5)
    other.connect(receiver)
    assert other.send() == [(receiver, 5)]
    assert [key for key, _, _ in log] == ["other"]
    assert type(copied(blinker.Signal())) is blinker.Signal


def test_signal_in_a_cycle_is_collected(blinker, collect):
    class Owner:
        def __init__(self):
            self.signal = blinker.Signal()
            self.signal.connect(self.method, self, weak=False)
            self.signal.receiver_connected.connect(self.method, weak=False)

        def method(self, sender):
            pass

    reference = weakref.ref(Owner().signal)
    collect()
    assert reference() is None
