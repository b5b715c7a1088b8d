"""Pairs: a subject's photo, and the same subject placed in a drawn scene, drawn afresh from (seed, index)."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from blipdiff.data.composites import composite, premultiplied, warped
from blipdiff.data.drawn.scenes import WHITE_WORDINGS
from blipdiff.data.drawn.styles import STYLES, Style
from blipdiff.data.drawn.subjects import HELD_OUT_SOURCE, is_held_out
from blipdiff.data.records import Pair, Pixels, SubjectRecord
from blipdiff.data.stored import check_files, stored_pictures, stored_scenes, stored_subjects
from blipdiff.errors import ConfigError

Split = Literal["train", "held_out", "source"]
Reshape = Callable[[Pixels, Generator], tuple[Pixels, str | None]]  # a cut-out -> another, and the word for it

ON_WHITE_SHARE = 0.08
STYLED_SHARE = 0.2
WHITE_PHOTO_SHARE = 0.6
RECOLOURED_SHARE = 0.4
MIRRORED_SHARE = 0.25
MOST_DEGREES = 12.0
SUBJECT_SCALES = (0.5, 0.95)
MIDDLE_SCALE = 0.8


@dataclass(frozen=True, slots=True)
class _Context:
    """The ground of a target before the subject stands on it, and what is said about it."""

    scene: str
    style: Style | None
    prompt: str
    picture: Pixels
    floor: float | None
    casts_shadow: bool


class PairLibrary:
    """The subjects and scenes of a folder, read as they are asked for, and the pairs drawn from them.

    Subjects of crowded categories are drawn less often each: a subject's weight is 1 / sqrt(size of its concept).
    `spread` says how far subjects stray in their targets from a middle size in the middle of the picture: 1 is all
    that fits, 0 is nothing. A model that sees few pictures learns shapes sooner where they stray less. `styled` is the
    share of the scenes that are under a style.

    Raises: ConfigError where the folder holds no complete library.
    """

    def __init__(self, folder: Path, spread: float = 1.0, styled: float = STYLED_SHARE) -> None:
        self.spread, self.styled = spread, styled
        check_files(folder)
        self.subjects: Pixels = stored_pictures(folder / "subjects.npy", 4)
        self.scenes: Pixels = stored_pictures(folder / "scenes.npy", 3)
        self.records = stored_subjects(folder / "subjects.json")
        self.scene_records = stored_scenes(folder / "scenes.json")
        if len(self.records) != len(self.subjects) or len(self.scene_records) != len(self.scenes):
            raise ConfigError(f"{folder}: pictures and records differ in number; build the library again.")
        if self.subjects.shape[1] != self.scenes.shape[1]:
            raise ConfigError(f"{folder}: subjects and scenes differ in size; build the library again.")
        self.side: int = self.subjects.shape[1]
        self.members = {split: self._members(split) for split in ("train", "held_out", "source")}
        self._chances = {split: self._subject_chances(members) for split, members in self.members.items()}
        weights = np.array([record.weight for record in self.scene_records])
        self._scene_chances = np.cumsum(weights) / weights.sum()

    def _members(self, split: str) -> NDArray[np.int64]:
        return np.array([i for i, record in enumerate(self.records) if split_of(record) == split], np.int64)

    def _subject_chances(self, members: NDArray[np.int64]) -> NDArray[np.float64]:
        concepts = [self.records[i].concept for i in members]
        sizes = {concept: concepts.count(concept) for concept in set(concepts)}
        weights = np.array([1 / math.sqrt(sizes[concept]) for concept in concepts])
        chances: NDArray[np.float64] = np.cumsum(weights) / max(weights.sum(), 1e-9)
        return chances

    def draw(self, index: int, seed: int, split: Split = "train") -> Pair:
        """The pair number `index` of the endless sequence that `seed` begins.

        Raises: ConfigError where the library holds no subject of `split`.
        """
        rng = np.random.default_rng((seed, index))
        return self.draw_subject(self.chosen(split, rng), rng)

    def draw_photo(self, index: int, seed: int, split: Split = "train") -> tuple[Pixels, str]:
        """A photo alone and its category, where no target is needed."""
        rng = np.random.default_rng((seed, index))
        subject = self.chosen(split, rng)
        return self._photo(self.cut_out(subject, rng), rng), self.records[subject].category

    def chosen(self, split: Split, rng: Generator) -> int:
        """A subject of `split`, by its chance. Raises: ConfigError where the library holds none."""
        members = self.members[split]
        if len(members) == 0:
            raise ConfigError(f"The library holds no subject of the split '{split}'.")
        place = np.searchsorted(self._chances[split], rng.random(), side="right")
        return int(members[min(int(place), len(members) - 1)])

    def cut_out(self, subject: int, rng: Generator) -> Pixels:
        """The subject, premultiplied; in training sometimes in other colours, and mirrored."""
        cut_out = premultiplied(self.subjects[subject])
        if rng.random() < RECOLOURED_SHARE and split_of(self.records[subject]) == "train":
            cut_out = recoloured(cut_out, rng)
        if rng.random() < MIRRORED_SHARE:
            cut_out = np.ascontiguousarray(cut_out[:, ::-1])
        return cut_out

    def draw_subject(self, subject: int, rng: Generator) -> Pair:
        """A pair of the subject number `subject`, its photo, scene and place drawn from `rng`."""
        return self.draw_known(subject, rng)[0]

    def draw_known(self, subject: int, rng: Generator) -> tuple[Pair, Pixels]:
        """As `draw_subject`, with the premultiplied cut-out that photo and target show."""
        cut_out = self.cut_out(subject, rng)
        photo = self._photo(cut_out, rng)
        return self.pair(subject, photo, cut_out, rng), cut_out

    def draw_reshaped(self, rng: Generator, reshape: Reshape) -> Pair:
        """A pair of a training subject whose target shows what `reshape` makes of it."""
        subject = self.chosen("train", rng)
        cut_out = self.cut_out(subject, rng)
        photo = self._photo(cut_out, rng)
        body, word = reshape(cut_out, rng)
        return replace(self.pair(subject, photo, body, rng), word=word)

    def pair(self, subject: int, photo: Pixels, body: Pixels, rng: Generator) -> Pair:
        """The pair of a photo and of `body`, a premultiplied cut-out, in a scene."""
        context = self._context(rng)
        placed = _placed(body, context, rng, self.spread)
        ground = _with_shadow(context.picture, placed, rng) if context.casts_shadow else context.picture
        target = composite(placed, ground)
        if context.style is not None:
            target = context.style.apply(target, rng)
        return Pair(
            photo=photo,
            target=target,
            mask=np.ascontiguousarray(placed[..., 3]),
            category=self.records[subject].category,
            prompt=context.prompt,
            scene=context.scene,
            style=context.style.name if context.style else None,
            subject=subject,
            floor=context.floor,
        )

    def _photo(self, cut_out: Pixels, rng: Generator) -> Pixels:
        """The subject almost as it is, on white, on a light ground, or on any plain colour."""
        ground = self._plain_ground(rng)
        scale, shift = rng.uniform(0.86, 1.08), rng.uniform(-0.04, 0.04, 2)
        return composite(warped(cut_out, scale, 0.0, 0.5 + shift[0], 0.5 + shift[1]), ground)

    def snapshot(self, cut_out: Pixels, rng: Generator) -> Pixels:
        """A photo as people take them: smaller, out of the middle, turned. Few subjects are named under many views."""
        ground = self._plain_ground(rng)
        scale, shift, turn = rng.uniform(0.55, 1.08), rng.uniform(-0.08, 0.08, 2), rng.uniform(-1, 1)
        return composite(warped(cut_out, scale, MOST_DEGREES * turn, 0.5 + shift[0], 0.5 + shift[1]), ground)

    def _plain_ground(self, rng: Generator) -> Pixels:
        kind = rng.random()
        if kind < WHITE_PHOTO_SHARE:
            ground = np.full((self.side, self.side, 3), 255, np.uint8)
        else:
            lowest = 185 if kind < 0.85 else 0
            ground = np.empty((self.side, self.side, 3), np.uint8)
            ground[:] = rng.integers(lowest, 256, 3)
        return ground

    def _context(self, rng: Generator) -> _Context:
        """A scene, perhaps under a style, with a prompt in which every word is true."""
        if rng.random() < ON_WHITE_SHARE:
            white = np.full((self.side, self.side, 3), 255, np.uint8)
            if rng.random() < 0.5:
                return _Context("plain white", None, _pick(WHITE_WORDINGS, rng), white, None, False)
            style = STYLES[int(rng.integers(len(STYLES)))]
            return _Context("plain white", style, _pick(style.wordings, rng), white, None, False)
        place = int(np.searchsorted(self._scene_chances, rng.random(), side="right"))
        place = min(place, len(self.scene_records) - 1)
        record, ground = self.scene_records[place], np.array(self.scenes[place])
        if rng.random() >= self.styled:
            prompt = _pick(record.wordings, rng)
            return _Context(record.scene, None, prompt, ground, record.floor, record.casts_shadow)
        style = STYLES[int(rng.integers(len(STYLES)))]
        wordings = record.wordings if style.keeps_colours else record.colourless
        prompt = f"{_pick(wordings, rng)}, {_pick(style.wordings, rng)}"
        return _Context(record.scene, style, prompt, ground, record.floor, record.casts_shadow)


def recoloured(cut_out: Pixels, rng: Generator) -> Pixels:
    """The premultiplied subject with its colours turned about the grey axis: a new subject of the same category."""
    turn = rng.uniform(0.15, 0.85) * 2 * math.pi
    grey = (1 - math.cos(turn)) / 3
    across = math.sin(turn) / math.sqrt(3)
    same, left, right = math.cos(turn) + grey, grey - across, grey + across
    matrix = np.array([[same, left, right], [right, same, left], [left, right, same]], np.float32)
    colours = cv2.transform(cut_out[..., :3], matrix)
    return np.dstack([np.minimum(colours, cut_out[..., 3:]), cut_out[..., 3]])


def split_of(record: SubjectRecord) -> Split:
    """Where a subject belongs: the held-out source, the held-out concepts of other sources, or training."""
    if record.source == HELD_OUT_SOURCE:
        return "source"
    return "held_out" if record.held_out or is_held_out(record.concept) else "train"


def _pick(wordings: tuple[str, ...], rng: Generator) -> str:
    return wordings[int(rng.integers(len(wordings)))]


def _placed(cut_out: Pixels, context: _Context, rng: Generator, spread: float) -> Pixels:
    """The subject at a random scale, turn and place, standing on the ground where there is one.

    At most a tenth of it leaves the picture.
    """
    side = cut_out.shape[0]
    frame = MIDDLE_SCALE + spread * (rng.uniform(*SUBJECT_SCALES) - MIDDLE_SCALE)
    scale = frame * 128 / 112
    rows = np.flatnonzero(cut_out[..., 3].max(axis=1))
    columns = np.flatnonzero(cut_out[..., 3].max(axis=0))
    tall = (rows[-1] - rows[0] + 1) / side * scale if len(rows) else frame
    wide = (columns[-1] - columns[0] + 1) / side * scale if len(columns) else frame
    x = 0.5 + spread * (_between(rng, 0.45 * wide, 1 - 0.45 * wide) - 0.5)
    if context.floor is None:
        y = _between(rng, 0.45 * tall, 1 - 0.45 * tall)
    else:
        y = max(rng.uniform(max(context.floor, min(tall, 0.95)), 1.0) - tall / 2, 0.45 * tall)
    y = 0.5 + spread * (y - 0.5)
    return warped(cut_out, scale, spread * rng.uniform(-MOST_DEGREES, MOST_DEGREES), x, y)


def _between(rng: Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high)) if low < high else 0.5


def _with_shadow(ground: Pixels, placed: Pixels, rng: Generator) -> Pixels:
    """`ground` darkened softly below the subject's foot."""
    alpha = cv2.resize(placed[..., 3], (32, 32), interpolation=cv2.INTER_AREA)
    rows = np.flatnonzero(alpha.max(axis=1) > 100)
    if len(rows) == 0:
        return ground
    foot = int(rows[-1])
    columns = np.flatnonzero(alpha[max(foot - 5, 0) : foot + 1].max(axis=0) > 100)
    if len(columns) == 0:
        return ground
    shade = np.zeros((32, 32), np.uint8)
    centre = (int(columns[0] + columns[-1]) // 2, min(foot, 31))
    radii = (int(columns[-1] - columns[0]) // 2 + 2, 2)
    cv2.ellipse(shade, centre, radii, 0, 0, 360, int(rng.integers(90, 150)), -1)
    soft = cv2.resize(cv2.GaussianBlur(shade, (5, 5), 0), ground.shape[:2], interpolation=cv2.INTER_LINEAR)
    result: Pixels = cv2.multiply(ground, cv2.merge([255 - soft] * 3), scale=1 / 255)
    return result
