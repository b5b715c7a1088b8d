"""Subjects: pictures cut out, judged, fitted into one array, with whole concepts held out."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np

from blipdiff.data.drawn.colours import Floats
from blipdiff.data.drawn.packages import Drawing
from blipdiff.data.drawn.sources import LEARNED_ONLY, read_drawings
from blipdiff.data.records import Pixels, SubjectRecord
from blipdiff.data.stored import write_array, write_json
from blipdiff.errors import BlipdiffError, ImageError

HELD_OUT_SOURCE = "noto"
HELD_OUT_PERCENT = 5
FILLED = 112 / 128
Progress = Callable[[str, int], None]


def build_subjects(
    cache: Path,
    out: Path,
    side: int = 128,
    *,
    drawings: Iterable[Drawing] | None = None,
    progress: Progress | None = None,
) -> int:
    """Writes `subjects.npy` (n, side, side, 4) and `subjects.json` to `out`, whole or not at all; gives n.

    Raises: BlipdiffError where no usable subject is found.
    """
    pictures: list[Pixels] = []
    records: list[SubjectRecord] = []
    for drawing in read_drawings(cache) if drawings is None else drawings:
        if drawing.source in LEARNED_ONLY and _record(drawing).held_out:
            continue
        picture = fitted_subject(drawing, side)
        if picture is not None:
            pictures.append(picture)
            records.append(_record(drawing))
            if progress is not None:
                progress("subjects", len(pictures))
    if not pictures:
        raise BlipdiffError(f"No usable subject was found under {cache}; fetch the sources first.")
    kept = distinct(pictures, [record.source for record in records])
    out.mkdir(parents=True, exist_ok=True)
    write_array(out / "subjects.npy", np.stack([pictures[i] for i in kept]))
    write_json(out / "subjects.json", [_as_json(records[i]) for i in kept])
    return len(kept)


def is_held_out(concept: str) -> bool:
    """Whether every subject of `concept` is kept from training; decided by a hash of the concept alone."""
    return int(hashlib.sha256(concept.encode()).hexdigest()[:8], 16) % 100 < HELD_OUT_PERCENT


def _record(drawing: Drawing) -> SubjectRecord:
    concept = drawing.category.removesuffix("s")
    held_out = is_held_out(concept) or drawing.source == HELD_OUT_SOURCE
    return SubjectRecord(drawing.name, drawing.category, drawing.source, concept, held_out)


def _as_json(record: SubjectRecord) -> dict[str, str | bool]:
    return {field: getattr(record, field) for field in SubjectRecord.__slots__}


def fitted_subject(drawing: Drawing, side: int) -> Pixels | None:
    """The subject, centred in (side, side, 4) RGBA with room around it, or None where it teaches nothing."""
    try:
        picture = drawing.render()
    except ImageError:
        return None
    rows, columns = np.nonzero(picture[..., 3] > 16)
    if len(rows) == 0:
        return None
    picture = picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    if not _is_worth_drawing(picture):
        return None
    premultiplied = picture.astype(np.float32)
    premultiplied[..., :3] *= premultiplied[..., 3:] / 255
    height, width = picture.shape[:2]
    scale = FILLED * side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(premultiplied, size, interpolation=method)
    alpha = small[..., 3:]
    small[..., :3] = np.where(alpha > 0.5, small[..., :3] * 255 / np.maximum(alpha, 0.5), 0)
    fitted = np.zeros((side, side, 4), np.uint8)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    fitted[top : top + size[1], left : left + size[0]] = np.clip(small + 0.5, 0, 255)
    return fitted


def _is_worth_drawing(picture: Pixels) -> bool:
    height, width = picture.shape[:2]
    if min(height, width) < 24 or max(height, width) > 5 * min(height, width):
        return False
    alpha = picture[..., 3]
    coverage = float(alpha.mean()) / 255
    solid = picture[alpha > 128][:, :3].astype(np.float32)
    if coverage < 0.10 or len(solid) < 64:
        return False
    pale = float((solid.min(axis=1) > 235).mean())
    dark = float((solid.max(axis=1) < 50).mean())
    is_line_art = pale + dark > 0.97 or pale > 0.9
    is_boring = coverage > 0.97 and float(solid.std(axis=0).mean()) < 12
    return not is_line_art and not is_boring and coverage <= 0.995


def distinct(pictures: list[Pixels], sources: list[str]) -> list[int]:
    """Indices of `pictures` without near repeats inside one source (difference hash and mean colours)."""
    marks = np.stack([_fingerprint(picture) for picture in pictures])
    kept: list[int] = []
    for source in dict.fromkeys(sources):
        mine = [i for i, other in enumerate(sources) if other == source]
        chosen: list[int] = []
        for i in mine:
            near = np.abs(marks[chosen] - marks[i]).mean(axis=1) < 0.012 if chosen else np.zeros(0, bool)
            if not near.any():
                chosen.append(i)
        kept.extend(chosen)
    return kept


def _fingerprint(picture: Pixels) -> Floats:
    """The picture on grey, 12 x 12 pixels, 0 to 1, flat: near repeats differ by less than a hundredth."""
    alpha = picture[..., 3:].astype(np.float32) / 255
    on_grey = (picture[..., :3] * alpha + 128 * (1 - alpha)).astype(np.float32)
    small: Floats = cv2.resize(on_grey, (12, 12), interpolation=cv2.INTER_AREA)
    return small.reshape(-1) / np.float32(255)
