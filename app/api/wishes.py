"""Requests of other interfaces become jobs: a prompt, a subject from a picture or the library, a picture to edit."""

import asyncio
import io
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from PIL import Image
from starlette.concurrency import run_in_threadpool

from app.api.callers import Caller
from app.api.problems import Refused
from app.api.reading import Cupboard, Sent, job_of, of_form
from app.jobs.events import JobEvent
from app.jobs.records import count_of
from app.jobs.tickets import Asked, Ticket
from blipdiff.errors import ImageError
from blipdiff.images import picture_from
from pipelines.parameters import parameters
from pipelines.requests import random_seed
from pipelines.task import Task, task_named

_NAMED = re.compile(r"<(subject|category):([^<>]{1,100})>")  # in a prompt, as other programs name what they add
_LORA = re.compile(r"<lora:([^<>:]{1,200})(?::(-?[\d.]+))?(?::[^<>]*)?>")
_LOOK = 0.5  # seconds between two looks whether the caller is still there


@dataclass(frozen=True, slots=True)
class Wish:
    """What another interface's request comes to.

    values: of the task's request; fields: what was sent, of which ours (subject, category, task ...) are taken, too
    """

    prompt: str
    values: Mapping[str, Any]
    fields: Mapping[str, Any]
    pictures: Sequence[bytes] = ()  # subjects without a mask; the picture to edit with one
    mask: bytes | None = None
    previews: int = 1  # that are wanted


def submitted(caller: Caller, wish: Wish, source: str) -> Ticket:
    """The ticket of what was wished for. Raises: Refused, BlipdiffError for what cannot be drawn."""
    without, added = loras_in(wish.prompt)
    prompt, named, category = named_in(without)
    is_edit = wish.mask is not None
    task = task_named(str(wish.fields.get("task") or ("edit" if is_edit else "generate")))
    values = _ours(task, wish.fields) | {name: value for name, value in wish.values.items() if value is not None}
    values = {"seed": random_seed()} | values | {"prompt": prompt}
    known = set(parameters(task.request))
    values = {name: value for name, value in values.items() if name in known}
    if category:
        values["category"] = category
    files = [("source" if is_edit else "subject", one) for one in (wish.pictures[:1] if is_edit else wish.pictures)]
    if wish.mask is not None:
        files.append(("mask", wish.mask))
        values.setdefault("mask_use", "alone")
    inputs = _inputs(wish, named)
    is_subject = bool(inputs["subject"]) or any(name == "subject" for name, _ in files)
    if "subject" in task.inputs and task.inputs["subject"].least and not is_subject:
        raise Refused(
            400, 'Which subject? Send a picture of it, "subject": "@NAME" or <subject:NAME> in the prompt.', "subject"
        )
    if inputs["subject"] and not values.get("category") and "category" in known and not is_edit:
        values["category"] = _category(caller, inputs["subject"][0])
    if "category" in known and not is_edit and not values.get("category"):
        raise Refused(
            400, 'What does the picture show? Send "category": "dog", or <category:dog> in the prompt.', "category"
        )
    more = wish.fields.get("added") or []
    added += more if isinstance(more, list) else [more]
    sent = Sent({"task": task.name, "request": values, "inputs": inputs, "added": added}, files)
    job = job_of(sent, caller.workshop, caller.owner)
    caller.check_room(count_of(job))
    return caller.workshop.submit(
        job, caller.sender(source), Asked(str(wish.fields.get("model") or ""), previews=wish.previews)
    )


def named_in(prompt: str) -> tuple[str, list[str], str]:
    """A prompt's words, the library's subjects that it names, and the category: "<subject:Rex> on a beach"."""
    found = [(kind, name.strip()) for kind, name in _NAMED.findall(prompt)]
    names = [name for kind, name in found if kind == "subject"]
    category = next((name for kind, name in found if kind == "category"), "")
    return re.sub(r"\s+", " ", _NAMED.sub(" ", prompt)).strip(), names, category


def loras_in(prompt: str) -> tuple[str, list[Any]]:
    """A prompt without the LoRAs that it names, and those: "<lora:chalk:0.8> on a beach"."""
    found = []
    for name, weight in _LORA.findall(prompt):
        try:
            found.append({"name": name.strip(), "weight": float(weight or 1)})
        except ValueError as error:
            raise Refused(
                400, f"The weight of {name.strip()!r:.80} is {weight!r:.20}; write <lora:NAME:0.8>."
            ) from error
    return _LORA.sub(" ", prompt), found


async def followed(request: Request, caller: Caller, ticket: Ticket) -> AsyncIterator[JobEvent]:
    """The job's events until it is over; a caller who has gone wants nothing more, and the job is cancelled."""
    listener = await run_in_threadpool(caller.workshop.follow, ticket.id)
    is_over, looked = False, time.monotonic()
    try:
        async for event in listener.heard(_LOOK):
            if time.monotonic() - looked >= _LOOK:
                looked = time.monotonic()
                if await request.is_disconnected():
                    break
            if event is not None:
                is_over = event.ends
                yield event
    finally:
        listener.close()
        if not is_over:
            await asyncio.shield(run_in_threadpool(caller.workshop.cancel, ticket.id))


async def done(request: Request, caller: Caller, ticket: Ticket, *, stopped: bool = False) -> Ticket:
    """The ticket once its job is over. Raises: Refused for one that failed, or was cancelled unless `stopped`."""
    async for _ in followed(request, caller, ticket):
        pass
    found = await run_in_threadpool(caller.workshop.queue.ticket, ticket.id)
    check_done(found, stopped=stopped)
    return found


def check_done(ticket: Ticket, *, stopped: bool = False) -> None:
    """Passes for a job that is done. Raises: Refused for any other."""
    if ticket.state == "done" or (stopped and ticket.state == "cancelled"):
        return
    status = 409 if ticket.state == "cancelled" else 500 if ticket.is_fault else 422
    raise Refused(status, ticket.error or "The job was cancelled.")


def result_files(caller: Caller, ticket: Ticket, kind: str = "png") -> list[bytes]:
    """The files of a job's pictures, as PNG with all that it tells, or without as JPEG or WebP."""
    history = caller.workshop.history
    found = [history.file(history.entry(name)).read_bytes() for name in caller.workshop.results(ticket)]
    return found if kind == "png" else [_as(one, kind) for one in found]


def mask_of(data: bytes) -> bytes:
    """A mask of OpenAI's kind, transparent where the edit may happen, as one that is white there; others stay."""
    try:
        picture = Image.open(io.BytesIO(data))
        picture.load()
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError("The mask cannot be read.") from error
    if "A" not in picture.getbands():
        picture_from(data, "the mask")
        return data
    stream = io.BytesIO()
    picture.getchannel("A").point(lambda value: 255 - value).save(stream, format="PNG")
    return stream.getvalue()


def size_of(text: Any) -> tuple[int | None, int | None]:
    """Width and height of "512x512"; of "auto", the model's own. Raises: Refused for anything else."""
    if text in (None, "", "auto"):
        return None, None
    found = re.fullmatch(r"(\d{1,4})x(\d{1,4})", str(text))
    if found is None:
        raise Refused(400, f"The size is {text!r:.40}; give one like 512x512, or auto.", "size")
    return int(found[1]), int(found[2])


def whole(value: Any, name: str, default: int, least: int, most: int) -> int:
    """A whole number of a request. Raises: Refused for anything else, and for one out of range."""
    if value in (None, ""):
        return default
    if isinstance(value, str) and value.lstrip("-").isdigit() and len(value) < 20:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Refused(400, f"{name} is {value!r:.40}; it goes from {least} to {most}.", name)
    return value


def _ours(task: Task, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the fields that are parameters of ours, by their names or by their options' names."""
    declared = parameters(task.request)
    flags = {one.flag: name for name, one in declared.items() if one.flag}
    given = {flags.get(name, name): value for name, value in fields.items()}
    texts = {name: value for name, value in given.items() if name in declared and isinstance(value, str)}
    request = fields.get("request")
    more = dict(request) if isinstance(request, Mapping) else {}
    return {name: given[name] for name in declared if name in given} | of_form(task, texts) | more


def _inputs(wish: Wish, named: Sequence[str]) -> dict[str, list[Any]]:
    given = wish.fields.get("subject")
    listed = [] if given in (None, "") else given if isinstance(given, list) else [given]
    return {"subject": [*listed, *({"library": name} for name in named)]}


def _category(caller: Caller, told: Any) -> str:
    """What a subject's card says that it is; nothing for a photo, which the request tells of."""
    one = Cupboard(caller.workshop, caller.owner).input_of(told)
    return one.word or str(getattr(one.content, "category", ""))


def _as(png: bytes, kind: str) -> bytes:
    stream = io.BytesIO()
    picture_from(png, "the result").convert("RGB").save(stream, format=kind.upper(), quality=95)
    return stream.getvalue()


def picture_files(sent: Sent, *names: str) -> list[bytes]:
    """The files of a form under these names, in their order."""
    return [content for name, content in sent.files if name.removesuffix("[]") in names]
