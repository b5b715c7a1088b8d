"""Jobs of the page as the queue keeps them, with what was uploaded in them; and what jobs hold, back in the fields."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from app.ui.files import served, served_card
from app.ui.texts import said
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.errors import ConfigError
from blipdiff.filenames import file_stem
from blipdiff.images import as_layers
from pipelines.inputs import CARD_SUFFIX, Input
from pipelines.job import Job
from pipelines.task import task_named


def with_files(job: Job) -> Job:
    """The job with the files themselves in place of where they lie: uploads do not last as long as the queue.

    Raises: ConfigError for a file that is gone, SubjectError for a damaged card.
    """
    kinds = task_named(job.task).inputs
    found = {
        name: tuple(_with_file(one, is_subject=kinds[name].kind == "subject") for one in given)
        for name, given in job.inputs.items()
    }
    return replace(job, inputs=found)


def as_file(one: Input) -> str | None:
    """What an input holds, as a file that the browser may fetch; None for what has to be given again."""
    content = one.content
    if content is None:
        return None
    if isinstance(content, Path):
        return served(content)
    if isinstance(content, SubjectEmbedding):
        return served_card(content)
    name = file_stem(one.word) or "picture"
    if isinstance(content, bytes):
        return _served(content, name, content)
    picture = content.image if isinstance(content, SubjectPhoto) else content
    return _served(as_layers(picture), name, None)


def as_files(given: Sequence[Input]) -> list[str]:
    """Those of several inputs that are there."""
    return [path for one in given if (path := as_file(one)) is not None]


def _with_file(one: Input, *, is_subject: bool) -> Input:
    path = one.content
    if not isinstance(path, Path):
        return one
    if path.suffix.lower() == CARD_SUFFIX:
        return replace(one, content=SubjectEmbedding.load(path))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(said("{name} is not there any more; add it again.", name=path.name)) from error
    return replace(one, content=data, word=one.word or ("" if is_subject else path.stem))


def _served(content: Any, name: str, data: bytes | None) -> str:
    with TemporaryDirectory(prefix="blipdiff-") as folder:
        path = Path(folder) / f"{name}.png"
        if data is not None:
            path = path.with_suffix(_suffix(data))
            path.write_bytes(data)
        else:
            picture: Image.Image = content
            picture.save(path)
        return served(path)


def _suffix(data: bytes) -> str:
    """By which a browser knows how to show it."""
    starts = {b"\x89PNG": ".png", b"\xff\xd8": ".jpg", b"GIF8": ".gif", b"RIFF": ".webp", b"BM": ".bmp"}
    return next((suffix for start, suffix in starts.items() if data.startswith(start)), ".img")
