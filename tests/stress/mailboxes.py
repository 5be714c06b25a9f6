"""Mailboxes: threads emit into them, drain and clear them; each call runs once, in order, or is counted as dropped."""

import threading

from harness import race

from cyevents import Event, Mailbox, MailboxFull

SIZE = 20
event = Event("shared")
boxes = {overflow: Mailbox(SIZE, overflow) for overflow in ("raise", "drop_oldest", "drop_newest", "latest")}
ran = {overflow: [] for overflow in boxes}
put = {overflow: [] for overflow in boxes}  # one item for each call that was put
cleared = []
events = {overflow: Event(overflow) for overflow in boxes}
for overflow, each in events.items():
    each.connect(ran[overflow].append, via=boxes[overflow], weak=False)


def emit(number):
    """Emit into each shared mailbox."""
    while True:
        for overflow, each in events.items():
            try:
                each.emit((number, overflow))
            except MailboxFull:
                continue
            put[overflow].append(None)
            assert len(boxes[overflow]) <= SIZE
        yield len(boxes)


def drain(number):
    """Drain the shared mailboxes, whole or in parts, and sometimes clear them."""
    turn = 0
    while True:
        turn += 1
        for box in boxes.values():
            box.drain(limit=None if turn % 3 else 2)
            if turn % 50 == 0:
                cleared.append(box.clear())
        yield 0


def pass_on(number):
    """Pass numbers to a worker thread, which a wakeup wakes: all arrive, in order."""
    own, got, ready = Event(f"own {number}"), [], threading.Semaphore(0)
    box = Mailbox(50, wakeup=ready.release)
    own.connect(got.append, via=box, weak=False)
    over = []

    def work():
        while not over:
            ready.acquire()
            box.drain(limit=10)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    sent = 0
    try:
        while True:
            try:
                own.emit(sent)
                sent += 1
            except MailboxFull:
                pass
            yield 1
    finally:
        over.append(True)
        ready.release()
        worker.join(30)
        assert not worker.is_alive()
        box.drain()
        assert got == list(range(sent))


def reconnect(number):
    """Connect and disconnect a handler while its calls wait: once it is disconnected, it is not called."""
    own, box, calls = Event(f"changing {number}"), Mailbox(10), []

    def handler(sender):
        calls.append(sender)

    while True:
        own.connect(handler, via=box)
        own.emit(1)
        own.disconnect(handler)
        own.connect(handler, via=box)
        own.emit(2)
        assert box.drain() == 1
        assert calls == [2]
        calls.clear()
        own.disconnect(handler)
        yield 2


def finish():
    emptied = sum(cleared)
    for box in boxes.values():
        box.drain()
        assert len(box) == 0
    counted = sum(len(ran[overflow]) + boxes[overflow].dropped for overflow in boxes)
    assert counted + emptied == sum(map(len, put.values())), (counted, emptied)


race(emit, drain, pass_on, reconnect, emit, finish=finish)
