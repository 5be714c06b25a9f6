"""AMQP 0-9-1 frames from RabbitMQ, rewritten where the client could not decode them.

Anyone who may publish chooses the routing key and the properties of a message: text that is not UTF-8, a table nested a
thousand times, a date in the year 40,000. RabbitMQ passes all of that on, but the client raises an exception and closes
the connection. At least once, the broker then delivers the message again with the same result, so one such message
stops a group for good.

Therefore the client reads from a `FrameReader`. Of a message's properties, it passes on only those that the bridge
uses, if they are well formed: the message id, the application id and the bridge's own three headers. If a routing key
or the name of an exchange is not UTF-8, its bytes that are not ASCII become question marks. Everything here takes time
linear in the size of a frame. (The client's own decoder copies the rest of a table for each value in it.)

The delivery tag and the body pass unchanged, so the message is handled or dead-lettered like any other.
"""

from __future__ import annotations

import asyncio
from struct import Struct
from typing import TYPE_CHECKING, Any

from pamqp import frame as pamqp_frame
from pamqp.commands import Basic
from pamqp.header import ContentHeader

if TYPE_CHECKING:
    from collections.abc import Mapping

ATTEMPT, DELAY, SUBJECT = "cyevents-attempt", "cyevents-delay", "cyevents-subject"
_OWN_HEADERS = {name.encode(): name for name in (ATTEMPT, DELAY, SUBJECT)}

# A frame consists of its kind, the channel, the size of the payload, the payload, and one byte as its end.
_START = Struct(">BHI")
_METHOD, _HEADER = 1, 2
_KINDS = frozenset({_METHOD, _HEADER, 3, 8})

# By the class and number of a method: where its short strings begin in a frame, and how many there are.
_DELIVER = b"\0\x3c\0\x3c"
_TEXTS: Mapping[bytes, tuple[int, int]] = {
    b"\0\x3c\0\x47": (20, 2),  # Basic.GetOk: exchange and routing key
    b"\0\x3c\0\x32": (13, 3),  # Basic.Return: reason, exchange and routing key
    b"\0\x0a\0\x32": (13, 1),  # Connection.Close: the reason, which the broker may have cut inside a character
    b"\0\x14\0\x28": (13, 1),  # Channel.Close: the same
}
_TO_ASCII = bytes([byte if byte < 128 else ord("?") for byte in range(256)])

# The properties in the order in which they follow their flags: the flag, the size of the value's length field, and the
# size of the value if it is fixed.
_SHORT_STRING, _TABLE = (1, 0), (4, 0)
_MESSAGE_ID, _APP_ID, _HEADERS = 0x0080, 0x0008, 0x2000
_PROPERTIES = (
    (0x8000, *_SHORT_STRING),  # content type
    (0x4000, *_SHORT_STRING),  # content encoding
    (_HEADERS, *_TABLE),
    (0x1000, 0, 1),  # delivery mode
    (0x0800, 0, 1),  # priority
    (0x0400, *_SHORT_STRING),  # correlation id
    (0x0200, *_SHORT_STRING),  # reply to
    (0x0100, *_SHORT_STRING),  # expiration
    (_MESSAGE_ID, *_SHORT_STRING),
    (0x0040, 0, 8),  # timestamp
    (0x0020, *_SHORT_STRING),  # type
    (0x0010, *_SHORT_STRING),  # user id
    (_APP_ID, *_SHORT_STRING),
    (0x0004, *_SHORT_STRING),  # cluster id
)
_PUBLISHED_HERE = b"\x10\x88"  # the flags of a bridge's messages: delivery mode, message id and application id

# A value in a table has one byte for its type, then a fixed number of bytes, or a length of four bytes and the data.
_FIXED_SIZES = {b"V": 0, b"t": 1, b"b": 1, b"B": 1, b"s": 2, b"u": 2, b"I": 4, b"i": 4, b"l": 8, b"f": 4, b"d": 8}
_FIXED_SIZES |= {b"D": 5, b"T": 8}
_SIZED = frozenset({b"S", b"A", b"F", b"x"})
_SIGNED, _UNSIGNED = frozenset({b"b", b"s", b"I", b"l"}), frozenset({b"B", b"u", b"i"})


class FrameReader(asyncio.StreamReader):
    """A stream of frames that the client can decode.

    Bytes that are not AMQP frames pass unchanged, because the client reports them well.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._rest = b""  # the beginning of an incomplete frame
        self._is_amqp = True

    def feed_data(self, data: Any) -> None:
        """Add received bytes. Readers get only whole frames."""
        if self._rest:
            data = self._rest + data
        parts: list[bytes] = []
        copied = position = 0
        size = len(data)
        while self._is_amqp and size - position >= _START.size:
            kind, _, length = _START.unpack_from(data, position)
            if kind not in _KINDS:
                self._is_amqp = False
                break
            end = position + _START.size + length + 1
            if end > size:
                break
            if kind in (_METHOD, _HEADER):
                changed = (decodable_method if kind == _METHOD else decodable_header)(data, position, end)
                if changed is not None:
                    parts += (data[copied:position], changed)
                    copied = end
            position = end
        if not self._is_amqp:
            position = size
        parts.append(data[copied:position])
        self._rest = data[position:]
        super().feed_data(b"".join(parts))

    def feed_eof(self) -> None:
        """Add the end of the stream."""
        if self._rest:
            super().feed_data(self._rest)
            self._rest = b""
        super().feed_eof()


def decodable_method(data: bytes, start: int, end: int) -> bytes | None:
    """Return a method frame with all texts in UTF-8, or `None` if it needs no change."""
    method = data[start + 7 : start + 11]
    if method == _DELIVER:  # the consumer tag (chosen by the client), delivery tag, flag, exchange, routing key
        texts, count = start + 21 + data[start + 11], 2
    elif method in _TEXTS:
        texts, count = _TEXTS[method]
        texts += start
    else:
        return None
    if data[texts : end - 1].isascii() or _are_utf8(data, texts, count):
        return None
    frame = bytearray(data[start:end])
    position = texts - start
    for _ in range(count):
        first, position = position + 1, position + 1 + frame[position]
        frame[first:position] = frame[first:position].translate(_TO_ASCII)
    return bytes(frame)


def _are_utf8(data: bytes, position: int, count: int) -> bool:
    for _ in range(count):
        first, position = position + 1, position + 1 + data[position]
        if _utf8(data[first:position]) is None:
            return False
    return True


def _utf8(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def decodable_header(data: bytes, start: int, end: int) -> bytes | None:
    """Return a content header frame with only the properties that the bridge uses, or `None` if it needs no change."""
    last = end - 1
    if data[start + 19 : start + 21] == _PUBLISHED_HERE and last - start > 23 and data[start + 22 : last].isascii():
        app_id = start + 23 + data[start + 22]
        if app_id < last and app_id + 1 + data[app_id] == last:
            return None
    _, channel, _ = _START.unpack_from(data, start)
    size = int.from_bytes(data[start + 11 : start + 19], "big")
    header = ContentHeader(body_size=size, properties=Basic.Properties(**_used_properties(data[start + 19 : last])))
    return pamqp_frame.marshal(header, channel)


def _used_properties(data: bytes) -> dict[str, Any]:
    """Return the well-formed properties that the bridge uses, up to the point where the data is cut off."""
    found: dict[str, Any] = {}
    flags = word = int.from_bytes(data[:2], "big")
    position = 2
    while word & 1:  # another word of flags follows, for properties that AMQP does not define
        word = int.from_bytes(data[position : position + 2], "big")
        position += 2
    for flag, width, size in _PROPERTIES:
        if not flags & flag:
            continue
        first = position + width
        position = first + (int.from_bytes(data[position:first], "big") if width else size)
        if position > len(data):
            break
        value = data[first:position]
        if flag == _HEADERS:
            found["headers"] = _own_headers(value)
        elif flag == _MESSAGE_ID:
            found["message_id"] = _utf8(value)
        elif flag == _APP_ID:
            found["app_id"] = _utf8(value)
    return found


def _own_headers(table: bytes) -> dict[str, Any]:
    """Return the bridge's own headers in a table. Stop at a value of an unknown type, whose size is unknown too."""
    found: dict[str, Any] = {}
    position = 0
    while position < len(table):
        name_end = position + 1 + table[position]
        name, kind = table[position + 1 : name_end], table[name_end : name_end + 1]
        first = name_end + 1
        if kind in _SIZED:
            first += 4
            size = int.from_bytes(table[first - 4 : first], "big")
        elif kind in _FIXED_SIZES:
            size = _FIXED_SIZES[kind]
        else:
            break
        position = first + size
        if position > len(table):
            break
        if name in _OWN_HEADERS:
            value = _number_or_text(kind, table[first:position])
            if value is not None:
                found[_OWN_HEADERS[name]] = value
    return found


def _number_or_text(kind: bytes, value: bytes) -> int | str | None:
    if kind in _SIGNED or kind in _UNSIGNED:
        return int.from_bytes(value, "big", signed=kind in _SIGNED)
    return _utf8(value) if kind == b"S" else None
