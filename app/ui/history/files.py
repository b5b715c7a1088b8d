"""What a browser fetches of the history beside the page: small pictures, and the pictures themselves."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from app.doors.files import file_answer
from app.jobs import thumbnails
from app.jobs.entries import Entry
from app.jobs.history import History
from app.ui.history.look import entry_of
from blipdiff.errors import BlipdiffError

SMALL, WHOLE = "history/small", "history/picture"
_KEPT = {"Cache-Control": "private, max-age=31536000, immutable"}  # another picture has another address


def routes(history: History) -> list[Route]:
    """Both, behind the page's door; a picture of somebody else is not found."""

    def small(entry: Entry) -> Response:
        path = thumbnails.made(history.folder, entry.id, history.file(entry))
        return file_answer(path, "image/webp", headers=_KEPT)

    def whole(entry: Entry) -> Response:
        path = history.file(entry)
        return file_answer(path, "image/png", name=path.name, is_inline=True, headers=_KEPT)

    def answered(name: str, how: str) -> Response:
        entry = entry_of(history, name)
        try:
            if entry is not None:
                return small(entry) if how == SMALL else whole(entry)
        except (BlipdiffError, FileNotFoundError):
            pass
        return PlainTextResponse("The history does not have this picture, or no longer.", 404)

    async def answer_small(request: Request) -> Response:
        return await run_in_threadpool(answered, request.path_params["name"], SMALL)

    async def answer_whole(request: Request) -> Response:
        return await run_in_threadpool(answered, request.path_params["name"], WHOLE)

    return [Route(f"/{SMALL}/{{name}}", answer_small), Route(f"/{WHOLE}/{{name}}", answer_whole)]


def small_url(entry: Entry) -> str:
    """Where the small picture is."""
    return f"{SMALL}/{entry.id}?{_stamp(entry)}"


def whole_url(entry: Entry) -> str:
    """Where the picture is."""
    return f"{WHOLE}/{entry.id}?{_stamp(entry)}"


def _stamp(entry: Entry) -> str:
    return f"{entry.made % 10**15:x}"
