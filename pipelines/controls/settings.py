"""How structure pictures are followed: what is asked of each control branch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from blipdiff.control.choices import PREPROCESSORS, MapChoice
from blipdiff.errors import ConfigError
from blipdiff.moment import Window
from blipdiff.ranges import RESAMPLING_NAMES
from pipelines.parameters import check, fraction, parameter
from pipelines.task import InputKind

STRUCTURE = InputKind(
    "layers", "Structure", "A picture whose structure is followed: one for all controls, or one each.", most=None
)
MAP = InputKind("layers", "Map", "A structure's map, ready to be followed.", most=None, is_asked=False)


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
    start: float = fraction(0.0, "Start", "The fraction of the run at which it begins.")
    stop: float = fraction(1.0, "Stop", "The fraction of the run at which it ends.")
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


def check_structures(controls: Sequence[ControlSettings], structures: int, maps: int) -> None:
    """Passes for one structure, or as many as controls, or a map of each.

    Raises: ConfigError for other numbers.
    """
    if maps:
        if maps != len(controls):
            raise ConfigError("A map of the picture's structures is missing; draw it again from the structures.")
    elif controls and structures not in (1, len(controls)):
        raise ConfigError(f"{structures} structures were given for {len(controls)} controls; give one, or one each.")
    elif structures and not controls:
        raise ConfigError("A structure was given, and no control that follows it.")
