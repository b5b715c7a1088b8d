"""/api/v1/subjects: the subject library."""

import io
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from app.api.callers import Caller, Librarian, Reader
from app.api.problems import Refused, not_found
from app.api.reading import Sent, content_of, decoded, sent
from app.api.views import API
from app.doors.files import file_answer
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import SubjectError
from pipelines.inputs import Input
from pipelines.subject_library import Entry

router = APIRouter(prefix=f"{API}/subjects", tags=["subjects"])


@router.get("")
def listed(caller: Reader, search: str = "") -> dict[str, Any]:
    """The subjects whose name or category holds every word of `search`."""
    return {"subjects": [view(one) for one in caller.workshop.library.entries(search)]}


@router.post("", status_code=201)
async def add(request: Request, caller: Librarian) -> dict[str, Any]:
    """Keeps a subject: "file" is its card, or a photo with its "category"; "name" is what it is called."""
    given = await sent(request, request.app.state.limits)
    return await run_in_threadpool(kept, caller, given)


@router.get("/{name}", response_class=FileResponse)
def card(caller: Reader, name: str) -> Response:
    """A subject's card."""
    path = _path(caller, name)
    try:
        return file_answer(path, "application/octet-stream", name=path.name)
    except FileNotFoundError as error:
        raise not_found("subject") from error


@router.get("/{name}/picture")
def picture(caller: Reader, name: str) -> Response:
    """A subject's small picture."""
    _path(caller, name)
    thumbnail = caller.workshop.library.load(name).thumbnail
    if thumbnail is None:
        raise not_found("picture")
    stream = io.BytesIO()
    thumbnail.save(stream, format="PNG")
    return Response(stream.getvalue(), media_type="image/png")


@router.delete("/{name}")
def delete(caller: Librarian, name: str) -> dict[str, str]:
    """Puts a subject into the library's bin."""
    _path(caller, name)
    caller.workshop.library.delete(name)
    return {"deleted": name}


@router.post("/{name}/restore")
def restore(caller: Librarian, name: str) -> dict[str, Any]:
    """Takes a subject out of the library's bin."""
    return view(caller.workshop.library.restore(name))


def _path(caller: Caller, name: str) -> Path:
    try:
        caller.workshop.library.check_there(name)
        return next(one.path for one in caller.workshop.library.entries() if one.name == name)
    except (SubjectError, StopIteration) as error:  # it may go between the two
        raise not_found("subject") from error


def kept(caller: Caller, given: Sent) -> dict[str, Any]:
    """Keeps a subject that a request holds. Raises: Refused, BlipdiffError for what is none."""
    files = [content for name, content in given.files if name in ("file", "photo", "card")]
    if not files and "file" in given.fields:
        files = [decoded(given.fields["file"])]
    if len(files) != 1:
        raise Refused(422, "Send one file: a subject's card, or a photo with its category.", "file")
    content, name = content_of(files[0]), given.fields.get("name")
    if not isinstance(content, SubjectEmbedding):
        category = str(given.fields.get("category") or "")
        photo = Input(content, category).opened("subject").reference
        model = str(given.fields.get("model") or "")
        content = caller.workshop.models.get(model).subject([photo])
    return view(caller.workshop.library.save(content, None if name is None else str(name)))


def view(one: Entry) -> dict[str, Any]:
    """A subject of the library."""
    return {
        "name": one.name,
        "category": one.category,
        "fingerprint": one.fingerprint,
        "trouble": one.trouble,
        "url": f"{API}/subjects/{one.name}",
        "picture": f"{API}/subjects/{one.name}/picture" if one.thumbnail is not None else None,
    }
