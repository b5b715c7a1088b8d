"""Blend: pictures between subjects. One at given weights, a path of frames, or a map, all from the same noise."""

from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeAlias, cast

from PIL import Image

from blipdiff.conditioning.guidance import Conditioning, concat
from blipdiff.conditioning.mixing import BEYOND_KEY, Blend, mix, normalised_weights
from blipdiff.conditioning.paths import Shares, even_positions, map_shares, path_shares, positions_between
from blipdiff.conditioning.prompt import amplify, build_prompt
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.distances import neighbour_distances
from blipdiff.errors import ConfigError
from pipelines.blend_request import BlendRequest
from pipelines.blend_words import encode_spot
from pipelines.generate import at_own_guidance, check_slots, picture_size, plan_rows
from pipelines.plan import SamplingPlan
from pipelines.results import Picture
from pipelines.studio import Notice, Progress, Reference, Studio, subject_text

TASK = "blend"  # in the metadata's request
_FIRST_ROUND = 3  # one in so many of a path's inner frames is placed evenly, the others by what those show


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a blend, and where it stands."""

    picture: Picture
    shares: Shares
    label: str  # "75% cat + 25% dog"
    position: float | None  # along a path: 0 at the first subject, 1 at the second


@dataclass(frozen=True, slots=True, eq=False)
class Blended:
    """A blend that is finished: its frames in reading order, row by row; a path is one row."""

    rows: tuple[tuple[Frame, ...], ...]
    distances: tuple[float, ...]  # to the eye, between a path's neighbours; empty for other shapes

    @property
    def frames(self) -> tuple[Frame, ...]:
        """All of them, in order."""
        return tuple(frame for row in self.rows for frame in row)


BlendEvent: TypeAlias = Notice | Progress | Frame | Blended


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a picture shall stand, before it is drawn."""

    shares: Shares
    along: float = 0.0  # how far the prompt has become the last one
    position: float | None = None

    @property
    def is_alone(self) -> bool:
        """Whether it shows one subject as it is."""
        return max(self.shares) == 1.0 and min(self.shares) == 0.0


def blend(
    studio: Studio,
    request: BlendRequest,
    references: Sequence[Reference],
    *,
    weights: Sequence[float] | None = None,
    preview_every: int = 0,
) -> Generator[BlendEvent]:
    """Notices and progress, each frame as it is finished, and last all of them in order.

    A picture of one subject alone is drawn alone, which makes it the picture that generating that subject with this
    seed gives, bit for bit; the others are drawn in batches. Each subject, and each frame's words, are encoded once.

    weights: one for each subject, for the shape "one"; equal if None

    Raises: BlipdiffError for what cannot be blended, before anything is drawn.
    """
    request.check_subjects(len(references))
    spots = _spots(request, len(references), weights)
    run = BlendRun(studio, request, studio.subjects(references, fit=request.fit), preview_every=preview_every)
    run.check()
    yield from (Notice(text) for text in run.warnings())
    count = request.frames if request.shape == "path" else sum(map(len, spots))
    yield from studio.size_notices(picture_size(studio.model, request), [(run.one, count)])
    if request.shape == "path":
        yield from _path(run)
        return
    flat = [spot for row in spots for spot in row]
    run.batches = len(_batches(flat, request.batch))
    frames = yield from run.draw(flat)
    rows, start = [], 0
    for row in spots:
        rows.append(tuple(frames[start : start + len(row)]))
        start += len(row)
    yield Blended(tuple(rows), ())


def label_of(subjects: Sequence[SubjectEmbedding], shares: Shares) -> str:
    """ "75% cat + 25% dog"; subjects of one category are told apart by letters, an extrapolation says so."""
    words = [subject.category.strip() for subject in subjects]
    names = [word if words.count(word) == 1 else f"{word} {'ABCD'[place]}" for place, word in enumerate(words)]
    parts = [(share, name) for share, name in zip(shares, names, strict=True) if round(share, 3) != 0]
    text = " ".join(
        f"{'- ' if share < 0 else '+ ' if place else ''}{abs(share):.0%} {name}"
        for place, (share, name) in enumerate(sorted(parts, key=lambda part: -part[0]))
    )
    return f"{text} (beyond)" if min(shares) < 0 else text


@dataclass(slots=True)
class BlendRun:
    """One blend being drawn; `check` comes first."""

    studio: Studio
    request: BlendRequest
    subjects: list[SubjectEmbedding]
    preview_every: int = 0
    batches: int = 0
    steps_done: int = 0
    count: int = 0  # frames drawn
    negative: Conditioning | None = field(default=None)
    one: SamplingPlan = field(init=False)  # of a picture, for what it costs
    texts: list[str] = field(init=False)  # the subjects, as metadata keep them

    def __post_init__(self) -> None:
        self.request = at_own_guidance(self.studio.model, self.request)
        self.texts = [subject_text(subject) for subject in self.subjects]

    def check(self) -> None:
        """Raises: BlipdiffError for subjects, words or sizes that the model cannot do."""
        model, request = self.studio.model, self.request
        for subject in self.subjects:
            check_slots(model, subject)
        mix([(subject, 1.0) for subject in self.subjects], cast("Blend", request.how))
        if request.guidance != 1:
            text = amplify(request.negative, model.prompt_tokenizer, model.positions, 1).text
            self.negative = model.encode_prompts([text])
        row = model.encode_prompts([""])
        self.one = plan_rows(model, request, row, None if request.guidance == 1 else row, [request.seed])

    def warnings(self) -> list[str]:
        """What had to be left out of the words."""
        model, request = self.studio.model, self.request
        budget = model.positions - model.subject_slots
        texts = dict.fromkeys(
            build_prompt(request.target or subject.category, prompt)
            for subject in self.subjects
            for prompt in (request.prompt, request.prompt_to or request.prompt)
        )
        found = [amplify(text, model.prompt_tokenizer, budget, request.repeats).warning for text in texts]
        found.append(amplify(request.negative, model.prompt_tokenizer, model.positions, 1).warning)
        return list(dict.fromkeys(text for text in found if text is not None))

    def draw(self, spots: Sequence[Spot]) -> Generator[BlendEvent, None, list[Frame]]:
        """The frames at these spots, in their order; progress and frames are told on the way."""
        frames: dict[int, Frame] = {}
        for batch in _batches(spots, self.request.batch):
            encoded = [
                encode_spot(self.studio.model, self.request, self.subjects, spots[place].shares, spots[place].along)
                for place in batch
            ]
            seeds = [self.request.seed] * len(batch)
            negative = None if self.negative is None else self.negative.repeat(len(batch))
            plan = plan_rows(self.studio.model, self.request, concat([row for row, _ in encoded]), negative, seeds)
            for event in self.studio.draw(plan, seeds, preview_every=self.preview_every):
                if isinstance(event, Progress):
                    self.steps_done += 1
                    yield replace(event, step=self.steps_done, steps=event.steps * self.batches)
                    continue
                image, place = event[0], batch[event[1]]
                frames[place] = self._frame(image, spots[place], encoded[event[1]][1], [spots[one] for one in batch])
                yield frames[place]
        return [frames[place] for place in range(len(spots))]

    def _frame(self, image: Image.Image, spot: Spot, subject: SubjectEmbedding, company: Sequence[Spot]) -> Frame:
        """company: of one batch with it; a picture comes out to the last bit only in the same company."""
        told: dict[str, Any] = {
            **asdict(self.request),
            "task": TASK,
            "category": self.request.target or subject.category,
            "categories": [one.category for one in self.subjects],
            "shares": list(spot.shares),
            "subject": subject_text(subject),
            "subjects": self.texts,
            "company": [[list(one.shares), one.position] for one in company],
        }
        if spot.position is not None:
            told["position"] = spot.position
        if BEYOND_KEY in (subject.provenance or {}):
            told["extrapolated_by"] = float((subject.provenance or {})[BEYOND_KEY])
        picture = self.studio.picture(image, self.request.seed, self.count, told)
        self.count += 1
        return Frame(picture, spot.shares, label_of(self.subjects, spot.shares), spot.position)


def _spots(request: BlendRequest, subjects: int, weights: Sequence[float] | None) -> tuple[tuple[Spot, ...], ...]:
    """Rows of spots; none for a path, whose are found while it is drawn."""
    if weights is not None and request.shape != "one":
        raise ConfigError(f"A {request.shape} has its own weights; leave them out, or ask for the shape 'one'.")
    if request.shape == "path":
        return ()
    if request.shape == "map":
        return tuple(tuple(Spot(shares) for shares in row) for row in map_shares(subjects, request.side))
    given = [1.0] * subjects if weights is None else list(weights)
    if len(given) != subjects:
        raise ConfigError(f"{subjects} subjects were given with {len(given)} weights; give one each.")
    return ((Spot(normalised_weights(given, request.beyond)),),)


def _path(run: BlendRun) -> Generator[BlendEvent]:
    """A path's frames. With perceptual spacing each round goes where the frames so far differ most.

    No frame is drawn only to measure: the measured ones are the path's own, so that the spacing costs nothing.
    """
    request, count = run.request, len(run.subjects)
    positions = even_positions(request.frames, count, request.beyond)
    inner, ends = list(positions[1:-1]), [positions[0], positions[-1]]
    rounds = [len(inner)]
    if request.spacing == "perceptual" and len(inner) > 1:
        first = -(-len(inner) // _FIRST_ROUND)
        inner = list(even_positions(first + 2, count, request.beyond)[1:-1])
        rest = request.frames - 2 - first
        rounds = [first, *(min(request.batch, rest - done) for done in range(0, rest, request.batch))]
    drawn: dict[float, Frame] = {}
    wanted = [*ends, *inner]
    run.batches = len(_batches([on_path(position, count) for position in wanted], request.batch))
    run.batches += sum(-(-size // request.batch) for size in rounds[1:])
    for size in [*rounds[1:], 0]:
        frames = yield from run.draw([on_path(position, count) for position in wanted])
        drawn |= dict(zip(wanted, frames, strict=True))
        places = sorted(drawn)
        distances = neighbour_distances([drawn[place].picture.image for place in places])
        wanted = positions_between(places, distances, size)
    path = tuple(
        replace(frame, picture=replace(frame.picture, index=index))
        for index, frame in enumerate(drawn[place] for place in places)
    )
    yield Blended((path,), tuple(distances))


def on_path(position: float, subjects: int) -> Spot:
    """The spot at a position along a path: 0 at the first subject, `subjects` - 1 at the last."""
    along = min(max(position / (subjects - 1), 0.0), 1.0)
    return Spot(path_shares(position, subjects), along, position)


def _batches(spots: Sequence[Spot], size: int) -> list[list[int]]:
    """Places of `spots` that are drawn together: one subject's own picture alone, the others in batches."""
    alone = [place for place, spot in enumerate(spots) if spot.is_alone]
    others = [place for place in range(len(spots)) if place not in set(alone)]
    return [*([place] for place in alone), *(others[first : first + size] for first in range(0, len(others), size))]
