"""What a stylization can be asked for: structures with their nets, and how much of the subject enters where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from blipdiff.errors import ConfigError
from blipdiff.moment import Window
from blipdiff.ranges import INJECTION_BLOCKS
from pipelines.controls.settings import MAP, STRUCTURE, ControlSettings, check_structures
from pipelines.declarations import best_of, check_best, declared
from pipelines.parameters import SUBJECT, fraction, parameter
from pipelines.requests import SubjectSampling
from pipelines.task import SUBJECTS, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class StylizeRequest(SubjectSampling):
    """A subject's look in the structure of other pictures. None stands for the model's own default.

    Sizes follow the first structure where they are None.

    Raises: ConfigError for no control, and for what the parts refuse.
    """

    width: int | None = declared(
        "width",
        help="Pixels; for most models multiples of 8. If absent, the first structure's shape at about the model's own "
        "number of pixels.",
    )
    controls: tuple[ControlSettings, ...] = (ControlSettings(),)
    subject_strength: float = fraction(
        1.0, "Subject strength", "How much of the subject is drawn; 0 is the category's words alone.", group=SUBJECT
    )
    subject_start: float = fraction(
        0.0, "Subject start", "The fraction of the run at which the subject enters.", group=SUBJECT
    )
    subject_stop: float = fraction(
        1.0, "Subject stop", "The fraction of the run at which the subject leaves.", group=SUBJECT
    )
    blocks: str = parameter(
        "all",
        "Subject blocks",
        "The layers that the subject enters by: all, those of its look (up), or those of its layout (down, middle).",
        choices=tuple(INJECTION_BLOCKS),
        group=SUBJECT,
    )

    best: int = best_of()

    def __post_init__(self) -> None:
        SubjectSampling.__post_init__(self)
        check_best(self.best, self.count)
        if not self.controls:
            raise ConfigError("No structure was given; add at least one picture to follow.")
        self.subject_window()

    @property
    def reads_unasked(self) -> bool:
        """Not here: the subject's own shape would come along into another's structure."""
        return False

    def subject_window(self) -> Window:
        """The part of the run that sees the subject. Raises: ConfigError when it ends before it begins."""
        return Window(self.subject_start, self.subject_stop)

    @property
    def mixes_subject(self) -> bool:
        """Whether the subject is let in anywhere less than fully."""
        return (self.subject_strength, self.subject_start, self.subject_stop, self.blocks) != (1.0, 0.0, 1.0, "all")


def _check(request: StylizeRequest, inputs: Mapping[str, Sequence[Any]]) -> None:
    given = [len(inputs[name]) for name in ("structure", "map")]
    if not any(given):
        raise ConfigError("No structure was given; add at least one picture to follow.")
    check_structures(request.controls, *given)


TASKS = (
    Task(
        "stylize",
        "Draw a subject's look in another picture's structure.",
        "blipdiff stylize --subject teapot.png --category teapot --structure sofa.png --target sofa",
        StylizeRequest,
        {"subject": SUBJECTS, "structure": STRUCTURE, "map": MAP},
        "pipelines.stylize.run",
        _check,
    ),
)
