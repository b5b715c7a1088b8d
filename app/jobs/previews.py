"""How many previews a run shows: as many as cost little beside its steps, as far as that was seen."""

import io
from dataclasses import dataclass

from PIL import Image

MOST = 10  # in a run
_QUALITY = 80  # of their JPEG files
_SHARE = 0.03  # of a run's time that previews may take
_NEW = 0.3  # how much the latest step counts


@dataclass(slots=True)
class _Seen:
    plain: float | None = None  # seconds of a step
    shown: float | None = None  # of one with previews


class PreviewBudget:
    """Seconds of steps with previews and without, by what is drawn: a model, and how many rows at once."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], _Seen] = {}

    def saw(self, model: str, rows: int, seconds: float, *, shown: bool) -> None:
        """A step took so long."""
        seen = self._seen.setdefault((model, rows), _Seen())
        before = seen.shown if shown else seen.plain
        mean = seconds if before is None else (1 - _NEW) * before + _NEW * seconds
        if shown:
            seen.shown = mean
        else:
            seen.plain = mean

    def every(self, model: str, rows: int, steps: int, least: int = 1) -> int:
        """Steps from one preview to the next; `least` previews are shown whatever they cost."""
        return max(1, steps // (max(least, self._count(model, rows, steps)) + 1) + 1) if steps > least else 1

    def _count(self, model: str, rows: int, steps: int) -> int:
        seen = self._seen.get((model, rows))
        if seen is None or seen.plain is None or seen.shown is None:
            return MOST
        cost = seen.shown - seen.plain
        return MOST if cost <= 0 else min(MOST, int(_SHARE * steps * seen.plain / cost))


def shown(picture: Image.Image) -> bytes:
    """A preview as a JPEG file."""
    stream = io.BytesIO()
    picture.save(stream, format="JPEG", quality=_QUALITY)
    return stream.getvalue()
