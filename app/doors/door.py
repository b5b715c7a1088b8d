"""The door of the page: every request passes here before Gradio sees a byte of it."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.doors.access import Access
from app.doors.answers import Refusal, guarded
from app.doors.asked import asked_of, form_of, own_file
from app.doors.bodies import Gone, again, pieces, whole
from app.doors.credentials import Doorkeeper
from app.doors.hosts import Name, is_own_fetch, is_own_site
from app.doors.routes import Kind, Route, is_id, route_of, whole_number
from app.doors.space import Space
from app.doors.uploads import Canvases, Uploads, forget_old_statuses, remove
from app.plain import plain
from app.settings import LANGUAGE_COOKIE

_KEPT = frozenset(  # of a request's headers: what is left tells Gradio nothing of proxies, ranges or users
    f"{name}".encode()
    for name in ("host", "origin", "user-agent", "accept", "accept-encoding", "accept-language", "content-type",
                 "content-length", "if-none-match", "if-modified-since", "connection", "cache-control", "referer")
)  # fmt: skip
_LANGUAGE = re.compile(f"{LANGUAGE_COOKIE}=[a-z]+")  # the one cookie that the page reads
_GONE = {"msg": "unexpected_error", "message": "The session is not known.", "session_not_found": True, "success": False}


@dataclass(frozen=True, slots=True)
class _Visit:
    """A request that was let in."""

    scope: Scope
    receive: Receive
    send: Send
    headers: Headers
    route: Route
    query: Mapping[str, list[str]]


class Door:
    """The application `inside`, for those whom `access` lets in, on the routes that its page uses."""

    def __init__(self, inside: ASGIApp, blocks: Any, space: Space, access: Access) -> None:
        self._inside, self._blocks, self._space, self._access = inside, blocks, space, access
        self._limits = access.limits
        self._keeper = Doorkeeper(access.credentials)
        self._uploads = Uploads(space, access.limits)
        self._canvases = Canvases(access.limits)
        self._count = 0  # of requests being answered
        self._beginning = asyncio.Lock()  # one new session at a time
        self._kinds: Mapping[Kind, Callable[[_Visit], Awaitable[None]]] = {
            "static": self._pass,
            "page": self._page,
            "file": self._file,
            "upload": self._upload,
            "upload progress": self._progress,
            "canvas": self._canvas,
            "ask": self._ask,
            "answers": self._answers,
            "alive": self._alive,
            "form": self._form,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] == "lifespan":
            await self._inside(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:  # the page speaks through no websocket
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._count += 1
        path = str(scope["path"])
        guarded_send, has_begun = guarded(send, is_file=path.startswith("/gradio_api/file="))
        try:
            if self._count > self._limits.requests:
                raise Refusal(503, "Too many ask at the moment; try again.", {"Retry-After": "10"})
            visit = self._let_in(scope, receive, guarded_send)
            await self._kinds[visit.route.kind](visit)
        except Refusal as refusal:
            if not has_begun():
                await refusal.answer(scope, receive, guarded_send)
        except Gone:
            return
        finally:
            self._count -= 1

    def _let_in(self, scope: Scope, receive: Receive, send: Send) -> _Visit:
        """The request, when name, site, password and route are right.

        Raises: Refusal when they are not.
        """
        headers, path = Headers(scope=scope), str(scope["path"])
        query = parse_qs(scope["query_string"].decode("latin-1"))
        asked = self._asked_name(scope, headers)
        if not is_own_site(asked, headers.get("origin")) or not is_own_fetch(
            *(headers.get(f"sec-fetch-{name}") for name in ("site", "mode", "dest")), is_visit=path == "/"
        ):
            raise Refusal(403, "Another site asks for this; the page answers to its own alone.")
        self._check_person(scope, headers, asked, query.get("token", [None])[0] if path == "/" else None)
        route = route_of(path)
        if route is None:
            raise Refusal(404, "There is nothing here.")
        if scope["method"] not in route.methods:
            raise Refusal(405, "This is not asked for in this way.", {"Allow": ", ".join(sorted(route.methods))})
        inside = {**scope, "headers": _kept(scope), "scheme": asked.scheme or scope["scheme"], "query_string": b""}
        return _Visit(inside, receive, send, headers, route, query)

    def _asked_name(self, scope: Scope, headers: Headers) -> Name:
        given = headers.getlist("host")
        local = tuple(scope.get("server") or ("", None))
        asked = self._access.hosts.asked(given[0], (str(local[0]), local[1])) if len(given) == 1 else None
        if asked is None:
            name = plain(given[0])[:100] if given else ""
            raise Refusal(
                403, f"The page does not answer to the name '{name}'; whoever runs it may add it with --allow-host."
            )
        return asked

    def _check_person(self, scope: Scope, headers: Headers, asked: Name, token: str | None) -> None:
        address = str((scope.get("client") or ("",))[0])
        port = (scope.get("server") or ("", None))[1]
        answer = self._keeper.admits(headers, address, port, token)
        if answer == "yes":
            is_first = self._access.credentials.are_asked_for and scope["path"] == "/" and scope["method"] == "GET"
            if is_first and (token is not None or "authorization" in headers):
                cookie = {"Set-Cookie": self._keeper.cookie(port, is_secure=asked.scheme == "https")}
                if token is not None:
                    raise Refusal(303, "", {**cookie, "Location": "/", "Cache-Control": "no-store"})
                scope["blipdiff.own"] = cookie
            return
        if answer == "later":
            raise Refusal(429, "Too many wrong passwords came from here; try again in a minute.", {"Retry-After": "60"})
        challenge = self._keeper.challenge()
        sentence = "Show the password." if challenge else "Open the address with ?token= and the token behind it."
        raise Refusal(401, sentence, {"WWW-Authenticate": challenge} if challenge else None)

    async def _pass(self, visit: _Visit) -> None:
        """Gradio answers."""
        await self._inside(visit.scope, visit.receive, visit.send)

    async def _page(self, visit: _Visit) -> None:
        own = visit.scope.get("blipdiff.own")
        send = guarded(visit.send, own=own)[0] if own else visit.send
        await self._inside(visit.scope, visit.receive, send)

    async def _file(self, visit: _Visit) -> None:
        """A file of the page's folder, and of no other place."""
        path = own_file(visit.route.rest, self._space.folder)
        if path is None:
            raise Refusal(403, "The page does not have this file, or no longer.")
        self._space.used(path)
        await self._pass(visit)

    async def _upload(self, visit: _Visit) -> None:
        name = visit.query.get("upload_id", [None])[0]
        paths = await self._uploads.take(visit.headers, self._body(visit, self._limits.upload), name)
        self._blocks.upload_file_set.update(paths)
        await JSONResponse(paths)(visit.scope, visit.receive, visit.send)

    async def _canvas(self, visit: _Visit) -> None:
        form = await self._uploads.parts(visit.headers, self._body(visit, self._limits.painted))
        try:
            number, session = whole_number(form.get("component_id")), form.get("session_hash")
            if form.get("fn_name") != "accept_blobs" or number is None or not is_id(session):
                raise Refusal(404, "There is nothing here.")
            editor = (await self._begun(str(session))).get(number)
            await asyncio.to_thread(self._canvases.take, form, editor)
        finally:
            remove(form)
        await JSONResponse(None)(visit.scope, visit.receive, visit.send)

    async def _ask(self, visit: _Visit) -> None:
        """An event of the page, once it is what the page's own script would ask."""
        body = await whole(visit.receive, self._limits.form, self._limits.seconds)
        event = await asyncio.to_thread(asked_of, body, self._blocks, self._space.folder)
        session = str(event["session_hash"])
        self._check_session(session)
        await self._begun(session)
        await self._pass_on(visit, event)

    async def _form(self, visit: _Visit) -> None:
        await self._pass_on(visit, form_of(await whole(visit.receive, self._limits.form, self._limits.seconds)))

    async def _pass_on(self, visit: _Visit, given: dict[str, Any]) -> None:
        body = json.dumps(given).encode()
        kept = [
            (name, value) for name, value in visit.scope["headers"] if name not in (b"content-length", b"content-type")
        ]
        headers = [*kept, (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await self._inside({**visit.scope, "headers": headers}, again(body, visit.receive), visit.send)

    async def _answers(self, visit: _Visit) -> None:
        """What a session is told; Gradio's own stream fails inside where it knows none of that name."""
        session = self._named(visit, "session_hash")
        if session in self._blocks._queue.pending_messages_per_session:
            await self._pass(visit)
            return
        await Response(f"data: {json.dumps(_GONE)}\n\n", media_type="text/event-stream")(
            visit.scope, visit.receive, visit.send
        )

    async def _alive(self, visit: _Visit) -> None:
        if not is_id(visit.route.rest):
            raise Refusal(400, "This names no session of the page.")
        await self._pass(visit)

    async def _progress(self, visit: _Visit) -> None:
        self._named(visit, "upload_id")
        forget_old_statuses()
        await self._pass(visit)

    @staticmethod
    def _named(visit: _Visit, parameter: str) -> str:
        """The one parameter of a stream, which Gradio gets too.

        Raises: Refusal for a name that none of the page's has.
        """
        given = visit.query.get(parameter, [])
        if len(given) != 1 or not is_id(given[0]):
            raise Refusal(400, "This names no session of the page.")
        visit.scope["query_string"] = f"{parameter}={given[0]}".encode()
        return given[0]

    async def _begun(self, session: str) -> Any:
        """The session's state; Gradio makes it in a tenth of a second and more, in which it would answer nobody."""
        holder = self._blocks.state_holder
        if session not in holder:
            async with self._beginning:
                if session not in holder:
                    await asyncio.to_thread(holder.__getitem__, session)
        return holder[session]

    def _check_session(self, session: str) -> None:
        """Passes while a session reads what it is told, and does not ask for everything at once.

        Raises: Refusal otherwise.
        """
        queue = self._blocks._queue
        unread = queue.pending_messages_per_session.get(session)
        asked = queue.pending_event_ids_session.get(session, ())
        if (unread is not None and unread.qsize() > self._limits.messages) or len(asked) >= self._limits.pending:
            raise Refusal(429, "Too much was asked at once; wait for the answers.", {"Retry-After": "10"})
        known = queue.pending_event_ids_session
        for name in [name for name in known if name not in queue.pending_messages_per_session]:
            del known[name]

    def _body(self, visit: _Visit, most: int) -> Any:
        return pieces(visit.receive, most, self._limits.seconds)


def _kept(scope: Scope) -> list[tuple[bytes, bytes]]:
    kept = [(name, value) for name, value in scope["headers"] if name.lower() in _KEPT]
    cookies = (one.strip() for one in Headers(scope=scope).get("cookie", "").split(";"))
    return kept + [(b"cookie", one.encode("latin-1")) for one in cookies if _LANGUAGE.fullmatch(one)]
