"""Tokens: who may come in, what each may do, and how much."""

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.doors.credentials import Answer, Credentials, Doorkeeper
from app.jobs.tickets import LOCAL
from blipdiff.errors import ConfigError

DRAW, READ, SUBJECTS, ALL = "draw", "read", "subjects", "all"
SCOPES = {
    DRAW: "put jobs into the line and cancel them",
    READ: "see jobs and pictures of its own",
    SUBJECTS: "change the subject library",
    ALL: "see and change those of others, and set priorities",
}
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_HASHED = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody with a token.

    rate: requests in a minute; waiting: jobs that may wait at the same time; pictures: of one job
    """

    name: str = LOCAL
    scopes: frozenset[str] = frozenset(SCOPES)
    rate: float = 600.0
    waiting: int = 200
    pictures: int = 64

    def may(self, scope: str) -> bool:
        """Whether the holder may do what the scope says."""
        return scope in self.scopes or ALL in self.scopes


NOBODY_ASKED = Holder(rate=6000.0, waiting=10_000, pictures=4096)  # this machine alone, where there is no token


@dataclass(frozen=True, slots=True)
class Tokens:
    """All tokens, by their SHA-256 as hexadecimal digits."""

    holders: Mapping[str, Holder] = field(default_factory=dict, repr=False)

    @property
    def are_asked_for(self) -> bool:
        """Whether anybody is asked at all."""
        return bool(self.holders)

    def holder(self, given: str | None) -> Holder | None:
        """Whose token this is; in a time that tells nothing of the others."""
        digest = hashlib.sha256((given or "").encode("utf-8", "surrogatepass")).hexdigest()
        found = None
        for known, holder in self.holders.items():
            if hmac.compare_digest(known, digest):
                found = holder
        return found

    @classmethod
    def of(cls, token: str | None, path: Path | None = None) -> "Tokens":
        """One token that may do everything, and those of a JSON file.

        The file: {"name": {"token": "...", or "sha256:...", "scopes": ["draw", "read"], "rate": 60, "waiting": 20}}

        Raises: ConfigError for a token that could be guessed, and for a damaged file.
        """
        found = {}
        if token is not None:
            found[_digest(token, "--token")] = Holder()
        for name, told in ({} if path is None else _read(path)).items():
            digest, holder = _holder(name, told)
            if digest in found:
                raise ConfigError(f"The token of {name} is somebody else's, too; give each one of their own.")
            found[digest] = holder
        return cls(found)


class TokenKeeper(Doorkeeper):
    """Looks at the token of a request; an address that guesses is not listened to for a while."""

    def __init__(self, tokens: Tokens, account: str | None = None) -> None:
        """account: user:password that may do everything, as on the page"""
        super().__init__(Credentials(account, secrets.token_urlsafe(32)))  # which nobody has: those of `tokens` count
        self._tokens, self._has_account = tokens, account is not None

    def holder(self, headers: Mapping[str, str], address: str) -> Holder | Answer:
        """Who it is, or why nobody comes in."""
        if not (self._tokens.are_asked_for or self._has_account):
            return NOBODY_ASKED
        answer = self.admits({"authorization": headers.get("authorization", "")}, address, None)
        kind, _, given = headers.get("authorization", "").partition(" ")
        if answer != "yes":
            return answer
        return self._tokens.holder(_shown(kind.lower(), given.strip())) or Holder()

    def _is_right(self, kind: str, given: str, token: str | None) -> bool:
        return self._tokens.holder(_shown(kind, given)) is not None or super()._is_right(kind, given, token)


def _shown(kind: str, given: str) -> str | None:
    """The token that a request shows; as the password of whatever user, too, for programs that know no other way."""
    if kind == "bearer":
        return given
    if kind != "basic":
        return None
    try:
        return base64.b64decode(given, validate=True).decode("utf-8").partition(":")[2]
    except (binascii.Error, ValueError):
        return None


def _digest(token: Any, whose: str) -> str:
    if isinstance(token, str) and _HASHED.fullmatch(token):
        return token.removeprefix("sha256:")
    if not isinstance(token, str):
        raise ConfigError(f"The token of {whose} is no text.")
    Credentials(token=token)  # raises for one that could be guessed
    return hashlib.sha256(token.encode()).hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"The tokens' file {path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"The tokens' file {path} is no JSON: {error}.") from error
    if not isinstance(told, dict) or not told:
        raise ConfigError(f'The tokens\' file {path} has no token; write {{"name": {{"token": "..."}}}}.')
    return told


def _holder(name: str, told: Any) -> tuple[str, Holder]:
    """The digest and the holder that the file tells of. Raises: ConfigError for what it cannot tell."""
    if not _NAME.fullmatch(name) or name == LOCAL:
        raise ConfigError(f"{name!r:.60} cannot hold a token; take small letters, digits, - and _, not '{LOCAL}'.")
    known = {"token", "scopes", "rate", "waiting", "pictures"}
    if not isinstance(told, dict) or not set(told) <= known:
        raise ConfigError(f"The token of {name} has other fields than {', '.join(sorted(known))}.")
    scopes = told.get("scopes", [DRAW, READ])
    if not isinstance(scopes, list) or not set(map(str, scopes)) <= set(SCOPES):
        raise ConfigError(f"The scopes of {name} are {scopes!r:.80}; choose of: {', '.join(SCOPES)}.")
    limits = {limit: told[limit] for limit in ("rate", "waiting", "pictures") if limit in told}
    if not all(isinstance(value, int) and not isinstance(value, bool) and value > 0 for value in limits.values()):
        raise ConfigError(f"The limits of {name} must be whole numbers above 0.")
    return _digest(told.get("token"), name), Holder(name, frozenset(scopes), **limits)
