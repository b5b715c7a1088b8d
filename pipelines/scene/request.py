"""What a scene of several subjects can be asked for, and how its prompt is read: "a {dog} and a {cat} on a sofa"."""

import re
from dataclasses import dataclass

from blipdiff.conditioning.prompt import checked_category, checked_text
from blipdiff.errors import ConfigError, PromptError
from blipdiff.moment import Window
from blipdiff.ranges import LARGEST_SEED
from pipelines.requests import as_generating, check, parameter

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
    negative: str = as_generating("negative")
    count: int = as_generating("count", default=1)
    seed: int = as_generating("seed")
    steps: int = as_generating("steps")
    guidance: float | None = as_generating("guidance")
    guidance_start: float = as_generating("guidance_start")
    guidance_stop: float = as_generating("guidance_stop")
    scheduler: str = as_generating("scheduler")
    width: int | None = as_generating("width")
    height: int | None = as_generating("height")
    fit: str = as_generating("fit")
    arrange: str = parameter(
        "row",
        "Arrangement",
        "Where subjects without regions stand: side by side in the order of their words (row), or where the first "
        "steps look for their words (found).",
        choices=("row", "found"),
    )
    softness: float = _fraction(
        0.1, "Soft borders", "The width of a region's border, as a fraction of the picture's longer side."
    )
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
    batch: int = as_generating("batch")

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
