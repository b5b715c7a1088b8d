"""Attend: pictures as `generate` draws them, with where each word and the subject were seen."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TypeAlias

from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.images import to_pictures
from blipdiff.latents import decode_latents
from pipelines.attention_maps import WordMap, plan_attention_maps, word_maps
from pipelines.generate import encode, picture_size
from pipelines.plan import execute
from pipelines.requests import GenerateRequest
from pipelines.results import Picture
from pipelines.studio import Notice, Progress, Studio, subject_text


@dataclass(frozen=True, slots=True, eq=False)
class Attended:
    """A picture, and its maps: the subject's first, then each word's in reading order."""

    picture: Picture
    maps: tuple[WordMap, ...]


AttendEvent: TypeAlias = Progress | Notice | Attended


def run_attend(studio: Studio, request: GenerateRequest, subject: SubjectEmbedding) -> Iterator[AttendEvent]:
    """The request's notices, its progress, and each picture with its maps; closing stops it.

    Raises: BlipdiffError for what the model cannot do, before anything is drawn.
    """
    model = studio.model
    encoded = encode(model, request, subject)
    request = encoded.request
    yield from (Notice(text) for text in encoded.warnings)
    plans = ((plan_attention_maps(model, encoded, [seed])[0], 1) for seed in request.seeds())
    yield from studio.size_notices(picture_size(model, request), plans)
    values = {**asdict(request), "subject": subject_text(subject)}
    for index, seed in enumerate(request.seeds()):
        plan, store = plan_attention_maps(model, encoded, [seed])
        latents = plan.latents
        for step in studio.in_turns(execute(model.unet, plan)):
            latents = step.latents
            yield Progress(index * step.count + step.index + 1, request.count * step.count, (seed,))
        with studio.computing():
            image = to_pictures(decode_latents(model.vae, latents))[0]
        maps = word_maps(store.mean()[0], plan.guidance.positive.layouts[0], (image.height, image.width))
        yield Attended(studio.picture(image, seed, index, values), maps)
