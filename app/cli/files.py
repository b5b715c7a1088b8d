"""Files that commands take and write."""

import tempfile
from pathlib import Path

from app.settings import read_settings
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.errors import PromptError
from blipdiff.images import open_picture
from blipdiff.outputs import writing

CARD_SUFFIX = ".safetensors"


def read_reference(path: Path, category: str) -> SubjectPhoto | SubjectEmbedding:
    """The subject card, or the photo with its category, at `path`; "@Rex" is the library's subject Rex.

    Raises: SubjectError or ImageError for a file that is neither, PromptError for a photo without a category.
    """
    if is_kept(path):
        from pipelines.subject_library import SubjectLibrary

        return SubjectLibrary(read_settings().library).load(str(path)[1:])
    if path.suffix.lower() == CARD_SUFFIX:
        return SubjectEmbedding.load(path)
    picture = open_picture(path)
    if not category.strip():
        raise PromptError(f"Say what {path.name} shows with --category: dog, teapot, jacket.")
    return SubjectPhoto(picture, category)


def is_kept(path: Path) -> bool:
    """Whether this names a subject of the library rather than a file."""
    return str(path).startswith("@") and not path.exists()


def read_bound(text: str) -> tuple[str, SubjectPhoto | SubjectEmbedding]:
    """The subject of "dog=my_dog.png", and its word; a card knows its own: "dog.safetensors".

    Raises: SubjectError or ImageError for a file that is neither card nor photo, PromptError for a photo without
    a word.
    """
    before, sign, after = text.partition("=")
    bound = bool(sign) and not Path(text).exists() and "/" not in before and "\\" not in before
    word, path = (before.strip(), Path(after)) if bound else ("", Path(text))
    if not word and path.suffix.lower() != CARD_SUFFIX and not is_kept(path):
        raise PromptError(f"Say what {path.name} shows: --subject dog={path.name}.")
    reference = read_reference(path, word)
    return word or reference.category, reference


def check_writable(folder: Path) -> None:
    """Passes when files can be written to `folder`, which is made; asked before any long work.

    Raises: OutputError when they cannot.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
