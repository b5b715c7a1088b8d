"""/api/v1/uploads: files that jobs name afterwards."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from app.api.callers import Caller, Drawer
from app.api.problems import Refused
from app.api.reading import Sent, content_of, decoded, sent
from app.api.views import API
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.images import layers_from

router = APIRouter(prefix=f"{API}/uploads", tags=["uploads"])


@router.post("", status_code=201)
async def add(request: Request, caller: Drawer) -> dict[str, Any]:
    """Keeps a picture or a subject's card for an hour: "file", as base64 or in a form; jobs name its id."""
    given = await sent(request, request.app.state.limits)
    return await run_in_threadpool(_kept, caller, given)


def kept(caller: Caller, data: bytes) -> dict[str, Any]:
    """Keeps a file that a caller sent; gives its id, and what it is.

    Raises: BlipdiffError for what is neither a picture nor a card, and where there is no room for it.
    """
    content = content_of(data)
    if isinstance(content, SubjectEmbedding):
        about: dict[str, Any] = {"kind": "card", "category": content.category}
    else:
        width, height = layers_from(data, "the upload").size
        about = {"kind": "picture", "width": width, "height": height}
    return {"id": caller.workshop.uploads.keep(caller.holder.name, data), **about, "bytes": len(data)}


def _kept(caller: Caller, given: Sent) -> dict[str, Any]:
    files = [content for _, content in given.files]
    if not files and "file" in given.fields:
        files = [decoded(given.fields["file"])]
    if len(files) != 1:
        raise Refused(422, "Send one file: a picture, or a subject's card.", "file")
    return kept(caller, files[0])
