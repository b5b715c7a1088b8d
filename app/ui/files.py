"""Files between the page and the disk: what the browser may fetch, and what a picture's settings bring back."""

import re
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr
from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder

from app.doors.space import own_prefix, remove_left
from app.settings import keep_uploads_in
from app.ui.texts import said
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.filenames import paths_now, short_name
from blipdiff.outputs import write_new
from pipelines.inputs import CARD_SUFFIX

_LONGEST_SHOWN = 200  # letters without a space
_A_DAY = 24 * 3600  # seconds


@cache
def own_cache() -> TemporaryDirectory[str]:
    """This process's own folder for what the browser sends and fetches; removed when the process ends.

    Gradio's is shared by all programs of a machine, and the first of them that ends takes files from the others.
    """
    remove_left()
    folder = TemporaryDirectory(prefix=own_prefix(), ignore_cleanup_errors=True)
    keep_uploads_in(folder.name)
    return folder


def forget_old(page: gr.Blocks) -> None:
    """Removes files of the cache that nobody has fetched or sent for a day, except those that the page itself shows."""
    kept = {path for block in page.blocks.values() for path in block.keep_in_cache}
    for path in paths_now(Path(get_upload_folder()), "*/*"):
        try:
            if str(path) not in kept and time.time() - path.stat().st_ctime > _A_DAY:
                path.unlink()
        except OSError:  # another visit was faster
            continue


def without_folder(text: str) -> str:
    """The text with uploads' names alone: nobody who brought a file knows where the page keeps it."""
    return re.sub(rf"{re.escape(get_upload_folder())}[/\\][^/\\\s]+[/\\]", "", text)


def served(path: str | Path) -> str:
    """A copy, byte for byte and under the same name, that the browser may fetch: no folder is opened to it."""
    return str(save_file_to_cache(path, get_upload_folder()))


def served_card(subject: SubjectEmbedding) -> str:
    """A subject as a card that the browser holds like one that was uploaded."""
    with TemporaryDirectory(prefix="blipdiff-") as folder:
        return served(kept_card(subject, Path(folder)))


def kept_card(subject: SubjectEmbedding, folder: Path) -> Path:
    """The card in the output folder, named by its category.

    Raises: OutputError when the folder cannot be written.
    """
    return write_new(folder, short_name(subject.category), CARD_SUFFIX, subject.save)


def readable_settings(told: Any) -> Any:
    """A picture's metadata for people: subjects and pictures in it, pages of letters each, are only counted."""
    if isinstance(told, Mapping):
        return {key: readable_settings(value) for key, value in told.items()}
    if isinstance(told, list):
        return [readable_settings(value) for value in told]
    is_content = isinstance(told, str) and len(told) > _LONGEST_SHOWN and " " not in told
    return said("in the file, {size} kB", size=f"{len(told) / 1000:.0f}") if is_content else told
