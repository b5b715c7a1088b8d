"""Names that recipes and the states of runs had in earlier versions, which are still taken."""

import warnings
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor

_KEYS = {
    "redrawing": "reconstruction",
    "redraw_weight": "reconstruction_weight",
    "early_power": "timestep_exponent",
}
_MODULES = {"redrawing.places": "reconstruction.positions", "redrawing": "reconstruction"}  # the longer ones first
FOLDERS = {"reconstruction": "redrawing"}  # of a run's stage: now, then


def with_new_keys(table: Mapping[str, Any], known: Collection[str], where: str) -> dict[str, Any]:
    """A recipe's table, or a section of it, under the keys of today; a warning tells of each old one.

    known: the keys that the table may have; where: what a warning names
    """
    found = {}
    for key, value in table.items():
        new = _KEYS.get(key, key)
        if key in known or new not in known or new in table:
            new = key
        if new != key:
            warnings.warn(f"{where}: {key!r} is called {new!r} now; the old name is still taken.", stacklevel=3)
        found[new] = value
    return found


def with_new_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A saved state, its tensors named `kind.module.name`, under the modules' names of today."""
    return {_new_name(name): tensor for name, tensor in tensors.items()}


def _new_name(name: str) -> str:
    kind, _, rest = name.partition(".")
    for old, new in _MODULES.items():
        if rest == old or rest.startswith(f"{old}."):
            return f"{kind}.{new}{rest.removeprefix(old)}"
    return name
