"""The subject library: cards in a folder, each a file that is named as its subject is called."""

import os
import re
import shutil
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import BlipdiffError, ImageError, OutputError, SubjectError
from blipdiff.outputs import written_file
from pipelines.results import unused_path

CARD_SUFFIX = ".safetensors"
_LONGEST_NAME = 60
_UNFIT = re.compile(r"[^\w. -]|^[. ]+|[. ]+$")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A card of the library as it is listed; `trouble` says what is wrong with one that cannot be read."""

    name: str
    path: Path
    category: str = ""
    fingerprint: str | None = None
    thumbnail: Image.Image | None = None
    trouble: str | None = None


class SubjectLibrary:
    """The cards of one folder, which need not be there yet.

    Every change is one file written whole, moved or removed; nothing else is kept, so that a folder of cards copied
    from elsewhere is a library too.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def entries(self, search: str = "") -> list[Entry]:
        """The cards whose name or category holds every word of `search`, by name; damaged ones with their trouble."""
        words = search.casefold().split()
        try:
            paths = sorted(self.folder.glob(f"*{CARD_SUFFIX}"), key=lambda path: path.stem.casefold())
        except OSError as error:
            raise SubjectError(f"The library {self.folder} cannot be read: {error.strerror or error}.") from error
        found = [_entry(path) for path in paths if not path.name.startswith(".")]
        return [one for one in found if all(word in f"{one.name} {one.category}".casefold() for word in words)]

    def load(self, name: str) -> SubjectEmbedding:
        """The subject of that name.

        Raises: SubjectError when there is none, or its card is damaged.
        """
        return SubjectEmbedding.load(self._there(name))

    def save(self, subject: SubjectEmbedding, name: str | None = None, *, replace: bool = False) -> Entry:
        """Keeps a subject under a name, or under its category with a number where that is taken.

        Raises: SubjectError for a name that is no file's or is taken, OutputError when nothing can be written.
        """
        if name is None:
            path = unused_path(self.folder, subject.category, CARD_SUFFIX)
        else:
            path = self._free(name, replace=replace)
        with written_file(path) as part:
            subject.save(part)
        return _entry(path)

    def rename(self, name: str, new_name: str) -> Entry:
        """Raises: SubjectError when there is no such subject, or the new name is taken or no file's."""
        old = self._there(name)
        new = self._free(new_name, replace=checked_name(new_name).casefold() == old.stem.casefold())
        _done(lambda: old.rename(new), f"{name!r} cannot be renamed")
        return _entry(new)

    def delete(self, name: str) -> None:
        """Raises: SubjectError when there is no such subject, OutputError when it cannot be removed."""
        path = self._there(name)
        _done(path.unlink, f"{name!r} cannot be deleted")

    def bring_in(self, card: Path, name: str | None = None) -> Entry:
        """Copies a card into the library, after reading it.

        Raises: SubjectError for a file that is no card, or a name that is taken.
        """
        return self.save(SubjectEmbedding.load(card), card.stem if name is None else name)

    def send_out(self, name: str, to: Path) -> Path:
        """Copies a card to a file, or into a folder.

        Raises: SubjectError when there is no such subject, OutputError when it cannot be written or is there already.
        """
        path = self._there(name)
        target = to / path.name if to.is_dir() else to
        if target.suffix.lower() != CARD_SUFFIX:
            raise OutputError(f"A subject card is known by its ending {CARD_SUFFIX}; {target.name} has another one.")
        if target.exists():
            raise OutputError(f"{target} is there already; give another name.")
        with written_file(target) as part:
            shutil.copyfile(path, part)
        return target

    def _there(self, name: str) -> Path:
        path = self.folder / f"{checked_name(name)}{CARD_SUFFIX}"
        if not path.is_file():
            known = ", ".join(entry.stem for entry in sorted(self.folder.glob(f"*{CARD_SUFFIX}"))[:10]) or "none"
            raise SubjectError(f"The library has no subject {name!r}. It has: {known}.")
        return path

    def _free(self, name: str, *, replace: bool) -> Path:
        path = self.folder / f"{checked_name(name)}{CARD_SUFFIX}"
        if not replace and (path.exists() or path.is_symlink()):
            raise SubjectError(f"The library has a subject {name!r} already; give another name.")
        return path


def checked_name(name: str) -> str:
    """The name without the space around it, when it is one that a file may have on every system.

    Raises: SubjectError for one that is empty, too long, or holds what leads out of the folder.
    """
    clean = unicodedata.normalize("NFC", name.strip())
    if not clean or len(clean) > _LONGEST_NAME or _UNFIT.search(clean) or _RESERVED.match(clean) or os.sep in clean:
        raise SubjectError(
            f"A subject cannot be called {name!r}; take up to {_LONGEST_NAME} letters, digits, spaces, - and _."
        )
    return clean


def _entry(path: Path) -> Entry:
    try:
        subject = SubjectEmbedding.load(path)
    except (BlipdiffError, ImageError) as error:
        return Entry(path.stem, path, trouble=str(error))
    return Entry(path.stem, path, subject.category, subject.fingerprint, subject.thumbnail)


def _done(change: object, what: str) -> None:
    try:
        change()  # type: ignore[operator]
    except OSError as error:
        raise OutputError(f"{what}: {error.strerror or error}.") from error
