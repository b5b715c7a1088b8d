"""Names of control nets: which are bundled, and which maps a net reads as far as its name tells."""

import re
from pathlib import Path, PureWindowsPath

_MAPS = {"mini-canny": "canny", "mini-depth": "relief"}  # the preprocessor whose maps each bundled net has learned
BUNDLED_CONTROLS = tuple(_MAPS)
_NAMED_MAPS = (  # what nets are called by the maps that they read, as they are published; the first that fits
    (r"anime", "lineart-anime"),
    (r"line_?art", "lineart"),
    (r"canny", "canny"),
    (r"inpaint", "inpaint"),
    (r"tile", "tile"),
    (r"scribble|sketch", "scribble"),
    (r"soft_?edge", "soft-edge"),
    (r"hed", "hed"),
    (r"mlsd", "mlsd"),
    (r"normal(_?bae)?", "normals"),
    (r"depth", "depth"),
    (r"(open)?pose", "pose"),
    (r"seg(mentation)?", "segmentation"),
    (r"ip2p|shuffle|qr(code)?|brightness|illumination", "none"),
)


def map_of_control(source: str | Path) -> str | None:
    """The preprocessor whose maps a net reads: a bundled one's own, another's guessed from its name.

    None where a name does not tell: "none" is the picture itself.
    """
    if str(source) in _MAPS:
        return _MAPS[str(source)]
    name = re.sub(r"[-. ]", "_", PureWindowsPath(str(source)).name.lower())
    return next((drawn for sign, drawn in _NAMED_MAPS if re.search(rf"(^|_){sign}(_|\d|$)", name)), None)


def control_for_map(preprocessor: str) -> str | None:
    """The bundled net that reads a preprocessor's maps; None where there is none."""
    return next((net for net, read in _MAPS.items() if read == preprocessor), None)
