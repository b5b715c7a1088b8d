"""Who may come in where the page is open to other machines: a password, a token, and the visit that gave one."""

import base64
import binascii
import hashlib
import hmac
import ipaddress
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Literal, TypeAlias

from blipdiff.errors import ConfigError

Answer: TypeAlias = Literal["yes", "no", "unknown", "later"]  # unknown: nothing was given

SHORTEST_PASSWORD, SHORTEST_TOKEN = 8, 16

_MOST_FAILURES, _SECONDS = 10, 60.0
_MOST_ADDRESSES = 1024


@dataclass(frozen=True, slots=True)
class Credentials:
    """What opens the page; none of them where everybody may come in."""

    account: str | None = field(default=None, repr=False)  # user:password
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.account is not None:
            user, sign, password = self.account.partition(":")
            if not (user and sign and len(password) >= SHORTEST_PASSWORD):
                raise ConfigError(f"--auth wants USER:PASSWORD, the password of {SHORTEST_PASSWORD} letters or more.")
        if self.token is not None and (len(self.token) < SHORTEST_TOKEN or not _is_plain(self.token)):
            raise ConfigError(
                f"--token wants {SHORTEST_TOKEN} letters or digits or more, so that nobody guesses it, "
                f"for example {secrets.token_urlsafe(24)}."
            )

    @property
    def are_asked_for(self) -> bool:
        """Whether anybody is asked at all."""
        return self.account is not None or self.token is not None


class Doorkeeper:
    """Looks at what a request shows; an address that guesses is not listened to for a while."""

    def __init__(self, credentials: Credentials, clock: Callable[[], float] = time.monotonic) -> None:
        self._credentials = credentials
        self._clock = clock
        self._visit = secrets.token_urlsafe(32)  # what a visit's cookie holds: worth nothing after this process
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def cookie(self, port: int | None, *, is_secure: bool) -> str:
        """The Set-Cookie that lets a browser in that showed a token or a password; it ends with the browser."""
        return f"{_cookie(port)}={self._visit}; Path=/; HttpOnly; SameSite=Lax{'; Secure' if is_secure else ''}"

    def admits(self, headers: Mapping[str, str], address: str, port: int | None, token: str | None = None) -> Answer:
        """Whether the request may come in; `token` is what its address line held."""
        if not self._credentials.are_asked_for or _same(_cookie_of(headers.get("cookie", ""), port), self._visit):
            return "yes"
        kind, _, given = headers.get("authorization", "").partition(" ")
        if token is None and not given.strip():
            return "unknown"
        if self._is_waiting(address):
            return "later"
        if self._is_right(kind.lower(), given.strip(), token):
            self._failures.pop(_neighbours(address), None)
            return "yes"
        self._failed(address)
        return "no"

    def challenge(self) -> str | None:
        """The WWW-Authenticate that makes a browser ask for the password; None where a token is wanted."""
        return 'Basic realm="blipdiff", charset="UTF-8"' if self._credentials.account is not None else None

    def _is_right(self, kind: str, given: str, token: str | None) -> bool:
        wanted = self._credentials
        shown = token if token is not None else given if kind == "bearer" else None
        by_token = wanted.token is not None and _same(shown, wanted.token)
        by_account = wanted.account is not None and kind == "basic" and _same(_decoded(given), wanted.account)
        return by_token or by_account

    def _is_waiting(self, address: str) -> bool:
        times = self._failures.get(_neighbours(address), deque())
        while times and self._clock() - times[0] > _SECONDS:
            times.popleft()
        return len(times) >= _MOST_FAILURES

    def _failed(self, address: str) -> None:
        key = _neighbours(address)
        self._failures.setdefault(key, deque(maxlen=_MOST_FAILURES)).append(self._clock())
        self._failures.move_to_end(key)
        while len(self._failures) > _MOST_ADDRESSES:
            self._failures.popitem(last=False)


def _same(given: str | None, wanted: str) -> bool:
    """In a time that tells nothing of where they differ, nor of their lengths."""
    digests = (hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (given or "", wanted))
    return hmac.compare_digest(*digests)


def _decoded(given: str) -> str | None:
    try:
        return base64.b64decode(given, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None


def _cookie(port: int | None) -> str:
    return f"blipdiff-{port or 0}"  # a browser keeps one jar for all ports of a machine


def _cookie_of(header: str, port: int | None) -> str | None:
    try:
        found = SimpleCookie(header).get(_cookie(port))
    except CookieError:
        return None
    return None if found is None else found.value


def _neighbours(address: str) -> str:
    """The address, of which an IPv6 user has 2**64."""
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(known) if known.version == 4 else str(ipaddress.ip_network(f"{known}/64", strict=False))


def _is_plain(text: str) -> bool:
    return text.isascii() and all(letter.isalnum() or letter in "-._~" for letter in text)
