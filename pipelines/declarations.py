"""Parameters that a request declares otherwise than what it is made of, or leaves out."""

from dataclasses import field, fields, replace
from typing import Any

from blipdiff.errors import ConfigError
from blipdiff.ranges import AS_CONFIGURED, SCHEDULER_NAMES, USUAL_SCHEDULER, USUAL_STEPS
from pipelines.parameters import PICTURES, parameter
from pipelines.requests import Sampling


def declared(name: str, kind: type = Sampling, **changes: Any) -> Any:
    """A field declared as `kind`'s parameter `name`, for another request.

    changes: `default`, and fields of its `Parameter` that differ there
    """
    item = next(item for item in fields(kind) if item.name == name)
    default = changes.pop("default", item.default)
    return field(default=default, metadata={"parameter": replace(item.metadata["parameter"], **changes)})


def set_steps(usual: int = USUAL_STEPS, **changes: Any) -> Any:
    """The field of a request whose steps no speed says."""
    return declared(
        "steps", default=usual, **{"help": "Denoising steps: more are slower and a little finer."} | changes
    )


def set_scheduler(usual: str = USUAL_SCHEDULER, **changes: Any) -> Any:
    """The field of a request whose scheduler no speed says."""
    usually: dict[str, Any] = {"help": "The sampling method.", "choices": (*SCHEDULER_NAMES, AS_CONFIGURED)}
    return declared("scheduler", default=usual, **usually | changes)


def left_out(name: str, default: Any = ...) -> Any:
    """A field of `Sampling` that a request has no use for: it keeps its default, and nobody is asked for it."""
    own = next(item.default for item in fields(Sampling) if item.name == name)
    return field(default=own if default is ... else default, init=False, repr=False)


def best_of() -> Any:
    """The field of a request whose pictures can be chosen from: `check_best` checks it."""
    return parameter(
        0,
        "Best",
        "How many are named as the best: each picture is scored for prompt and subject, all are kept. 0 scores none.",
        low=0,
        high=64,
        step=1,
        group=PICTURES,
    )


def check_best(best: int, count: int) -> None:
    """Passes where so many pictures can be chosen. Raises: ConfigError where more are wanted than are drawn."""
    if best > count:
        raise ConfigError(f"The best {best} of {count} pictures were asked for; draw more (count), or ask for fewer.")
