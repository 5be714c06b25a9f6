"""Broker addresses: parsed as URLs, and shown without secrets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECRET_WORDS = ("pass", "token", "secret", "key", "credential", "nkey", "jwt", "seed")


@dataclass(frozen=True, slots=True)
class Address:
    """One or several addresses of a broker, all with the same scheme.

    Attributes:
        scheme: the scheme, in lower case.
        urls: the addresses as they were given, for the broker's client. They may contain secrets.
        query: the options in the queries of the addresses.
        safe: the addresses with only scheme, host, port and path, for errors and logs.
        secrets: the passwords and tokens in them, longest first, to be removed from the client's errors.
    """

    scheme: str
    urls: tuple[str, ...]
    query: Mapping[str, str]
    safe: str
    secrets: tuple[str, ...]

    @classmethod
    def parse(cls, text: object) -> Address:
        """Parse an address, or several with commas between them. No error shows the address itself.

        Raises:
            TypeError: if it is not a string.
            ValueError: if it is not an address.
        """
        if not isinstance(text, str):
            raise TypeError(f"a broker's address must be a str, not {type(text).__name__}")
        urls = tuple(text.split(","))
        parts = [_split(url) for url in urls]
        schemes = {part.scheme for part in parts}
        if len(schemes) > 1:
            raise ValueError(f"all addresses of a broker must have the same scheme, not {', '.join(sorted(schemes))}")
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
        """Return the secrets in the addresses and in the client's options."""
        found = {value for name, value in options.items() if is_secret(name) and isinstance(value, str)}
        return _longest_first({*self.secrets, *found})


def is_secret(option: str) -> bool:
    """Return whether an option with this name has a secret value."""
    return any(word in option.lower() for word in _SECRET_WORDS)


def _longest_first(secrets: set[str]) -> tuple[str, ...]:
    return tuple(sorted(secrets - {""}, key=lambda secret: (-len(secret), secret)))


def _split(url: str) -> SplitResult:
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"{_ADDRESS} must have only printable ASCII characters without spaces: {_ENCODE}")
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - this checks it
    except ValueError:
        raise ValueError(f"{_ADDRESS} must have the form scheme://user:password@host:port/path: {_ENCODE}") from None
    if not parts.scheme or "://" not in url:
        raise ValueError(f"{_ADDRESS} must begin with a scheme, such as nats://")
    if parts.netloc.count("@") > 1 or any("@" in each for each in (parts.path, parts.query, parts.fragment)):
        raise ValueError(f"{_ADDRESS} must have no @ except one before the host: {_ENCODE}")
    if parts.fragment:
        raise ValueError(f"{_ADDRESS} must have no fragment: {_ENCODE}")
    return parts


_ADDRESS = "a broker's address"
_ENCODE = "percent-encode user names and passwords with urllib.parse.quote(password, safe='')"
