"""The files of a multipart request, written to disk as they come in, within limits that hold for each part."""

from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

from gradio.route_utils import FileUploadProgress, GradioMultiPartParser
from starlette.datastructures import FormData, Headers
from starlette.formparsers import MultiPartException

from app.doors.access import Limits
from app.doors.answers import Refusal

_LONGEST_FIELD = 1000  # bytes of what is no file
_MOST_FIELDS = 16


class _Parser(GradioMultiPartParser):  # type: ignore[misc]
    """Gradio's parser, which bounds neither the values of fields nor what is left on disk by a broken request."""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """A part's next bytes."""
        part = self._current_part
        if part.file is None and len(part.data) + end - start > _LONGEST_FIELD:
            raise MultiPartException(f"A field is longer than {_LONGEST_FIELD} bytes.")
        if part.file is None:
            part.data += data[start:end]
        else:
            super().on_part_data(data, start, end)

    def remove_files(self) -> None:
        """What was written of a request that is not served."""
        for file in self._files_to_close_on_error:
            with suppress(OSError):
                file.close()
                Path(file.name).unlink()


async def parts_of(
    headers: Headers,
    body: AsyncGenerator[bytes],
    folder: Path,
    limits: Limits,
    progress: tuple[FileUploadProgress, str] | None = None,
) -> FormData:
    """The parts of a multipart body; a file's temporary file lies in `folder` and is the caller's to move or remove.

    Raises: Refusal for a body that is malformed or too large; whatever reading the body raises.
    """
    if not headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise Refusal(400, "This is no upload.")
    statuses, name = progress or (None, None)
    parser = _Parser(
        headers,
        body,
        max_files=limits.files,
        max_fields=_MOST_FIELDS,
        upload_dir=folder,
        upload_id=name,
        upload_progress=statuses,
        max_file_size=limits.file,
    )
    try:
        form: FormData = await parser.parse()
        return form
    except MultiPartException as reason:
        parser.remove_files()
        code = 413 if "maximum allowed size" in reason.message else 400
        raise Refusal(code, reason.message) from reason
    except BaseException:
        parser.remove_files()
        raise
