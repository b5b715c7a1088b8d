"""What a picture of a subject in a new scene can be asked for."""

from dataclasses import dataclass

from pipelines.parameters import PICTURES, SubjectSampling, declared, left_out, parameter
from pipelines.task import SUBJECTS, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest(SubjectSampling):
    """Pictures of a subject in a new scene. None stands for the model's own default."""


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
