"""What every request that draws is made of: how pictures are made, with or without a subject's photo at hand."""

import re
import secrets
from dataclasses import dataclass
from typing import Any

from blipdiff.conditioning.weighting import MARKS_HELP, MEANINGS, Wording, weighted
from blipdiff.errors import ConfigError
from blipdiff.models.caching import Caching
from blipdiff.moment import Window
from blipdiff.ranges import (
    AS_CONFIGURED,
    EVEN_STEPS,
    INJECTION_BLOCKS,
    LARGEST_SEED,
    MOST_BRANCH,
    MOST_GUIDANCE,
    MOST_INTERVAL,
    SCHEDULER_NAMES,
    SPEEDS,
    TABLED_NAMES,
    USUAL_SPEED,
)
from pipelines.parameters import DETAILS, PICTURES, SAMPLING, SUBJECT, WORDS, check, fraction, parameter
from pipelines.shown import Shown
from pipelines.turns import Turn

_FINGERPRINT = re.compile(r"[0-9a-f]{0,64}")
_RANDOM_SEEDS = 2**32  # short enough to be read aloud


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How pictures are made, whatever they show: what every request that draws is made of.

    None stands for the model's own value. A request declares a parameter again with `declared` where its default or
    its help differs, and with `left_out` where it has no use for one.
    """

    negative: str = parameter("", "Negative prompt", "What to keep away from.", group=WORDS)
    weighting: str = parameter("a1111", "Weights in prompts", MARKS_HELP, choices=MEANINGS, group=WORDS)
    count: int = parameter(
        4, "Pictures", "How many pictures, each with a seed of its own.", low=1, high=64, step=1, group=PICTURES
    )
    seed: int = parameter(
        0,
        "Seed",
        "The first picture's seed; the others count up from it.",
        low=0,
        high=LARGEST_SEED,
        step=1,
        group=PICTURES,
    )
    variation: float = fraction(
        0.0,
        "Variation",
        "How far all pictures go from the seed's own towards others: 0.1 changes details, 0.3 much, 1 everything.",
        group=PICTURES,
    )
    variation_seed: int = parameter(
        0,
        "Variation seed",
        "Where the first variation goes to; the others count up from it.",
        low=0,
        high=LARGEST_SEED,
        step=1,
        group=PICTURES,
    )
    variation_of: tuple[Turn, ...] = ()  # the variation that is varied, from the seed on
    width: int | None = parameter(
        None,
        "Width",
        "Pixels; for most models a multiple of 8. The model's own if absent.",
        low=8,
        high=4096,
        step=8,
        group=PICTURES,
    )
    height: int | None = parameter(
        None, "Height", "Pixels; for most models a multiple of 8.", low=8, high=4096, step=8, group=PICTURES
    )
    batch: int = parameter(
        4, "Batch", "Pictures that are drawn at the same time.", low=1, high=64, step=1, group=PICTURES
    )
    speed: str = parameter(
        USUAL_SPEED,
        "Speed",
        "How near the pictures come to the model's own converged ones: exact as good as those, balanced looks the same "
        "side by side, fast differs a little.",
        choices=SPEEDS,
        group=SAMPLING,
    )
    steps: int | None = parameter(
        None,
        "Steps",
        "Denoising steps: more are slower and a little finer. As the speed says if absent.",
        low=1,
        high=1000,
        step=1,
        group=SAMPLING,
    )
    guidance: float | None = parameter(
        None,
        "Guidance",
        "How strongly the prompt and the subject are followed; 1 is unguided. The model's own if absent.",
        low=0.0,
        high=MOST_GUIDANCE,
        step=0.5,
        group=SAMPLING,
    )
    guidance_start: float = fraction(
        0.0, "Guidance start", "The fraction of the run at which guidance begins.", group=SAMPLING
    )
    guidance_stop: float = fraction(
        1.0, "Guidance stop", "The fraction of the run at which guidance ends.", group=SAMPLING
    )
    scheduler: str | None = parameter(
        None,
        "Scheduler",
        "The sampling method. If absent, steps that were fitted to the model where there are such, else unipc.",
        choices=(*SCHEDULER_NAMES, *TABLED_NAMES, AS_CONFIGURED),
        group=SAMPLING,
    )
    cache_interval: int = parameter(
        1,
        "Cache interval",
        "One U-Net call of so many is whole; the others take its deep features again, which saves most of their time "
        "and changes the pictures a little. 1: all calls are whole.",
        low=1,
        high=MOST_INTERVAL,
        step=1,
        group=SAMPLING,
    )
    cache_branch: int = parameter(
        MOST_BRANCH,
        "Cache branch",
        "With a cache interval: layers of the U-Net's first level that every call computes; fewer are faster and "
        "come less near.",
        low=0,
        high=MOST_BRANCH,
        step=1,
        group=SAMPLING,
    )
    step_table: str = ""  # the fingerprint of the fitted steps that a picture was drawn by
    fit: str = parameter(
        "pad",
        "Photo fit",
        "How a photo becomes square; cut-out: the subject alone, on white, without the photo's ground.",
        choices=("crop", "pad", "squash", "cut-out"),
        group=SUBJECT,
    )
    repeats: int = parameter(
        1,
        "Prompt repeats",
        "How often the prompt is repeated, as far as it fits; the authors' code: 20.",
        low=1,
        high=20,
        step=1,
        group=WORDS,
    )

    def __post_init__(self) -> None:
        check(self)
        if not isinstance(self.step_table, str) or not _FINGERPRINT.fullmatch(self.step_table):
            raise ConfigError(f"The request is damaged: no steps are fitted as {self.step_table!r:.60} says.")
        if not isinstance(self.variation_of, tuple) or not all(isinstance(one, Turn) for one in self.variation_of):
            raise ConfigError(f"The request is damaged: no noise is varied by {self.variation_of!r:.60}.")
        Window(self.guidance_start, self.guidance_stop)
        if self.seed + self.count - 1 > LARGEST_SEED:
            raise ConfigError(f"{self.count} pictures from seed {self.seed} pass the largest seed, {LARGEST_SEED}.")
        if self.variation and self.variation_seed + self.count - 1 > LARGEST_SEED:
            raise ConfigError(
                f"{self.count} variations from seed {self.variation_seed} pass the largest seed, {LARGEST_SEED}."
            )

    @property
    def caching(self) -> Caching:
        """How deep features are kept between the U-Net calls of a run."""
        return Caching(self.cache_interval, self.cache_branch)

    def worded(self, text: str) -> Wording:
        """A text of the request with the weights that its marks say. Raises: PromptError for impossible ones."""
        return weighted(text, self.weighting)

    def seeds(self) -> tuple[int, ...]:
        """One number for each picture: its seed; of variations, which have one seed, the numbers after it."""
        return tuple(range(self.seed, self.seed + self.count))

    def seed_of(self, number: int) -> int:
        """The seed of the picture with this number of `seeds`."""
        return self.seed if self.variation else number

    def named(self, number: int) -> str:
        """What tells the picture with this number of `seeds` from the others, for its file's name."""
        if not self.variation:
            return str(number)
        return f"{self.seed}-varied-{self.variation_seed + number - self.seed}"

    def turns(self, number: int) -> tuple[Turn, ...]:
        """How the noise of the picture with this number of `seeds` is turned; not at all without variation."""
        last = (Turn(self.variation_seed + number - self.seed, self.variation),) if self.variation else ()
        return (*self.variation_of, *last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detailed(Sampling):
    """The same where subjects' photos are at hand: how much of their details the pictures read from them."""

    detail: float | None = fraction(
        None,
        "Detail",
        "How much of the subject's details is read from its photo: 0 is nothing. A model that learned to read photos "
        "does so as it learned at 1, as it says itself if absent; any other reads nothing then, and at 0.5 counts the "
        "photo's places as its own.",
        group=DETAILS,
    )
    detail_start: float = fraction(
        0.0, "Detail start", "The fraction of the run at which the photo is read from.", group=DETAILS
    )
    detail_stop: float = fraction(
        1.0, "Detail stop", "The fraction of the run at which it is read no longer.", group=DETAILS
    )
    detail_sites: str = parameter(
        "all",
        "Detail sites",
        "The layers that read the photo: all, those of the look (up), or those of the layout (down, middle).",
        choices=tuple(INJECTION_BLOCKS),
        group=DETAILS,
    )

    def __post_init__(self) -> None:
        Sampling.__post_init__(self)
        self.detail_window()

    @property
    def reads_unasked(self) -> bool:
        """Whether a model that learned to read photos does so where nothing is said."""
        return True

    def detail_by(self, model: Any) -> float:
        """How much is read from photos; model: `BlipDiffusion`"""
        return 0.0 if self.detail is None and not self.reads_unasked else float(model.detail(self.detail))

    def detail_window(self) -> Window:
        """The part of the run that reads photos. Raises: ConfigError when it ends before it begins."""
        return Window(self.detail_start, self.detail_stop)

    def shown(self, job: Any) -> Shown:
        """What the picture of a job with this request shows; job: `pipelines.job.Job`"""
        return Shown(subjects=job.given("subject"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectSampling(Detailed):
    """The same for pictures of one subject: what it is, and what happens around it."""

    category: str = parameter(
        "", "Category", "What the subject is, in a word or two: dog, teapot, jacket.", group=SUBJECT, is_category=True
    )
    prompt: str = parameter("", "Prompt", "What happens around the subject: 'swimming under water'.", group=WORDS)
    target: str | None = parameter(
        None,
        "Target",
        "What to draw in the subject's look, where it is another thing.",
        group=SUBJECT,
        is_category=True,
    )

    @property
    def reads_unasked(self) -> bool:
        """Not where another thing is drawn in the subject's look: it would come out in the subject's shape."""
        return not self.target or self.target == self.category

    @property
    def subject_word(self) -> str:
        """What a subject's photo shows of which nobody says it."""
        return self.category


def likely_steps(request: Any) -> int:
    """The steps that a request is likely to take, before a model is there to say what its speed stands for."""
    steps = getattr(request, "steps", 1)
    return int(EVEN_STEPS[request.speed] if steps is None else steps)


def random_seed() -> int:
    """A seed for pictures of which nobody asked for one."""
    return secrets.randbelow(_RANDOM_SEEDS)
