"""What travels: an emission as bytes, and back. Types that JSON has not travel by names that both sides know.

A message is never more than data: it names no module, and nothing in it is executed. Values that JSON has no form for
are written as `{"$": name, "of": data}`, where the name is a registered type's, or one of those in `_BUILTIN`.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import math
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from .._common import ANY

if TYPE_CHECKING:
    Form = Literal["json", "msgpack"]

VERSION = 1
_INT_64 = range(-(2**63), 2**64)


class Malformed(ValueError):
    """What has arrived is no message, or one of a later version, or has values of unknown types."""


@dataclasses.dataclass(slots=True)
class Message:
    """An emission on its way.

    Attributes:
        event: the event's name.
        id: what this emission is known by: brokers drop a second message of the same.
        origin: which process has emitted it.
        group: the group of that process, or `None`.
        sender: who emitted it, or `ANY`.
        args: the positionals.
        kwargs: the keywords.
        context: what OpenTelemetry carries along.
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
    """Packs messages, and unpacks them.

    Args:
        form: `"json"` or `"msgpack"`.
    """

    def __init__(self, form: Form = "json") -> None:
        if form not in ("json", "msgpack"):
            raise ValueError(f'form must be "json" or "msgpack", not {form!r}')
        module = msgspec.json if form == "json" else msgspec.msgpack
        self._dump: Callable[[Any], bytes] = module.Encoder().encode
        self._load: Callable[[bytes], Any] = module.Decoder().decode
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
        """Let values of a type travel: see `Bridge.register`."""
        if not isinstance(cls, type):
            raise TypeError(f"a type is registered, not {cls!r}")
        if (encode is None) != (decode is None):
            raise TypeError(f"{cls.__qualname__}: encode and decode are given both, or neither")
        if encode is None or decode is None:
            encode, decode = _natural(cls)
        name = cls.__name__ if name is None else name
        known = self._by_name.get(name)
        if known is not None and self._by_type.get(cls) is not known:
            raise ValueError(f"there is another type by the name {name!r}: register {cls.__qualname__} with name=")
        if cls in self._by_type:
            del self._by_name[self._by_type[cls].name]
        self._by_type[cls] = self._by_name[name] = _Type(name, encode, decode)

    def pack(self, message: Message) -> bytes:
        """A message as bytes.

        Raises:
            TypeError: if something in it cannot travel.
        """
        try:
            return self._dump(self._whole(message))
        except RecursionError:
            raise TypeError(f"what {message.event!r} is emitted with is nested too deeply to travel") from None

    def _whole(self, message: Message) -> dict[str, Any]:
        whole: dict[str, Any] = {
            "v": VERSION,
            "event": message.event,
            "id": message.id,
            "from": message.origin,
            "args": [self._plain(value) for value in message.args],
            "kwargs": {name: self._plain(value) for name, value in message.kwargs.items()},
        }
        if message.group is not None:
            whole["group"] = message.group
        if message.sender is not ANY:
            whole["sender"] = self._plain(message.sender)
        if message.context:
            whole["context"] = message.context
        return whole

    def unpack(self, body: bytes, wants: Callable[[str, str, str | None], bool] = lambda *_: True) -> Message | None:
        """The message that bytes are; `None` if its event, origin and group are not wanted: its values are left alone.

        Raises:
            Malformed: if they are none.
        """
        try:
            whole = self._load(body)
            if type(whole) is not dict or whole.get("v") != VERSION:
                raise Malformed(f"not a message of version {VERSION}")
            event, identity, origin = whole["event"], whole["id"], whole["from"]
            args, kwargs, context = whole["args"], whole["kwargs"], whole.get("context", {})
            group = whole.get("group")
            texts = [event, identity, origin, *kwargs, *context, *context.values(), "" if group is None else group]
            if not event or type(args) is not list or not all(type(text) is str for text in texts):
                raise Malformed("its parts are of wrong types")
            if not wants(event, origin, group):
                return None
            sender = self._rich(whole["sender"]) if "sender" in whole else ANY
            positionals = tuple([self._rich(value) for value in args])
            keywords = {name: self._rich(value) for name, value in kwargs.items()}
        except Malformed:
            raise
        except Exception as error:  # of decoders, too, that are given what they do not expect
            raise Malformed(f"{type(error).__name__}: {error}") from error
        return Message(event, identity, origin, group, sender, positionals, keywords, context)

    def _plain(self, value: Any) -> Any:
        """A value as what JSON has."""
        cls = type(value)
        if value is None or cls is str or cls is bool:
            return value
        if cls is int:
            return value if value in _INT_64 else {"$": "int", "of": str(value)}
        if cls is float:
            return value if math.isfinite(value) else {"$": "float", "of": repr(value)}
        if cls is list:
            return [self._plain(item) for item in value]
        if cls is dict:
            if "$" not in value and all(type(key) is str for key in value):
                return {key: self._plain(item) for key, item in value.items()}
            return {"$": "dict", "of": [[self._plain(key), self._plain(item)] for key, item in value.items()]}
        known = self._by_type.get(cls)
        if known is None:
            raise TypeError(
                f"a {cls.__qualname__} cannot travel: register its type, as by bridge.register({cls.__qualname__}),"
                " here and where it arrives"
            )
        return {"$": known.name, "of": self._plain(known.encode(value))}

    def _rich(self, value: Any) -> Any:
        """The value that `_plain` has made this of."""
        cls = type(value)
        if cls is list:
            return [self._rich(item) for item in value]
        if cls is not dict:
            return value
        if "$" not in value:
            return {key: self._rich(item) for key, item in value.items()}
        name = value["$"]
        known = self._by_name.get(name) if type(name) is str and len(value) == 2 else None
        if known is None:
            raise Malformed(f"a value of the unknown type {name!r}: register it, as by bridge.register")
        return known.decode(self._rich(value["of"]))


def _natural(cls: type) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """How values of a type are encoded and decoded that says so itself."""
    if hasattr(cls, "model_dump") and hasattr(cls, "model_validate"):  # pydantic's
        return lambda value: value.model_dump(mode="json"), cls.model_validate
    if issubclass(cls, msgspec.Struct) or dataclasses.is_dataclass(cls):
        return msgspec.to_builtins, lambda data: msgspec.convert(data, cls)
    if issubclass(cls, enum.Enum):
        return lambda value: value.value, cls
    raise TypeError(
        f"{cls.__qualname__} is no dataclass, msgspec Struct, pydantic model or Enum:"
        " register it with encode= and decode="
    )


def _decimal(text: Any) -> decimal.Decimal:
    return decimal.Decimal(_text(text))


def _text(value: Any) -> str:
    if type(value) is not str:
        raise Malformed(f"a text was expected, not {type(value).__name__}")
    return value


def _isoformat(value: Any) -> str:
    text: str = value.isoformat()
    return text


def _timedelta(parts: Any) -> datetime.timedelta:
    days, seconds, microseconds = parts
    return datetime.timedelta(days, seconds, microseconds)


_BUILTIN: dict[type, _Type] = {
    int: _Type("int", str, lambda text: int(_text(text))),
    float: _Type("float", repr, lambda text: float(_text(text))),
    dict: _Type("dict", list, lambda pairs: {key: value for key, value in pairs}),  # noqa: C416 - it checks the pairs
    tuple: _Type("tuple", list, tuple),
    set: _Type("set", list, set),
    frozenset: _Type("frozenset", list, frozenset),
    bytes: _Type(
        "bytes",
        lambda value: base64.b64encode(value).decode(),
        lambda text: base64.b64decode(_text(text), validate=True),
    ),
    datetime.datetime: _Type("datetime", _isoformat, lambda text: datetime.datetime.fromisoformat(_text(text))),
    datetime.date: _Type("date", _isoformat, lambda text: datetime.date.fromisoformat(_text(text))),
    datetime.time: _Type("time", _isoformat, lambda text: datetime.time.fromisoformat(_text(text))),
    datetime.timedelta: _Type("timedelta", lambda value: [value.days, value.seconds, value.microseconds], _timedelta),
    decimal.Decimal: _Type("Decimal", str, _decimal),
    uuid.UUID: _Type("UUID", str, lambda text: uuid.UUID(_text(text))),
}
