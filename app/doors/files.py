"""Files as answers, whole as they are when they are asked for."""

from pathlib import Path

from starlette.responses import FileResponse, Response

from app.doors.answers import Headers

_MOST_AT_ONCE = 32_000_000  # bytes; a longer file, a film, is sent piece by piece


def file_answer(
    path: Path, media_type: str, *, name: str | None = None, is_inline: bool = False, headers: Headers | None = None
) -> Response:
    """A file under its name. One that is removed while it is sent arrives all the same.

    Raises: FileNotFoundError where it is gone already.
    """
    shown = "inline" if is_inline else "attachment"
    streamed = FileResponse(path, media_type=media_type, filename=name, headers=headers, content_disposition_type=shown)
    if path.stat().st_size > _MOST_AT_ONCE:
        return streamed
    told = {key: value for key, value in streamed.headers.items() if key != "accept-ranges"}
    return Response(path.read_bytes(), media_type=media_type, headers=told)
