"""/api/v1/groups: one job with a list of prompts, put into the line as a job for each."""

from collections import Counter
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from app.api.callers import Caller, Drawer, Reader
from app.api.jobs import asked_of
from app.api.problems import Refused, not_found
from app.api.reading import Sent, job_of, sent
from app.api.views import API, job_view
from app.jobs.records import count_of
from app.jobs.tickets import Ticket

router = APIRouter(prefix=f"{API}/groups", tags=["jobs"])


@router.post("", status_code=202)
async def add(request: Request, caller: Drawer) -> dict[str, Any]:
    """Puts a job into the line once for each of "prompts": a list, or a text with a prompt in each line."""
    given = await sent(request, request.app.state.limits)
    key = request.headers.get("idempotency-key")
    return await run_in_threadpool(_submitted, given, caller, key, request.app.state.webhooks)


@router.get("/{name}")
def one(caller: Reader, name: str) -> dict[str, Any]:
    """The jobs of a group, as they were asked for, and how many are in each state."""
    return _view(caller, name, _tickets(caller, name))


@router.delete("/{name}")
def cancel(caller: Drawer, name: str) -> dict[str, Any]:
    """Cancels what of a group is not over yet; finished pictures stay."""
    found = [caller.workshop.cancel(ticket.id) for ticket in _tickets(caller, name)]
    return _view(caller, name, found)


def _submitted(given: Sent, caller: Caller, key: str | None, webhooks: Any) -> dict[str, Any]:
    asked = asked_of(given, caller, key, webhooks)
    fields = dict(given.fields)
    told = fields.pop("prompts", None)
    prompts = told.splitlines() if isinstance(told, str) else told
    if not isinstance(prompts, list) or not all(isinstance(line, str) for line in prompts):
        raise Refused(422, "prompts is a list of texts, or a text with a prompt in each line.", "prompts")
    job = job_of(Sent(fields, given.files, given.is_form), caller.workshop, caller.owner)
    caller.check_room(count_of(job), len(prompts))
    found = caller.workshop.submit_all(job, prompts, caller.sender("api"), asked)
    return _view(caller, found[0].id, found)


def _tickets(caller: Caller, name: str) -> list[Ticket]:
    queue = caller.workshop.queue
    found = [ticket for ticket in map(queue.find, queue.groups.jobs(name[:40])) if ticket is not None]
    if not found or caller.owner not in (None, found[0].owner):
        raise not_found("group")
    return found


def _view(caller: Caller, name: str, tickets: list[Ticket]) -> dict[str, Any]:
    standings = caller.workshop.standings()
    return {
        "id": name,
        "url": f"{API}/groups/{name}",
        "states": dict(Counter(one.state for one in tickets)),
        "jobs": [job_view(caller.workshop, one, standings) for one in tickets],
    }
