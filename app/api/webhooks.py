"""Webhooks: jobs that are over are told to addresses that the operator lists, and to no others."""

import json
import logging
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from app.api.problems import Refused
from app.api.views import job_view
from app.jobs.tickets import Ticket
from app.jobs.workshop import Workshop
from blipdiff.errors import ConfigError

_SECONDS, _TRIES = 10.0, 3
_LOG = logging.getLogger("blipdiff.webhooks")


def checked_addresses(addresses: Sequence[str]) -> tuple[str, ...]:
    """The addresses that an operator lists. Raises: ConfigError for what is no address of http or https."""
    for address in addresses:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ConfigError(f"--webhook is '{address}'; give an address like https://hooks.example.org/blipdiff.")
    return tuple(addresses)


def check_webhook(address: str | None, allowed: Sequence[str]) -> None:
    """Passes for an address that the operator lists, letter by letter. Raises: Refused for any other."""
    if address is not None and address not in allowed:
        raise Refused(422, "This webhook is not listed by whoever runs the server (--webhook).", "webhook")


class Webhooks:
    """Tells, in threads of its own, so that nobody waits for a slow listener."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._threads = ThreadPoolExecutor(2, "webhook")
        self._opener = urllib.request.build_opener(_Straight, urllib.request.ProxyHandler({}))

    def tell(self, ticket: Ticket) -> None:
        """Tells that a job is over, where somebody wants to know."""
        if ticket.webhook is not None:
            self._threads.submit(self._send, ticket.webhook, job_view(self._workshop, ticket))

    def close(self) -> None:
        """Sends nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _send(self, address: str, view: dict[str, Any]) -> None:
        body = json.dumps(view).encode()
        for _ in range(_TRIES):
            request = urllib.request.Request(address, body, {"Content-Type": "application/json"}, method="POST")
            try:
                with self._opener.open(request, timeout=_SECONDS):
                    return
            except (OSError, ValueError) as error:
                _LOG.warning("The webhook %s does not take the job %s: %s", address, view["id"], error)


class _Straight(urllib.request.HTTPRedirectHandler):
    """Follows nothing: a listed address could lead to any other."""

    def redirect_request(self, *_given: Any, **_more: Any) -> None:
        return None
