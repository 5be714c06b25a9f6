"""Undeclared names: threads emit them, hold their events, and create and delete patterns and events with these names.

The cache is small, so that events leave it all the time, many of them while something refers to them.
"""

import gc
import itertools
import random
import weakref

from harness import Witnesses, handler, race

import cyevents._registry as module
from cyevents import Namespace
from cyevents._patterns import matcher
from cyevents.testing import Recorder

module.CACHE_LIMIT, module._EVICTED = 24, 4
ns, quiet, cleared = Namespace(), Namespace(), Namespace()
shared = [f"shared.{number}" for number in range(40)]
numbers = itertools.count()
passed_to_others, kept = [], []
ns._evict_at = quiet._evict_at = cleared._evict_at = module.CACHE_LIMIT
witnesses = Witnesses(ns.event("*"), ns.event("!nothing"))
muted = Witnesses(quiet.event("*"))
brief = Witnesses(cleared.event("*"))


@ns.on("*", with_event=True, priority=5)
def pass_on(sender, calls, event=None, got=None, **kwargs):
    if got is not None:
        got.append(event)


def emit(name, sender="sender", in_namespace=ns):
    """Emit a name; return the names of the handlers that were called."""
    calls = []
    return witnesses.account(calls, in_namespace.emit(name, sender, calls))


def event_of(name):
    """Return the event that a name has now."""
    got = []
    ns.emit(name, "sender", [], got=got)
    return got[0]


def flood(count=40):
    for _ in range(count):
        emit(f"flood.{next(numbers)}")
    for name in random.sample(shared, 5):
        emit(name)
    return count + 5


def hold(number):
    """A referenced event keeps its name and its connections, whether or not it is in the cache."""
    for turn in itertools.count():
        name, mine = f"held.{number}.{turn % 7}", handler(f"mine {number}", 3)
        event = event_of(name)
        count = flood()
        assert event_of(name) is event
        flood()
        witnesses.emit(event, number)
        event.connect(mine, priority=3)
        assert f"mine {number}" in emit(name)
        ref = weakref.ref(event)
        del event
        flood()
        event = ref()
        assert event is not None
        assert f"mine {number}" in emit(name)
        event.disconnect(mine)
        flood()
        assert f"mine {number}" not in witnesses.emit(event)
        assert f"mine {number}" not in emit(name)
        assert event_of(name) is event
        yield 4 * count


def use_shared(number):
    """All threads use the events of shared names in every way, across evictions, and sometimes declare them."""
    held, mine = {}, handler(f"mine {number}", 3)
    for turn in itertools.count():
        name = random.choice(shared)
        event = held.setdefault(name, event_of(name))
        emit(name, number)
        witnesses.emit(event, number)
        assert event_of(name) is event
        if turn % 5 == 0:
            event.connect(mine, number, priority=3)
            assert f"mine {number}" in emit(name, number)
            event.disconnect(mine)
            assert f"mine {number}" not in emit(name, number)
        elif turn % 5 == 1:
            assert len(event.handlers) >= len(witnesses.expected)
        elif turn % 5 == 2 and turn % 97 == 2:
            assert ns.event(name) is event
        else:
            flood(5)
        yield 2


def items(number):
    """An event of this thread is evicted, declared and deleted while others emit it directly."""
    for turn in itertools.count():
        name = f"item.{turn % 50}.{number}"
        event = event_of(name)
        passed_to_others.append(event)
        flood()
        assert ns.event(name) is event is ns[name]
        emit(name)
        witnesses.emit(event)
        del passed_to_others[:-3]
        flood()
        witnesses.emit(event)
        yield 3


def emit_directly(number):
    while True:
        for event in passed_to_others[-3:]:
            witnesses.emit(event, number)
            event.has_handlers_for(number)
        flood(3)
        yield 1


def patterns(number):
    """A pattern gets undeclared names from its connection until it is disconnected or deleted."""
    mine = handler(f"mine {number}", 3)
    name = random.choice(shared)
    for turn in itertools.count():
        sender = [number, object(), (number,), "sender"][turn % 4]
        if turn % 10 == 0:
            name = random.choice(shared)
            event = event_of(name)
        text = f"sh?red.{name[7:]}*[!{number}{chr(97 + turn % 20)}]" if turn % 2 else f"{name[:-1]}?"
        made = ns.event(text)
        made.connect(mine, sender, priority=3)
        is_heard = matcher(text)(name)
        if turn % 2 == 0:
            assert is_heard
        fresh = f"shared.{name[7:]}{next(numbers)}x"
        assert (f"mine {number}" in emit(name, sender)) is is_heard
        assert (f"mine {number}" in witnesses.emit(event, sender)) is is_heard
        assert (f"mine {number}" in emit(fresh, sender)) is matcher(text)(fresh)
        made.disconnect(mine)
        assert f"mine {number}" not in emit(name, sender)
        if turn % 2:
            del ns[text]
        assert f"mine {number}" not in witnesses.emit(event, sender)
        flood(2)
        yield 5


def mute(number):
    """Nothing is called inside; everything is called afterwards."""
    held = []
    for turn in itertools.count():
        got, name = [], f"quiet.{next(numbers) % 60}"
        mine = f"quiet.mine.{number}.{turn % 30}"
        with quiet.muted():
            assert quiet.emit(name, number, []) == []
            assert quiet.emit(mine, number, []) == []
            event = quiet._cached.get(name)
            if event is not None:
                held.append(event)
                assert event.emit(number, []) == []
            for each in held[-30:]:
                assert each.emit(number, []) == []
        del held[:-60], got
        yield 1


def clear(number):
    """`clear` releases everything, in every state."""
    mine = handler(f"mine {number}", 3)
    kept.append(mine)
    for turn in itertools.count():
        calls = []
        cleared.event("*").connect(mine)
        cleared.emit(f"{turn}", number, calls)
        assert len(calls) == len(set(calls))
        event = cleared._cached.get(f"{turn}")
        cleared.event(f"{turn % 9}").connect(mine, number)
        if turn % 3 == 0:
            cleared.clear()
        if event is not None:
            event.emit(number, [])
        yield 1


def observe(number):
    """A recorder sees every emission of a name, declared or not, held or not."""
    for turn in itertools.count():
        name = f"seen.{number}.{turn % 30}"
        event = event_of(name)
        flood(10)
        with Recorder(ns) as recorder:
            emit(name, number)
            witnesses.emit(event, number)
            emit(f"{name}.{next(numbers)}", number)
        mine = [each for each in list(recorder) if each.sender is number]
        assert len(mine) == 3, mine
        yield 3


def finish():
    gc.collect()
    names = [*shared, "flood.1", *ns]
    for name in names:
        assert emit(name) == witnesses.expected
    for name, event in [*quiet._cached.items(), *quiet.items()]:
        assert not event._mutes, name
        muted.emit(event)
    assert quiet.emit("quiet.new", 1, []) != []
    limit = module.CACHE_LIMIT + 60
    for each in ns, quiet, cleared:
        assert len(each._cached) <= limit, len(each._cached)
        for item in [each.event("*"), each.event("!nothing")]:
            assert len(getattr(item, "_matched_events", None) or ()) <= limit + len(each)
    return len(names)


jobs = [hold, use_shared, items, emit_directly, patterns, mute, clear, observe]
race(*jobs, finish=finish)
