"""By which names the page is asked for, and by whose pages: other names and other sites are turned away.

A browser sends the name that a person (or a hostile page whose name was made to point here) typed as Host, and the
site on whose behalf it asks as Origin; neither can be forged by a page.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from blipdiff.errors import ConfigError

Scheme: TypeAlias = Literal["http", "https"]

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PORTS = {"http": 80, "https": 443}
_OURS = ("same-origin", "none")  # Sec-Fetch-Site: the page itself, or typed by the person
_NAME = re.compile(r"[a-z0-9_.:%-]{1,255}")


@dataclass(frozen=True, slots=True)
class Name:
    """A name of the page, as a browser's address line has it."""

    host: str
    port: int | None = None  # None: any
    scheme: Scheme | None = None  # https where something before us speaks it; None: not known

    @classmethod
    def parse(cls, text: str) -> "Name":
        """Of "pictures.example.org", "pictures.example.org:8443" or "https://pictures.example.org".

        Raises: ConfigError for anything else.
        """
        scheme, sign, rest = text.strip().rpartition("://")
        found = _split(rest.rstrip("/"))
        if found is None or scheme not in ("http", "https", "") or (sign and not scheme):
            raise ConfigError(f"--allow-host is '{text}'; give a name like pictures.example.org or https://10.0.0.7.")
        known: Scheme | None = "https" if scheme == "https" else "http" if scheme == "http" else None
        return cls(*found, known)


@dataclass(frozen=True, slots=True)
class Hosts:
    """The names that the page answers to, besides those of the loopback and the address that was asked."""

    names: Sequence[Name] = ()

    def asked(self, header: str, local: tuple[str, int | None]) -> Name | None:
        """The page's name that a Host header means, with its port and scheme; None when it is not the page's.

        local: address and port of the socket that was reached
        """
        found = _split(header)
        if found is None:
            return None
        host, port = found
        if host in (*_LOOPBACK, local[0]) and (port or 80) == local[1]:
            return Name(host, port)
        for name in self.names:
            if name.host == host and name.port in (None, port, port or _PORTS[name.scheme or "http"]):
                return Name(host, port, name.scheme)
        return None


def is_own_site(asked: Name, origin: str | None) -> bool:
    """Whether a request that reached the page by this name was made by the page's own site, or by no site at all."""
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return False
    if parts.scheme not in _PORTS or parts.hostname != asked.host or asked.scheme not in (None, parts.scheme):
        return False
    usual = _PORTS[parts.scheme]
    return (port or usual) == (asked.port or usual)


def is_own_fetch(site: str | None, mode: str | None, destination: str | None, *, is_visit: bool) -> bool:
    """Whether what a browser says of a request (Sec-Fetch-Site, -Mode, -Dest) is no use of the page by another site.

    is_visit: the page itself is asked for, to which any site may lead
    """
    return site in (None, *_OURS) or (is_visit and mode == "navigate" and destination == "document")


def _split(text: str) -> tuple[str, int | None] | None:
    """Host and port of "name:8000" or "[::1]:8000"."""
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:.%]+)\]|([^\[\]:/?#@\s]+))(?::(\d{1,5}))?", text)
    if found is None:
        return None
    host = (found[1] or found[2]).lower()
    return (host, int(found[3]) if found[3] else None) if _NAME.fullmatch(host) else None
