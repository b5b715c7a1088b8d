"""What can be asked for a picture that is there already: what it shows is read from its own job, or told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from blipdiff.errors import ConfigError, ImageError, PromptError
from blipdiff.ranges import SCHEDULER_NAMES
from pipelines.controls.settings import MAP, STRUCTURE, ControlSettings, check_structures
from pipelines.declarations import declared, left_out, set_scheduler, set_steps
from pipelines.parameters import PICTURES, check, fraction, parameter
from pipelines.requests import SubjectSampling
from pipelines.task import SUBJECTS, InputKind, Task

_BEGIN_ANYWHERE = tuple(name for name in SCHEDULER_NAMES if name != "pndm")
_OWN = "The picture's own if absent."


@dataclass(frozen=True, slots=True, kw_only=True)
class Redrawing(SubjectSampling):
    """A picture that is there, drawn further. None stands for what the picture's own job says.

    What is at its default is taken from that job too: weights, repeats, details, guidance.
    """

    category: str | None = declared("category", SubjectSampling, default=None, help=f"What the subject is. {_OWN}")  # type: ignore[assignment]
    prompt: str | None = declared("prompt", SubjectSampling, default=None, help=f"What the picture shows. {_OWN}")  # type: ignore[assignment]
    negative: str | None = declared("negative", default=None, help=f"What to keep away from. {_OWN}")  # type: ignore[assignment]
    count: int = declared("count", default=1)
    batch: int = declared("batch", default=1)
    width: int | None = left_out("width")
    height: int | None = left_out("height")
    speed: str = left_out("speed")
    cache_interval: int = left_out("cache_interval")
    cache_branch: int = left_out("cache_branch")
    steps: int = set_steps()
    scheduler: str = set_scheduler(choices=_BEGIN_ANYWHERE)

    @property
    def reads_unasked(self) -> bool:
        """Not of itself: where in the picture the subject stands is not known."""
        return False

    @property
    def subject_word(self) -> str:
        """What a subject's photo shows of which nobody says it."""
        return self.category or ""

    def check_words(self) -> None:
        """Passes where it is known what is drawn. Raises: PromptError where neither job nor person says it."""
        if not (self.category or self.target or (self.prompt or "").strip()):
            raise PromptError(
                "The picture's file does not say what it was made of; give a subject with its category, or a prompt."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class UpscaleRequest(Redrawing):
    """A picture, larger: by a second pass of the model over it, or by its pixels alone."""

    times: float = parameter(
        2.0, "Times", "How many times as wide and as high.", low=1.0, high=4.0, step=0.5, group=PICTURES
    )
    method: str = parameter(
        "model",
        "Method",
        "A second pass of the model in tiles, which draws finer lines and changes a little, or resampling alone "
        "(plain), which changes nothing.",
        choices=("model", "plain"),
        group=PICTURES,
    )
    strength: float = fraction(
        0.2,
        "Redrawing",
        "How much the second pass changes: 0.2 sharpens, above 0.4 spots and things appear that were not there.",
        low=0.05,
        group=PICTURES,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RedrawRequest(Redrawing):
    """A region of a picture, drawn anew from another seed; outside of it no pixel changes."""

    controls: tuple[ControlSettings, ...] = ()
    strength: float = fraction(
        1.0,
        "Redrawing",
        "How much of the region is new: 1 forgets what was there, 0.5 keeps its rough shapes and colours.",
        low=0.05,
        group=PICTURES,
    )
    softness: float = fraction(
        0.5, "Edge", "How softly the new part begins inside the mask's edge; 0 cuts sharply.", group=PICTURES
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveBackgroundRequest:
    """A picture's subject on transparent ground."""

    trim: bool = parameter(
        False, "Trim", "Cut away the empty margin, so that the picture is as large as its subject.", group=PICTURES
    )

    def __post_init__(self) -> None:
        check(self)


def _check_upscale(request: UpscaleRequest, _inputs: Mapping[str, Sequence[Any]]) -> None:
    if request.method == "model":
        request.check_words()


def _check_redraw(request: RedrawRequest, inputs: Mapping[str, Sequence[Any]]) -> None:
    request.check_words()
    picture, mask = inputs["picture"][0].image, inputs["mask"][0].image
    if mask.size != picture.size:
        raise ImageError(
            f"The mask is {mask.width} x {mask.height} pixels, the picture {picture.width} x {picture.height}; paint "
            "it on the picture itself."
        )
    if mask.getextrema()[1] == 0:
        raise ImageError("The mask is empty: nothing would be drawn. Paint white what shall be drawn anew.")
    structures, maps = len(inputs["structure"]), len(inputs["map"])
    check_structures(request.controls, structures, maps)
    if maps and inputs["map"][0].image.size != picture.size:
        raise ConfigError("The map of the picture's structure is of another size; give the structure again.")


PICTURE = InputKind(
    "picture",
    "Picture",
    "A picture of ours, whose own subject and prompt are used, or any picture with those given.",
    least=1,
    missing="No picture was given; give one that shall be worked on.",
)
_SUBJECT = replace(SUBJECTS, least=0, help=f"{SUBJECTS.help} {_OWN}")

TASKS = (
    Task(
        "upscale",
        "Enlarge a picture.",
        "blipdiff upscale --picture dog-7.png --times 2",
        UpscaleRequest,
        {"picture": PICTURE, "subject": _SUBJECT},
        "pipelines.finish.upscale",
        _check_upscale,
        "The model goes over the enlarged picture again, in tiles of the size that it knows; --method plain resamples "
        "the pixels and draws nothing.",
        fills=True,
    ),
    Task(
        "redraw",
        "Draw a region of a picture anew.",
        "blipdiff redraw --picture dog-7.png --mask sky.png --seed 8",
        RedrawRequest,
        {
            "picture": PICTURE,
            "mask": InputKind(
                "mask",
                "Mask",
                "A picture of the same size, white where it shall be drawn anew.",
                least=1,
                missing="No mask was given; paint one on the picture, white where it shall be drawn anew.",
            ),
            "subject": _SUBJECT,
            "structure": STRUCTURE,
            "map": MAP,
        },
        "pipelines.finish.redraw",
        _check_redraw,
        "Outside of the mask every pixel stays as it is.",
        fills=True,
    ),
    Task(
        "remove-background",
        "Put a picture's subject on transparent ground.",
        "blipdiff remove-background --picture dog-7.png",
        RemoveBackgroundRequest,
        {"picture": PICTURE},
        "pipelines.finish.background",
        fills=True,
    ),
)
