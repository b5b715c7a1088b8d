"""What a blend can be asked for: its parameters with range, step and help."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from blipdiff.conditioning.paths import MOST
from blipdiff.errors import ConfigError, SubjectError
from blipdiff.ranges import MOST_EXTRAPOLATION
from pipelines.declarations import declared, left_out
from pipelines.parameters import SUBJECT, WORDS, parameter
from pipelines.requests import Detailed
from pipelines.shown import Shown
from pipelines.task import InputKind, Task

FILM = "Film"
_USUAL_FILM = ("webp",)
_NEEDED = {"one": (2, MOST), "path": (2, MOST), "map": (3, MOST)}  # subjects, at least and at most


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendRequest(Detailed):
    """Pictures between subjects: one, a path of frames, or a map. None stands for the model's own default."""

    shape: str = parameter(
        "path",
        "Shape",
        "One picture at given weights, a path of frames, or a map (three subjects: triangle, four: square).",
        choices=("one", "path", "map"),
    )
    prompt: str = parameter("", "Prompt", "What happens around the subject: 'swimming under water'.", group=WORDS)
    prompt_to: str | None = parameter(
        None, "Last prompt", "Where a path's prompt goes to, frame by frame.", group=WORDS
    )
    target: str | None = parameter(
        None,
        "Target",
        "What to draw in the blended look, where it is another thing.",
        group=SUBJECT,
        is_category=True,
    )
    frames: int = parameter(9, "Frames", "Pictures of a path, both ends included.", low=2, high=240, step=1)
    side: int = parameter(5, "Side", "Pictures along one side of a map.", low=2, high=12, step=1)
    how: str = parameter(
        "linear",
        "Mixing",
        "Subjects are mixed as their mean (linear), by their mean direction (spherical), or in whole tokens "
        "(token-wise).",
        choices=("linear", "spherical", "token-wise"),
        old_choices=(("dealt", "token-wise"),),
    )
    categories: str = parameter(
        "smooth",
        "Categories",
        "How categories are mixed: a sentence for each, averaged by the shares (smooth), one with all of them, "
        "'cat dog' (joined), or the heaviest subject's alone (heaviest).",
        choices=("smooth", "joined", "heaviest"),
        group=WORDS,
        aliases=("words",),
    )
    spacing: str = parameter(
        "perceptual",
        "Spacing",
        "A path's steps: so that neighbours look equally far apart, which is measured in Lab while it is drawn "
        "(perceptual), or of equal weight (even).",
        choices=("perceptual", "even"),
    )
    extrapolation: float = parameter(
        0.0,
        "Extrapolation",
        "How far a path goes past its ends, and a share below 0 or above 1; 0 stays between the subjects.",
        low=0.0,
        high=MOST_EXTRAPOLATION,
        step=0.1,
        aliases=("beyond",),
    )
    film: tuple[str, ...] = parameter(
        _USUAL_FILM,
        "Film",
        "The kinds of film that a path becomes.",
        choices=("webp", "gif", "mp4", "none"),
        group=FILM,
    )
    per_second: float = parameter(12.0, "Frames a second", "Of the film.", low=0.1, high=60.0, step=0.5, group=FILM)
    loop: str = parameter(
        "there and back",
        "Loop",
        "How the film goes on: there and back, round (the last frame leads to the first), or once.",
        choices=("there and back", "round", "once"),
        group=FILM,
    )
    seed: int = declared("seed", help="Of the one noise that all pictures start from.")
    count: int = left_out("count", 1)

    @property
    def reads_unasked(self) -> bool:
        """Not where another thing is drawn in the blended look."""
        return not self.target

    def __post_init__(self) -> None:
        Detailed.__post_init__(self)
        if self.shape != "path" and self.film not in (_USUAL_FILM, ("none",)):
            raise ConfigError("Only a path makes a film; leave the film out, or ask for the shape 'path'.")
        if self.extrapolation and self.shape == "map":
            raise ConfigError("A map lies between its subjects; leave out the extrapolation.")
        if self.extrapolation and self.how == "token-wise":
            raise ConfigError("Token-wise blends give tokens whole; an extrapolation is linear or spherical.")
        if self.prompt_to is not None and self.shape != "path":
            raise ConfigError("Only along a path does a prompt become another one; leave out the last prompt.")

    @property
    def film_kinds(self) -> tuple[str, ...]:
        """The films to be made: a path's, those that were asked for."""
        return tuple(one for one in dict.fromkeys(self.film) if one != "none") if self.shape == "path" else ()

    def shown(self, job: Any) -> Shown:
        """The blend that one of the pictures shows: its subjects by their shares."""
        try:
            shares = [float(share) for share in job.detail["spot"][0]]
        except (KeyError, IndexError, TypeError, ValueError):
            return Shown()
        parts = zip(job.given("subject"), shares, strict=False)
        subjects = tuple(replace(one, weight=share) for one, share in parts if share > 0)
        return Shown({"category": str(job.detail.get("subject") or self.target or subjects[0].word)}, subjects)

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


def _check(request: BlendRequest, inputs: Mapping[str, Sequence[Any]]) -> None:
    subjects = inputs["subject"]
    request.check_subjects(len(subjects))
    weights = [one.weight for one in subjects if one.weight is not None]
    if weights and request.shape != "one":
        raise ConfigError(f"A {request.shape} has its own weights; leave them out, or ask for the shape 'one'.")
    if weights and len(weights) != len(subjects):
        raise ConfigError(f"{len(subjects)} subjects were given with {len(weights)} weights; give one each.")


TASKS = (
    Task(
        "blend",
        "Draw what lies between subjects: one picture, a path, or a map.",
        'blipdiff blend --subject dog=my_dog.png --subject cat=my_cat.png --prompt "on a beach" --frames 25',
        BlendRequest,
        {
            "subject": InputKind(
                "subject",
                "Subject",
                "A photo or a subject card, with its word; two to four.",
                most=None,
                is_bound=True,
                is_weighted=True,
            )
        },
        "pipelines.blend.run",
        _check,
    ),
)
