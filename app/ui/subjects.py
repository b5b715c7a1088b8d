"""Subjects on the page: files that were dropped become photos and cards, with a small picture of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from app.ui.texts import retold, said
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import BlipdiffError
from blipdiff.images import open_picture, thumbnail
from pipelines.inputs import CARD_SUFFIX

MOST_SUBJECTS = 4

_SIDE = 240  # pixels of the small pictures


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """A subject's file as the page shows it."""

    name: str
    picture: Image.Image | None
    category: str | None  # of a card; a photo does not tell
    keeps_photo: bool = True  # which details are read from; a card may not


@dataclass(frozen=True, slots=True, eq=False)
class Dropped:
    """What became of dropped files: those that can be used, how they look, and a sentence about each other one."""

    paths: tuple[str, ...]
    tiles: tuple[Tile, ...]
    complaints: tuple[str, ...]


def looked_through(paths: Sequence[str]) -> Dropped:
    """Opens every file once; at most `MOST_SUBJECTS` of them are kept."""
    kept: list[str] = []
    tiles: list[Tile] = []
    complaints: list[str] = []
    for path in paths:
        if len(kept) == MOST_SUBJECTS:
            told = {"most": MOST_SUBJECTS, "name": Path(path).name}
            complaints.append(said("At most {most} photos make one subject; {name} was left out.", **told))
            continue
        try:
            tiles.append(_tile(Path(path)))
            kept.append(path)
        except BlipdiffError as error:
            complaints.append(retold(by_name(error, [path])))
    return Dropped(tuple(kept), tuple(tiles), tuple(complaints))


def category_of(path: Path) -> str:
    """What a bundled photo shows: its file's name without numbers."""
    return path.stem.rstrip("0123456789-_").replace("-", " ").replace("_", " ")


def by_name(error: BlipdiffError, paths: Sequence[str]) -> str:
    """An error's sentence with the files' names in place of where the page keeps them."""
    text = str(error)
    for path in paths:
        text = text.replace(path, Path(path).name)
    return text


def _tile(path: Path) -> Tile:
    if path.suffix.lower() == CARD_SUFFIX:
        card = SubjectEmbedding.load(path)
        return Tile(path.name, card.thumbnail, card.category, card.cut_out is not None)
    return Tile(path.name, thumbnail(open_picture(path), _SIDE), None)
