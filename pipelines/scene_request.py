"""What a scene of several subjects can be asked for, and how its prompt is read: "a {dog} and a {cat} on a sofa"."""

import re
from dataclasses import dataclass

from blipdiff.conditioning.prompt import checked_category, checked_text
from blipdiff.errors import ConfigError, PromptError
from blipdiff.moment import Window
from blipdiff.ranges import AS_CONFIGURED, LARGEST_SEED, MOST_GUIDANCE, SCHEDULER_NAMES, USUAL_GUIDANCE, USUAL_SCHEDULER
from pipelines.requests import check, parameter

MOST_SUBJECTS = 4
_BOUND = re.compile(r"\{([^{}]*)\}")
_DANGLING = re.compile(r"(?:[\s,;]|\b(?:a|an|the|and|with|of|one|my)\b)+$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ScenePrompt:
    """A prompt with words in braces, taken apart."""

    text: str  # the whole sentence, without braces
    words: tuple[str, ...]  # those that stood in braces, in order
    scene: str  # what surrounds the subjects: "on a sofa"

    @classmethod
    def parse(cls, prompt: str) -> "ScenePrompt":
        """The scene is what follows the last word in braces, or, where nothing does, what comes before the first.

        Raises: PromptError for no word in braces, an empty one, one that comes twice, braces that do not match.
        """
        checked_text(prompt, "prompt")
        words = [word.strip() for word in _BOUND.findall(prompt)]
        if not words:
            raise PromptError("The prompt binds no subject; put its words in braces: 'a {dog} and a {cat} on a sofa'.")
        if re.search(r"[{}]", _BOUND.sub("", prompt)):
            raise PromptError(f"The braces of the prompt do not match: {prompt}")
        for word in words:
            checked_category(word)
            if sum(word.lower() == other.lower() for other in words) > 1:
                raise PromptError(f"The word {word!r} is bound twice; give each subject a word of its own.")
        pieces = _BOUND.split(prompt)
        before, after = _DANGLING.sub("", pieces[0]).strip(), pieces[-1].strip(" ,.;")
        return cls(_BOUND.sub(lambda bound: bound.group(1).strip(), prompt).strip(), tuple(words), after or before)


def _fraction(default: float, label: str, help_text: str) -> float:
    return parameter(default, label, help_text, low=0.0, high=1.0, step=0.05)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneRequest:
    """Several subjects in one picture, each bound to a word in braces. None stands for the model's own default."""

    prompt: str = parameter("", "Prompt", "The scene, each subject's word in braces: 'a {dog} and a {cat} on a sofa'.")
    negative: str = parameter("", "Negative prompt", "What to keep away from.")
    count: int = parameter(1, "Pictures", "How many pictures, each with a seed of its own.", low=1, high=64, step=1)
    seed: int = parameter(0, "Seed", "The first picture's seed; the others count up from it.", low=0, high=LARGEST_SEED)
    steps: int = parameter(
        20, "Steps", "Denoising steps: more are slower and a little finer.", low=1, high=1000, step=1
    )
    guidance: float = parameter(
        USUAL_GUIDANCE,
        "Guidance",
        "How strongly the prompt and the subjects are followed; 1 is unguided.",
        low=0.0,
        high=MOST_GUIDANCE,
        step=0.5,
    )
    guidance_start: float = _fraction(0.0, "Guidance start", "The fraction of the run at which guidance begins.")
    guidance_stop: float = _fraction(1.0, "Guidance stop", "The fraction of the run at which guidance ends.")
    scheduler: str = parameter(
        USUAL_SCHEDULER, "Scheduler", "The sampling method.", choices=(*SCHEDULER_NAMES, AS_CONFIGURED)
    )
    width: int | None = parameter(None, "Width", "Pixels; a multiple of the model's factor.", low=8, high=4096, step=8)
    height: int | None = parameter(
        None, "Height", "Pixels; a multiple of the model's factor.", low=8, high=4096, step=8
    )
    fit: str = parameter(
        "pad", "Photo fit", "How a photo that is no square is made one.", choices=("crop", "pad", "squash")
    )
    softness: float = _fraction(0.1, "Soft borders", "The width of a region's border, of the picture's longer side.")
    regions_start: float = _fraction(0.0, "Regions from", "The fraction of the run at which regions begin to act.")
    regions_stop: float = _fraction(1.0, "Regions until", "The fraction of the run at which they stop acting.")
    own_frame_until: float = _fraction(
        0.5,
        "Own frame until",
        "The fraction of the run in which each region is drawn as a picture of its own, so that its subject is whole.",
    )
    find_until: float = _fraction(
        0.25, "Find until", "The fraction of the run in which the places of words without a region are looked for."
    )
    batch: int = parameter(4, "Batch", "Pictures that are drawn at the same time.", low=1, high=64, step=1)

    def __post_init__(self) -> None:
        check(self)
        checked_text(self.negative, "negative")
        words = ScenePrompt.parse(self.prompt).words
        if len(words) > MOST_SUBJECTS:
            raise PromptError(f"{len(words)} words are bound; a scene holds up to {MOST_SUBJECTS} subjects.")
        Window(self.guidance_start, self.guidance_stop)
        Window(self.regions_start, self.regions_stop)
        if self.seed + self.count - 1 > LARGEST_SEED:
            raise ConfigError(f"{self.count} pictures from seed {self.seed} pass the largest seed, {LARGEST_SEED}.")

    @property
    def parsed(self) -> ScenePrompt:
        """The prompt, taken apart."""
        return ScenePrompt.parse(self.prompt)

    def seeds(self) -> tuple[int, ...]:
        """One seed for each picture."""
        return tuple(range(self.seed, self.seed + self.count))
