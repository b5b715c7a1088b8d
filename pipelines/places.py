"""Places of this machine are left out of what is written: a folder is told by its own name."""

from collections.abc import Mapping
from pathlib import PureWindowsPath
from typing import Any

_PLACES = ("control", "map_weights")  # settings that may name a folder


def without_place(name: str) -> str:
    """A folder's own name; hub ids and names stay as they are."""
    path = PureWindowsPath(name)  # it takes both kinds of separators
    is_place = bool(path.anchor) or len(path.parts) > 2 or path.parts[:1] in ((".",), ("..",), ("~",))
    return (path.name or name) if is_place else name


def without_places(told: Any) -> Any:
    """What metadata tell, with folders of nets and detectors by their names alone, wherever in it they stand."""
    if isinstance(told, Mapping):
        return {
            key: without_place(value) if key in _PLACES and isinstance(value, str) else without_places(value)
            for key, value in told.items()
        }
    return [without_places(one) for one in told] if isinstance(told, list | tuple) else told
