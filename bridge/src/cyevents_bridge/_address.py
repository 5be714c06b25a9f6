"""The address of a broker: parsed by the rules for URLs, and shown without anything that may be secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECRET_WORDS = ("pass", "token", "secret", "key", "credential", "nkey", "jwt", "seed")


@dataclass(frozen=True, slots=True)
class Address:
    """One or several addresses of a broker, of one scheme.

    Attributes:
        scheme: the scheme, in lower case.
        urls: the addresses as they were given, for the broker's client: they may hold secrets.
        query: the options in the addresses' queries.
        safe: the addresses with nothing but scheme, host, port and path, for errors and logs.
        secrets: the passwords and tokens in them, longest first, to be removed from what a client says.
    """

    scheme: str
    urls: tuple[str, ...]
    query: Mapping[str, str]
    safe: str
    secrets: tuple[str, ...]

    @classmethod
    def parse(cls, text: object) -> Address:
        """Parse an address, or several with commas between them. No error shows what was given.

        Raises:
            TypeError: if it is not a string.
            ValueError: if it is not an address.
        """
        if not isinstance(text, str):
            raise TypeError(f"a broker's address is a str, not {type(text).__name__}")
        urls = tuple(text.split(","))
        parts = [_split(url) for url in urls]
        schemes = {part.scheme for part in parts}
        if len(schemes) > 1:
            raise ValueError(f"several addresses of a broker have one scheme, not {', '.join(sorted(schemes))}")
        query: dict[str, str] = {}
        secrets: set[str] = set()
        for part in parts:
            query.update(parse_qsl(part.query, keep_blank_values=True))
            user, _, password = part.netloc.rpartition("@")[0].partition(":")
            secrets |= {password, unquote(password)}
            if not password:  # as in nats://TOKEN@host
                secrets |= {user, unquote(user)}
        secrets |= {value for name, value in query.items() if is_secret(name)}
        safe = ",".join([f"{part.scheme}://{part.netloc.rpartition('@')[2]}{part.path}" for part in parts])
        return cls(parts[0].scheme, urls, query, safe, _longest_first(secrets))

    def secrets_with(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the secrets of the addresses and those among the options for the client."""
        found = {value for name, value in options.items() if is_secret(name) and isinstance(value, str)}
        return _longest_first({*self.secrets, *found})


def is_secret(option: str) -> bool:
    """Return whether the name of an option says that its value is secret."""
    return any(word in option.lower() for word in _SECRET_WORDS)


def _longest_first(secrets: set[str]) -> tuple[str, ...]:
    return tuple(sorted(secrets - {""}, key=lambda secret: (-len(secret), secret)))


def _split(url: str) -> SplitResult:
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"{_ADDRESS} has ASCII characters only: {_ENCODE}")
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - this checks it
    except ValueError:
        raise ValueError(f"{_ADDRESS} is scheme://user:password@host:port/path: {_ENCODE}") from None
    if not parts.scheme or "://" not in url:
        raise ValueError(f"{_ADDRESS} begins with a scheme, such as nats://")
    if parts.netloc.count("@") > 1 or any("@" in each for each in (parts.path, parts.query, parts.fragment)):
        raise ValueError(f"{_ADDRESS} has an @ that is not before the host: {_ENCODE}")
    if parts.fragment:
        raise ValueError(f"{_ADDRESS} has no fragment: {_ENCODE}")
    return parts


_ADDRESS = "a broker's address"
_ENCODE = "percent-encode user names and passwords, as by urllib.parse.quote(password, safe='')"
