"""Who looks at the page: browsers by the name that each has given itself, and their open pages."""

import ipaddress
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Lock

import gradio as gr

from app.jobs.tickets import LOCAL, Sender

SOURCE = "page"
_NAME = re.compile(r"[A-Za-z0-9-]{16,64}")
_MOST_PAGES = 512
_PASSED_ON = ("forwarded", "x-forwarded-for", "x-real-ip", "via")  # what servers in between add
_SECONDS_UNHEARD = 5.0  # after which nobody listens any more to what an open page is told


def sender_of(browser: str | None, visit: gr.Request) -> Sender:
    """Who asks: the browser, or where it keeps no name the visit alone.

    All of the page's pictures belong to whoever owns the history; turns are taken among browsers.
    """
    is_named = isinstance(browser, str) and _NAME.fullmatch(browser) is not None
    return Sender(LOCAL, str(browser if is_named else visit.session_hash), SOURCE)


def is_at_the_machine(visit: gr.Request) -> bool:
    """Whether a page is opened on the machine that serves it, and nothing passes it on from another one."""
    if any(name in visit.headers for name in _PASSED_ON):
        return False
    try:
        return ipaddress.ip_address(str(visit.client.host)).is_loopback if visit.client is not None else False
    except ValueError:  # a socket's name, not an address
        return False


@dataclass(slots=True)
class _Page:
    followed: float = 0.0  # when it was last told something
    trial: Event = field(default_factory=Event)  # set: nobody waits for it


class Visits:
    """The open pages, by Gradio's name of the session."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pages: dict[str, _Page] = {}
        self._dismissed: set[str] = set()
        self._access = Lock()

    def begins_to_follow(self, session: str) -> bool:
        """Whether this page is told of its jobs from now on; False where it is already."""
        with self._access:
            page = self._page(session)
            if self._clock() - page.followed < _SECONDS_UNHEARD:
                return False
            page.followed = self._clock()
            return True

    def follows(self, session: str) -> None:
        """The page was told something just now."""
        with self._access:
            self._page(session).followed = self._clock()

    def ends_to_follow(self, session: str) -> None:
        """The page is told nothing more."""
        with self._access:
            if session in self._pages:
                self._pages[session].followed = self._clock() - _SECONDS_UNHEARD

    def begins_trial(self, session: str) -> Event:
        """Set once nobody waits for the trial that begins now; one before it is called off."""
        with self._access:
            page = self._page(session)
            page.trial.set()
            page.trial = Event()
            return page.trial

    def call_off_trial(self, session: str) -> bool:
        """Nobody waits for the page's trial any more; whether there was one."""
        with self._access:
            page = self._page(session)
            was_waited_for = not page.trial.is_set()
            page.trial.set()
            return was_waited_for

    def dismiss(self, job: str) -> None:
        """Nobody wants to see any more that this job has failed."""
        self._dismissed.add(job)

    def is_dismissed(self, job: str) -> bool:
        """Whether that was said of it."""
        return job in self._dismissed

    def leave(self, session: str) -> None:
        """The page is closed."""
        self.call_off_trial(session)
        with self._access:
            self._pages.pop(session, None)

    def _page(self, session: str) -> _Page:
        if session not in self._pages:
            self._pages[session] = _Page(followed=self._clock() - _SECONDS_UNHEARD)
            self._pages[session].trial.set()
            while len(self._pages) > _MOST_PAGES:  # of browsers that never said that they left
                self._pages.pop(next(iter(self._pages)))
        return self._pages[session]
