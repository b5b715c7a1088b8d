"""Drawings of more artists from Iconify's packages: one JSON file of SVG bodies each, by the names of emojis."""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from blipdiff.data.drawn.packages import Drawing, render_svg, stored_json
from blipdiff.errors import BlipdiffError
from blipdiff.foreign import foreign

_NUMBERED = re.compile(r"-\d+$")
_SQUEEZED = re.compile(r"[^a-z0-9]")
_SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 {} {}">{}</svg>'

Named: TypeAlias = tuple[str, str]  # label and category


def read_iconify(folder: Path, source: str, emojis: Mapping[str, Named]) -> Iterator[Drawing]:
    """The pictures of a package that are emojis by their names, in the order of their names.

    emojis: squeezed name -> (label, category), see `squeezed_names`

    Raises: BlipdiffError for a package that is missing its file, or holds another one.
    """
    stored: dict[str, Any] = stored_json(folder, "icons.json")
    with foreign(folder / "icons.json", "a set of Iconify's", BlipdiffError):
        side = int(stored.get("width", 16)), int(stored.get("height", 16))
        bodies = {
            name: _SVG.format(icon.get("width", side[0]), icon.get("height", side[1]), icon["body"])
            for name, icon in sorted(stored["icons"].items())
        }
    for name, text in bodies.items():
        if named := emojis.get(squeezed(name)) or emojis.get(squeezed(_NUMBERED.sub("", name))):
            yield Drawing(*named, source, partial(render_svg, text, f"{folder}: {name}"))


def squeezed_names(labels: Mapping[str, Named], shortcodes: Mapping[str, list[str]]) -> dict[str, Named]:
    """Squeezed label or short code -> (label, category).

    labels: code -> (label, category); shortcodes: code -> short codes
    """
    names = {squeezed(label): (label, category) for label, category in labels.values()}
    for code, short in shortcodes.items():
        for one in short:
            if code in labels:
                names.setdefault(squeezed(one), labels[code])
    return names


def squeezed(name: str) -> str:
    """Letters and digits alone: "Cat Face", "cat_face" and "cat-face" are one."""
    return _SQUEEZED.sub("", name.lower())
