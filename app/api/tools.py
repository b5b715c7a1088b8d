"""Tools for programs that speak MCP: one for each task, made from the registry, and what belongs to them."""

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

from starlette.concurrency import run_in_threadpool

from app.api.bodies import added_schema, input_schema, inputs_schema
from app.api.callers import Caller
from app.api.described import schema
from app.api.history import small_jpeg
from app.api.problems import Refused
from app.api.reading import Sent, decoded, job_of
from app.api.subjects import kept as kept_subject
from app.api.subjects import view as subject_view
from app.api.tokens import DRAW, READ, SUBJECTS
from app.api.uploads import kept
from app.api.views import entry_view, job_view
from app.jobs.events import JobEvent
from app.jobs.history import Search
from app.jobs.records import count_of
from app.jobs.tickets import Asked, Ticket
from pipelines.task import Task, tasks

_MOST_PICTURES = 8  # in one answer; the others are asked for one by one
_LONGEST_WAIT, _USUAL_WAIT = 300.0, 60.0
_LOOK = 1.0
_TEXT: dict[str, Any] = {"type": "string"}
_WAIT = {
    "type": "number", "minimum": 0, "maximum": _LONGEST_WAIT, "default": _USUAL_WAIT,
    "description": "Seconds until the answer, if the job is not over before; it goes on in any case.",
}  # fmt: skip
_JOB = _TEXT | {"description": "The job's id."}

Tell: TypeAlias = Callable[[JobEvent], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture of an answer."""

    content: bytes
    kind: str = "image/png"


@dataclass(frozen=True, slots=True)
class Told:
    """An answer: what JSON holds of it, and pictures."""

    about: Mapping[str, Any]
    pictures: tuple[Shown, ...] = ()

    @property
    def text(self) -> str:
        """The JSON."""
        return json.dumps(self.about, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class ToolOf:
    """A tool: what it is told and what scope it takes; `run` is given caller, arguments and who hears of progress."""

    name: str
    description: str
    scope: str
    run: Callable[[Caller, Mapping[str, Any], Tell], Awaitable[Told]]
    values: Mapping[str, Any] = field(default_factory=dict)
    needed: tuple[str, ...] = ()

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of its arguments."""
        return {
            "type": "object",
            "properties": dict(self.values),
            "required": list(self.needed),
            "additionalProperties": False,
        }


def tools() -> dict[str, ToolOf]:
    """All tools by name."""
    return {one.name: one for one in (*_OTHERS, *map(_of_task, tasks().values()))}


def _of_task(task: Task) -> ToolOf:
    one = input_schema(mask=_TEXT | {"description": "The same painted: base64, or an upload's id."})
    values = {
        "request": schema(task.request),
        "inputs": inputs_schema(task, one),
        "added": added_schema(),
        "model": _TEXT | {"description": "One of the server's own; the first if absent."},
        "name": _TEXT | {"maxLength": 200, "description": "What the job is called."},
        "wait": _WAIT,
    }
    about = " ".join(filter(None, (task.summary, task.about, "Pictures come in by the tool upload, or base64.")))
    needed = tuple(name for name, kind in task.inputs.items() if kind.least)
    return ToolOf(task.name, about, DRAW, partial(_draw, task), values, ("request", *(("inputs",) if needed else ())))


async def _draw(task: Task, caller: Caller, told: Mapping[str, Any], tell: Tell) -> Told:
    ticket = await run_in_threadpool(_submitted, task, caller, told)
    return await _answered(caller, ticket, _seconds(told), tell)


def _submitted(task: Task, caller: Caller, told: Mapping[str, Any]) -> Ticket:
    given = Sent({"task": task.name, **{name: told[name] for name in ("request", "inputs", "added") if name in told}})
    job = job_of(given, caller.workshop, caller.owner)
    caller.check_room(count_of(job))
    name, model = (_text(told, one) for one in ("name", "model"))
    return caller.workshop.submit(job, caller.sender("mcp"), Asked(model, name=name[:200]))


async def _answered(caller: Caller, ticket: Ticket, seconds: float, tell: Tell) -> Told:
    """The job once it is over, or after so many seconds, with its pictures."""
    if not ticket.has_ended and seconds:
        await _waited(caller, ticket, seconds, tell)
    return await run_in_threadpool(_job_told, caller, ticket.id)


async def _waited(caller: Caller, ticket: Ticket, seconds: float, tell: Tell) -> None:
    listener, end = await run_in_threadpool(caller.workshop.follow, ticket.id), time.monotonic() + seconds
    try:
        async for event in listener.heard(min(_LOOK, seconds)):
            if event is not None and event.kind == "progress":
                await tell(event)
            if time.monotonic() >= end or (event is not None and event.ends):
                return
    finally:
        listener.close()


def _job_told(caller: Caller, name: str) -> Told:
    ticket, history = caller.ticket(name), caller.workshop.history
    names = caller.workshop.results(ticket)
    shown = [Shown(history.file(history.entry(one)).read_bytes()) for one in names[:_MOST_PICTURES]]
    return Told(job_view(caller.workshop, ticket), tuple(shown))


async def _upload(caller: Caller, told: Mapping[str, Any], _tell: Tell) -> Told:
    return Told(await run_in_threadpool(lambda: kept(caller, decoded(told.get("file")))))


async def _wait(caller: Caller, told: Mapping[str, Any], tell: Tell) -> Told:
    ticket = await run_in_threadpool(caller.ticket, _text(told, "job"))
    return await _answered(caller, ticket, _seconds(told), tell)


async def _jobs(caller: Caller, told: Mapping[str, Any], _tell: Tell) -> Told:
    def found() -> Told:
        standings = caller.workshop.standings()
        most = _whole(told, "most", 20)
        listed = caller.workshop.queue.tickets(owner=caller.owner, most=most)
        return Told({"jobs": [job_view(caller.workshop, one, standings) for one in listed]})

    return await run_in_threadpool(found)


async def _cancel(caller: Caller, told: Mapping[str, Any], _tell: Tell) -> Told:
    def cancelled() -> Told:
        return Told(job_view(caller.workshop, caller.workshop.cancel(caller.ticket(_text(told, "job")).id)))

    return await run_in_threadpool(cancelled)


async def _picture(caller: Caller, told: Mapping[str, Any], _tell: Tell) -> Told:
    def shown() -> Told:
        entry, side = caller.entry(_text(told, "result")), _whole(told, "side", 0)
        path = caller.workshop.history.file(entry, _text(told, "part") or None)
        picture = Shown(small_jpeg(path, side), "image/jpeg") if side else Shown(path.read_bytes())
        return Told(entry_view(entry, caller.workshop.history.beside(entry)), (picture,))

    return await run_in_threadpool(shown)


async def _history(caller: Caller, told: Mapping[str, Any], _tell: Tell) -> Told:
    def found() -> Told:
        asked = Search(_text(told, "words"), owner=caller.owner)
        entries = caller.workshop.history.search(asked, most=_whole(told, "most", 20))
        return Told({"results": [entry_view(one) for one in entries]})

    return await run_in_threadpool(found)


async def _subjects(caller: Caller, told: Mapping[str, Any], _tell: Tell) -> Told:
    listed = await run_in_threadpool(caller.workshop.library.entries, _text(told, "search"))
    return Told({"subjects": [subject_view(one) for one in listed]})


async def _keep_subject(caller: Caller, told: Mapping[str, Any], _tell: Tell) -> Told:
    fields = {name: told[name] for name in ("name", "category") if name in told}
    upload = caller.workshop.uploads.find(caller.owner, _text(told, "file"))
    data = upload or decoded(told.get("file"))
    return Told(await run_in_threadpool(kept_subject, caller, Sent(fields, [("file", data)])))


def _seconds(told: Mapping[str, Any]) -> float:
    given = told.get("wait", _USUAL_WAIT)
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= _LONGEST_WAIT:
        raise Refused(422, f"wait is {given!r:.40}; it goes from 0 to {_LONGEST_WAIT:g} seconds.", "wait")
    return float(given)


def _text(told: Mapping[str, Any], name: str) -> str:
    given = told.get(name, "")
    if not isinstance(given, str):
        raise Refused(422, f"{name} is a text, not {given!r:.40}.", name)
    return given


def _whole(told: Mapping[str, Any], name: str, default: int, most: int = 1024) -> int:
    given = told.get(name, default)
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= most:
        raise Refused(422, f"{name} is {given!r:.40}; it is a whole number up to {most}.", name)
    return given


_MOST = {"type": "integer", "minimum": 1, "maximum": 1024, "default": 20}
_OTHERS = (
    ToolOf(
        "upload", "Bring in a picture, or a subject's card; jobs name it by the id that this gives: {\"upload\": ID}.",
        DRAW, _upload, {"file": _TEXT | {"description": "The file as base64, or as a data URL."}}, ("file",),
    ),
    ToolOf("jobs", "The latest jobs with their state, and their place in the line.", READ, _jobs, {"most": _MOST}),
    ToolOf(
        "wait", "A job as it stands, once it is over or after some seconds, with its pictures.", READ, _wait,
        {"job": _JOB, "wait": _WAIT}, ("job",),
    ),
    ToolOf(
        "cancel", "Cancel a job that waits, or stop one that is drawn; its finished pictures stay.", DRAW, _cancel,
        {"job": _JOB}, ("job",),
    ),
    ToolOf(
        "picture", "A finished picture, whole or small.", READ, _picture,
        {
            "result": _TEXT | {"description": "The result's id."},
            "part": _TEXT | {"description": "What stands beside it instead: before, mask."},
            "side": {
                "type": "integer", "minimum": 16, "maximum": 1024,
                "description": "A JPEG of at most so many pixels a side.",
            },
        },
        ("result",),
    ),
    ToolOf(
        "history", "Earlier pictures, the latest first, whose requests hold all these words.", READ, _history,
        {"words": _TEXT, "most": _MOST},
    ),
    ToolOf(
        "subjects", "The subjects of the library; a job names one as \"@NAME\".", READ, _subjects, {"search": _TEXT},
    ),
    ToolOf(
        "keep_subject", "Keep a subject in the library under a name.", SUBJECTS, _keep_subject,
        {
            "file": _TEXT | {"description": "An upload's id, or base64: a photo, or a subject's card."},
            "name": _TEXT,
            "category": _TEXT | {"description": "What the photo shows: dog, teapot."},
        },
        ("file",),
    ),
)  # fmt: skip
