"""What both cores and the shell share: the sender ANY, the list of a cancelled emission, what a handler returned."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, Final


class AnySender:
    """The type of `ANY`, of which there is exactly one."""

    __slots__ = ()
    _only: AnySender | None = None

    def __new__(cls) -> AnySender:
        if cls._only is None:
            cls._only = super().__new__(cls)
        return cls._only

    def __repr__(self) -> str:
        return "ANY"

    def __reduce__(self) -> str:
        return "ANY"  # a copy or a pickle of it is ANY itself


ANY: Final = AnySender()


class _Shown(str):
    """A plain value that shows as what it stands for: `inspect` takes no other for the defaults of a C function."""

    __slots__ = ()
    __repr__ = str.__str__


class _Missing:
    """The type of `MISSING`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""What stands for an argument that was not given, where `None` is one that may be."""

SHOWN_ANY: Final = _Shown("ANY")  # in the signatures of the compiled core's `emit`


class Cancelled(list["Any"]):
    """The results of an emission that a handler cancelled by returning `False`.

    It is a list like any other emission's, of what ran before, and tells besides who cancelled.

    Attributes:
        handler: the handler that returned `False`.
        event: the `Event` that was emitted.

    Example:
        >>> from cyevents import Cancelled, Event
        >>> saving = Event("saving")
        >>> @saving.connect
        ... def refuse(sender, **kwargs):
        ...     return False
        >>> results = saving.emit("a document")
        >>> isinstance(results, Cancelled), list(results), results.handler is refuse
        (True, [], True)
    """

    __slots__ = ("event", "handler")

    def __init__(self, results: list[Any], handler: Any, event: Any) -> None:
        super().__init__(results)
        self.handler = handler
        self.event = event

    def __repr__(self) -> str:
        return f"Cancelled({super().__repr__()}, by {handler_name(self.handler)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (list(self), self.handler, self.event)


def not_an_event(found: object, name: str, kind: str = "Event") -> TypeError:
    """Return the error of `Event.emit(found)` where that is not an event, as CPython words it for methods in C."""
    return TypeError(f"descriptor {name!r} for {kind!r} objects doesn't apply to a {type(found).__name__!r} object")


# Handlers, senders and whatever else is passed in may be anything: what they say of themselves may raise.


def attribute(value: Any, name: str) -> Any:
    """An attribute of what may be anything: None if it has none, or fails to say."""
    try:
        return getattr(value, name, None)
    except Exception:
        return None


def is_a(value: object, cls: type) -> bool:
    """Whether what may be anything is an instance of a class, or says so."""
    try:
        return isinstance(value, cls)
    except Exception:
        return False


def plain(value: Any) -> Any:
    """A string as a `str` and nothing else, whatever its class makes of it; anything else as it is."""
    return str.__str__(value) if issubclass(type(value), str) else value


def handler_name(handler: object) -> str:
    """The name by which messages speak of a handler: its qualified name, or what `repr` says."""
    name = plain(attribute(handler, "__qualname__"))
    if type(name) is str:
        return name
    name = plain(attribute(attribute(handler, "func"), "__qualname__"))
    return f"partial of {name}" if type(name) is str else shown(handler)


def shown(value: object) -> str:
    """The `repr` of what may be anything: of one whose own fails, that which every object has."""
    if type(value) is int:
        return int_text(value)
    try:
        return str.__str__(repr(value))
    except Exception:
        return object.__repr__(value)


def typed_repr(value: object) -> str:
    """Return the `repr` of a value; for a proxy that imitates another object, also name the proxy's own type."""
    cls = attribute(value, "__class__")
    if cls is None or cls is type(value):
        return shown(value)
    return f"{object.__repr__(value)}, a proxy of {shown(value)},"


def is_long(number: int) -> bool:
    """Return whether an int has more than about 154 digits. `str` of an int may refuse more than 640."""
    return number.bit_length() > 512


def int_text(number: int) -> str:
    """Return an int as text; a very long one as its sign and the nearest power of ten."""
    if not is_long(number):
        return str(number)
    exponent = ((number.bit_length() * 2 - 1) * 30103 + 100000) // 200000  # rounded; the logarithm of 2 is 0.30103
    return f"about {'-' * (number < 0)}10**{exponent}"


def plain_fields(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a dataclass's fields as a dict that `json` can write: very long ints as text. For `asdict`."""
    return {
        name: int_text(value) if type(value) is int and is_long(value) else value  # `json` needs `str`
        for name, value in fields
    }


def cut(text: str, limit: int) -> str:
    """Return a text, its middle left out if it is longer than a limit."""
    if len(text) <= limit:
        return text
    kept = max(0, limit - 3)
    return f"{text[: kept // 2]}...{text[len(text) - (kept - kept // 2) :]}"


def short_repr(value: Any, limit: int) -> str:
    """The `repr` of a value, its parts cut to about a length; of one whose `repr` fails, its class."""
    import reprlib

    if issubclass(type(value), bytes | bytearray):
        value = value[:limit]  # it may be a whole file
    shortener = reprlib.Repr()
    # It does not refer to the shortener, or that would be in a reference cycle.
    shortener.repr_int = lambda x, level: cut(int_text(x), limit)  # type: ignore[method-assign]
    shortener.maxstring = shortener.maxother = limit
    shortener.maxtuple = shortener.maxlist = shortener.maxdict = shortener.maxset = shortener.maxfrozenset = 12
    try:
        return shortener.repr(value)
    except Exception:  # it is called a list, say, and is none
        return object.__repr__(value)


def error_line(error: BaseException) -> str:
    """An exception as one line; of one whose `str` fails, its class."""
    try:
        text = str(error)
    except Exception:
        text = ""
    first = text.strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def drops_result_of(frame: FrameType, code: object, instruction: int) -> bool:
    """Whether a frame stands at the instruction that drops the result of a call, made at `instruction` of `code`.

    That is where the temporary of a statement `connect(lambda ...)` dies, since `connect` returns it. A statement
    `function(*args)` does not count: it belongs to code that calls anything, and may be back there with another call.
    """
    if frame.f_code is not code:
        return False
    instructions = frame.f_code.co_code
    behind = instruction + 2
    while behind < len(instructions) and instructions[behind] == 0:  # the call's inline cache
        behind += 2
    if frame.f_lasti != behind:
        return False
    from opcode import opmap

    while instructions[instruction] == 0:  # in Python 3.11 a frame stands at the end of the cache
        instruction -= 2
    calls = (opmap["CALL"], opmap.get("CALL_KW"))
    return instructions[instruction] in calls and instructions[behind] == opmap["POP_TOP"]


def is_at_call(frame: FrameType, code: object, instruction: int) -> bool:
    """Whether a frame stands at a call, made at `instruction` of `code`: there its temporary arguments die."""
    if frame.f_code is not code or frame.f_lasti != instruction:
        return False
    from opcode import opmap

    instructions = frame.f_code.co_code
    while instructions[instruction] == 0:  # in Python 3.11 a frame stands at the end of the cache
        instruction -= 2
    return instructions[instruction] in (opmap["CALL"], opmap.get("CALL_KW"))


def is_returning(frame: FrameType) -> bool:
    """Whether a frame stands at the instruction that returns from its function, where its variables are dropped."""
    from opcode import opmap

    return frame.f_code.co_code[frame.f_lasti] in (opmap["RETURN_VALUE"], opmap.get("RETURN_CONST"))


# What a handler returned, beside a plain value. Decided by the result, not by the handler's looks:
# a decorated coroutine function is async too.
VALUE, GENERATOR, AWAITABLE, ASYNC_GENERATOR = range(4)

_CO_ITERABLE_COROUTINE = 0x100  # set by types.coroutine


def kind_of_result(result: object) -> int:
    """Tell a plain value from a generator, an awaitable and an async generator.

    Only the type is asked (a mock has every attribute one asks it for), but for generators marked
    by `types.coroutine`, where the mark is on the code.
    """
    cls = type(result)
    if _has(cls, "__await__"):
        return AWAITABLE
    if _has(cls, "send", "throw", "__next__"):
        flags = attribute(attribute(result, "gi_code"), "co_flags")
        return AWAITABLE if type(flags) is int and flags & _CO_ITERABLE_COROUTINE else GENERATOR
    return ASYNC_GENERATOR if _has(cls, "asend", "athrow", "__anext__") else VALUE


def _has(cls: type, *names: str) -> bool:
    """Return whether objects of a class have these attributes; those of its metaclass do not count.

    Written as loops: a generator expression is a function, and CPython 3.12 crashes if it has no memory to make one.
    """
    for name in names:
        for base in cls.__mro__:
            if name in base.__dict__:
                break
        else:
            return False
    return True
