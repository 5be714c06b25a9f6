"""Threads that wait: each emission that a thread asks for arrives, and streams lose and repeat nothing."""

import itertools
import threading

from harness import race

from cyevents import Namespace

ns = Namespace()


def ask(number):
    """Read a stream of what this thread has emitted, while others come and go."""
    event = ns.event(f"own.{number}")
    while True:
        with event.stream(number, buffer=20) as emissions:
            for turn in range(20):
                event.emit(number, turn)
            for turn in range(20):
                assert next(emissions).args == (turn,)
        yield 20


def exchange(number):
    """Play ping-pong with a thread of its own, which waits each time."""
    ping, pong = ns.event(f"ping.{number}"), ns.event(f"pong.{number}")
    pings, pongs = ping.stream(), pong.stream()

    def answer():
        for each in pings:
            pong.emit(each.sender + 1)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        for turn in itertools.count():
            ping.emit(turn)
            assert next(pongs).sender == turn + 1
            yield 2
    finally:
        pings.close()
        thread.join(30)
        assert not thread.is_alive()


def wait(number):
    """Wait for what another thread emits until the wait is over."""
    event = ns.event(f"once.{number}")
    while True:
        over = threading.Event()

        def emit(over=over):
            while not over.is_set():
                event.emit(number)

        thread = threading.Thread(target=emit, daemon=True)
        thread.start()
        assert event.wait_sync(number, timeout=30).sender == number
        over.set()
        thread.join(30)
        assert event.handlers == []
        yield 1


race(ask, exchange, wait)
