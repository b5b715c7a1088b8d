"""What a stylization can be asked for: structures with their nets, and how much of the subject enters where."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from blipdiff.control.preprocessors import PREPROCESSORS, MapChoice
from blipdiff.errors import ConfigError
from blipdiff.moment import Window
from blipdiff.ranges import INJECTION_PLACES, RESAMPLING_NAMES
from pipelines.requests import GenerateRequest, check, from_mapping, parameter

TASK = "stylize"  # as metadata name it


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSettings:
    """How one structure picture is followed: by which net, through which map, how strongly, and when."""

    control: str = parameter("mini-canny", "Control", "mini-canny, mini-depth, a ControlNet's folder, or its hub id.")
    preprocessor: str = parameter(
        "canny", "Preprocessor", "How the picture becomes a map; none: it is a map.", choices=tuple(PREPROCESSORS)
    )
    map_settings: Mapping[str, float] = field(default_factory=dict)  # those of the preprocessor, by name
    map_weights: str | None = parameter(
        None, "Detector weights", "A folder or hub id in place of the detector's own weights."
    )
    strength: float = parameter(
        1.0, "Strength", "How strongly the map is followed; 1 as trained.", low=0.0, high=2.0, step=0.05
    )
    start: float = parameter(0.0, "Start", "The fraction of the run at which it begins.", low=0.0, high=1.0, step=0.05)
    stop: float = parameter(1.0, "Stop", "The fraction of the run at which it ends.", low=0.0, high=1.0, step=0.05)
    guess: bool = parameter(
        False, "Guess mode", "The map leads, and needs no prompt: only the half with words sees it, fine layers less."
    )
    structure_fit: str = parameter(
        "crop",
        "Structure fit",
        "How a structure of another shape fills the frame: its middle, all of it on black, or stretched.",
        choices=("crop", "pad", "squash"),
    )
    structure_resample: str = parameter(
        "bicubic",
        "Structure resampling",
        "How a structure of another size is resized: bicubic as diffusers' BLIP-Diffusion does it, lanczos as the "
        "authors' code and diffusers' ControlNet pipelines do.",
        choices=RESAMPLING_NAMES,
    )

    fingerprint: str | None = None  # of the net, in metadata, which tell its folder by its name alone

    def __post_init__(self) -> None:
        check(self)
        if not self.control.strip():
            raise ConfigError("The control's name is empty; give mini-canny, a folder, or a hub id.")
        if not isinstance(self.map_settings, Mapping):
            raise ConfigError(f"The preprocessor's settings are {self.map_settings!r:.60}; give each by its name.")
        self.map_choice()
        self.window()

    def map_choice(self) -> MapChoice:
        """The preprocessor with its settings. Raises: ConfigError for an unknown or impossible one."""
        return MapChoice(self.preprocessor, dict(self.map_settings), self.map_weights)

    def window(self) -> Window:
        """The part of the run. Raises: ConfigError when it ends before it begins."""
        return Window(self.start, self.stop)


@dataclass(frozen=True, slots=True, kw_only=True)
class StylizeRequest:
    """A subject's look in the structure of other pictures.

    drawing: everything that a stylization has in common with generating; its sizes follow the first structure where
    they are None

    Raises: ConfigError for no control, and for what the parts refuse.
    """

    drawing: GenerateRequest
    controls: tuple[ControlSettings, ...]
    subject_strength: float = parameter(
        1.0,
        "Subject strength",
        "How much of the subject is drawn; 0 is the category's words alone.",
        low=0.0,
        high=1.0,
        step=0.05,
    )
    subject_start: float = parameter(
        0.0, "Subject start", "The fraction of the run at which the subject enters.", low=0.0, high=1.0, step=0.05
    )
    subject_stop: float = parameter(
        1.0, "Subject stop", "The fraction of the run at which the subject leaves.", low=0.0, high=1.0, step=0.05
    )
    blocks: str = parameter(
        "all",
        "Subject blocks",
        "The layers that the subject enters by: all, those of its look (up), or those of its layout (down, middle).",
        choices=tuple(INJECTION_PLACES),
    )

    def __post_init__(self) -> None:
        check(self)
        if not self.controls:
            raise ConfigError("No structure was given; add at least one picture to follow.")
        self.subject_window()

    def subject_window(self) -> Window:
        """The part of the run that sees the subject. Raises: ConfigError when it ends before it begins."""
        return Window(self.subject_start, self.subject_stop)

    @property
    def mixes_subject(self) -> bool:
        """Whether the subject is let in anywhere less than fully."""
        return (self.subject_strength, self.subject_start, self.subject_stop, self.blocks) != (1.0, 0.0, 1.0, "all")

    def told(self) -> dict[str, Any]:
        """The request as JSON can hold it; `told_request` reads it."""
        own = {name: getattr(self, name) for name in _OWN}
        return {
            **asdict(self.drawing),
            "task": TASK,
            "stylize": {**own, "controls": [plain_settings(one) for one in self.controls]},
        }


_OWN = ("subject_strength", "subject_start", "subject_stop", "blocks")


def check_told(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """What metadata tell of stylizing. Raises: ConfigError for values of another task."""
    own = values.get("stylize")
    if not isinstance(own, Mapping) or not isinstance(own.get("controls"), list):
        raise ConfigError("The picture was not made by stylizing; repeat it with the command that made it.")
    return own


def told_request(values: Mapping[str, Any]) -> StylizeRequest:
    """The request that `StylizeRequest.told` wrote.

    Raises: ConfigError for values of another task, and for unknown or impossible ones.
    """
    drawing = {name: value for name, value in values.items() if name not in ("task", "stylize")}
    own = check_told(values)
    controls = settings_from(own["controls"])
    try:
        rest = {name: value for name, value in own.items() if name != "controls"}
        return StylizeRequest(drawing=from_mapping(drawing), controls=controls, **rest)
    except TypeError as error:
        raise ConfigError("The metadata's stylization is damaged, or of a newer version.") from error


def settings_from(told: Any) -> tuple[ControlSettings, ...]:
    """Controls as metadata tell them. Raises: ConfigError for damaged ones."""
    try:
        return tuple(ControlSettings(**one) for one in told)
    except TypeError as error:
        raise ConfigError("The metadata's controls are damaged, or of a newer version.") from error


def plain_settings(settings: ControlSettings) -> dict[str, Any]:
    """One control as JSON can hold it."""
    plain = {**asdict(settings), "map_settings": dict(settings.map_settings)}
    return plain if settings.fingerprint is not None else {key: plain[key] for key in plain if key != "fingerprint"}
