"""Tickets: what the queue knows of a job without opening it, and the names that tell when a job came."""

import secrets
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from blipdiff.errors import ConfigError

State: TypeAlias = Literal["waiting", "drawing", "done", "failed", "cancelled"]

STATES: tuple[State, ...] = ("waiting", "drawing", "done", "failed", "cancelled")
ENDED: tuple[State, ...] = ("done", "failed", "cancelled")
FAULT = "The program "  # how errors begin that nobody who asks can help
LOCAL = "local"  # the owner of what is asked for without a token
_TIME_DIGITS, _CHANCE_BYTES = 11, 5


@dataclass(frozen=True, slots=True)
class Sender:
    """Who asks for a job.

    owner: whose it is, a token's name; client: among whom turns are taken, one program or browser of an owner
    """

    owner: str = LOCAL
    client: str = LOCAL
    source: str = "api"  # which face: page, api, openai, a1111, mcp, batch


@dataclass(frozen=True, slots=True)
class Asked:
    """How a job is put into the line.

    key: names the request among its owner's, so that asking again gives the same ticket (with `digest`, what was
    asked for under it)
    """

    model: str = ""
    priority: int = 0
    name: str = ""
    webhook: str | None = None
    key: str | None = None
    digest: str = ""
    previews: int = 1  # that are shown whatever they cost; 0: none at all


class KeyTaken(ConfigError):
    """A key that stands for another request."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A job in the queue. Times are seconds since 1970."""

    id: str
    owner: str
    client: str
    source: str
    name: str  # what its sender calls it
    task: str
    model: str
    state: State
    priority: int  # higher goes first
    count: int  # pictures that were asked for, as far as that is known before
    created: float
    started: float | None
    ended: float | None
    attempts: int  # how often it was begun
    is_stopping: bool  # it is being drawn, and asked to stop
    error: str | None
    notices: tuple[str, ...]
    webhook: str | None
    step: int  # how far it was when that was last written down
    steps: int
    previews: int  # that are shown whatever they cost

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state in ENDED

    @property
    def is_fault(self) -> bool:
        """Whether it failed by no fault of its sender."""
        return self.state == "failed" and (self.error or FAULT).startswith(FAULT)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a waiting or drawing job stands.

    place: 0 while it is drawn, 1 for the next one; seconds: until it is done, None where nothing was measured yet
    """

    place: int
    seconds: float | None


def new_name() -> str:
    """A name that sorts by time, and that nobody guesses."""
    return f"{int(time.time() * 1000):0{_TIME_DIGITS}x}{secrets.token_hex(_CHANCE_BYTES)}"


def is_name(text: object) -> bool:
    """Whether this can be a ticket's name."""
    return (
        isinstance(text, str)
        and len(text) == _TIME_DIGITS + 2 * _CHANCE_BYTES
        and all(letter in "0123456789abcdef" for letter in text)
    )


def time_of(name: str) -> float:
    """When a ticket came, in seconds since 1970."""
    return int(name[:_TIME_DIGITS], 16) / 1000


def day_of(seconds: float) -> str:
    """The day as people here call it: 2026-11-28."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d")
