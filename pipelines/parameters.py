"""What can be asked for: every parameter with its range, step, help and group, declared once.

Command-line options, controls of the page and fields of a job are made from these declarations.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from blipdiff.conditioning.prompt import checked_category, checked_text
from blipdiff.conditioning.weighting import MARKS_HELP, MEANINGS, Wording, weighted
from blipdiff.errors import ConfigError, PromptError
from blipdiff.moment import Window
from blipdiff.ranges import (
    AS_CONFIGURED,
    INJECTION_BLOCKS,
    LARGEST_SEED,
    MOST_GUIDANCE,
    SCHEDULER_NAMES,
    USUAL_SCHEDULER,
)
from pipelines.shown import Shown
from pipelines.turns import Turn

LONGEST_CATEGORY = 100  # letters
_RANDOM_SEEDS = 2**32  # short enough to be read aloud

# Groups in which parameters are shown, by the command line and the page alike; a task may have others of its own.
SUBJECT, WORDS, PICTURES, STRUCTURES, SAMPLING = "Subject", "Words", "Pictures", "Structures", "Sampling"
DETAILS = "Details"

_Request = TypeVar("_Request")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a request as people see it."""

    label: str
    help: str
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    group: str = ""  # where it is shown; the task's own group if empty
    flag: str = ""  # its option's name without the dashes, where that is not the field's
    is_category: bool = False  # whether it says what a thing is, in a word or two
    aliases: tuple[str, ...] = ()  # names that it had, which are still taken
    old_choices: tuple[tuple[str, str], ...] = ()  # the same of its choices: old, new


def parameter(default: Any, label: str, help_text: str, **limits: Any) -> Any:
    """A dataclass field that carries its `Parameter`."""
    return field(default=default, metadata={"parameter": Parameter(label, help_text, **limits)})


def fraction(default: float | None, label: str, help_text: str, **limits: Any) -> Any:
    """A parameter from 0 to 1."""
    return parameter(default, label, help_text, **({"low": 0.0, "high": 1.0, "step": 0.05} | limits))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How pictures are made, whatever they show: what every request that draws is made of.

    None stands for the model's own value. A request declares a parameter again with `declared` where its default or
    its help differs, and with `left_out` where it has no use for one.
    """

    negative: str = parameter("", "Negative prompt", "What to keep away from.", group=WORDS)
    weighting: str = parameter("a1111", "Weights", MARKS_HELP, choices=MEANINGS, group=WORDS)
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
    steps: int = parameter(
        20, "Steps", "Denoising steps: more are slower and a little finer.", low=1, high=1000, step=1, group=SAMPLING
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
    scheduler: str = parameter(
        USUAL_SCHEDULER, "Scheduler", "The sampling method.", choices=(*SCHEDULER_NAMES, AS_CONFIGURED), group=SAMPLING
    )
    fit: str = parameter(
        "pad",
        "Photo fit",
        "How a photo that is no square is made one.",
        choices=("crop", "pad", "squash"),
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
        Window(self.guidance_start, self.guidance_stop)
        if self.seed + self.count - 1 > LARGEST_SEED:
            raise ConfigError(f"{self.count} pictures from seed {self.seed} pass the largest seed, {LARGEST_SEED}.")
        if self.variation and self.variation_seed + self.count - 1 > LARGEST_SEED:
            raise ConfigError(
                f"{self.count} variations from seed {self.variation_seed} pass the largest seed, {LARGEST_SEED}."
            )

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

    detail: float = fraction(
        0.0,
        "Detail",
        "How much of the subject's details is read from its photo: 0 is nothing, 0.5 counts the photo's places as the "
        "picture's own.",
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
    def subject_word(self) -> str:
        """What a subject's photo shows of which nobody says it."""
        return self.category


def parameters(kind: type) -> dict[str, Parameter]:
    """The declared parameters of a request's class, by name."""
    return {item.name: item.metadata["parameter"] for item in fields(kind) if "parameter" in item.metadata}


def declared(name: str, kind: type = Sampling, **changes: Any) -> Any:
    """A field declared as `kind`'s parameter `name`, for another request.

    changes: `default`, and fields of its `Parameter` that differ there
    """
    item = next(item for item in fields(kind) if item.name == name)
    default = changes.pop("default", item.default)
    return field(default=default, metadata={"parameter": replace(item.metadata["parameter"], **changes)})


def left_out(name: str, default: Any = ...) -> Any:
    """A field of `Sampling` that a request has no use for: it keeps its default, and nobody is asked for it."""
    own = next(item.default for item in fields(Sampling) if item.name == name)
    return field(default=own if default is ... else default, init=False, repr=False)


def random_seed() -> int:
    """A seed for pictures of which nobody asked for one."""
    return secrets.randbelow(_RANDOM_SEEDS)


def check(request: Any) -> None:
    """Every declared parameter within its range and choices, of its kind, finite, and a text that can be read.

    Raises: ConfigError naming the parameter, its value and what is allowed; PromptError for what should be text.
    """
    _check_values(type(request), {item.name: getattr(request, item.name) for item in fields(request)})


def checked_values(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Some of a request's values, under their names of today, each as `check` wants it and as a request holds it.

    Raises: ConfigError for a key that this version does not know, and as `check`.
    """
    found = _read_values(kind, values)
    _check_values(kind, found)
    return found


def _check_values(kind: type, values: Mapping[str, Any]) -> None:
    hints = get_type_hints(kind)
    for item in fields(kind):
        declared = item.metadata.get("parameter")
        if declared is None or item.name not in values:
            continue
        value = values[item.name]
        if value is not None or item.default is not None:
            _check_value(declared, value, hints[item.name])


def _check_value(declared: Parameter, value: Any, hint: Any) -> None:
    _check_kind(declared, value, hint)
    if declared.is_category:
        check_category(value)
    elif isinstance(value, str) and not declared.choices:
        checked_text(value, declared.label[:1].lower() + declared.label[1:])
    for one in value if isinstance(value, tuple) else (value,):
        if declared.choices and one not in declared.choices:
            raise ConfigError(f"{declared.label} is '{one}'; choose one of: {', '.join(declared.choices)}.")
    if declared.low is None or declared.high is None:
        return
    whole = is_whole(declared)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise ConfigError(f"{declared.label} must be a {'whole ' if whole else ''}number, not {value!r}.")
    if not declared.low <= value <= declared.high:  # not-a-number lies in no range
        raise ConfigError(f"{declared.label} is {value}; it goes from {declared.low:g} to {declared.high:g}.")


def is_whole(declared: Parameter) -> bool:
    """Whether a number is a whole one."""
    return isinstance(declared.step, int)


def check_category(category: str) -> None:
    """Raises: PromptError for a category that is empty, has control characters, or is no word or two."""
    length = len(checked_category(category))
    if length > LONGEST_CATEGORY:
        raise PromptError(
            f"The category has {length} letters, more than {LONGEST_CATEGORY}; "
            "say in a word or two what the subject is."
        )


def _check_kind(declared: Parameter, value: Any, hint: Any) -> None:
    """Numbers are checked with their range; here what else a JSON value can be taken for."""
    allowed = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if str in allowed and not declared.choices and not isinstance(value, str):
        raise PromptError(f"{declared.label} must be text, not {value!r:.60}.")
    if bool in allowed and not isinstance(value, bool):
        raise ConfigError(f"{declared.label} must be true or false, not {value!r:.60}.")
    if get_origin(hint) is tuple and not isinstance(value, tuple):
        raise ConfigError(f"{declared.label} must be a list, not {value!r:.60}.")


def plain(value: Any) -> Any:
    """A request, or a value of one, as JSON can hold it; `request_from` reads it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value) if item.init}
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def request_from(kind: type[_Request], values: Mapping[str, Any]) -> _Request:
    """A request of this kind from what `plain` made of one; keys that this version does not know are refused.

    Raises: ConfigError for an unknown key or a value out of range.
    """
    try:
        return kind(**_read_values(kind, values))
    except TypeError as error:  # a value is missing, or of a kind that nobody expects there
        raise ConfigError(f"The request is damaged, or of a newer version: {error}.") from error


def _read_values(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values under their names of today, lists and mappings as the values that they were."""
    hints = get_type_hints(kind)
    known = {item.name for item in fields(kind) if item.init}
    renamed = {old: name for name, one in parameters(kind).items() for old in one.aliases}
    values = {renamed.get(name, name): value for name, value in values.items()}
    for name, one in parameters(kind).items():
        if name in values and isinstance(values[name], str):
            values[name] = dict(one.old_choices).get(values[name], values[name])
    unknown = sorted(set(map(str, values)) - known)
    if unknown:
        raise ConfigError(f"The request has keys that this version does not know: {', '.join(unknown)}.")
    try:
        return {name: _typed(name, value, hints[name]) for name, value in values.items()}
    except TypeError as error:
        raise ConfigError(f"The request is damaged, or of a newer version: {error}.") from error


def _typed(name: str, value: Any, hint: Any) -> Any:
    """Lists as the tuples that a request holds, and mappings in them as the values that they were."""
    if get_origin(hint) is not tuple:
        return value
    if not isinstance(value, list | tuple):
        raise ConfigError(f"The request is damaged: {name} must be a list, not {value!r:.60}.")
    kind = get_args(hint)[0]
    if not is_dataclass(kind):
        return tuple(value)
    if not all(isinstance(one, Mapping) for one in value):
        raise ConfigError(f"The request is damaged: {value!r:.60} is no list of settings.")
    return tuple(request_from(kind, one) for one in value)  # type: ignore[arg-type]
