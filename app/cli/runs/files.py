"""Files that commands take and write."""

from pathlib import Path

from app.settings import read_settings
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.errors import PromptError
from blipdiff.images import open_layers
from pipelines.inputs import CARD_SUFFIX
from pipelines.subject_library import SubjectLibrary


def read_card(path: Path) -> SubjectEmbedding | None:
    """The subject card at `path`, or the library's: "@Rex" is its subject Rex. None for a photo's path.

    Raises: SubjectError for a card that cannot be read.
    """
    if is_kept(path):
        return SubjectLibrary(read_settings().library).load(str(path)[1:])
    return SubjectEmbedding.load(path) if path.suffix.lower() == CARD_SUFFIX else None


def read_reference(path: Path, category: str) -> SubjectPhoto | SubjectEmbedding:
    """The subject card, or the photo with its category, at `path`; "@Rex" is the library's subject Rex.

    Raises: SubjectError or ImageError for a file that is neither, PromptError for a photo without a category.
    """
    card = read_card(path)
    if card is not None:
        return card
    picture = open_layers(path)
    if not category.strip():
        raise PromptError(f"Say what {path.name} shows with --category: dog, teapot, jacket.")
    return SubjectPhoto(picture, category)


def is_kept(path: Path) -> bool:
    """Whether this names a subject of the library rather than a file."""
    return str(path).startswith("@") and not path.exists()


def parse_bound(text: str, flag: str) -> tuple[str, Path]:
    """The word and the path of "dog=my_dog.png"; a card knows its own word, and then there is none: "dog.safetensors".

    Raises: PromptError for a photo without a word.
    """
    before, sign, after = text.partition("=")
    is_bound = bool(sign) and not Path(text).exists() and "/" not in before and "\\" not in before
    word, path = (before.strip(), Path(after)) if is_bound else ("", Path(text))
    if not word and path.suffix.lower() != CARD_SUFFIX and not is_kept(path):
        raise PromptError(f"Say what {path.name} shows: {flag} dog={path.name}.")
    return word, path


def read_bound(text: str, flag: str = "--subject") -> tuple[str, SubjectPhoto | SubjectEmbedding]:
    """The subject of "dog=my_dog.png", and its word.

    Raises: as `parse_bound`, and SubjectError or ImageError for a file that is neither card nor photo.
    """
    word, path = parse_bound(text, flag)
    reference = read_reference(path, word)
    return word or reference.category, reference
