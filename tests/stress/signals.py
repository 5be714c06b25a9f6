"""Blinker's signals: threads mute one, connect coroutine functions or connection signals; and all of them send."""

from harness import race

from cyevents.blinker import Signal

signal = Signal()
quiet = Signal()
told = Signal()


def witness(sender, **kwargs):
    return sender


async def awaited(sender, **kwargs):
    return sender


def at_once(receiver):
    """Return a coroutine function's result without a loop."""

    def call(sender, **kwargs):
        try:
            receiver(sender, **kwargs).send(None)
        except StopIteration as stop:
            return stop.value

    return call


signal.connect(witness)
quiet.connect(witness)
told.connect(witness)


def mute(number):
    """No receiver is called while any thread, such as this one, has muted the signal."""
    while True:
        with quiet.muted():
            assert quiet.is_muted
            assert quiet.send(number) == []
        assert quiet.send(number) in ([], [(witness, number)])
        yield 2


def coroutines(number):
    """Coroutine functions are called through an `_async_wrapper`."""
    while True:
        signal.connect(awaited, number)
        assert signal.send(number, _async_wrapper=at_once) == [(witness, number), (awaited, number)]
        signal.disconnect(awaited, number)
        assert signal.send(number) == [(witness, number)]
        yield 2


def plain(number):
    while True:
        assert signal.send(number, more=1) == [(witness, number)]
        assert told.send(number) == [(witness, number)]
        yield 2


def connect(number):
    """Each connection is reported, and exists until it is removed."""

    def mine(sender, **kwargs):
        return "mine"

    reported = []

    def receive(where, receiver, **kwargs):
        reported.append(receiver)

    told.receiver_connected.connect(receive)
    while True:
        told.connect(mine, number)
        assert told.send(number) == [(witness, number), (mine, "mine")]
        told.disconnect(mine)
        assert reported.count(mine) == 1
        reported.clear()
        yield 1


def finish():
    assert quiet.send("sender") == [(witness, "sender")]
    assert signal.send("sender") == [(witness, "sender")]
    return 2


race(mute, coroutines, plain, connect, finish=finish)
