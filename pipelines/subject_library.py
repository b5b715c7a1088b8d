"""The subject library: cards in a folder, each a file that is named as its subject is called."""

import os
import shutil
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import BlipdiffError, OutputError, SubjectError, listed
from blipdiff.filenames import cut_to_bytes, file_stem, is_letter, is_reserved
from blipdiff.outputs import clear_leftovers, move_to_free, write_new, written_file

CARD_SUFFIX = ".safetensors"
BIN = ".bin"
_LONGEST_NAME, _MOST_BYTES = 60, 240


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

    Every change is one file written whole or moved; nothing else is kept, so that a folder of cards copied from
    elsewhere is a library too. What is deleted lies in a bin, a hidden folder, until that is emptied.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def entries(self, search: str = "") -> list[Entry]:
        """The cards whose name or category holds every word of `search`, by name; damaged ones with their trouble.

        Raises: SubjectError when the folder cannot be read.
        """
        words = search.casefold().split()
        found = [_entry(path) for path in self._cards()]
        return [one for one in found if all(word in f"{one.name} {one.category}".casefold() for word in words)]

    def check_there(self, name: str) -> None:
        """Passes for the name of a subject. Raises: SubjectError when there is none."""
        self._there(name)

    def path(self, name: str) -> Path:
        """The card's file. Raises: SubjectError when there is none of that name."""
        return self._there(name)

    def load(self, name: str) -> SubjectEmbedding:
        """The subject of that name.

        Raises: SubjectError when there is none, or its card is damaged.
        """
        return SubjectEmbedding.load(self._there(name))

    def save(self, subject: SubjectEmbedding, name: str | None = None) -> Entry:
        """Keeps a subject under a name, or under its category with a number where that is taken.

        Raises: SubjectError for a name that is no file's or is taken, OutputError when nothing can be written.
        """
        if name is None:
            stem = cut_to_bytes(file_stem(subject.category, _LONGEST_NAME - 8), _MOST_BYTES - 8)
            return _entry(write_new(self.folder, stem, CARD_SUFFIX, subject.save))
        path = self._free(name)
        try:
            with written_file(path, replace=False) as part:
                subject.save(part)
        except OutputError as error:
            if isinstance(error.__cause__, FileExistsError):  # another process was faster
                raise _taken(name) from error
            raise
        return _entry(path)

    def rename(self, name: str, new_name: str) -> Entry:
        """Raises: SubjectError when there is no such subject, or the new name is taken or no file's."""
        old = self._there(name)
        if checked_name(new_name) == old.stem:
            return _entry(old)
        new = self.folder / f"{checked_name(new_name)}{CARD_SUFFIX}"
        is_same = new.exists() and new.samefile(old)  # disks that take large and small letters for the same
        self._move(old, new, new_name, Path.rename if is_same else move_to_free)
        return _entry(new)

    def delete(self, name: str) -> None:
        """Puts a subject into the bin.

        Raises: SubjectError when there is no such subject, OutputError when it cannot be moved.
        """
        path = self._there(name)
        place = self.folder / BIN / datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        _done(lambda: place.mkdir(parents=True, exist_ok=True), f"{name!r} cannot be deleted")
        self._move(path, place / path.name, name)

    def deleted(self) -> list[Entry]:
        """What lies in the bin, the latest first."""
        cards = [path for place in _listed(self.folder / BIN) if place.is_dir() for path in _listed(place)]
        return [_entry(path) for path in sorted(cards, key=lambda path: path.parent.name, reverse=True)]

    def restore(self, name: str, new_name: str | None = None) -> Entry:
        """Takes the subject that was deleted last under that name out of the bin again.

        Raises: SubjectError when the bin has none, or the name is taken meanwhile.
        """
        found = self.deleted()
        card = _named([one.path for one in found], name)
        if card is None:
            known = listed([one.name for one in found]) or "none"
            raise SubjectError(f"The bin has no subject {name!r}. It has: {known}.")
        path = self.folder / card.name if new_name is None else self._free(new_name)
        self._move(card, path, new_name or name)
        with suppress(OSError):  # what else lies beside it, a system's own file, goes when the bin is emptied
            card.parent.rmdir()
        return _entry(path)

    def empty_bin(self) -> int:
        """Removes for good what lies in the bin; gives how many subjects.

        Raises: OutputError when they cannot be removed.
        """
        count = len(self.deleted())
        if (self.folder / BIN).is_dir():
            _done(lambda: shutil.rmtree(self.folder / BIN), "The bin cannot be emptied")
        return count

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
        with written_file(target, replace=False) as part:
            shutil.copyfile(path, part)
        return target

    def _cards(self) -> list[Path]:
        clear_leftovers(self.folder)
        paths = [path for path in _listed(self.folder) if path.suffix == CARD_SUFFIX]
        return sorted(paths, key=lambda path: path.stem.casefold())

    def _there(self, name: str) -> Path:
        cards = self._cards()
        path = _named(cards, name) or self.folder / f"{checked_name(name)}{CARD_SUFFIX}"
        if not os.path.isfile(path):  # noqa: PTH113 - whatever keeps it from being one
            known = listed([_told(card) for card in cards]) or "none"
            raise SubjectError(f"The library has no subject {name!r}. It has: {known}.")
        return path

    def _free(self, name: str) -> Path:
        path = self.folder / f"{checked_name(name)}{CARD_SUFFIX}"
        if os.path.lexists(path):
            raise _taken(name)
        return path

    def _move(self, old: Path, new: Path, name: str, how: Callable[[Path, Path], object] = move_to_free) -> None:
        try:
            _done(lambda: how(old, new), f"{old.stem!r} cannot be moved")
        except OutputError as error:
            if isinstance(error.__cause__, FileExistsError):
                raise _taken(name) from error
            raise


def checked_name(name: str) -> str:
    """The name without the space around it, when it is one that a file may have on every system.

    Raises: SubjectError for one that is empty, too long, or holds what leads out of the folder.
    """
    clean = unicodedata.normalize("NFC", name.strip())
    fits = 0 < len(clean) <= _LONGEST_NAME and len(clean.encode("utf-8", "replace")) <= _MOST_BYTES
    is_fit = all(is_letter(letter) or letter in "_.- " for letter in clean) and clean == clean.strip(". ")
    if not fits or not is_fit or is_reserved(clean):
        raise SubjectError(
            f"A subject cannot be called {name!r}; take up to {_LONGEST_NAME} letters, digits, spaces, - and _."
        )
    return clean


def _taken(name: str) -> SubjectError:
    return SubjectError(f"The library has a subject {name!r} already; give another name.")


def _listed(folder: Path) -> list[Path]:
    """What lies in a folder, hidden things aside; nothing where there is no folder.

    Raises: SubjectError when it cannot be read.
    """
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SubjectError(f"The library {folder} cannot be read: {error.strerror or error}.") from error


def _named(cards: list[Path], name: str) -> Path | None:
    """The first card that is listed under a name, whoever named its file; else one that differs by space or accents."""
    alike = unicodedata.normalize("NFC", name).strip()
    same = [card for card in cards if _told(card) == name]
    return next(iter([*same, *(card for card in cards if unicodedata.normalize("NFC", _told(card)) == alike)]), None)


def _told(card: Path) -> str:
    return card.stem.encode("utf-8", "replace").decode()  # a name may hold bytes that are no text


def _entry(path: Path) -> Entry:
    name = _told(path)
    try:
        subject = SubjectEmbedding.load(path)
    except (BlipdiffError, OSError) as error:
        return Entry(name, path, trouble=str(error).encode("utf-8", "replace").decode())
    return Entry(name, path, subject.category, subject.fingerprint, subject.thumbnail)


def _done(change: Callable[[], object], what: str) -> None:
    try:
        change()
    except OSError as error:
        raise OutputError(f"{what}: {error.strerror or error}.") from error
