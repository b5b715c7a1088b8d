"""What stages train on: prepared photos in shards, drawn in an order that each epoch has of its own."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

from blipdiff.data.composites import composite, premultiplied, warped
from blipdiff.data.folders import visible_files
from blipdiff.data.records import Pair, Pixels
from blipdiff.data.referenced import reference_view
from blipdiff.data.shard_sources import FolderShards, Shards
from blipdiff.data.shards import Sample, category_of, read_sample
from blipdiff.errors import ConfigError
from blipdiff.foreign import foreign

_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


class ShardLibrary:
    """The prepared photos of some shards: for stage 1 pictures with captions, for stage 2 pairs as in the paper.

    A pair's photo is the subject cut out on other ground, its target the picture as it is (Li et al. 2023,
    arXiv:2305.14720, sec. 3.2). Every draw depends on its number and the seed alone; each epoch has its own order. So
    processes that take numbers of their own take samples of their own, and a run that is gone on with takes those that
    it would have taken.

    shards: a folder, or what has them by their addresses; backgrounds: a folder of pictures to put subjects on; plain
    colours where it is None

    Raises: ConfigError where the folder holds no shard, or lacks one that was made, and where none can be fetched.
    """

    def __init__(
        self, shards: Path | Shards, *, photo_side: int, picture_side: int, backgrounds: Path | None = None
    ) -> None:
        self.photo_side = photo_side
        self.picture_side = picture_side
        self._shards: Shards = FolderShards.of(shards) if isinstance(shards, Path) else shards
        self._backgrounds = [] if backgrounds is None else _pictures_in(backgrounds)
        self._firsts = np.cumsum([0, *self._shards.counts])
        self._order = _Order(self._shards.counts, self._shards.window)

    def __len__(self) -> int:
        return int(self._firsts[-1])

    def categories(self) -> tuple[str, ...]:
        """Every category, the most frequent first."""
        shards = range(len(self._shards.counts))
        counts = Counter(
            category_of(self._shards.path(shard), places) for shard in shards for places in self._shards.places(shard)
        )
        return tuple(name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def draw(self, index: int, seed: int) -> Pair:
        """The pair number `index` of the endless sequence that `seed` begins."""
        rng = np.random.default_rng((seed, 2, index))
        place, sample = self._chosen(index, seed)
        subject = premultiplied(_sized(sample.subject, self.photo_side))
        moved = warped(subject, rng.uniform(0.86, 1.08), 0.0, *(0.5 + rng.uniform(-0.04, 0.04, 2)))
        return Pair(
            photo=composite(moved, self._ground(rng)),
            target=_sized(sample.picture, self.picture_side),
            mask=_sized(sample.mask, self.picture_side),
            category=sample.category,
            prompt=prompt_of(_pick(sample.captions, rng), sample.category),
            scene="photo",
            style=None,
            subject=place,
        )

    def draw_referenced(self, index: int, seed: int) -> tuple[Pair, Pixels, Pixels]:
        """The pair of the same number, its subject on white as a cut-out is read, and the mask there."""
        _, sample = self._chosen(index, seed)
        cut_out = premultiplied(_sized(sample.subject, self.picture_side))
        return (self.draw(index, seed), *reference_view(cut_out, np.random.default_rng((seed, 4, index))))

    def draw_described(self, index: int, seed: int) -> tuple[Pixels, str, str]:
        """A whole picture as the trunk sees it, its subject's category, and one of its captions."""
        rng = np.random.default_rng((seed, 2, index))
        _, sample = self._chosen(index, seed)
        caption = _pick(sample.captions, rng) or sample.category
        return _sized(sample.picture, self.photo_side), sample.category, caption

    def _chosen(self, index: int, seed: int) -> tuple[int, Sample]:
        shard, number = self._order.place(index, seed)
        sample = read_sample(self._shards.path(shard), self._shards.places(shard)[number])
        return int(self._firsts[shard]) + number, sample

    def _ground(self, rng: Generator) -> Pixels:
        side = self.photo_side
        if self._backgrounds:
            path = self._backgrounds[int(rng.integers(len(self._backgrounds)))]
            with foreign(path, "a picture to put subjects on", ConfigError):
                picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if picture is not None:
                return _sized(_square(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8)), side)
        ground = np.empty((side, side, 3), np.uint8)
        ground[:] = rng.integers(0, 256, 3)
        return ground


class _Order:
    """In which order samples are drawn: of so many shards at a time as a window holds, each epoch in another one.

    An epoch takes every sample once. Where one window holds all shards, any sample may follow any other one.
    """

    def __init__(self, counts: Sequence[int], window: int) -> None:
        self._counts = np.asarray(counts)
        self._window = window
        self._total = int(self._counts.sum())
        self._epoch: tuple[int, int] = (0, -1)
        self._windows: list[np.ndarray] = []
        self._ends = np.empty(0, np.int64)
        self._open: tuple[int, np.ndarray, np.ndarray] | None = None

    def place(self, index: int, seed: int) -> tuple[int, int]:
        """The shard of a draw, and the sample's number in it."""
        epoch, within = divmod(index, self._total)
        if self._epoch != (seed, epoch):
            self._begin(seed, epoch)
        window = int(np.searchsorted(self._ends, within, side="right"))
        if self._open is None or self._open[0] != window:
            shards = self._windows[window]
            alone = () if len(self._windows) == 1 else (window,)
            order = np.random.default_rng((seed, 3, epoch, *alone)).permutation(int(self._counts[shards].sum()))
            self._open = (window, order, np.cumsum([0, *self._counts[shards]]))
        _, order, firsts = self._open
        drawn = int(order[within - (int(self._ends[window - 1]) if window else 0)])
        shard = int(np.searchsorted(firsts, drawn, side="right")) - 1
        return int(self._windows[window][shard]), drawn - int(firsts[shard])

    def _begin(self, seed: int, epoch: int) -> None:
        count = len(self._counts)
        if not self._window or self._window >= count:
            self._windows = [np.arange(count)]
        else:
            shards = np.random.default_rng((seed, 5, epoch)).permutation(count)
            self._windows = [shards[first : first + self._window] for first in range(0, count, self._window)]
        self._ends = np.cumsum([int(self._counts[shards].sum()) for shards in self._windows])
        self._epoch, self._open = (seed, epoch), None


def prompt_of(caption: str, category: str) -> str:
    """What a caption says about its subject, to follow "a {category}": "a dog on grass" gives "on grass"."""
    before, found, after = caption.partition(category)
    return after.strip() if found and len(before.split()) <= 4 else f", {caption}" if caption else ""


def _sized(picture: Pixels, side: int) -> Pixels:
    if picture.shape[0] == side:
        return picture
    smaller = side < picture.shape[0]
    resized = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return np.asarray(resized, np.uint8)


def _square(picture: Pixels) -> Pixels:
    """The middle of a picture."""
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    return picture[top : top + side, left : left + side]


def _pictures_in(folder: Path) -> list[Path]:
    found = [path for path in visible_files(folder) if path.suffix.lower() in _PICTURE_SUFFIXES]
    if not found:
        raise ConfigError(f"{folder} holds no picture to put subjects on.")
    return found


def _pick(captions: tuple[str, ...], rng: Generator) -> str:
    return captions[int(rng.integers(len(captions)))] if captions else ""
