"""What an edit can be asked for: its parameters with range, step and help, and the dial that derives its windows."""

from dataclasses import dataclass
from typing import Any

from blipdiff.conditioning.prompt import checked_category, checked_text
from blipdiff.errors import ConfigError, PromptError
from blipdiff.moment import FirstCalls, Span, Window
from blipdiff.ranges import LARGEST_SEED
from pipelines.requests import as_generating, check, parameter

# strength -> (cross-attention stop, self-attention stop, blend threshold, fresh noise); the middle is the authors'.
_DIAL = ((0.0, (1.0, 1.0, 0.6, 0.0)), (0.5, (0.8, 0.4, 0.3, 0.0)), (1.0, (0.0, 0.0, 0.0, 1.0)))
AS_THE_AUTHORS, BY_FRACTIONS = "authors", "fractions"  # the second is how pictures without the field were made
_TRY_ON_THRESHOLD = 0.5  # of the dial's: a garment's map is flatter than an object's


@dataclass(frozen=True, slots=True)
class EditDial:
    """The four settings that trade the source's composition for the edit's freedom."""

    cross_stop: float  # until which fraction of the run words take the source's attention
    self_stop: float  # until which fraction places take the source's
    blend_threshold: float  # from which height of the words' map on latents are edited
    fresh_noise: float  # share of new noise among that which a photo was inverted to


def _fraction(label: str, help_text: str, default: float | None = None, step: float = 0.05) -> Any:
    return parameter(default, label, help_text, low=0.0, high=1.0, step=step)


@dataclass(frozen=True, slots=True, kw_only=True)
class EditRequest:
    """One thing in a picture becomes another, in a generated picture or a photo. None stands for the derived value."""

    source: str = parameter("", "From", "What is in the picture now, in a word or two: cat, burger.")
    target: str | None = parameter(None, "To", "What it becomes; without it, the same in the subject's look.")
    category: str | None = parameter(None, "Category", "What the subject is, where it is not what is drawn.")
    prompt: str = parameter("", "Prompt", "What else the picture shows: 'sits on a sofa'.")
    target_prompt: str | None = parameter(None, "New prompt", "What else it shall show, where that changes as well.")
    negative: str = as_generating("negative")
    count: int = as_generating("count", default=1, help="How many generated pictures are edited.")
    seed: int = as_generating("seed")
    steps: int = as_generating("steps", default=50, help="Denoising steps, and as many inversion steps.")
    guidance: float | None = as_generating(
        "guidance", help="How strongly the prompts are followed; 1 is unguided. The model's own if absent."
    )
    scheduler: str = as_generating("scheduler", default="ddim", help="The sampling method; photos need ddim.")
    width: int | None = as_generating("width")
    height: int | None = as_generating("height")
    fit: str = as_generating("fit", help="How a subject's photo that is no square is made one.")
    strength: float = _fraction("Edit strength", "From the source's composition (0) to a free one (1).", 0.75)
    cross_stop: float | None = _fraction("Words until", "The fraction of the run in which words keep their places.")
    self_stop: float | None = _fraction("Shapes until", "The fraction of the run in which shapes keep their places.")
    blend: float | None = _fraction(
        "Mask threshold", "How clearly a place must show the words before it is edited; higher edits less.", step=0.01
    )
    fresh_noise: float | None = _fraction(
        "Fresh noise", "How much new noise a photo's edit begins with; its own noise remembers the old outline."
    )
    blend_softness: float = _fraction("Mask softness", "The width of the mask's edge; 0 cuts sharply.", 0.0)
    blend_start: float = _fraction("Mask begins", "The fraction of the run at which the mask begins.", 0.0)
    blend_words: str | None = parameter(
        None,
        "Mask made from",
        "Whose words make the mask: the source's, the target's, both, the subject's own rows, or those and the "
        "source's (swap), which is the default where there is a subject. The authors: source.",
        choices=("source", "target", "both", "subject", "swap"),
    )
    mask_map: str = parameter(
        "raised",
        "Mask map",
        "What the threshold is held against: how far the map rises above its middle (raised), or the whole map with "
        "its peaks widened (plain), as the authors have it.",
        choices=("raised", "plain"),
    )
    focus: str = parameter("", "Words of the mask", "Other words than those swapped, separated by commas.")
    local_blend: bool = parameter(True, "Use a mask", "Keep everything outside the words' place as it was.")
    mask_use: str = parameter(
        "within",
        "Painted mask",
        "What a painted mask does: it borders the words' mask (within), replaces it (alone), or adds to it (joined).",
        choices=("within", "alone", "joined"),
    )
    method: str = parameter(
        "refine",
        "Method",
        "How the two sentences are matched: by the words that they share (refine), or word for word (replace).",
        choices=("refine", "replace"),
    )
    word_weights: str = parameter("", "Word weights", "How strongly words are seen: 'snow: 2, hat: 0.5'.")
    word_stops: str = parameter("", "Word windows", "Until which fraction words keep their places: 'hat: 0.4'.")
    self_level: int | None = parameter(
        None,
        "Finest shapes",
        "Halvings of the latents' side down to the finest self-attention that is kept; 0 keeps all, and is large.",
        low=0,
        high=6,
        step=1,
    )
    blend_level: int | None = parameter(
        None, "Mask level", "Halvings of the latents' side down to the maps that make the mask.", low=0, high=6, step=1
    )
    inversion: str = parameter(
        "fixed-point", "Inversion", "How a photo's noise is found.", choices=("ddim", "fixed-point")
    )
    hold_source: bool = parameter(
        True,
        "Hold the source",
        "After each step, put the photo back where its inversion was, so that it comes out as it is.",
    )
    keep_background: bool | None = parameter(
        None,
        "Keep the background",
        "Outside the mask the picture keeps the source's own pixels; on for photos.",
    )
    preset: str = parameter(
        "swap",
        "Preset",
        "One object for another (swap), or a garment for another (try-on), with half the mask threshold.",
        choices=("swap", "try-on"),
    )
    counting: str = AS_THE_AUTHORS  # how the windows' ends become U-Net calls, and what is one word to replace

    def __post_init__(self) -> None:
        check(self)
        if self.counting not in (AS_THE_AUTHORS, BY_FRACTIONS):
            raise ConfigError(f"Windows are counted by {AS_THE_AUTHORS} or {BY_FRACTIONS}, not {self.counting!r}.")
        for name in ("prompt", "negative", "focus", "word_weights", "word_stops"):
            checked_text(getattr(self, name), name)
        if not self.source.strip():
            raise PromptError("What is edited is not said: name what is in the picture now, as in 'cat'.")
        checked_category(self.source)
        for other in (self.target, self.category):
            if other is not None:
                checked_category(other)
        if self.target_prompt is not None:
            checked_text(self.target_prompt, "new prompt")
        if self.seed + self.count - 1 > LARGEST_SEED:
            raise ConfigError(f"{self.count} pictures from seed {self.seed} pass the largest seed, {LARGEST_SEED}.")

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

    def seeds(self) -> tuple[int, ...]:
        """One seed for each generated picture."""
        return tuple(range(self.seed, self.seed + self.count))

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
        cross_stop, self_stop, threshold, fresh = _derived(self.strength)
        threshold *= _TRY_ON_THRESHOLD if self.preset == "try-on" else 1.0
        return EditDial(
            cross_stop if self.cross_stop is None else self.cross_stop,
            self_stop if self.self_stop is None else self.self_stop,
            threshold if self.blend is None else self.blend,
            fresh if self.fresh_noise is None else self.fresh_noise,
        )


def _derived(strength: float) -> tuple[float, ...]:
    (left, low), (right, high) = _DIAL[:2] if strength <= _DIAL[1][0] else _DIAL[1:]
    share = (strength - left) / (right - left)
    return tuple((1 - share) * one + share * other for one, other in zip(low, high, strict=True))
