"""What a blend can be asked for: its parameters with range, step and help."""

from dataclasses import dataclass

from blipdiff.conditioning.mixing import MOST_BEYOND
from blipdiff.conditioning.paths import MOST
from blipdiff.conditioning.prompt import checked_category, checked_text
from blipdiff.errors import ConfigError, SubjectError
from blipdiff.moment import Window
from blipdiff.ranges import LARGEST_SEED
from pipelines.requests import as_generating, check, parameter

_NEEDED = {"one": (2, MOST), "path": (2, MOST), "map": (3, MOST)}  # subjects, at least and at most


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendRequest:
    """Pictures between subjects: one, a path of frames, or a map. None stands for the model's own default."""

    shape: str = parameter(
        "path",
        "Shape",
        "One picture at given weights, a path of frames, or a map (three subjects: triangle, four: square).",
        choices=("one", "path", "map"),
    )
    prompt: str = parameter("", "Prompt", "What happens around the subject: 'swimming under water'.")
    prompt_to: str | None = parameter(None, "Last prompt", "Where a path's prompt goes to, frame by frame.")
    target: str | None = parameter(None, "Target", "What to draw in the blended look, where it is another thing.")
    negative: str = parameter("", "Negative prompt", "What to keep away from.")
    frames: int = parameter(9, "Frames", "Pictures of a path, both ends included.", low=2, high=240, step=1)
    side: int = parameter(5, "Side", "Pictures along one side of a map.", low=2, high=12, step=1)
    how: str = parameter(
        "linear",
        "Blend",
        "Subjects are mixed as their mean (linear), by their mean direction (spherical), or in whole tokens (dealt).",
        choices=("linear", "spherical", "dealt"),
    )
    words: str = parameter(
        "smooth",
        "Words",
        "How categories are mixed: a sentence for each, averaged by the shares (smooth), one with all of them, "
        "'cat dog' (joined), or the heaviest subject's alone (heaviest).",
        choices=("smooth", "joined", "heaviest"),
    )
    spacing: str = parameter(
        "perceptual",
        "Spacing",
        "A path's steps: equal to the eye, measured while it is drawn (perceptual), or equal in weight (even).",
        choices=("perceptual", "even"),
    )
    beyond: float = parameter(
        0.0,
        "Beyond",
        "How far a path goes past its ends, and a share below 0 or above 1; 0 stays between the subjects.",
        low=0.0,
        high=MOST_BEYOND,
        step=0.1,
    )
    seed: int = parameter(0, "Seed", "Of the one noise that all pictures start from.", low=0, high=LARGEST_SEED)
    steps: int = as_generating("steps")
    guidance: float | None = as_generating("guidance")
    guidance_start: float = as_generating("guidance_start")
    guidance_stop: float = as_generating("guidance_stop")
    scheduler: str = as_generating("scheduler")
    width: int | None = as_generating("width")
    height: int | None = as_generating("height")
    fit: str = as_generating("fit")
    repeats: int = as_generating("repeats")
    batch: int = as_generating("batch")

    def __post_init__(self) -> None:
        check(self)
        for name in ("prompt", "negative", "prompt_to"):
            checked_text(getattr(self, name) or "", name.replace("_", " "))
        if self.target is not None:
            checked_category(self.target)
        Window(self.guidance_start, self.guidance_stop)
        if self.beyond and self.shape == "map":
            raise ConfigError("A map lies between its subjects; leave out 'beyond'.")
        if self.beyond and self.how == "dealt":
            raise ConfigError("Dealt tokens go to subjects whole; a blend beyond its subjects is linear or spherical.")
        if self.prompt_to is not None and self.shape != "path":
            raise ConfigError("Only along a path does a prompt become another one; leave out the last prompt.")

    def check_subjects(self, count: int) -> None:
        """Passes when this shape can be made of `count` subjects.

        Raises: SubjectError when it cannot.
        """
        least, most = _NEEDED[self.shape]
        if not least <= count <= most:
            what = {"one": "A blend", "path": "A path", "map": "A map"}[self.shape]
            raise SubjectError(f"{what} is made of {least} to {most} subjects; {count} {_were(count)} given.")


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
