"""OpenAI's interface for pictures: /v1/models, /v1/images/generations, /v1/images/edits.

A picture without a mask is a subject, one with a mask is edited; our own fields go beside theirs (`extra_body`).
"""

import base64
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse

from app.api.callers import Caller, Drawer, Reader
from app.api.jobs import EVENT_STREAM
from app.api.problems import OPENAI, Refused, problem
from app.api.reading import Sent, sent
from app.api.views import API, server_sent
from app.api.wishes import Wish, done, followed, mask_of, picture_files, result_files, size_of, submitted, whole
from app.jobs.tickets import Ticket

_MOST_PICTURES, _MOST_PARTIAL = 10, 3
_FORMATS = ("png", "jpeg", "webp")

router = APIRouter(prefix="/v1", tags=["openai"])


@router.get("/models")
def models(caller: Reader) -> dict[str, Any]:
    """The models that may be asked for."""
    return {"object": "list", "data": [_model(name) for name in caller.workshop.models.names]}


@router.get("/models/{name:path}")
def model(caller: Reader, name: str) -> dict[str, Any]:
    """One of them."""
    if name not in caller.workshop.models.names:
        raise Refused(404, f"The model {name!r:.80} does not exist.", "model")
    return _model(name)


@router.post("/images/generations")
async def generations(request: Request, caller: Drawer) -> Response:
    """Pictures of a subject: "subject" and "category" beside OpenAI's own fields, or <subject:NAME> in the prompt."""
    given = await sent(request, request.app.state.limits)
    return await _answer(request, caller, given, [], None, "image_generation")


@router.post("/images/edits")
async def edits(request: Request, caller: Drawer) -> Response:
    """Without a mask, pictures of the subject that the images show; with one, the first image edited within it."""
    given = await sent(request, request.app.state.limits)
    pictures, masks = picture_files(given, "image"), picture_files(given, "mask")
    if not pictures:
        raise Refused(400, "Send at least one image.", "image")
    mask = await run_in_threadpool(mask_of, masks[0]) if masks else None
    return await _answer(request, caller, given, pictures, mask, "image_edit")


async def _answer(
    request: Request, caller: Caller, given: Sent, pictures: list[bytes], mask: bytes | None, kind: str
) -> Response:
    fields = {name.removesuffix("[]"): value for name, value in given.fields.items()}
    form = str(fields.get("output_format") or "png")
    if form not in _FORMATS:
        raise Refused(400, f"output_format is {form!r:.40}; choose one of: {', '.join(_FORMATS)}.", "output_format")
    prompt = fields.get("prompt")
    if not isinstance(prompt, str):
        raise Refused(400, "A prompt is needed.", "prompt")
    width, height = size_of(fields.get("size"))
    count = whole(fields.get("n"), "n", 1, 1, _MOST_PICTURES)
    values = {"count": count, "width": width, "height": height}
    partial = whole(fields.get("partial_images"), "partial_images", 0, 0, _MOST_PARTIAL)
    wish = Wish(prompt, values, _known(caller, fields), pictures, mask, max(1, partial))
    ticket = await run_in_threadpool(submitted, caller, wish, "openai")
    if str(fields.get("stream", "")).lower() in ("true", "1"):
        told = _told(request, caller, ticket, kind, form, partial)
        return StreamingResponse(told, media_type="text/event-stream", headers=EVENT_STREAM)
    ticket = await done(request, caller, ticket)
    files = await run_in_threadpool(result_files, caller, ticket, form)
    is_address = fields.get("response_format") == "url"
    names = await run_in_threadpool(caller.workshop.results, ticket)
    found = [
        {"url": f"{request.base_url}{API[1:]}/results/{name}"} if is_address else {"b64_json": _text(content)}
        for name, content in zip(names, files, strict=True)
    ]
    return JSONResponse({"created": int(time.time()), "data": found, "output_format": form})


async def _told(
    request: Request, caller: Caller, ticket: Ticket, kind: str, form: str, partial: int
) -> AsyncIterator[str]:
    """The stream: so many partial pictures, then each one finished."""
    shown, about = 0, {"created_at": int(ticket.created), "size": "auto", "quality": "auto", "background": "opaque"}
    async for event in followed(request, caller, ticket):
        if event.kind == "progress" and event.previews and shown < partial:
            if event.step * (partial + 1) >= event.steps * (shown + 1):
                first = next(iter(event.previews.values()))
                name = f"{kind}.partial_image"
                told = {"type": name, "b64_json": _text(first), "partial_image_index": shown, "output_format": "jpeg"}
                yield server_sent(name, told | about)
                shown += 1
        elif event.ends and event.text != "done":
            over = await run_in_threadpool(caller.workshop.queue.ticket, ticket.id)
            status = 409 if over.state == "cancelled" else 500 if over.is_fault else 422
            error = problem(OPENAI, status, event.error or "The job was cancelled.")
            yield server_sent("error", {"type": "error"} | error)
            return
    usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    usage_told = usage | {"input_tokens_details": {"image_tokens": 0, "text_tokens": 0}}
    for content in await run_in_threadpool(result_files, caller, ticket, form):
        name = f"{kind}.completed"
        told = {"type": name, "b64_json": _text(content), "output_format": form, "usage": usage_told}
        yield server_sent(name, told | about)


def _known(caller: Caller, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields, of a model that there is. Raises: Refused for another one."""
    name = fields.get("model")
    if name not in (None, "") and name not in caller.workshop.models.names:
        known = ", ".join(caller.workshop.models.names)
        raise Refused(404, f"The model {name!r:.80} does not exist; there are: {known}.", "model")
    return fields


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "blipdiff"}


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
