"""Races of wildcards: ten thousand patterns, of which none, one or all match the emitted event."""

from .cases import Sender, plain
from .connections import count_calls
from .contestants import load_contestants
from .timing import race, stopwatch

PATTERNS = 10_000
NAME = ".".join("abcdefghijklmn")


def patterns(matching, count=PATTERNS):
    """Return `count` different patterns, in a form that means the same to fnmatch and to EventEmitter2."""
    if matching == "all":
        words = NAME.split(".")
        return [
            ".".join("*" if number >> place & 1 else word for place, word in enumerate(words))
            for number in range(1, count + 1)
        ]
    some = [f"topic{number}.*" for number in range(count)]
    return some if matching == "none" else [*some[1:], "a.*.c.d.e.f.g.h.i.j.k.l.m.n"]


def cyevents_watch(library, matching, count):
    namespace = library.Namespace()
    event = namespace.event(NAME)
    own = plain()
    event.connect(own)
    handlers = [plain() for _ in range(count)]
    for pattern, handler in zip(patterns(matching, count), handlers, strict=True):
        namespace.event(pattern).connect(handler)
    expected = 1 + {"none": 0, "one": 1, "all": count}[matching]
    contestant = (
        load_contestants()[0]["cyevents"]
        if "cyevents" in load_contestants()[0]
        else load_contestants()[0]["cyevents (pure)"]
    )
    found = count_calls(contestant, event, [own])
    if found != expected:
        raise AssertionError(f"cyevents: {found} calls instead of {expected}")
    names = {"emit": event.emit, "sender": Sender(), "keep": (handlers, namespace, own)}
    return stopwatch("emit(sender)", **names)


def pymitter_watch(library, matching, count):
    emitter = library.EventEmitter(wildcard=True)
    handlers = [plain() for _ in range(count + 1)]
    emitter.on(NAME, handlers[-1])
    for pattern, handler in zip(patterns(matching, count), handlers[:-1], strict=True):
        emitter.on(pattern, handler)
    expected = 1 + {"none": 0, "one": 1, "all": count}[matching]
    found = len(emitter.listeners(NAME))
    if found != expected:
        raise AssertionError(f"pymitter: {found} listeners instead of {expected}")
    return stopwatch("emit(name, sender)", emit=emitter.emit, name=NAME, sender=Sender(), keep=handlers)


def wildcard_race(matching, seconds, count=PATTERNS):
    """Race emissions while `count` patterns are connected."""
    present = load_contestants()[0]
    watches = {}
    for name in ("cyevents", "cyevents (pure)"):
        if name in present:
            watches[name] = cyevents_watch(present[name].library, matching, count)
    if "pymitter" in present:
        watches["pymitter"] = pymitter_watch(present["pymitter"].library, matching, count)
    return race(watches, seconds, fewest=3)
