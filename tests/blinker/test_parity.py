"""cyevents.blinker behaves like blinker: each scenario runs with both."""

import asyncio
import gc
import inspect

import pytest

real = pytest.importorskip("blinker")


class Sender:
    def method(self):
        pass


def outcome_of(function, *args, **kwargs):
    """Return the result or the exception of a call."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return type(error), str(error)


def wrong_calls(blinker):
    signal = blinker.Signal()
    yield outcome_of(signal.send, 1, 2)
    yield outcome_of(signal.send, 1, 2, 3, _async_wrapper=None)
    yield outcome_of(signal.connect)
    yield outcome_of(signal.disconnect)
    yield outcome_of(signal.connect_via)
    yield outcome_of(signal.connect, print, nobody=1)
    yield outcome_of(signal.muted, 1)
    yield outcome_of(blinker.NamedSignal)
    yield outcome_of(blinker.Namespace().signal)
    yield outcome_of(asyncio.run, outcome_of_coroutine(signal.send_async, 1, 2))


async def outcome_of_coroutine(function, *args):
    try:
        return await function(*args)
    except TypeError as error:
        return type(error), str(error)


def returned(blinker):
    signal = blinker.Signal()
    yield signal.connect(print) is print
    yield signal.disconnect(print)
    yield signal.disconnect(print)
    yield signal.send()
    yield signal.send(1, a=2)
    yield asyncio.run(signal.send_async())
    yield signal.is_muted
    yield list(signal.receivers_for(1))
    yield signal.has_receivers_for(1)
    yield bool(signal.receivers), len(signal.receivers), dict(signal.receivers)
    yield blinker.Signal.set_class
    yield repr(blinker.ANY), blinker.Signal.ANY is blinker.ANY
    yield blinker.Signal("doc").__doc__, blinker.NamedSignal("name", "doc").__doc__
    yield blinker.signal("parity") is blinker.default_namespace["parity"]


def senders(blinker):
    log = []

    def receive(sender, **kwargs):
        log.append((sender, kwargs))

    owner = Sender()
    known = [None, 1, "a", owner, (), print, owner.method]
    for connected in (*known, blinker.ANY):
        signal = blinker.Signal()
        signal.connect(receive, connected)
        for sender in known:
            if connected != 0 and sender != 0:
                signal.send(sender, a=1)
        signal.send()
        signal.send(owner.method)  # another method object each time
        yield [known.index(sender) for sender, kwargs in log if kwargs in ({"a": 1}, {})], len(log)
        yield [signal.has_receivers_for(sender) for sender in known]
        yield [len(list(signal.receivers_for(sender))) for sender in known]
        signal.disconnect(receive, known[0])
        signal.send(known[0])
        yield len(log)
        del log[:]


def weak(blinker):
    signal = blinker.Signal()
    log = []

    def connect(sender, weak):
        def receive(sender):
            log.append(weak)

        signal.connect(receive, sender, weak)

    connect("s", True)
    connect("s", False)
    connect(blinker.ANY, True)
    connect(blinker.ANY, False)
    gc.collect()
    signal.send("s")
    signal.send("t")
    yield log
    yield len(signal.receivers)


def notified(blinker):
    signal = blinker.Signal()
    log = []

    def connected(sender, /, **kwargs):
        log.append((sender is signal, repr(sorted(kwargs.items(), key=str))))

    signal.receiver_connected.connect(connected)
    signal.receiver_disconnected.connect(connected)
    signal.connect(print)
    signal.connect(print, 5, False)
    signal.disconnect(print, 5)
    signal.disconnect(print)
    with signal.connected_to(print):
        pass
    yield log


@pytest.mark.filterwarnings("ignore:receiver .* was garbage-collected at once")
@pytest.mark.parametrize("scene", [wrong_calls, returned, senders, weak, notified], ids=lambda scene: scene.__name__)
def test_both_behave_the_same(blinker, scene):
    expected = list(scene(real))
    assert expected
    assert list(scene(blinker)) == expected


@pytest.mark.parametrize(
    "name",
    [
        "connect",
        "connect_via",
        "connected_to",
        "disconnect",
        "muted",
        "send_async",
        "receivers_for",
        "has_receivers_for",
    ],
)
def test_parameters_are_the_same(blinker, name):
    def parameters(module):
        found = inspect.signature(getattr(module.Signal, name)).parameters.values()
        return [(each.name, each.kind, repr(each.default)) for each in found]

    assert parameters(blinker) == parameters(real)
