"""What a picture of a subject in a new scene can be asked for."""

from dataclasses import dataclass, replace

from pipelines.declarations import best_of, check_best, declared, left_out
from pipelines.parameters import PICTURES, parameter
from pipelines.requests import SubjectSampling
from pipelines.task import SUBJECTS, Task

OF_A_ROW = ("category", "prompt", "target", "negative", "weighting", "repeats", "fit", "seed")


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest(SubjectSampling):
    """Pictures of a subject in a new scene. None stands for the model's own default."""

    best: int = best_of()

    def __post_init__(self) -> None:
        SubjectSampling.__post_init__(self)
        check_best(self.best, self.count)

    def of_a_row(self) -> "GenerateRequest | None":
        """What requests have in common that can be drawn in one batch, each in a row of it; None for one that cannot.

        Rows have words, subjects and seeds of their own. Several pictures, what is read of photos and what is
        chosen fill a batch of their own.
        """
        if self.count != 1 or self.detail or self.best:
            return None
        usual = GenerateRequest(category="any")
        return replace(self, **{name: getattr(usual, name) for name in OF_A_ROW})


@dataclass(frozen=True, slots=True, kw_only=True)
class AttendRequest(SubjectSampling):
    """Pictures of a subject in a new scene, with where each word and the subject were seen in them."""

    count: int = declared("count", default=1)
    batch: int = left_out("batch", 1)
    each: bool = parameter(False, "Each word", "A picture for each word as well, beside the sheet.", group=PICTURES)


TASKS = (
    Task(
        "generate",
        "Draw a subject in a new scene.",
        'blipdiff generate --subject my_dog.png --category dog --prompt "on a beach"',
        GenerateRequest,
        {"subject": SUBJECTS},
        "pipelines.generate.run",
    ),
    Task(
        "attend",
        "Draw pictures and show where each word and the subject were seen in them.",
        'blipdiff attend --subject my_dog.png --category dog --prompt "on a beach"',
        AttendRequest,
        {"subject": SUBJECTS},
        "pipelines.generate.attend",
    ),
)
