"""A blend's frame drawn again from its metadata."""

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

from blipdiff.errors import ConfigError
from pipelines.blend import TASK, BlendEvent, BlendRun, Frame, Spot, on_path
from pipelines.blend_request import BlendRequest
from pipelines.requests import request_from
from pipelines.studio import Studio, subject_from

_TOLD = ("category", "categories", "shares", "subject", "subjects", "company")  # beside the request's own values


def repeat_blend(studio: Studio, metadata: Mapping[str, Any], *, preview_every: int = 0) -> Generator[BlendEvent]:
    """The one frame that this metadata came with, drawn again in the company of its batch.

    Raises: ConfigError when another model or another task made it, or the metadata lacks its subjects.
    """
    yield from studio.check_maker(metadata)
    values = dict(metadata["request"])
    if values.pop("task", None) != TASK:
        raise ConfigError("The picture is no blend; repeat it with the command that made it.")
    told = {name: values.pop(name, None) for name in (*_TOLD, "position", "extrapolated_by")}
    request = request_from(BlendRequest, values)
    if not all(isinstance(told[name], list) for name in ("categories", "subjects", "company", "shares")):
        raise ConfigError("The metadata lacks the blend's subjects, or is damaged; the frame cannot be repeated.")
    subjects = [
        subject_from(text, str(category), studio.model.subject_fingerprint)
        for text, category in zip(told["subjects"], told["categories"], strict=False)
    ]
    company = [_spot_from(one, len(subjects)) for one in told["company"]]
    wanted = _spot_from([told["shares"], told["position"]], len(subjects))
    if wanted not in company:
        raise ConfigError("The metadata is damaged: the frame is not among those that were drawn with it.")
    run = BlendRun(studio, request, subjects, preview_every=preview_every, batches=1)
    run.check()
    frames = run.draw(company)
    for event in frames:
        if not isinstance(event, Frame):
            yield event
        elif Spot(event.shares, position=event.position) == replace(wanted, along=0.0):
            yield replace(event, picture=replace(event.picture, request=metadata["request"], index=metadata["index"]))
            return


def _spot_from(told: Any, subjects: int) -> Spot:
    """What a frame's metadata tell of a spot: shares and position."""
    try:
        shares, position = told
        if position is not None and subjects < 2:
            raise ConfigError(f"The metadata is damaged: the frame lies on a path, which has {subjects} subjects.")
        spot = Spot(tuple(map(float, shares))) if position is None else on_path(float(position), subjects)
    except (TypeError, ValueError, ArithmeticError) as error:  # numbers may be beyond any
        raise ConfigError("The metadata is damaged: the frame's shares cannot be read.") from error
    if len(spot.shares) != subjects:
        raise ConfigError(f"The metadata is damaged: {subjects} subjects have {len(spot.shares)} shares.")
    return spot
