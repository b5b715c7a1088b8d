"""What can be asked for: every parameter with its range, step and help, declared once.

Command-line options, controls of the page and fields of the metadata are made from these declarations.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import UnionType
from typing import Any, TypeVar, get_args, get_type_hints

from blipdiff.conditioning.prompt import checked_category, checked_text
from blipdiff.errors import ConfigError, PromptError
from blipdiff.moment import Window
from blipdiff.ranges import AS_CONFIGURED, LARGEST_SEED, MOST_GUIDANCE, SCHEDULER_NAMES, USUAL_SCHEDULER

LONGEST_CATEGORY = 100  # letters

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


def parameter(default: Any, label: str, help_text: str, **limits: Any) -> Any:
    """A dataclass field that carries its `Parameter`."""
    return field(default=default, metadata={"parameter": Parameter(label, help_text, **limits)})


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest:
    """Pictures of a subject in a new scene. None stands for the model's own default."""

    category: str = parameter("", "Category", "What the subject is, in a word or two: dog, teapot, jacket.")
    prompt: str = parameter("", "Prompt", "What happens around the subject: 'swimming under water'.")
    target: str | None = parameter(None, "Target", "What to draw in the subject's look, where it is another thing.")
    negative: str = parameter("", "Negative prompt", "What to keep away from.")
    count: int = parameter(4, "Pictures", "How many pictures, each with a seed of its own.", low=1, high=64, step=1)
    seed: int = parameter(0, "Seed", "The first picture's seed; the others count up from it.", low=0, high=LARGEST_SEED)
    steps: int = parameter(
        20, "Steps", "Denoising steps: more are slower and a little finer.", low=1, high=1000, step=1
    )
    guidance: float | None = parameter(
        None,
        "Guidance",
        "How strongly the prompt and the subject are followed; 1 is unguided. The model's own if absent.",
        low=0.0,
        high=MOST_GUIDANCE,
        step=0.5,
    )
    guidance_start: float = parameter(
        0.0, "Guidance start", "The fraction of the run at which guidance begins.", low=0.0, high=1.0, step=0.05
    )
    guidance_stop: float = parameter(
        1.0, "Guidance stop", "The fraction of the run at which guidance ends.", low=0.0, high=1.0, step=0.05
    )
    scheduler: str = parameter(
        USUAL_SCHEDULER, "Scheduler", "The sampling method.", choices=(*SCHEDULER_NAMES, AS_CONFIGURED)
    )
    width: int | None = parameter(None, "Width", "Pixels; for most models a multiple of 8.", low=8, high=4096, step=8)
    height: int | None = parameter(None, "Height", "Pixels; for most models a multiple of 8.", low=8, high=4096, step=8)
    fit: str = parameter(
        "pad", "Photo fit", "How a photo that is no square is made one.", choices=("crop", "pad", "squash")
    )
    repeats: int = parameter(
        1,
        "Prompt repeats",
        "How often the prompt is repeated, as far as it fits; the authors' code: 20.",
        low=1,
        high=20,
        step=1,
    )
    batch: int = parameter(4, "Batch", "Pictures that are drawn at the same time.", low=1, high=64, step=1)

    def __post_init__(self) -> None:
        check(self)
        _check_name(self.category)
        for name in ("prompt", "negative"):
            checked_text(getattr(self, name), name)
        if self.target is not None:
            _check_name(self.target)
        Window(self.guidance_start, self.guidance_stop)
        if self.seed + self.count - 1 > LARGEST_SEED:
            raise ConfigError(f"{self.count} pictures from seed {self.seed} pass the largest seed, {LARGEST_SEED}.")

    def seeds(self) -> tuple[int, ...]:
        """One seed for each picture."""
        return tuple(range(self.seed, self.seed + self.count))


def _check_name(category: str) -> None:
    """Raises: PromptError for a category that is empty, has control characters, or is no word or two."""
    length = len(checked_category(category))
    if length > LONGEST_CATEGORY:
        raise PromptError(
            f"The category has {length} letters, more than {LONGEST_CATEGORY}; "
            "say in a word or two what the subject is."
        )


def parameters(kind: type) -> dict[str, Parameter]:
    """The declared parameters of a request's class, by name."""
    return {item.name: item.metadata["parameter"] for item in fields(kind) if "parameter" in item.metadata}


def as_generating(name: str, **changes: Any) -> Any:
    """A field declared as GenerateRequest's parameter `name`, for another task's request.

    changes: `default`, and fields of its `Parameter` that differ there
    """
    item = next(item for item in fields(GenerateRequest) if item.name == name)
    default = changes.pop("default", item.default)
    return field(default=default, metadata={"parameter": replace(item.metadata["parameter"], **changes)})


def check(request: Any) -> None:
    """Every declared parameter within its range and choices, of its kind and finite.

    Raises: ConfigError naming the parameter, its value and what is allowed; PromptError for what should be text.
    """
    hints = get_type_hints(type(request))
    for item in fields(type(request)):
        declared, value = item.metadata.get("parameter"), getattr(request, item.name)
        if declared is None or (value is None and item.default is None):
            continue
        _check_kind(declared, value, hints[item.name])
        if declared.choices and value not in declared.choices:
            raise ConfigError(f"{declared.label} is '{value}'; choose one of: {', '.join(declared.choices)}.")
        if declared.low is None or declared.high is None:
            continue
        whole = isinstance(declared.step, int) or item.name == "seed"
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise ConfigError(f"{declared.label} must be a {'whole ' if whole else ''}number, not {value!r}.")
        if not declared.low <= value <= declared.high:  # not-a-number lies in no range
            raise ConfigError(f"{declared.label} is {value}; it goes from {declared.low:g} to {declared.high:g}.")


def _check_kind(declared: Parameter, value: Any, hint: Any) -> None:
    """Numbers are checked with their range; here what else a JSON value can be taken for."""
    allowed = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if str in allowed and not declared.choices and not isinstance(value, str):
        raise PromptError(f"{declared.label} must be text, not {value!r:.60}.")
    if bool in allowed and not isinstance(value, bool):
        raise ConfigError(f"{declared.label} must be true or false, not {value!r:.60}.")


def from_mapping(values: Mapping[str, Any]) -> GenerateRequest:
    """A request from metadata; keys that this version does not know are refused.

    Raises: ConfigError for an unknown key or a value out of range.
    """
    return request_from(GenerateRequest, values)


def request_from(kind: type[_Request], values: Mapping[str, Any]) -> _Request:
    """A request of this kind from metadata, as `from_mapping`."""
    known = {item.name for item in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(f"The request has keys that this version does not know: {', '.join(unknown)}.")
    if "guidance" in values and values["guidance"] is None:  # a picture tells the one that it was drawn at
        raise ConfigError("Guidance must be a number, not None: the metadata are damaged.")
    return kind(**values)
