"""The files of a library as they are stored: pictures in one array, and a JSON list with a record of each."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from blipdiff.data.records import Pixels, SceneRecord, SubjectRecord
from blipdiff.errors import ConfigError
from blipdiff.foreign import foreign
from blipdiff.outputs import written_file

FILES = ("subjects.npy", "scenes.npy", "subjects.json", "scenes.json")

_Fits = Callable[[Any], bool]


def _is(*kinds: type) -> _Fits:
    return lambda value: isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


_SUBJECT: dict[str, _Fits] = {name: _is(str) for name in ("name", "category", "source", "concept")}
_SUBJECT["held_out"] = _is(bool)
_SCENE: dict[str, _Fits] = {
    "scene": _is(str),
    "wordings": _is_texts,
    "colourless": _is_texts,
    "floor": _is(float, int, type(None)),
    "casts_shadow": _is(bool),
    "weight": _is(float, int),
}


def check_files(folder: Path) -> None:
    """Passes when each file of a library is there. Raises: ConfigError that names those missing."""
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise ConfigError(f"{folder} holds no complete library of subjects and scenes: it lacks {', '.join(missing)}.")


def stored_pictures(path: Path, channels: int) -> Pixels:
    """(n, side, side, channels), 8 bits, mapped from the file. Raises: ConfigError for anything else."""
    with foreign(path, "an array of pictures", ConfigError):
        found: Any = np.load(path, mmap_mode="r")
    shape: tuple[int, ...] = found.shape if isinstance(found, np.ndarray) and found.dtype == np.uint8 else ()
    if len(shape) != 4 or shape[1] != shape[2] or shape[3] != channels:
        raise ConfigError(f"{path} holds no square 8-bit pictures of {channels} channels; build the library again.")
    pictures: Pixels = found
    return pictures


def stored_subjects(path: Path) -> tuple[SubjectRecord, ...]:
    """Who the subjects are, in the order of their pictures. Raises: ConfigError for a damaged file."""
    return tuple(SubjectRecord(**record) for record in _records(path, _SUBJECT))


def stored_scenes(path: Path) -> tuple[SceneRecord, ...]:
    """What the scenes show, in the order of their pictures. Raises: ConfigError for a damaged file."""
    texts = ("wordings", "colourless")
    return tuple(
        SceneRecord(**(record | {name: tuple(record[name]) for name in texts})) for record in _records(path, _SCENE)
    )


def _records(path: Path, fields: dict[str, _Fits]) -> list[dict[str, Any]]:
    with foreign(path, "readable JSON", ConfigError):
        found = json.loads(path.read_text("utf-8"))
    for place, record in enumerate(found if isinstance(found, list) else [None]):
        if not isinstance(record, dict) or record.keys() != fields.keys():
            raise ConfigError(f"{path} should list records of {', '.join(fields)}; build the library again.")
        wrong = [name for name, fits in fields.items() if not fits(record[name])]
        if wrong:
            raise ConfigError(f"{path}: record {place} has no usable {', '.join(wrong)}; build the library again.")
    return found  # type: ignore[no-any-return]


def write_array(path: Path, array: Pixels) -> None:
    """Saves `array`, whole or not at all."""
    with written_file(path) as part, part.open("wb") as file:
        np.save(file, array)


def write_json(path: Path, value: object) -> None:
    """Saves `value` as JSON, whole or not at all."""
    with written_file(path) as part:
        part.write_text(json.dumps(value, ensure_ascii=False, indent=0), "utf-8")
