"""Batches: how every job is drawn. A task gives rounds of steps; here they become progress, previews and results."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

import torch
from diffusers import AutoencoderTiny
from PIL import Image
from torch import Tensor

from blipdiff.diffusers_types import VAE
from blipdiff.errors import ConfigError
from blipdiff.filenames import short_name
from blipdiff.images import to_pictures
from blipdiff.latents import decode_latents
from blipdiff.sampling.cost import Size
from blipdiff.sampling.loop import Step
from pipelines.plan import SamplingPlan, execute
from pipelines.requests import Sampling
from pipelines.task import Event, Notice, Progress, Result, Sheet

# Stable Diffusion 1's four latent channels as red, green and blue, fitted by linear regression on its VAE.
_LATENT_COLOURS = torch.tensor(
    [[0.298, 0.207, 0.208], [0.187, 0.286, 0.173], [-0.158, 0.189, 0.264], [-0.184, -0.271, -0.473]]
)


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """One run of the loop.

    seeds: of its rows; finish: what comes of its last latents (rows, channels, h, w), called while nothing else
    computes
    """

    steps: Iterator[Step]
    seeds: tuple[int, ...]
    finish: Callable[[Tensor], Iterable[Notice | Result | Sheet]] = lambda _latents: ()
    shows: bool = True  # whether its previews are worth looking at


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A job that has been checked against the model, and can be drawn.

    size: of the pictures, None where the model draws nothing; costs: plans, each with how often it runs, for what is
    said of the time; side_by_side: pictures of the model's own size that one picture holds; rounds: made one after the
    other, so that a round may depend on what came of those before; count: how many there are; last: what is made of all
    results
    """

    size: Size | None
    costs: Iterable[tuple[SamplingPlan, int]]
    rounds: Callable[[], Iterator[Round]]
    count: int
    notices: Sequence[str] = ()
    side_by_side: int = 1
    last: Callable[[Sequence[Result]], Iterable[Notice | Result | Sheet]] = lambda _results: ()


def draw(studio: Any, prepared: Prepared, *, preview_every: int = 0) -> Iterator[Event]:
    """Notices, progress, and results as they are finished; closing stops it.

    studio: `pipelines.studio.Studio`
    """
    costs = iter(prepared.costs)
    first = list(islice(costs, 1))  # what is wrong with a plan is told before anything else
    yield from (Notice(text) for text in dict.fromkeys(prepared.notices))
    yield from studio.engine_notices()
    if prepared.size is not None:
        yield from studio.size_notices(prepared.size, chain(first, costs), side_by_side=prepared.side_by_side)
    done, results = 0, list[Result]()
    for one in prepared.rounds():
        latents = None
        for step in studio.in_turns(one.steps):
            latents, done = step.latents, done + 1
            shows = one.shows and preview_every > 0 and (step.index + 1) % preview_every == 0
            previews = studio.previews(step.clean) if shows and step.clean is not None else []
            yield Progress(done, step.count * prepared.count, one.seeds, tuple(previews))
            yield from studio.engine_notices()
        if latents is None:
            continue
        with studio.computing():
            finished = list(one.finish(latents))
        results += [event for event in finished if isinstance(event, Result)]
        yield from finished
        yield from studio.engine_notices()
    yield from prepared.last(results)


def batches_of(request: Sampling, index: int | None = None) -> list[tuple[int, ...]]:
    """The request's seeds, those that are drawn together in one batch; the batch of picture `index` alone if given.

    A picture comes out to the last bit only with the rest of its batch: matrix kernels round by the batch's size.

    Raises: ConfigError for a picture that the request has not.
    """
    seeds = request.seeds()
    batches = [seeds[first : first + request.batch] for first in range(0, len(seeds), request.batch)]
    if index is None:
        return batches
    check_index(index, len(seeds))
    return [batches[index // request.batch]]


def check_index(index: int | None, count: int) -> None:
    """Passes for the place of one of `count` pictures. Raises: ConfigError for another."""
    if index is not None and not 0 <= index < count:
        raise ConfigError(f"The metadata is damaged: picture {index} is not among the request's {count}.")


def seeded_rounds(
    studio: Any,
    batches: Sequence[tuple[int, ...]],
    plan: Callable[[Sequence[int]], SamplingPlan],
    result: Callable[[Image.Image, int], Result | None],
) -> Iterator[Round]:
    """A round for each batch of seeds, each row a picture.

    result: of a picture and its seed; None for one that is not wanted
    """
    for batch in batches:
        made = plan(batch)

        def finish(latents: Tensor, batch: tuple[int, ...] = batch) -> Iterator[Result]:
            pictures = to_pictures(decode_latents(studio.model.vae, latents))
            found = (result(picture, seed) for picture, seed in zip(pictures, batch, strict=True))
            yield from (one for one in found if one is not None)

        yield Round(execute(studio.model.unet, made), batch, finish)


def result_of(
    studio: Any, job: Any, name: str, choice: Any | None = None
) -> Callable[[Image.Image, int], Result | None]:
    """What makes results of a job's pictures: each under `name` and its seed, those alone that are wanted.

    choice: `pipelines.choosing.Choice`, which scores each
    """

    def result(image: Image.Image, seed: int) -> Result | None:
        index = seed - job.request.seed
        if job.index not in (None, index):
            return None
        picture = studio.picture(image, seed, replace(job, index=index))
        stem = f"{short_name(name)}-{job.request.named(seed)}"
        if choice is None:
            return Result(picture, stem)
        scores = choice.scores(image)
        return Result(replace(picture, scores=scores.told()), stem, scores.label(), facts=scores.told())

    return result


def preview_pictures(vae: VAE, clean: Tensor) -> list[Image.Image]:
    """What a run will come to, as far as it can tell: decoded where that is cheap, else one pixel a latent.

    clean: (rows, channels, h, w), the latents without their noise
    """
    if isinstance(vae, AutoencoderTiny) or clean.shape[1] != len(_LATENT_COLOURS):
        return to_pictures(decode_latents(vae, clean.clamp(-8, 8)))
    colours = torch.einsum("nchw,cd->ndhw", clean.float().cpu(), _LATENT_COLOURS)
    return [
        picture.resize((8 * picture.width, 8 * picture.height))
        for picture in to_pictures((colours / 2 + 0.5).clamp(0, 1))
    ]
