"""What can be chosen of preprocessors: their names, and every setting with its range. This loads no library."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from blipdiff.errors import ConfigError

NONE, INPAINT = "none", "inpaint"


@dataclass(frozen=True, slots=True)
class Setting:
    """One number that changes a map, as people see it."""

    label: str
    help: str
    default: float
    low: float
    high: float
    step: float


@dataclass(frozen=True, slots=True)
class Preprocessor:
    """One way from a picture to a map; `weights` is the hub id of a detector's, None for what is drawn."""

    name: str
    help: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    weights: str | None = None


_ANNOTATORS = "lllyasviel/Annotators"  # where controlnet_aux' detectors are published

_CANNY = {
    "low": Setting("Low threshold", "Weaker edges are dropped; lower keeps more lines.", 100, 1, 255, 1),
    "high": Setting("High threshold", "An edge needs one place as strong as this.", 200, 1, 255, 1),
}
_SOFT = {"smoothing": Setting("Smoothing", "Blur before, in hundredths of the shorter side.", 1.0, 0.1, 5, 0.1)}
_SCRIBBLE = {
    "thickness": Setting("Thickness", "Of the strokes, in hundredths of the shorter side.", 2.0, 0.5, 6, 0.5),
    "detail": Setting("Detail", "From outlines only (0) to small things (1).", 0.5, 0, 1, 0.05),
}
_TILE = {"factor": Setting("Factor", "How many times smaller it is made on the way.", 4, 1, 32, 1)}
_RELIEF = {
    "tolerance": Setting(
        "Tolerance", "How far a colour may be from the ground's and still be ground.", 0.2, 0, 1, 0.02
    ),
    "floor": Setting("Floor", "The horizon's height as a fraction from above; 1 is no floor.", 1.0, 0.3, 1, 0.05),
}

PREPROCESSORS: dict[str, Preprocessor] = {
    one.name: one
    for one in (
        Preprocessor(NONE, "The picture is a map already."),
        Preprocessor("canny", "Thin edges. For mini-canny and any Canny ControlNet.", _CANNY),
        Preprocessor("soft-edge", "Edges as bright as they are strong, drawn without weights.", _SOFT),
        Preprocessor("scribble", "A few thick strokes, drawn from the strongest edges.", _SCRIBBLE),
        Preprocessor("tile", "The picture without its small things.", _TILE),
        Preprocessor("inpaint", "The picture, its transparent parts to be filled. For inpaint ControlNets."),
        Preprocessor("relief", "Depth drawn from a photo on even ground. For mini-depth.", _RELIEF),
        Preprocessor("hed", "Soft edges by HED.", weights=_ANNOTATORS),
        Preprocessor("pidinet", "Soft edges by PiDiNet.", weights=_ANNOTATORS),
        Preprocessor("lineart", "Lines as an artist draws them.", weights=_ANNOTATORS),
        Preprocessor("lineart-anime", "Lines of drawn pictures.", weights=_ANNOTATORS),
        Preprocessor("mlsd", "Straight lines, for rooms and buildings.", weights=_ANNOTATORS),
        Preprocessor("depth", "Depth by Depth Anything, or another depth model of transformers.",
                     weights="depth-anything/Depth-Anything-V2-Small-hf"),
        Preprocessor("midas", "Depth by MiDaS.", weights=_ANNOTATORS),
        Preprocessor("zoe", "Depth by ZoeDepth.", weights=_ANNOTATORS),
        Preprocessor("normals", "Surface normals by NormalBae.", weights=_ANNOTATORS),
        Preprocessor("segmentation", "Things and grounds in ADE20K's colours.",
                     weights="openmmlab/upernet-convnext-small"),
        Preprocessor("pose", "Bodies as stick figures, by OpenPose.", weights=_ANNOTATORS),
        Preprocessor("dwpose", "Bodies, hands and faces, by DWPose.", weights=_ANNOTATORS),
    )
}  # fmt: skip
DRAWN = tuple(name for name, one in PREPROCESSORS.items() if one.weights is None)


@dataclass(frozen=True, slots=True)
class MapChoice:
    """A preprocessor with its settings, those left out at their defaults.

    weights: a folder or a hub id in place of the detector's own

    Raises: ConfigError for an unknown name or setting, a value out of range, and weights for what needs none.
    """

    name: str = NONE
    settings: Mapping[str, float] = field(default_factory=dict)
    weights: str | None = None

    def __post_init__(self) -> None:
        if self.name not in PREPROCESSORS:
            raise ConfigError(f"There is no preprocessor '{self.name}'; choose one of: {', '.join(PREPROCESSORS)}.")
        declared = PREPROCESSORS[self.name].settings
        unknown = sorted(set(self.settings) - set(declared))
        if unknown:
            raise ConfigError(
                f"The preprocessor '{self.name}' has no setting {', '.join(unknown)}; "
                f"it has {', '.join(declared) or 'none'}."
            )
        for name, value in self.settings.items():
            low, high = declared[name].low, declared[name].high
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise ConfigError(
                    f"{declared[name].label} of {self.name} is {value}; it goes from {low:g} to {high:g}."
                )
        if self.weights is not None and self.name in DRAWN:
            raise ConfigError(f"The preprocessor '{self.name}' is drawn without weights; leave out '{self.weights}'.")

    def values(self) -> dict[str, float]:
        """Every setting's value."""
        return {name: one.default for name, one in PREPROCESSORS[self.name].settings.items()} | dict(self.settings)
