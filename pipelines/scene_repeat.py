"""A scene drawn again from a picture's metadata."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from blipdiff.errors import ConfigError
from blipdiff.sampling.predictor import Control
from pipelines.masks import mask_from
from pipelines.nets import untold_nets
from pipelines.requests import request_from
from pipelines.scene import TASK, Placed, Region, SceneEvent, draw_scene
from pipelines.scene_request import SceneRequest
from pipelines.studio import Notice, Progress, Studio, subject_from
from pipelines.stylize_request import settings_from


def repeat_scene(
    studio: Studio, metadata: Mapping[str, Any], *, controls: Sequence[Control] = (), preview_every: int = 0
) -> Generator[SceneEvent]:
    """The scene that this metadata came with, drawn again in the company of its batch.

    controls: what the metadata tell of, from `controlled.restored_structures`

    Raises: ConfigError when another model or another task made it, or a subject or a painted mask is missing.
    """
    yield from studio.check_maker(metadata)
    values = dict(metadata["request"])
    if values.pop("task", None) != TASK:
        raise ConfigError("The picture is no scene; repeat it with the command that made it.")
    if values.get("controls") and not controls:
        raise ConfigError("The scene followed structures; give their control branches to repeat it.")
    regions, subjects, painted = (values.pop(name, None) or {} for name in ("regions", "subjects", "painted"))
    followed = settings_from(values.pop("controls", None) or ())
    for name in ("category", "maps"):
        values.pop(name, None)
    request = request_from(SceneRequest, values)
    placed = [
        Placed(word, subject_from(text, word, studio.model.subject_fingerprint), _region_from(word, regions, painted))
        for word, text in _mapping(subjects).items()
    ]
    seeds = request.seeds()
    if metadata["seed"] not in seeds:
        raise ConfigError(f"The metadata is damaged: seed {metadata['seed']} is not among the request's.")
    first = (metadata["seed"] - request.seed) // request.batch * request.batch
    company = replace(request, seed=seeds[first], count=len(seeds[first : first + request.batch]))
    yield from untold_nets(followed)
    for event in draw_scene(studio, company, placed, controls=controls, preview_every=preview_every):
        if isinstance(event, Progress | Notice):
            yield event
        elif event.seed == metadata["seed"]:
            yield replace(event, request=metadata["request"], index=metadata["index"])


def _region_from(word: str, regions: Any, painted: Any) -> Region:
    """What `_region_text` told of."""
    told = _mapping(regions).get(word)
    if told == "found":
        return None
    if told == "painted":
        mask = mask_from(_mapping(painted).get(word))
        if mask is None:
            raise ConfigError(f"The painted mask of {word!r} was too large for the metadata; draw the scene anew.")
        return mask
    if isinstance(told, list) and len(told) == 4 and all(isinstance(side, int | float) for side in told):
        return (told[0], told[1], told[2], told[3])
    raise ConfigError(f"The metadata is damaged: there is no region for {word!r}.")


def _mapping(told: Any) -> Mapping[str, Any]:
    if not isinstance(told, Mapping):
        raise ConfigError("The metadata is damaged: the scene's subjects cannot be read.")
    return told
