"""The gate before the interfaces: names, sites, tokens, sizes and rates, before anything of a request is read."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import problem
from app.api.tokens import Holder, TokenKeeper, Tokens
from app.doors.access import Access
from app.doors.answers import Refusal, guarded
from app.doors.bodies import Gone
from app.doors.hosts import is_own_fetch, is_own_site
from app.plain import plain

HOLDER, CLIENT = "blipdiff.holder", "blipdiff.client"
OPEN = "/healthz"  # says that the server lives, to whoever asks
MCP = "/mcp"
_PATHS = ("/api/", "/v1/", "/sdapi/", OPEN, "/metrics")
_LONGEST_CLIENT = 40
_MOST_OF_ONE = 64  # requests of one holder that are answered at the same time


def is_ours(path: str) -> bool:
    """Whether a path belongs to the interfaces, and not to a page."""
    return path == MCP or path.startswith(_PATHS)


@dataclass(slots=True)
class _Bucket:
    """How many requests are left, filling up as time goes by."""

    left: float
    since: float


class Gate:
    """The application `inside`, for those whom `access` and `tokens` let in."""

    def __init__(
        self, inside: ASGIApp, access: Access, tokens: Tokens, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._inside, self._access, self._clock = inside, access, clock
        self._keeper = TokenKeeper(tokens, access.credentials.account)
        self._buckets: dict[str, _Bucket] = {}
        self._answering: dict[str, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] == "lifespan":
            await self._inside(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        send, has_begun = guarded(send, is_file=True)
        holder = None
        try:
            holder = self._let_in(scope)
            await self._inside(scope, self._counted(receive, self._length(scope)), send)
        except Refusal as refusal:
            if not has_begun():
                body = problem(str(scope["path"]), refusal.status, refusal.sentence)
                headers = {**refusal.headers, "Connection": "close"}
                await JSONResponse(body, refusal.status, headers)(scope, receive, send)
        except Gone:
            return
        finally:
            if holder is not None:
                self._answering[holder.name] -= 1

    def _let_in(self, scope: Scope) -> Holder | None:
        """Who asks; None at the open place. Raises: Refusal for those who may not."""
        headers, path = Headers(scope=scope), str(scope["path"])
        given = headers.getlist("host")
        local = tuple(scope.get("server") or ("", None))
        asked = self._access.hosts.asked(given[0], (str(local[0]), local[1])) if len(given) == 1 else None
        if asked is None:
            name = plain(given[0])[:100] if given else ""
            raise Refusal(403, f"The name '{name}' is not answered to; whoever runs this may add it: --allow-host.")
        fetch = (headers.get(f"sec-fetch-{name}") for name in ("site", "mode", "dest"))
        if not is_own_site(asked, headers.get("origin")) or not is_own_fetch(*fetch, is_visit=False):
            raise Refusal(403, "Another site asks for this.")
        if path == OPEN:
            return None
        holder = self._holder(scope, headers)
        self._spend(holder)
        scope[HOLDER] = holder
        scope[CLIENT] = plain(headers.get("x-client", ""))[:_LONGEST_CLIENT] or holder.name
        self._answering[holder.name] = self._answering.get(holder.name, 0) + 1
        return holder

    def _holder(self, scope: Scope, headers: Headers) -> Holder:
        address = str((scope.get("client") or ("",))[0])
        found = self._keeper.holder(headers, address)
        if isinstance(found, Holder):
            return found
        if found == "later":
            raise Refusal(429, "Too many wrong tokens came from here; try again in a minute.", {"Retry-After": "60"})
        told = "This token is not known." if found == "no" else "Show a token: Authorization: Bearer TOKEN."
        raise Refusal(401, told, {"WWW-Authenticate": 'Bearer realm="blipdiff"'})

    def _spend(self, holder: Holder) -> None:
        """Takes one request of those that a holder has in a minute. Raises: Refusal where none is left."""
        now = self._clock()
        bucket = self._buckets.setdefault(holder.name, _Bucket(holder.rate, now))
        bucket.left = min(holder.rate, bucket.left + (now - bucket.since) * holder.rate / 60)
        bucket.since = now
        if bucket.left < 1:
            wait = str(int((1 - bucket.left) * 60 / holder.rate) + 1)
            raise Refusal(429, f"More than {holder.rate:g} requests in a minute; wait.", {"Retry-After": wait})
        if self._answering.get(holder.name, 0) >= _MOST_OF_ONE:
            raise Refusal(429, f"More than {_MOST_OF_ONE} requests at the same time; wait.", {"Retry-After": "5"})
        bucket.left -= 1

    def _length(self, scope: Scope) -> int:
        """How many bytes the body may have. Raises: Refusal for one that says that it has more."""
        most = self._access.limits.upload
        given = Headers(scope=scope).get("content-length", "0")
        if given.isascii() and given.isdigit() and int(given[:20]) > most:
            raise _too_large(most)
        return most

    def _counted(self, receive: Receive, most: int) -> Receive:
        count, has_ended = 0, False

        async def counted() -> Message:
            nonlocal count, has_ended
            if has_ended:  # what comes now is that the caller has gone
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), self._access.limits.seconds)
            except TimeoutError:
                raise Refusal(408, "The request did not go on.") from None
            has_ended = not message.get("more_body", False)
            count += len(message.get("body", b""))
            if count > most:
                raise _too_large(most)
            return message

        return counted


def _too_large(most: int) -> Refusal:
    return Refusal(413, f"This is too large: {most / 1e6:.0f} MB are taken at most.")


def route(page: ASGIApp | None, gate: Gate) -> Callable[[Scope, Receive, Send], Awaitable[Any]]:
    """One application of both: the interfaces behind their gate, and everything else to the page."""

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        if page is None or (scope["type"] == "http" and is_ours(str(scope["path"]))):
            await gate(scope, receive, send)
        else:
            await page(scope, receive, send)

    return routed
