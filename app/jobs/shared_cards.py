"""Subjects that are encoded once for all processes: their cards lie in a folder that all of them reach."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import OutputError, SubjectError
from pipelines.studio import Studio


@dataclass(frozen=True, slots=True)
class SharedCards:
    """Cards by the names that a studio has for photos, of one model, type of numbers and kind of device.

    A card keeps its rows as they were computed, so that a picture is the same to the last bit. Who encodes holds a lock
    that its death gives back; a disk without locks has some subjects encoded twice.
    """

    folder: Path

    @classmethod
    def of(cls, folder: Path, studio: Studio) -> "SharedCards":
        """Those of a studio's model as it runs."""
        model = studio.model
        dtype = str(model.unet.dtype).removeprefix("torch.")
        return cls(folder / f"{model.subject_fingerprint}-{dtype}-{model.device.type}-{studio.engine.name}")

    def __call__(self, name: str, encode: Callable[[], SubjectEmbedding]) -> SubjectEmbedding:
        """The subject of this name, encoded where nobody has done it yet."""
        path = self.folder / name[:2] / f"{name}.safetensors"
        if (found := _read(path)) is not None:
            return found
        with _held(self.folder / f"{name[:2]}.lock"):
            if (found := _read(path)) is not None:
                return found
            subject = encode()
            with suppress(OutputError):  # a full disk keeps nobody from drawing
                subject.save(path)
            return subject


def _read(path: Path) -> SubjectEmbedding | None:
    try:
        return SubjectEmbedding.load(path)
    except SubjectError:
        return None


@contextmanager
def _held(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError:
        yield
        return
    with file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
