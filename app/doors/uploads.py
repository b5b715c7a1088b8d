"""Uploads: files of a browser go into the page's folder, and pictures that were painted wait for their request."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import gradio as gr
from gradio.data_classes import DataWithFiles
from gradio.route_utils import GradioUploadFile
from gradio.routes import file_upload_statuses
from gradio_client.utils import strip_invalid_filename_characters
from starlette.datastructures import FormData, Headers

from app.doors.access import Limits
from app.doors.answers import Refusal
from app.doors.asked import MOST_LAYERS
from app.doors.parts import parts_of
from app.doors.routes import is_id, whole_number
from app.doors.space import Space

_SECONDS_TO_WAIT = 60.0  # for the uploads of others
_SECONDS_OF_A_CANVAS = 900.0
_MOST_STATUSES = 256


class Uploads:
    """Takes files in, so many at a time, and puts them where Gradio looks for what a browser has uploaded."""

    def __init__(self, space: Space, limits: Limits) -> None:
        self._space, self._limits = space, limits
        self._places = asyncio.Semaphore(limits.uploads)

    async def take(self, headers: Headers, body: AsyncGenerator[bytes], name: str | None) -> list[str]:
        """Where the files lie, in their order; `name` is what the browser asks for the progress by.

        Raises: Refusal for what is too large or malformed, when there is no room, and when all places are taken.
        """
        if name is not None and not is_id(name):
            raise Refusal(400, "This names no upload.")
        form = await self.parts(headers, body, name)
        return [str(self._kept(file)) for file in _files(form)]

    async def parts(self, headers: Headers, body: AsyncGenerator[bytes], name: str | None = None) -> FormData:
        """The parts of a request, once there is a place for it.

        Raises: as `take`.
        """
        try:
            await asyncio.wait_for(self._places.acquire(), _SECONDS_TO_WAIT)
        except TimeoutError:
            raise Refusal(503, "Too many upload at the moment; try again.", {"Retry-After": "30"}) from None
        try:
            self._space.begin()
            if name is not None:
                file_upload_statuses.track(name)
            progress = None if name is None else (file_upload_statuses, name)
            return await parts_of(headers, self._counted(body), self._space.folder, self._limits, progress)
        finally:
            self._places.release()
            if name is not None:
                file_upload_statuses.set_done(name)
                forget_old_statuses()

    async def _counted(self, body: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        async for piece in body:
            self._space.take(len(piece))
            yield piece

    def _kept(self, file: GradioUploadFile) -> Path:
        """The file under its own name, in a folder named by its content."""
        file.file.close()
        folder = self._space.folder / file.sha.hexdigest()
        folder.mkdir(exist_ok=True)
        name = strip_invalid_filename_characters(Path((file.filename or "").replace("\\", "/")).name).strip(". ")
        path: Path = folder / (name or "upload")
        Path(file.file.name).replace(path)
        return path


class Canvases:
    """What was painted, which browsers send ahead of the request that uses it: so many, so much, and not for ever."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._clock = limits, clock
        self._waiting: OrderedDict[str, _Canvas] = OrderedDict()
        self._access = Lock()

    def take(self, form: FormData, editor: Any) -> None:
        """One picture of a canvas: its background, a layer or the whole.

        Raises: Refusal for what no canvas of the page sends.
        """
        files = _files(form)
        kind, index, name = (str(form.get(one) or "") for one in ("type", "index", "id"))
        number = 0 if index in ("", "null") else whole_number(index)
        is_known = kind in ("background", "layer", "composite") and is_id(name)
        is_known = is_known and number is not None and number < MOST_LAYERS
        if not (len(files) == 1 and is_known and isinstance(editor, gr.ImageEditor)):
            raise Refusal(400, "This is no canvas of the page.")
        file = files[0].file
        file.seek(0)
        content = file.read()
        with self._access:  # the pictures of one canvas come at the same time, and Gradio puts them together
            editor.accept_blobs(DataWithFiles(data={"type": kind, "index": index, "id": name}, files=[("", content)]))
            before = self._waiting.pop(name, None)
            count = len(content) + (0 if before is None else before.count)
            self._waiting[name] = _Canvas(editor, count, self._clock())
            self._make_room()

    def _make_room(self) -> None:
        for name, canvas in list(self._waiting.items()):
            if name not in canvas.editor.blob_storage:  # its request has come
                del self._waiting[name]
        while self._waiting:
            oldest = next(iter(self._waiting.values()))
            total = sum(canvas.count for canvas in self._waiting.values())
            is_old = self._clock() - oldest.when > _SECONDS_OF_A_CANVAS
            if not is_old and len(self._waiting) <= self._limits.canvases and total <= self._limits.painted:
                return
            name, canvas = self._waiting.popitem(last=False)
            canvas.editor.blob_storage.pop(name, None)


@dataclass(frozen=True, slots=True)
class _Canvas:
    editor: Any
    count: int  # bytes
    when: float


def remove(form: FormData) -> None:
    """The temporary files of parts that nobody keeps."""
    for file in _files(form):
        with suppress(OSError):
            file.file.close()
            Path(file.file.name).unlink()


def forget_old_statuses() -> None:
    """Gradio keeps the progress of every upload, and whoever asks for one that never was; here, the last ones."""
    for known in (file_upload_statuses._statuses, file_upload_statuses._signals):
        while len(known) > _MOST_STATUSES:
            known.pop(next(iter(known)), None)


def _files(form: FormData) -> list[GradioUploadFile]:
    return [value for _, value in form.multi_items() if isinstance(value, GradioUploadFile)]
