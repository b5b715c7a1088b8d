"""/api/v1/jobs: put into the line, looked at, followed, cancelled, tried again, moved."""

import hashlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, JSONResponse, StreamingResponse

from app.api.callers import Caller, Drawer, Reader
from app.api.problems import Refused, not_found, parsed
from app.api.reading import Sent, job_of, sent
from app.api.tokens import ALL
from app.api.views import API, event_text, job_view
from app.api.webhooks import check_webhook
from app.jobs.records import count_of
from app.jobs.tickets import STATES, Asked, Sender, Ticket

_HEARTBEAT = 15.0  # seconds without an event, after which a word keeps the connection
_LONGEST_WAIT = 300.0  # seconds
_LONGEST_KEY, _LONGEST_NAME, _MOST_PRIORITY = 200, 200, 100
EVENT_STREAM = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}

router = APIRouter(prefix=f"{API}/jobs", tags=["jobs"])


@router.post("", status_code=202)
async def add(request: Request, caller: Drawer, wait: float = Query(0, ge=0, le=_LONGEST_WAIT)) -> JSONResponse:
    """Puts a job into the line: JSON, or a form with files. `wait`: seconds until the answer, if it is done before."""
    limits, webhooks = request.app.state.limits, request.app.state.webhooks
    given = await sent(request, limits)
    key = request.headers.get("idempotency-key")
    ticket = await run_in_threadpool(_submitted, given, caller, key, webhooks)
    if wait:
        ticket = await waited(caller, ticket, wait)
    view = await run_in_threadpool(job_view, caller.workshop, ticket)
    return JSONResponse(view, 202, {"Location": view["url"]})


@router.get("")
def listed(
    caller: Reader,
    state: str | None = Query(None, pattern="^(" + "|".join(STATES) + ")$"),
    most: int = Query(100, ge=1, le=1000),
) -> dict[str, Any]:
    """The caller's jobs, the latest first."""
    states = () if state is None else (state,)
    found = caller.workshop.queue.tickets(owner=caller.owner, states=states, most=most)  # type: ignore[arg-type]
    standings = caller.workshop.standings()
    return {"jobs": [job_view(caller.workshop, one, standings) for one in found]}


@router.get("/{name}")
async def one(caller: Reader, name: str, wait: float = Query(0, ge=0, le=_LONGEST_WAIT)) -> dict[str, Any]:
    """A job as it stands; `wait`: seconds until the answer, if it is not over before."""
    ticket = await run_in_threadpool(caller.ticket, name)
    if wait and not ticket.has_ended:
        ticket = await waited(caller, ticket, wait)
    return await run_in_threadpool(job_view, caller.workshop, ticket)


@router.delete("/{name}")
def cancel(caller: Drawer, name: str) -> dict[str, Any]:
    """Cancels a job that waits, or stops one that is drawn; its finished pictures stay."""
    caller.ticket(name)
    return job_view(caller.workshop, caller.workshop.cancel(name))


@router.post("/{name}/retry")
def retry(caller: Drawer, name: str) -> dict[str, Any]:
    """A job that failed or was cancelled waits again."""
    caller.ticket(name)
    return job_view(caller.workshop, caller.workshop.retry(name))


@router.post("/{name}/move")
async def move(request: Request, caller: Drawer, name: str) -> dict[str, Any]:
    """Puts a waiting job before another one ("before") of the same client, or behind them; "priority" sets that."""
    told = parsed(await request.body())
    return await run_in_threadpool(_moved, caller, name, told)


@router.get("/{name}/events")
async def events(caller: Reader, name: str, previews: bool = True) -> StreamingResponse:
    """Server-sent events: first how the job stands, then what happens, until it is over."""
    await run_in_threadpool(caller.ticket, name)
    listener = await run_in_threadpool(caller.workshop.follow, name)

    async def told() -> AsyncIterator[str]:
        async for event in listener.heard(_HEARTBEAT):
            yield ": still here\n\n" if event is None else event_text(event, previews=previews)

    return StreamingResponse(told(), media_type="text/event-stream", headers=EVENT_STREAM)


@router.get("/{name}/job")
def job(caller: Reader, name: str) -> dict[str, Any]:
    """What was asked for, with its inputs, so that it can be asked for again."""
    return caller.workshop.queue.job(caller.ticket(name).id).as_mapping()


@router.get("/{name}/sheets/{sheet}")
def sheet(caller: Reader, name: str, sheet: str) -> FileResponse:
    """A grid or a film of a job."""
    ticket = caller.ticket(name)
    history = caller.workshop.history
    path = history.sheets(ticket.id, ticket.owner).get(sheet)
    if path is None or not history.fetch(path):
        raise not_found("sheet")
    return FileResponse(path)


async def waited(caller: Caller, ticket: Ticket, seconds: float) -> Ticket:
    """The ticket once its job is over, or after so many seconds."""
    listener = await run_in_threadpool(caller.workshop.follow, ticket.id)
    loop_end = time.monotonic() + seconds
    async for event in listener.heard(min(seconds, 1.0)):
        if (event is not None and event.ends) or time.monotonic() > loop_end:
            listener.close()
            break
    return await run_in_threadpool(caller.workshop.queue.ticket, ticket.id)


def _submitted(given: Sent, caller: Caller, key: str | None, webhooks: Any) -> Ticket:
    asked = asked_of(given, caller, key, webhooks)
    job = job_of(given, caller.workshop, caller.owner)
    caller.check_room(count_of(job))
    sender: Sender = caller.sender("api")
    return caller.workshop.submit(job, sender, asked)


def asked_of(given: Sent, caller: Caller, key: str | None, webhooks: Any) -> Asked:
    """How a request wants to be put into the line. Raises: Refused for what the caller may not ask for."""
    told = dict(given.fields)
    if given.is_form and isinstance(told.get("job"), str):
        told |= parsed(str(told["job"]).encode())
    asked = _asked(told, given, caller, key)
    check_webhook(asked.webhook, webhooks)
    return asked


def _asked(told: dict[str, Any], given: Sent, caller: Caller, key: str | None) -> Asked:
    priority = told.get("priority", 0)
    if isinstance(priority, str) and priority.lstrip("-").isdigit():
        priority = int(priority)
    if not isinstance(priority, int) or isinstance(priority, bool) or abs(priority) > _MOST_PRIORITY:
        raise Refused(422, f"A priority is a whole number from -{_MOST_PRIORITY} to {_MOST_PRIORITY}.", "priority")
    if priority > 0 and not caller.holder.may(ALL):
        raise Refused(403, "Only a token with the scope 'all' lets a job go before those of others.", "priority")
    texts = {name: told.get(name) for name in ("model", "name", "webhook")}
    wrong = [name for name, text in texts.items() if text is not None and not isinstance(text, str)]
    if wrong or len(texts["name"] or "") > _LONGEST_NAME:
        raise Refused(422, f"{wrong[0] if wrong else 'name'} is a text of up to {_LONGEST_NAME} letters.")
    if key is not None and not 0 < len(key) <= _LONGEST_KEY:
        raise Refused(422, f"An idempotency key has up to {_LONGEST_KEY} letters.")
    return Asked(
        texts["model"] or "",
        priority,
        texts["name"] or "",
        texts["webhook"],
        key,
        "" if key is None else _digest(given),
    )


def _digest(given: Sent) -> str:
    """What tells one request from another."""
    found = hashlib.sha256(json.dumps(given.fields, sort_keys=True, default=str).encode())
    for name, content in given.files:
        found.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    return found.hexdigest()


def _moved(caller: Caller, name: str, told: dict[str, Any]) -> dict[str, Any]:
    ticket = caller.ticket(name)
    before, priority = told.get("before"), told.get("priority")
    if priority is not None:
        if not caller.holder.may(ALL):
            raise Refused(403, "Only a token with the scope 'all' sets priorities.", "priority")
        if not isinstance(priority, int) or abs(priority) > _MOST_PRIORITY:
            raise Refused(422, f"A priority is a whole number from -{_MOST_PRIORITY} to {_MOST_PRIORITY}.", "priority")
        caller.workshop.queue.set_priority(ticket.id, priority)
    if "before" in told or priority is None:
        caller.workshop.queue.move(ticket.id, None if before is None else caller.ticket(str(before)).id)
    return job_view(caller.workshop, caller.workshop.queue.ticket(ticket.id))
