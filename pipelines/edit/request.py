"""What an edit can be asked for: its parameters with range, step and help."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from blipdiff.errors import ConfigError, PromptError
from blipdiff.moment import FirstCalls, Span, Window
from pipelines.controls.settings import MAP, STRUCTURE, ControlSettings, check_structures
from pipelines.declarations import declared, left_out, set_scheduler, set_steps
from pipelines.edit.dial import EditDial, derived
from pipelines.parameters import PICTURES, SAMPLING, SUBJECT, WORDS, check_category, fraction, parameter
from pipelines.requests import Detailed
from pipelines.shown import Shown
from pipelines.task import SUBJECTS, InputKind, Task

MASK, KEPT = "Mask", "What is kept"

AS_THE_AUTHORS, BY_FRACTIONS = "authors", "fractions"  # the second is how pictures without the field were made
_TRY_ON_THRESHOLD = 0.5  # of the dial's: a garment's map is flatter than an object's


@dataclass(frozen=True, slots=True, kw_only=True)
class EditRequest(Detailed):
    """One thing in a picture becomes another, in a generated picture or a photo. None stands for the derived value."""

    source: str = parameter(
        "",
        "From",
        "What is in the picture now, in a word or two: cat, burger.",
        group=WORDS,
        flag="from",
    )
    target: str | None = parameter(
        None,
        "To",
        "What it becomes; without it, the same in the subject's look.",
        group=WORDS,
        flag="to",
        is_category=True,
    )
    category: str | None = parameter(
        None,
        "Category",
        "What the subject is, where it is not what is drawn.",
        group=SUBJECT,
        is_category=True,
    )
    prompt: str = parameter("", "Prompt", "What else the picture shows: 'sits on a sofa'.", group=WORDS)
    target_prompt: str | None = parameter(
        None, "New prompt", "What else the new picture shows, where that changes as well.", group=WORDS
    )
    from_prompt: bool = parameter(
        False, "From the prompt", "Edit the picture that the prompt and the seed make.", group=PICTURES
    )
    count: int = declared("count", default=1, help="How many generated pictures are edited.")
    speed: str = left_out("speed")
    cache_interval: int = left_out("cache_interval")
    cache_branch: int = left_out("cache_branch")
    steps: int = set_steps(50, help="Denoising steps, and as many inversion steps.")
    guidance: float | None = declared(
        "guidance", help="How strongly the prompts are followed; 1 is unguided. The model's own if absent."
    )
    scheduler: str = set_scheduler("ddim", help="The sampling method; photos need ddim.")
    width: int | None = declared(
        "width",
        help="Pixels; for most models multiples of 8. If absent, a photo's shape at about the model's own number of "
        "pixels.",
    )
    fit: str = declared("fit", help="How a subject's photo becomes square; cut-out: the subject alone, on white.")
    batch: int = left_out("batch", 1)
    repeats: int = left_out("repeats")
    strength: float = fraction(
        0.75, "Edit strength", "From the source's composition (0) to a free one (1).", group=KEPT
    )
    cross_stop: float | None = fraction(
        None, "Places kept until", "The fraction of the run in which the words keep their places.", group=KEPT
    )
    self_stop: float | None = fraction(
        None, "Shapes kept until", "The fraction of the run in which shapes keep their places.", group=KEPT
    )
    fresh_noise: float | None = fraction(
        None,
        "Fresh noise",
        "How much new noise a photo's edit begins with; its own noise remembers the old outline.",
        group=KEPT,
    )
    method: str = parameter(
        "refine",
        "Method",
        "How the two sentences are matched: by the words that they share (refine), or word for word (replace).",
        choices=("refine", "replace"),
        group=KEPT,
    )
    word_weights: str = parameter(
        "", "Word weights", "How strongly single words count: 'snow: 2, hat: 0.5'.", group=KEPT
    )
    word_stops: str = parameter(
        "",
        "Single words until",
        "Until which fraction of the run single words keep their places: 'hat: 0.4'.",
        group=KEPT,
    )
    self_level: int | None = parameter(
        None,
        "Finest shapes kept",
        "How fine the shapes are that are kept: 0 keeps the finest too, each number more only those half as fine.",
        low=0,
        high=6,
        step=1,
        group=KEPT,
    )
    preset: str = parameter(
        "swap",
        "Kind of edit",
        "One object for another (swap), or a garment for another (try-on), with half the mask threshold.",
        choices=("swap", "try-on"),
        flag="kind",
        group=KEPT,
    )
    local_blend: bool = parameter(True, "Use a mask", "Only the place of the swapped words changes.", group=MASK)
    mask_threshold: float | None = fraction(
        None,
        "Mask threshold",
        "How clearly a place must show the words before it is edited; higher edits less.",
        step=0.01,
        group=MASK,
        aliases=("blend",),
    )
    blend_softness: float = fraction(0.0, "Mask softness", "The width of the mask's edge; 0 cuts sharply.", group=MASK)
    blend_start: float = fraction(0.0, "Mask begins", "The fraction of the run at which the mask begins.", group=MASK)
    blend_words: str | None = parameter(
        None,
        "Mask made from",
        "Where the edit happens: where the source's words are seen, the target's, both, the subject itself, or the "
        "subject and the source's words (swap), as is usual with a subject. The authors' code: source.",
        choices=("source", "target", "both", "subject", "swap"),
        group=MASK,
    )
    focus: str = parameter("", "Words of the mask", "Other words than those swapped, separated by commas.", group=MASK)
    mask_map: str = parameter(
        "raised",
        "Mask map",
        "What the threshold is held against: how far the map rises above its middle (raised), or the whole map with "
        "its peaks widened (plain), as the authors have it.",
        choices=("raised", "plain"),
        group=MASK,
    )
    mask_use: str = parameter(
        "within",
        "Painted mask",
        "What a painted mask does: it borders the words' mask (within), replaces it (alone), or adds to it (joined).",
        choices=("within", "alone", "joined"),
        group=MASK,
    )
    blend_level: int | None = parameter(
        None,
        "Mask fineness",
        "How fine the maps are that make the mask: 0 is the finest, each number more is half as fine.",
        low=0,
        high=6,
        step=1,
        group=MASK,
    )
    keep_background: bool | None = parameter(
        None,
        "Keep the background",
        "Outside the mask the picture keeps the source's own pixels; on for photos.",
        group=MASK,
    )
    inversion: str = parameter(
        "fixed-point",
        "Inversion",
        "How a photo's noise is found.",
        choices=("ddim", "fixed-point"),
        group=SAMPLING,
    )
    hold_source: bool = parameter(
        True,
        "Hold the source",
        "After each step, put the photo back where its inversion was, so that it comes out as it is.",
        group=SAMPLING,
    )
    controls: tuple[ControlSettings, ...] = ()
    counting: str = AS_THE_AUTHORS  # how the windows' ends become U-Net calls, and what is one word to replace

    def __post_init__(self) -> None:
        Detailed.__post_init__(self)
        if self.counting not in (AS_THE_AUTHORS, BY_FRACTIONS):
            raise ConfigError(f"Windows are counted by {AS_THE_AUTHORS} or {BY_FRACTIONS}, not {self.counting!r}.")
        if not self.source.strip():
            raise PromptError("What is edited is not said: name what is in the picture now, as in 'cat'.")
        check_category(self.source)

    @property
    def drawn(self) -> str:
        """What the target row draws."""
        return self.source if self.target is None else self.target

    @property
    def subject_category(self) -> str:
        """What the subject's photo shows."""
        return self.drawn if self.category is None else self.category

    @property
    def target_scene(self) -> str:
        """What else the target's prompt says."""
        return self.prompt if self.target_prompt is None else self.target_prompt

    @property
    def subject_word(self) -> str:
        """What a subject's photo shows of which nobody says it."""
        return self.subject_category

    def shown(self, job: Any) -> Shown:
        """What the edited picture shows."""
        words = {"category": self.subject_category, "target": self.drawn, "prompt": self.target_scene}
        return Shown(words, job.given("subject"))

    def keeps_background(self, *, photo: bool) -> bool:
        """Whether the source's own pixels stay outside the mask: a photo's, unless it was asked otherwise."""
        return photo if self.keep_background is None else self.keep_background

    def cross_span(self, stop: float) -> Span:
        """The U-Net calls in which words are held until the fraction `stop`; the authors count one more than steps.

        Their rounding is kept too: 0.29 of 100 is 28.999999999999996, and so 28 calls.
        """
        window = Window(0.0, stop)
        return FirstCalls(int(stop * (self.steps + 1))) if self.counting == AS_THE_AUTHORS else window

    def self_span(self, stop: float) -> Span:
        """The U-Net calls in which shapes are held until the fraction `stop`; the authors count the steps."""
        window = Window(0.0, stop)
        return FirstCalls(int(self.steps * stop)) if self.counting == AS_THE_AUTHORS else window

    def dial(self) -> EditDial:
        """What the strength derives, straight between its three marks, and what was set by hand."""
        cross_stop, self_stop, threshold, fresh = derived(self.strength)
        threshold *= _TRY_ON_THRESHOLD if self.preset == "try-on" else 1.0
        return EditDial(
            cross_stop if self.cross_stop is None else self.cross_stop,
            self_stop if self.self_stop is None else self.self_stop,
            threshold if self.mask_threshold is None else self.mask_threshold,
            fresh if self.fresh_noise is None else self.fresh_noise,
        )


def _check(request: EditRequest, inputs: Mapping[str, Sequence[Any]]) -> None:
    photos = inputs["source"]
    if photos and request.from_prompt:
        raise ConfigError("Both a photo and the prompt's own picture were asked for; an edit has one source.")
    if not photos and not request.from_prompt:
        raise ConfigError("There is no source; give a photo to edit, or ask for the prompt's own picture.")
    if photos and request.count > 1:
        raise ConfigError(f"{request.count} pictures were asked for; a photo has no seeds, and is edited once.")
    structures = len(inputs["structure"]) or (1 if photos and request.controls else 0)  # a photo's own
    check_structures(request.controls, structures, len(inputs["map"]))


TASKS = (
    Task(
        "edit",
        "Swap the subject of a picture and keep the picture.",
        'blipdiff edit --source sofa.jpg --from cat --to dog --subject my_dog.png --prompt "sits on a sofa"',
        EditRequest,
        {
            "source": InputKind(
                "picture",
                "Photo",
                "A photo to edit; several are edited one after the other.",
                most=None,
                has_noise=True,
            ),
            "mask": InputKind("mask", "Mask", "A picture of the source's size, white where the edit may happen."),
            "subject": replace(SUBJECTS, least=0),
            "structure": STRUCTURE,
            "map": MAP,
        },
        "pipelines.edit.run",
        _check,
        "Beside each edited picture stand what was before, the mask, and where each word was seen. With a control and "
        "no structure, a photo's own structure is followed.",
    ),
)
