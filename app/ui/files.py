"""Files between the page and the disk: what the browser may fetch, and what a picture's settings bring back."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder

from app.ui.subjects import CARD_SUFFIX
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.filenames import short_name
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.outputs import write_new
from pipelines.studio import subject_from

_SUBJECT = "subject"


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


def subject_of(metadata: Mapping[str, Any], model: BlipDiffusion) -> SubjectEmbedding:
    """The subject of a picture, as its settings carry it.

    Raises: ConfigError when they lack it, SubjectError when another model made it.
    """
    request = metadata["request"]
    subject = subject_from(
        request.get(_SUBJECT), str(request.get("category", "")), str(metadata["model"].get("fingerprint"))
    )
    subject.check_model(model.fingerprint, model.text_encoder.sizes.width)
    return subject


def readable_settings(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """A picture's metadata for people: the subject's numbers, a page of letters, are only counted."""
    request = dict(metadata["request"])
    if isinstance(request.get(_SUBJECT), str):
        request[_SUBJECT] = f"in the file, {len(request[_SUBJECT]) / 1000:.0f} kB"
    return {**metadata, "request": request}
