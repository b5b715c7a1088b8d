"""Batches: how every job is drawn. A task gives rounds of steps; here they become progress, previews and results."""

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import Any, TypeAlias

import torch
from diffusers import AutoencoderTiny
from PIL import Image
from torch import Tensor

from blipdiff.devices import free_memory
from blipdiff.diffusers_types import VAE
from blipdiff.errors import ConfigError, OutOfMemoryError, is_out_of_memory
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


_TOO_LITTLE = "There is too little memory for this; ask for a smaller batch or a smaller size."

Made: TypeAlias = Callable[[Image.Image, int, int], Result | None]
"""What makes a result of a picture, its seed and the batch that it was drawn in; None for one that is not wanted."""


@dataclass(frozen=True, slots=True)
class Again:
    """How rows that memory did not suffice for are drawn in the rounds that follow.

    batch: how many at a time; rounds: how many are left
    """

    batch: int
    rounds: int


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """One run of the loop.

    seeds: of its rows; finish: what comes of its last latents (rows, channels, h, w), called while nothing else
    computes; again: makes the rounds that follow draw these rows again, with half the batch or with the same one; gives
    None where there is no half
    """

    steps: Iterator[Step]
    seeds: tuple[int, ...]
    finish: Callable[[Tensor], Iterable[Notice | Result | Sheet]] = lambda _latents: ()
    shows: bool = True  # whether its previews are worth looking at
    again: Callable[[bool], Again | None] | None = None


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

    Where memory does not suffice for a round's rows, the studio makes room if it can; then they are drawn with half the
    batch, with a notice, and so are the rounds after it.

    studio: `pipelines.studio.Studio`

    Raises: OutOfMemoryError where memory does not suffice for one row, or for the batch of a picture that is repeated.
    """
    costs = iter(prepared.costs)
    first = list(islice(costs, 1))  # what is wrong with a plan is told before anything else
    yield from (Notice(text) for text in dict.fromkeys(prepared.notices))
    yield from studio.engine_notices()
    if prepared.size is not None:
        yield from studio.size_notices(prepared.size, chain(first, costs), side_by_side=prepared.side_by_side)
    del first  # which holds latents
    done, ended, count, results = 0, 0, prepared.count, list[Result]()
    for one in prepared.rounds():
        before, again = done, None
        try:
            for event in _drawn(studio, one, done, count, preview_every):
                done = event.step if isinstance(event, Progress) else done
                results += [event] if isinstance(event, Result) else []
                yield event
        except (MemoryError, RuntimeError) as error:
            if one.again is None or not is_out_of_memory(error):
                raise
            again = one.again(not studio.make_room())
            if again is None:
                raise OutOfMemoryError(_TOO_LITTLE) from error
        if again is None:
            ended += 1
            continue
        done, count = before, ended + again.rounds
        free_memory()  # here, where the error no longer holds what was computed
        if again.batch < len(one.seeds):
            yield Notice(f"There is too little memory for this batch; {again.batch} at a time are tried.")
    yield from prepared.last(results)


def _drawn(studio: Any, one: Round, done: int, count: int, preview_every: int) -> Iterator[Event]:
    """One round: its progress after `done` steps of `count` such rounds, and what comes of it, all at once."""
    latents = None
    for step in studio.in_turns(one.steps):
        latents, done = step.latents, done + 1
        shows = one.shows and preview_every > 0 and (step.index + 1) % preview_every == 0
        previews = studio.previews(step.clean) if shows and step.clean is not None else []
        yield Progress(done, step.count * count, one.seeds, tuple(previews))
        yield from studio.engine_notices()
    if latents is not None:
        with studio.computing():
            finished = list(one.finish(latents))
        yield from finished
        yield from studio.engine_notices()


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
    request: Sampling,
    plan: Callable[[Sequence[int]], SamplingPlan],
    made: Made,
    index: int | None = None,
) -> Iterator[Round]:
    """A round for each batch of the request's seeds, each row a picture; of the batch of picture `index` if given.

    A batch for which memory does not suffice is halved, unless one picture is repeated, which would be another one. The
    smaller batches are those of a request for such a batch, so that each picture repeats as it was drawn: where they
    begin elsewhere, a row that is there already may be drawn once more.
    """
    drawn, line = set[int](), _Line(request, index)
    while (batch := line.next(drawn)) is not None:
        size = line.batch

        def finish(latents: Tensor, batch: tuple[int, ...] = batch, size: int = size) -> Iterator[Result]:
            pictures = to_pictures(decode_latents(studio.model.vae, latents))
            found = {seed: picture for seed, picture in zip(batch, pictures, strict=True) if seed not in drawn}
            results = [made(picture, seed, size) for seed, picture in found.items()]
            drawn.update(batch)  # not before: looking at pictures takes memory, too
            yield from (one for one in results if one is not None)

        yield Round(execute(studio.model.unet, plan(batch)), batch, finish, again=partial(line.again, drawn))


class _Line:
    """The batches of a request that are still to be drawn."""

    def __init__(self, request: Sampling, index: int | None) -> None:
        self.batch = request.batch
        self._request, self._index = request, index
        self._begun: tuple[int, ...] = ()

    def next(self, drawn: Container[int]) -> tuple[int, ...] | None:
        """The seeds that come next; None where all are drawn."""
        self._begun = next(iter(self._left(drawn)), ())
        return self._begun or None

    def again(self, drawn: Container[int], halved: bool) -> Again | None:
        batch = self.batch
        while halved and batch >= len(self._begun):
            batch //= 2
        if batch < 1 or (halved and self._index is not None):
            return None
        self.batch = batch
        return Again(batch, len(self._left(drawn)))

    def _left(self, drawn: Container[int]) -> list[tuple[int, ...]]:
        batches = batches_of(replace(self._request, batch=self.batch), self._index)
        return [batch for batch in batches if any(seed not in drawn for seed in batch)]


def result_of(studio: Any, job: Any, name: str, choice: Any | None = None) -> Made:
    """What makes results of a job's pictures: each under `name` and its seed, those alone that are wanted.

    choice: `pipelines.choosing.Choice`, which scores each
    """

    def made(image: Image.Image, seed: int, batch: int) -> Result | None:
        index = seed - job.request.seed
        if job.index not in (None, index):
            return None
        kept = replace(job, request=replace(job.request, batch=batch), index=index)
        picture = studio.picture(image, seed, kept)
        stem = f"{short_name(name)}-{job.request.named(seed)}"
        if choice is None:
            return Result(picture, stem)
        scores = choice.scores(image)
        return Result(replace(picture, scores=scores.told()), stem, scores.label(), facts=scores.told())

    return made


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
