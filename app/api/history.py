"""/api/v1/results and /api/v1/history: pictures, their jobs, boards, search, favourites, the bin."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from app.api.callers import Caller, Drawer, Reader
from app.api.problems import Refused, not_found, parsed
from app.api.views import API, entry_view, job_view
from app.doors.files import file_answer
from app.jobs.history import Search
from app.jobs.recall import recalled
from app.jobs.records import count_of
from app.jobs.tickets import Asked
from blipdiff.errors import ConfigError
from blipdiff.images import open_picture, thumbnail
from pipelines.parameters import plain, request_from

_LARGEST_SIDE = 1024

router = APIRouter(prefix=API, tags=["history"])


@router.get("/results/{name}", response_class=FileResponse)
def picture(
    caller: Reader, name: str, part: str | None = None, side: int | None = Query(None, ge=16, le=_LARGEST_SIDE)
) -> Response:
    """A result's PNG; `part`: what stands beside it; `side`: a JPEG of at most so many pixels a side."""
    entry = caller.entry(name)
    try:
        path = caller.workshop.history.file(entry, part)
        if side is None:
            return file_answer(path, "image/png", name=path.name)
    except (ConfigError, FileNotFoundError) as error:
        raise not_found("picture") from error
    headers = {"Cache-Control": "private, max-age=86400"}
    return Response(small_jpeg(path, side), media_type="image/jpeg", headers=headers)


@router.get("/results/{name}/about")
def about(caller: Reader, name: str) -> dict[str, Any]:
    """What the history knows of a result."""
    entry = caller.entry(name)
    return entry_view(entry, caller.workshop.history.beside(entry))


@router.get("/results/{name}/job")
def job(caller: Reader, name: str) -> dict[str, Any]:
    """The job that draws this picture again."""
    entry = caller.entry(name)
    return recalled(caller.workshop, entry).as_mapping()


@router.post("/results/{name}/again", status_code=202)
async def again(request: Request, caller: Drawer, name: str) -> dict[str, Any]:
    """Puts the job of a result into the line again; "request" changes some of its values, "seed" for another one."""
    told = parsed(await request.body())
    return await run_in_threadpool(_again, caller, name, told)


@router.get("/history")
def search(
    caller: Reader,
    words: str = "",
    subject: str | None = None,
    task: str | None = None,
    model: str | None = None,
    day: str | None = None,
    favourites: bool = False,
    binned: bool = False,
    before: str | None = None,
    most: int = Query(100, ge=1, le=1000),
) -> dict[str, Any]:
    """Pictures, the latest first; `before`: the last one of the page before."""
    asked = Search(words, subject, task, model, day, None, caller.owner, favourites, binned)
    found = caller.workshop.history.search(asked, most=most, before=before)
    return {
        "count": caller.workshop.history.count(asked),
        "results": [entry_view(one) for one in found],
        "before": found[-1].id if len(found) == most else None,
    }


@router.get("/history/boards")
def boards(caller: Reader, by: Literal["day", "subject"] = "day", favourites: bool = False) -> dict[str, Any]:
    """Pictures by day or by subject, each board with its latest one."""
    found = caller.workshop.history.boards(by, Search(owner=caller.owner, favourites=favourites))
    return {"boards": [{"key": one.key, "name": one.name, "count": one.count, "cover": one.cover} for one in found]}


@router.post("/history/{name}/favourite")
def favourite(caller: Drawer, name: str, on: bool = True) -> dict[str, Any]:
    """Makes a picture a favourite, or not."""
    return entry_view(caller.workshop.history.mark(caller.entry(name).id, favourite=on))


@router.delete("/history/{name}")
def throw_away(caller: Drawer, name: str) -> dict[str, Any]:
    """Puts a picture into the bin."""
    return entry_view(caller.workshop.history.throw_away([caller.entry(name).id])[0])


@router.post("/history/{name}/restore")
def restore(caller: Drawer, name: str) -> dict[str, Any]:
    """Takes a picture out of the bin."""
    return entry_view(caller.workshop.history.restore([caller.entry(name).id])[0])


def small_jpeg(path: Path, side: int) -> bytes:
    """A picture's file as a JPEG of at most so many pixels a side."""
    stream = io.BytesIO()
    thumbnail(open_picture(path), side).save(stream, format="JPEG", quality=85)
    return stream.getvalue()


def _again(caller: Caller, name: str, told: dict[str, Any]) -> dict[str, Any]:
    changes = told.get("request", {})
    if not isinstance(changes, dict):
        raise Refused(422, "request is an object.", "request")
    found = recalled(caller.workshop, caller.entry(name))
    if changes:
        request = request_from(type(found.request), plain(found.request) | changes)
        found = replace(found, request=request, index=None, model=None)
    caller.check_room(count_of(found))
    ticket = caller.workshop.submit(found, caller.sender("api"), Asked(str(told.get("model") or "")))
    return job_view(caller.workshop, ticket)
