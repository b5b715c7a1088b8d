"""What a scene of several subjects can be asked for, and how its prompt is read: "a {dog} and a {cat} on a sofa"."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from blipdiff.conditioning.prompt import checked_category, checked_text
from blipdiff.errors import ConfigError, PromptError
from blipdiff.moment import Window
from pipelines.controls.settings import MAP, STRUCTURE, ControlSettings, check_structures
from pipelines.declarations import declared, left_out
from pipelines.parameters import WORDS, fraction, parameter
from pipelines.requests import Detailed
from pipelines.shown import Shown
from pipelines.task import InputKind, Task

REGIONS = "Regions"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneRequest(Detailed):
    """Several subjects in one picture, each bound to a word in braces. None stands for the model's own default."""

    prompt: str = parameter(
        "", "Prompt", "The scene, each subject's word in braces: 'a {dog} and a {cat} on a sofa'.", group=WORDS
    )
    width: int | None = declared(
        "width",
        help="Pixels; for most models multiples of 8. If absent, the model's own, and for subjects in a row that size "
        "for each.",
    )
    count: int = declared("count", default=1)
    repeats: int = left_out("repeats")
    arrange: str = parameter(
        "row",
        "Arrangement",
        "Where subjects without regions stand: side by side in the order of their words (row), or where the first "
        "steps look for their words (found).",
        choices=("row", "found"),
        group=REGIONS,
    )
    softness: float = fraction(
        0.1,
        "Soft borders",
        "The width of a region's border, as a fraction of the picture's longer side.",
        group=REGIONS,
    )
    regions_start: float = fraction(
        0.0, "Regions from", "The fraction of the run at which regions begin to act.", group=REGIONS
    )
    regions_stop: float = fraction(
        1.0, "Regions until", "The fraction of the run at which they stop acting.", group=REGIONS
    )
    tiles_until: float = fraction(
        0.5,
        "Tiles until",
        "The fraction of the run in which each region is drawn as a picture of its own, so that its subject is whole.",
        group=REGIONS,
        aliases=("own_frame_until",),
    )
    find_until: float = fraction(
        0.25,
        "Find until",
        "The fraction of the run in which the positions of words without a region are looked for.",
        group=REGIONS,
    )
    controls: tuple[ControlSettings, ...] = ()

    def __post_init__(self) -> None:
        Detailed.__post_init__(self)
        words = ScenePrompt.parse(self.prompt).words
        if len(words) > MOST_SUBJECTS:
            raise PromptError(f"{len(words)} words are bound; a scene holds up to {MOST_SUBJECTS} subjects.")
        Window(self.regions_start, self.regions_stop)

    def shown(self, _job: Any) -> Shown:
        """The scene's sentence; which subject stands where in a part of it, that does not say."""
        return Shown({"prompt": self.parsed.text})

    @property
    def parsed(self) -> ScenePrompt:
        """The prompt, taken apart."""
        return ScenePrompt.parse(self.prompt)


def _check(request: SceneRequest, inputs: Mapping[str, Sequence[Any]]) -> None:
    bound_in_order(request, inputs["subject"])
    check_structures(request.controls, len(inputs["structure"]), len(inputs["map"]))


def bound_in_order(request: SceneRequest, subjects: Sequence[Any]) -> list[Any]:
    """The subjects, which are `pipelines.job.Input`s, in the order of their words.

    Raises: PromptError for a word without a subject, a subject without a word, or two subjects at one word;
    ConfigError where some subjects have a region and others none.
    """
    words = request.parsed.words
    by_word: dict[str, Any] = {}
    for one in subjects:
        key = one.word.strip().lower()
        if key in by_word:
            raise PromptError(f"The word {one.word!r} is bound twice; give each subject a word of its own.")
        if key not in {word.lower() for word in words}:
            raise PromptError(f"The prompt has no {{{one.word}}}; in braces there stand: {', '.join(words)}.")
        by_word[key] = one
    missing = [word for word in words if word.lower() not in by_word]
    if missing:
        raise PromptError(f"The word {missing[0]!r} of the prompt has no subject; give one for each word in braces.")
    bound = [by_word[word.lower()] for word in words]
    without = [one.word for one in bound if one.box is None and one.mask is None]
    if without and len(without) < len(bound):
        raise ConfigError(f"{without[0]!r} has no region and others have; give one for each subject, or for none.")
    return bound


TASKS = (
    Task(
        "scene",
        "Draw several subjects in one picture, each in its region.",
        'blipdiff scene --prompt "a {dog} and a {cat} on a sofa" --subject dog=dog.png --subject cat=cat.png '
        "--box dog=0,0,0.5,1 --box cat=0.5,0,1,1",
        SceneRequest,
        {
            "subject": InputKind(
                "subject",
                "Subject",
                "A photo or a subject card for each word in braces.",
                most=None,
                is_bound=True,
                is_placed=True,
            ),
            "structure": STRUCTURE,
            "map": MAP,
        },
        "pipelines.scene.run",
        _check,
        "With a structure the whole scene follows a picture's edges, depth or other map.",
    ),
)
