"""What pictures tell of themselves: read from their files, with no place of the machine that made them.

Version 2 holds the job that draws the picture again; version 1 a request, which each task reads in its own way.
"""

import io
import json
import platform
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PureWindowsPath
from typing import Any, BinaryIO

from blipdiff.conditioning.weighting import OFF
from blipdiff.errors import ConfigError
from blipdiff.picture_chunks import PNG_START, png_text
from blipdiff.picture_files import file_stream, picture_file
from blipdiff.ranges import TORCH, USUAL_SCHEDULER, USUAL_STEPS
from pipelines.added import added_in
from pipelines.inputs import Input, picture_of, rows_from
from pipelines.job import Job
from pipelines.parameters import parameters
from pipelines.task import task_named

METADATA_VERSION = 2
METADATA_KEY = "blipdiff"  # of a PNG's text
_MOST_CHARACTERS = 2**24
_PACKAGES = ("blipdiff", "torch", "diffusers", "transformers")
_RESOLVED = {"guidance": "a number", "steps": "a number", "scheduler": "a name"}
_EARLIER = {"steps": USUAL_STEPS, "scheduler": USUAL_SCHEDULER}  # where a picture of earlier does not say them
_PLACES = ("control", "map_weights")  # settings that may name a folder


def without_place(name: str) -> str:
    """A folder's own name; hub ids and names stay as they are."""
    path = PureWindowsPath(name)  # it takes both kinds of separators
    is_place = bool(path.anchor) or len(path.parts) > 2 or path.parts[:1] in ((".",), ("..",), ("~",))
    return (path.name or name) if is_place else name


def without_places(told: Any) -> Any:
    """What metadata tell, with folders of nets and detectors by their names alone, wherever in it they stand."""
    if isinstance(told, Mapping):
        return {
            key: without_place(value) if key in _PLACES and isinstance(value, str) else without_places(value)
            for key, value in told.items()
        }
    return [without_places(one) for one in told] if isinstance(told, list | tuple) else told


def library_versions() -> dict[str, str]:
    """The versions that a picture depends on: this project's and those of the libraries that compute it."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What a picture carries: version, job (in version 1: request and index), seed, size, model, versions.

    Nothing in it is executed.

    Raises: ImageError for a file that is no picture, ConfigError for metadata that is missing, damaged or newer.
    """
    return _told(_text(Path(path)), path)


def metadata_of(content: Path | bytes) -> dict[str, Any]:
    """The same of a picture's file, or of its bytes. Raises: as `read_metadata`."""
    if isinstance(content, Path):
        return read_metadata(content)
    text = _png_text(io.BytesIO(content), "the picture") if content.startswith(PNG_START) else None
    if text is None:
        raise ConfigError("The picture carries no settings of blipdiff.")
    return _told(text, "the picture")


def _told(text: str, path: str | Path) -> dict[str, Any]:
    try:
        found = json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError) as reason:
        raise ConfigError(f"The metadata of {path} is damaged.") from reason
    number = found.get("version") if isinstance(found, dict) else None
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ConfigError(f"The metadata of {path} is damaged: it has no version.")
    if number > METADATA_VERSION:
        raise ConfigError(
            f"The metadata of {path} is of version {number}, made by a newer blipdiff; "
            f"this one reads up to {METADATA_VERSION}. Update blipdiff."
        )
    kinds = {"seed": int, "size": list, "model": dict, "versions": dict}
    kinds |= {"request": dict, "index": int} if number == 1 else {"job": dict}
    wrong = [name for name, kind in kinds.items() if not isinstance(found.get(name), kind)]
    if wrong:
        raise ConfigError(f"The metadata of {path} is damaged: {', '.join(wrong)} missing or of another kind.")
    return dict(found)


def _text(path: Path) -> str:
    """What stands under the PNG's own key, wherever in the file other programs have moved it."""
    with picture_file(path) as picture:
        kind = picture.format
    found = None
    if kind == "PNG":
        with file_stream(path) as stream:
            found = _png_text(stream, path)
    if found is None:
        raise ConfigError(
            f"{path} carries no settings of blipdiff; it was made by another program or without metadata."
        )
    return found


def _png_text(stream: BinaryIO, name: str | Path) -> str | None:
    try:
        return png_text(stream, METADATA_KEY, _MOST_CHARACTERS)
    except ValueError as reason:
        raise ConfigError(f"The metadata of {name} cannot be read: {reason}.") from reason


def repeat(picture: str | Path) -> Job:
    """The job that draws this picture again, read from its file.

    Raises: ImageError for a file that is no picture, ConfigError for metadata that is missing, damaged or newer.
    """
    return job_of(read_metadata(picture))


def job_of(metadata: Mapping[str, Any]) -> Job:
    """The job of metadata, as `read_metadata` gives them. Raises: ConfigError for damaged ones."""
    old = metadata["version"] == 1
    request = metadata["request"] if old else metadata["job"].get("request")
    if not isinstance(request, Mapping):
        raise ConfigError("The metadata are damaged: the request is missing.")
    task = request.get("task", "generate") if old else metadata["job"].get("task")
    asked = parameters(task_named(str(task)).request)
    for name, kind in _RESOLVED.items():  # a picture tells what it was drawn at
        if name in asked and request.get(name, _EARLIER.get(name)) is None:
            raise ConfigError(f"{asked[name].label} must be {kind}, not None: the metadata are damaged.")
    if old:
        job: Job = task_named(str(request.get("task", "generate"))).earlier(metadata)
    else:
        job = replace(Job.from_mapping(metadata["job"]), model=metadata["model"])
    if (engine := engine_of(metadata)) is not None:
        job = replace(job, model={**metadata["model"], "engine": engine})
    unsaid = {name: value for name, value in _EARLIER.items() if name in asked and getattr(job.request, name) is None}
    if unsaid:
        job = replace(job, request=replace(job.request, **unsaid))
    if "weighting" in asked and "weighting" not in request:  # of a version that took marks in prompts for letters
        job = replace(job, request=replace(job.request, weighting=OFF))
    return replace(job, added=added_in(metadata["model"].get("parts")))


def engine_of(metadata: Mapping[str, Any]) -> str | None:
    """What computed a picture's networks, where it was another than torch: "openvino 2026.1.0"."""
    place = metadata.get("place")
    engine = place.get("engine") if isinstance(place, Mapping) else None
    return engine if isinstance(engine, str) and engine != TORCH else None


def earlier_job(metadata: Mapping[str, Any], job: Job) -> Job:
    """A job read from metadata of version 1, for the one picture that they tell of.

    Raises: ConfigError for a seed that is not among the request's.
    """
    index = metadata["seed"] - job.request.seed
    if not 0 <= index < job.request.count:
        raise ConfigError(f"The metadata is damaged: seed {metadata['seed']} is not among the request's.")
    return replace(job, index=index, model=metadata["model"])


def take_subject(values: dict[str, Any], category: str, metadata: Mapping[str, Any]) -> Input:
    """Takes the subject out of the request of version 1. Raises: ConfigError for one that is missing or damaged."""
    return earlier_subject(values.pop("subject", None), category, metadata)


def earlier_subject(text: Any, category: str, metadata: Mapping[str, Any]) -> Input:
    """A subject as version 1 told it. Raises: ConfigError for text that is missing or damaged."""
    return Input(rows_from(text, category, metadata["model"].get("fingerprint")), category)


def earlier_controls(told: Mapping[str, Any]) -> tuple[Input, ...]:
    """The maps of the structures that a picture followed, as version 1 told them.

    Raises: ConfigError where they are missing or damaged.
    """
    controls, texts = told.get("controls") or (), told.get("maps") or ()
    if not isinstance(controls, list | tuple) or not isinstance(texts, list | tuple) or len(texts) != len(controls):
        raise ConfigError("The metadata lacks a map of the picture's structures; draw it again from the structures.")
    return tuple(Input(picture_of(text, "a map")) for text in texts)


def earlier_mask(told: Any) -> Input:
    """A painted mask as version 1 told it: as text, or by the hash by which it is known again.

    Raises: ConfigError for a damaged one.
    """
    if isinstance(told, str):
        return Input(picture_of(told, "the painted mask"))
    pixels = told.get("pixels") if isinstance(told, Mapping) else None
    return Input(None, pixels=pixels if isinstance(pixels, str) else None)


def _refused(name: str) -> float:
    raise ValueError(f"{name} is no number")
