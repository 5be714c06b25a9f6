"""The cases of emission: the handlers, the emission, and the check that it is correct before it is timed."""

import sys
from dataclasses import dataclass

from . import contestants as c
from .timing import stopwatch

COUNTS = (0, 1, 10, 100, 1000)


class Sender:
    """A sender that can be weakly referenced, which some libraries need."""


class IncorrectResult(Exception):
    """A contestant did not do what the case needs."""


@dataclass(frozen=True)
class Case:
    """One kind of emission, with a number of handlers."""

    kind: str
    handlers: int
    others: int = 0  # other senders, with one handler each
    by_value: bool = False  # senders are texts instead of objects

    @property
    def key(self):
        return f"{self.kind} {self.handlers}" + (f" among {self.others}" if self.others else "")


# The abilities that a case of each kind needs.
NEEDS = {
    "plain": {c.PLAIN},
    "**kwargs": {c.ANY_KEYWORDS},
    "keywords": {c.ANY_KEYWORDS, c.KEYWORDS},
    "results": {c.PLAIN, c.RESULTS},
    "methods": {c.PLAIN, c.METHODS},
    "sender": {c.ANY_KEYWORDS, c.SENDERS},
    "condition true": {c.PLAIN, c.CONDITIONS},
    "condition false": {c.PLAIN, c.CONDITIONS},
    "cancelled": {c.PLAIN, c.CANCELLING},
    "by name": {c.PLAIN, c.NAMES},
}
TITLES = {
    "plain": "handlers `(sender)`",
    "**kwargs": "handlers `(sender, **kwargs)`",
    "keywords": "the same, emitted with two keywords",
    "results": "handlers that return a value",
    "methods": "bound methods of objects that are held weakly (the floor: strongly)",
    "sender": "handlers `(sender, **kwargs)` for the one sender that emits, among others",
    "condition true": "conditions that are true",
    "condition false": "conditions that are false",
    "cancelled": "cancelled by the first handler",
    "by name": "emission by name",
}
KEYWORDS_SOURCE = ', total=12, user="ada"'


def cases(kinds, counts=COUNTS):
    """Return the cases of these kinds, one for each number of handlers."""
    return [Case(kind, count) for kind in kinds for count in counts]


def plain():
    def handler(sender):
        pass

    return handler


def with_value():
    def handler(sender, value):
        pass

    return handler


def only_value():
    def handler(value):
        pass

    return handler


def any_keywords():
    def handler(sender, **kwargs):
        pass

    return handler


def returning(value):
    def handler(sender):
        return value

    return handler


def cancelling():
    def handler(sender):
        return False

    return handler


def true():
    def condition(sender):
        return True

    return condition


def false():
    def condition(sender):
        return False

    return condition


class Owner:
    """An object whose method is a handler."""

    def handle(self, sender):
        pass


# Of the other senders. It is never released: events would log that it died uncalled.
OTHER_HANDLER = any_keywords()


class CaseSetup:
    """The objects of one case: the handlers, which all contestants share, and what keeps them alive."""

    def __init__(self, case):
        self.case = case
        self.keep = []  # emitters
        self.sender = "the sender" if case.by_value else Sender()
        self.others = [f"sender {number}" if case.by_value else Sender() for number in range(case.others)]
        self.owners = []
        self.values = []
        self.calls = case.handlers
        self.conditions = []
        count = case.handlers
        if case.kind in ("**kwargs", "keywords", "sender"):
            self.handlers = [any_keywords() for _ in range(count)]
        elif case.kind == "results":
            self.handlers = [returning(number) for number in range(count)]
            self.values = list(range(count))
        elif case.kind == "methods":
            self.owners = [Owner() for _ in range(count)]
            self.handlers = [owner.handle for owner in self.owners]
        elif case.kind == "cancelled":
            self.handlers = [cancelling(), *(plain() for _ in range(count - 1))][:count]
            self.calls = min(1, count)
        else:
            self.handlers = [plain() for _ in range(count)]
        if case.kind == "condition true":
            self.conditions = [true() for _ in range(count)]
        elif case.kind == "condition false":
            self.conditions = [false() for _ in range(count)]
            self.calls = 0

    def prepare(self, contestant):
        """Connect the handlers to a new emitter of a contestant, check it, and return the stopwatch of its emission."""
        try:
            return self.make_watch(contestant, self.connect_all(contestant))
        except IncorrectResult:
            raise
        except Exception as error:
            case = self.case
            raise IncorrectResult(f"{contestant.name} fails at {case.key}: {type(error).__name__}: {error}") from error

    def connect_all(self, contestant):
        """Return a new emitter of a contestant with all handlers."""
        emitter = contestant.make_emitter()
        self.keep.append(emitter)
        if self.conditions:
            for handler, condition in zip(self.handlers, self.conditions, strict=True):
                contestant.connect_with_condition(emitter, handler, condition)
            return emitter
        for handler in self.handlers:
            if self.case.kind == "sender":
                contestant.connect_for_sender(emitter, handler, self.sender)
            else:
                contestant.connect(emitter, handler, weak_method=self.case.kind == "methods")
        for other in self.others:
            contestant.connect_for_sender(emitter, OTHER_HANDLER, other)
        return emitter

    def make_watch(self, contestant, emitter, sender=None):
        """Check a contestant's emission, and return its stopwatch, with a sender if it is not the case's."""
        statement, emit = self.get_emission(contestant, emitter)
        self.verify(contestant, statement, emit)
        return stopwatch(statement, emit=emit, sender=sender or self.sender)

    def get_emission(self, contestant, emitter):
        """Return the statement that emits, and the `emit` that it calls."""
        if self.conditions:
            return contestant.emit_statement, contestant.get_emit_if(emitter)
        if self.case.kind == "keywords":
            statement = contestant.emit_statement.removesuffix(")") + KEYWORDS_SOURCE + ")"
            return statement, contestant.get_emit_with_keywords(emitter)
        return contestant.emit_statement, contestant.get_emit(emitter)

    def verify(self, contestant, statement, emit):
        """Check that an emission calls each handler once, no other, and returns their results."""
        called = {}
        keywords = []
        codes = {handler.__code__ for handler in (*self.handlers, OTHER_HANDLER)}

        def profile(frame, event, _):
            if event == "call" and frame.f_code in codes:
                called[frame.f_code] = called.get(frame.f_code, 0) + 1
                keywords.append(frame.f_locals.get("kwargs"))

        scope = {"emit": emit, "sender": self.sender, "returned": None}
        code = compile(contestant.get_assignment(statement), "<statement>", "exec")
        sys.setprofile(profile)
        try:
            exec(code, scope)
        finally:
            sys.setprofile(None)
        calls = sum(called.values())
        where = f"{contestant.name}, {self.case.key}"
        if calls != self.calls:
            raise IncorrectResult(f"{where}: {calls} calls instead of {self.calls}")
        if self.case.kind == "keywords" and not all(
            given and given.get("total") == 12 and given.get("user") == "ada" for given in keywords
        ):
            raise IncorrectResult(f"{where}: the keywords are not passed on")
        values = contestant.get_results(scope["returned"])
        if values is not None and not contestant.in_order:
            values.sort()
        if self.case.kind == "results" and values != self.values:
            raise IncorrectResult(f"{where}: returns {values}")

    def clean_up(self, contestants):
        """Remove what contestants keep in global tables."""
        for contestant in contestants:
            contestant.drop(None)


def contestants_for(case, present):
    """Return the contestants that support a case, each library once unless the case is about names."""
    chosen = [one for one in present.values() if NEEDS[case.kind] <= one.abilities]
    if case.kind == "by name":
        return [one for one in chosen if "emit(sender" not in one.emit_statement or one.name == "cyevents"]
    return [one for one in chosen if not one.name.endswith("by name")]
