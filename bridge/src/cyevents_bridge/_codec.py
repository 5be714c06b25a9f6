"""Converts emissions to bytes and back.

A message is only data: it names no module, and nothing in it is executed. A value without a JSON form is written as
`{"$": name, "of": data}`, where the name is that of a registered type or of one in `_BUILTIN`.

Anyone who may publish can send any bytes, so decoding must take time proportional to their number. Therefore nesting,
the length of numbers, and the number of keys with the same hash are limited. The limits also apply to encoding, so that
a value that no other process could decode is refused where it is emitted.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import math
import typing
import uuid
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from cyevents import ANY

from ._text import error_text, quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    Encoding = Literal["json", "msgpack"]

VERSION = 1
_INT_64 = range(-(2**63), 2**64)
_MAX_NAME = 1000  # characters of an event's name, because namespaces remember the names of received messages
_MAX_DEPTH = 100  # levels of values within values
_MAX_DIGITS = 4300  # of a number; Python's own limit for conversions between int and str
_MAX_SAME_HASH = 64  # keys of a dict, or members of a set, with the same hash, as each is compared with all the others
_MAX_CONVERTED = 1000  # items of each list and dict in a value whose type itself creates sets or dicts of them


class Malformed(ValueError):
    """The received bytes are not a message, or have a later version or values of unknown types."""


@dataclasses.dataclass(slots=True)
class Message:
    """An emission as it is sent to other processes.

    Attributes:
        event: the event's name.
        id: the id of this emission. Brokers drop a second message with the same id.
        origin: the id of the process that emitted it.
        group: the group of that process, or `None`.
        sender: the sender, or `ANY`.
        args: the positional arguments.
        kwargs: the keyword arguments.
        context: the OpenTelemetry context.
    """

    event: str
    id: str
    origin: str
    group: str | None
    sender: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    context: dict[str, str]


@dataclasses.dataclass(slots=True)
class _Type:
    name: str
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


class Codec:
    """Encodes and decodes messages.

    Args:
        encoding: `"json"` or `"msgpack"`.
    """

    def __init__(self, encoding: Encoding = "json") -> None:
        if encoding not in ("json", "msgpack"):
            raise ValueError(f'encoding must be "json" or "msgpack", not {encoding!r}')
        module = msgspec.json if encoding == "json" else msgspec.msgpack
        self._dump: Callable[[Any], bytes] = module.Encoder().encode
        self._load: Callable[[bytes], Any] = msgspec.json.Decoder().decode if encoding == "json" else _load_msgpack
        self._by_type: dict[type, _Type] = dict(_BUILTIN)
        self._by_name = {each.name: each for each in _BUILTIN.values()}

    def register(
        self,
        cls: type,
        *,
        name: str | None = None,
        encode: Callable[[Any], Any] | None = None,
        decode: Callable[[Any], Any] | None = None,
    ) -> None:
        """Allow values of a type: see `Bridge.register`."""
        if not isinstance(cls, type):
            raise TypeError(f"register() needs a type, not {cls!r}")
        if (encode is None) != (decode is None):
            raise TypeError(f"register() of {cls.__qualname__} needs both encode and decode, or neither")
        if encode is None or decode is None:
            encode, decode = _natural(cls)
        name = cls.__name__ if name is None else name
        known = self._by_name.get(name)
        if known is not None and self._by_type.get(cls) is not known:
            raise ValueError(f"another type has the name {name!r}: register {cls.__qualname__} with a different name=")
        if cls in self._by_type:
            del self._by_name[self._by_type[cls].name]
        self._by_type[cls] = self._by_name[name] = _Type(name, encode, decode)

    def pack(self, message: Message) -> bytes:
        """Return a message as bytes.

        Raises:
            TypeError: if a value in it cannot be sent.
            ValueError: if the event's name is too long.
        """
        if len(message.event) > _MAX_NAME:
            raise ValueError(f"{quoted(message.event)} cannot be published: a name has at most {_MAX_NAME} characters")
        try:
            return self._dump(self._envelope(message))
        except RecursionError:
            raise TypeError(f"an argument of {message.event!r} cannot be sent: it is nested too deeply") from None
        except (Malformed, UnicodeEncodeError) as error:  # UnicodeEncodeError: a lone surrogate has no bytes
            raise TypeError(f"an argument of {quoted(message.event)} cannot be sent: {error}") from None

    def _envelope(self, message: Message) -> dict[str, Any]:
        envelope: dict[str, Any] = {
            "v": VERSION,
            "event": message.event,
            "id": message.id,
            "from": message.origin,
            "args": [self._plain(value, 0) for value in message.args],
            "kwargs": {name: self._plain(value, 0) for name, value in message.kwargs.items()},
        }
        if message.group is not None:
            envelope["group"] = message.group
        if message.sender is not ANY:
            envelope["sender"] = self._plain(message.sender, 0)
        if message.context:
            envelope["context"] = message.context
        return envelope

    def unpack(self, body: bytes, wants: Callable[[str, str, str | None], bool] = lambda *_: True) -> Message | None:
        """Return the message in these bytes, or `None` if it is not wanted, without decoding its values.

        Args:
            body: the bytes.
            wants: gets the event's name, the origin and the group, and returns whether the message is wanted.

        Raises:
            Malformed: if the bytes are not a message.
        """
        try:
            envelope = self._load(body)
            if type(envelope) is not dict or envelope.get("v") != VERSION:
                raise Malformed(f"not a message of version {VERSION}")
            event, identity, origin = envelope["event"], envelope["id"], envelope["from"]
            args, kwargs, context = envelope["args"], envelope["kwargs"], envelope.get("context", {})
            group = envelope.get("group")
            texts = [event, identity, origin, *kwargs, *context, *context.values(), "" if group is None else group]
            if not event or type(args) is not list or not all(type(text) is str for text in texts):
                raise Malformed("its parts have wrong types")
            if len(event) > _MAX_NAME or len(identity) > _MAX_NAME or len(origin) > _MAX_NAME:
                raise Malformed(f"its event, id or origin has more than {_MAX_NAME} characters")
            if "sender" in kwargs:
                raise Malformed("its keyword arguments contain a second sender")
            if not wants(event, origin, group):
                return None
            sender = self._rich(envelope["sender"], 0) if "sender" in envelope else ANY
            positionals = tuple([self._rich(value, 0) for value in args])
            keywords = {name: self._rich(value, 0) for name, value in kwargs.items()}
        except Malformed:
            raise
        except Exception as error:  # decoders get arbitrary data, so they may raise anything
            raise Malformed(error_text(error)) from error
        return Message(event, identity, origin, group, sender, positionals, keywords, context)

    def _plain(self, value: Any, depth: int) -> Any:
        """Return a value in a form that JSON can represent."""
        cls = type(value)
        if value is None or cls is str or cls is bool:
            return value
        if cls is int:
            return value if value in _INT_64 else {"$": "int", "of": _digits(value)}
        if cls is float:
            return value if math.isfinite(value) else {"$": "float", "of": repr(value)}
        _check_depth(depth)
        if cls is list:
            return [self._plain(item, depth + 1) for item in value]
        if cls is dict:
            if "$" not in value and all(type(key) is str for key in value):
                return {key: self._plain(item, depth + 1) for key, item in value.items()}
            _check_hashes(value)
            _check_depth(depth + 2)  # the pairs are lists in a list
            pairs = [[self._plain(key, depth + 3), self._plain(item, depth + 3)] for key, item in value.items()]
            return {"$": "dict", "of": pairs}
        known = self._by_type.get(cls)
        if known is None:
            raise TypeError(
                f"a value of type {cls.__qualname__} cannot be sent: register the type with"
                f" bridge.register({cls.__qualname__}) in this process and in those that receive it"
            )
        return {"$": known.name, "of": self._plain(known.encode(value), depth + 1)}

    def _rich(self, value: Any, depth: int) -> Any:
        """Convert the result of `_plain` back to the value."""
        cls = type(value)
        if cls is not dict and cls is not list:
            return value
        _check_depth(depth)
        if cls is list:
            return [self._rich(item, depth + 1) for item in value]
        if "$" not in value:
            return {key: self._rich(item, depth + 1) for key, item in value.items()}
        name = value["$"]
        known = self._by_name.get(name) if type(name) is str and len(value) == 2 else None
        if known is None:
            raise Malformed(f"a value has the unknown type {quoted(name)}: register it with bridge.register")
        return known.decode(self._rich(value["of"], depth + 1))


# Limits


def _check_depth(depth: int) -> None:
    if depth >= _MAX_DEPTH:
        raise Malformed(f"it is nested more than {_MAX_DEPTH} levels deep")


def _check_hashes(values: Collection[Any]) -> None:
    """Raise if so many values share a hash that building a set of them would take very long."""
    if len(values) > _MAX_SAME_HASH:
        for _, same in groupby(sorted(map(hash, values))):
            if sum(1 for _ in same) > _MAX_SAME_HASH:
                raise Malformed(f"more than {_MAX_SAME_HASH} keys or members of a set have the same hash")


def _check_sizes(data: Any) -> Any:
    """Return the data. Raise if it has a long list or dict, since a set of its items could take very long to build."""
    pending = [data]
    while pending:
        each = pending.pop()
        if type(each) is list or type(each) is dict:
            if len(each) > _MAX_CONVERTED:
                raise Malformed(f"more than {_MAX_CONVERTED} items in a value whose type has sets or dicts")
            pending += each.values() if isinstance(each, dict) else each
    return data


def _digits(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # its text would only say that Python does not convert the number
        raise Malformed(f"a number has more than {_MAX_DIGITS} digits") from None


def _text(value: Any) -> str:
    if type(value) is not str:
        raise Malformed(f"a string was expected, not {type(value).__name__}")
    return value


def _short(value: Any) -> str:
    if len(text := _text(value)) > _MAX_DIGITS + 20:  # with a sign, a point and an exponent
        raise Malformed(f"a number has more than {_MAX_DIGITS} digits")
    return text


# MessagePack


_SMALL = 8192  # bytes; there is room for no more than some hundred keys with the same hash
_SCALARS = {type(None), bool, int, float, str}
_ARRAYS, _MAPS = {*range(0x90, 0xA0), 0xDC, 0xDD}, {*range(0x80, 0x90), 0xDE, 0xDF}  # the first byte of a value
_load_all = msgspec.msgpack.Decoder().decode
_load_array = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_load_map = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode
_load_scalar = msgspec.msgpack.Decoder(None | bool | int | float | str).decode


def _load_msgpack(body: bytes) -> Any:
    """Decode MessagePack that contains only types of JSON.

    A large message is decoded level by level. Decoded at once, it could create dicts with keys of any type, and so with
    any hash. A small message is decoded at once and checked afterwards, which is faster.
    """
    if len(body) > _SMALL:
        return _load_level(body, 0)
    value = _load_all(body)
    _check_types(value)
    return value


def _load_level(body: bytes | msgspec.Raw, depth: int) -> Any:
    first = memoryview(body)[0]
    if first in _ARRAYS:
        _check_depth(depth - 2)  # the envelope, and its list or dict of arguments
        return [_load_level(item, depth + 1) for item in _load_array(body)]
    if first in _MAPS:
        _check_depth(depth - 2)
        return {key: _load_level(item, depth + 1) for key, item in _load_map(body).items()}
    return _load_scalar(body)


def _check_types(value: Any) -> None:
    cls = type(value)
    if cls is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise Malformed(f"a key must be a string, not {type(key).__name__}")
            if type(item) not in _SCALARS:
                _check_types(item)
    elif cls is list:
        for item in value:
            if type(item) not in _SCALARS:
                _check_types(item)
    elif cls not in _SCALARS:
        raise Malformed(f"a message cannot contain a plain {cls.__name__}")


# Types


def _natural(cls: type) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return functions that encode and decode values of a type, by its own annotations."""
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]
    if hasattr(cls, "model_dump") and hasattr(cls, "model_validate"):  # pydantic's
        encode, decode = (lambda value: value.model_dump(mode="json")), cls.model_validate
    elif issubclass(cls, msgspec.Struct) or dataclasses.is_dataclass(cls):
        encode, decode = msgspec.to_builtins, (lambda data: msgspec.convert(data, cls))
    elif issubclass(cls, enum.Flag):
        return lambda value: value.value, partial(_flag, cls)
    elif issubclass(cls, enum.Enum):
        return lambda value: value.value, cls
    else:
        raise TypeError(
            f"{cls.__qualname__} is not a dataclass, msgspec Struct, pydantic model or Enum:"
            " register it with encode= and decode="
        )
    if not _makes_hashes(cls, {}):
        return encode, decode
    return lambda value: _check_sizes(encode(value)), lambda data: decode(_check_sizes(data))


def _makes_hashes(annotation: Any, seen: dict[int, Any]) -> bool:
    """Return whether values of a type contain sets, or dicts with keys other than strings, judging by annotations."""
    if id(annotation) in seen:
        return False
    seen[id(annotation)] = annotation  # kept, so that no other object gets its id
    if isinstance(annotation, typing.NewType):
        return _makes_hashes(annotation.__supertype__, seen)
    if isinstance(annotation, typing.TypeVar):
        return any(_makes_hashes(each, seen) for each in (annotation.__bound__, *annotation.__constraints__))
    if hasattr(annotation, "__value__"):  # from a `type` statement
        return _makes_hashes(annotation.__value__, seen)
    if isinstance(annotation, str | typing.ForwardRef):  # it cannot be evaluated here
        return True
    origin, parameters = typing.get_origin(annotation), typing.get_args(annotation)
    kind = origin if isinstance(origin, type) else annotation
    if isinstance(kind, type):
        if issubclass(kind, AbstractSet):
            return True
        if issubclass(kind, Mapping):
            return not parameters or parameters[0] is not str or _makes_hashes(parameters[1], seen)
        if getattr(kind, "__annotations__", None):
            try:
                fields = typing.get_type_hints(kind)
            except Exception:  # an annotation that cannot be evaluated here
                return True
            return any(_makes_hashes(field, seen) for field in fields.values())
    return any(_makes_hashes(each, seen) for each in parameters)


def _flag(cls: type[enum.Flag], value: Any) -> enum.Flag:
    """Return a flag. Refuse bits that no member has, because Python would keep a member for each such value."""
    known = 0
    for member in cls.__members__.values():
        known |= member.value
    if type(value) is not int or value < 0 or value & ~known:
        raise Malformed(f"not a value of {cls.__qualname__}")
    return cls(value)


def _isoformat(value: Any) -> str:
    text: str = value.isoformat()
    return text


def _decimal_text(value: decimal.Decimal) -> str:
    return _short(str(value))


def _timedelta(parts: Any) -> datetime.timedelta:
    days, seconds, microseconds = parts
    return datetime.timedelta(days, seconds, microseconds)


def _members(values: AbstractSet[Any]) -> list[Any]:
    _check_hashes(values)
    return list(values)


def _set(values: list[Any]) -> set[Any]:
    _check_hashes(values)
    return set(values)


def _dict(pairs: Iterable[Any]) -> dict[Any, Any]:
    checked = [(key, value) for key, value in pairs]  # unpacking checks that they are pairs
    _check_hashes([key for key, _ in checked])
    return dict(checked)


_BUILTIN: dict[type, _Type] = {
    int: _Type("int", _digits, lambda text: int(_short(text))),
    float: _Type("float", repr, lambda text: float(_short(text))),
    dict: _Type("dict", list, _dict),
    tuple: _Type("tuple", list, tuple),
    set: _Type("set", _members, _set),
    frozenset: _Type("frozenset", _members, lambda values: frozenset(_set(values))),
    bytes: _Type(
        "bytes",
        lambda value: base64.b64encode(value).decode(),
        lambda text: base64.b64decode(_text(text), validate=True),
    ),
    datetime.datetime: _Type("datetime", _isoformat, lambda text: datetime.datetime.fromisoformat(_text(text))),
    datetime.date: _Type("date", _isoformat, lambda text: datetime.date.fromisoformat(_text(text))),
    datetime.time: _Type("time", _isoformat, lambda text: datetime.time.fromisoformat(_text(text))),
    datetime.timedelta: _Type("timedelta", lambda value: [value.days, value.seconds, value.microseconds], _timedelta),
    decimal.Decimal: _Type("Decimal", _decimal_text, lambda text: decimal.Decimal(_short(text))),
    uuid.UUID: _Type("UUID", str, lambda text: uuid.UUID(_text(text))),
}
