"""Jobs in tests: what comes of them, and their pictures' metadata as version 1 told them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from pipelines.job import Job, run
from pipelines.metadata import job_of
from pipelines.pictures import Picture
from pipelines.studio import Studio
from pipelines.task import Event, Notice, Result

_EARLIER_NAMES = {
    "edit": {"mask_threshold": "blend"},
    "blend": {"categories": "words", "extrapolation": "beyond"},
}
_LATER = {"edit": ("from_prompt", "controls", "weighting"), "blend": ("film", "per_second", "loop", "weighting")}


def events_of(studio: Studio, request: Any, *, preview_every: int = 0, **inputs: Any) -> Iterator[Event]:
    """What a request's job tells, one after the other."""
    return run(studio, Job.of(request, **inputs), preview_every=preview_every)


def results_of(studio: Studio, request: Any, **inputs: Any) -> list[Result]:
    """What a request comes to."""
    return results_in(events_of(studio, request, **inputs))


def results_in(events: Iterable[Event]) -> list[Result]:
    """The results among events."""
    return [event for event in events if isinstance(event, Result)]


def notices_in(events: Iterable[Event]) -> list[str]:
    """The sentences among events."""
    return [event.text for event in events if isinstance(event, Notice)]


def repeated(studio: Studio, metadata: Mapping[str, Any], **inputs: Any) -> list[Result]:
    """What a picture's metadata draw again, with pictures that they do not keep."""
    return results_in(run(studio, job_of(metadata).completed(**inputs)))


def pixels_of(result: Result) -> np.ndarray:
    """The pixels of a result's picture."""
    return np.asarray(result.picture.image)


def earlier_metadata(picture: Picture) -> dict[str, Any]:
    """The metadata of an edit or a blend as version 1 told them: a request with everything in it."""
    job = picture.job
    task, inputs, detail = job["task"], job["inputs"], job.get("detail")
    names = _EARLIER_NAMES[task]
    told = {names.get(name, name): value for name, value in job["request"].items() if name not in _LATER[task]}
    told["task"] = task
    if task == "blend":
        assert detail is not None
        subjects = inputs["subject"]
        told |= {"subjects": [one["rows"] for one in subjects], "categories": [one["category"] for one in subjects]}
        told |= {"company": detail["batch"], "shares": detail["spot"][0], "position": detail["spot"][1]}
    for one in inputs.get("source", ()):
        told["photo"] = {"name": one["word"], "pixels": one["pixels"]}
    for one in inputs.get("mask", ()):
        told["painted"] = one["picture"] if "picture" in one else {"pixels": one["pixels"]}
    if task == "edit" and "subject" in inputs:
        told["subject"] = inputs["subject"][0]["rows"]
    model = {name: picture.model[name] for name in ("name", "fingerprint")}
    common = {name: value for name, value in picture.metadata().items() if name != "job"}
    return common | {"version": 1, "request": told, "index": picture.index, "model": model}
