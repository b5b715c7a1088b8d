"""Control nets in metadata: a net's folder or file is told by name and fingerprint, never by place, and found by them.

A place is a person's: it may hold their name, or a client's.
"""

import glob
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from blipdiff.checkpoints.controls import control_fingerprint, control_place
from blipdiff.checkpoints.detect import is_file, is_folder
from blipdiff.control.net_names import BUNDLED_CONTROLS
from blipdiff.errors import CheckpointError
from pipelines.controls.settings import ControlSettings
from pipelines.metadata import without_place


def told_control(settings: ControlSettings) -> ControlSettings:
    """The settings as metadata tell them."""
    told = replace(settings, map_weights=settings.map_weights and without_place(settings.map_weights))
    is_place = _is_place(settings.control)
    if settings.fingerprint is not None or not (is_place or settings.control in BUNDLED_CONTROLS):
        return replace(told, control=without_place(settings.control))
    seen = control_fingerprint(control_place(settings.control))
    name = Path(settings.control).absolute().name if is_place else settings.control
    return replace(told, control=name, fingerprint=seen)


def untold_nets(controls: Sequence[ControlSettings]) -> Iterator[str]:
    """A sentence where metadata, as earlier versions wrote them, do not tell a net's weights: it may have others now.

    What a hub id names is the hub's.
    """
    names = dict.fromkeys(without_place(one.control) for one in controls if one.fingerprint is None and _is_here(one))
    if names:
        whose = f"the control net {next(iter(names))!r}" if len(names) == 1 else f"the control nets {', '.join(names)}"
        yield f"The picture does not say which weights {whose} had; it may differ."


def _is_place(name: str | Path) -> bool:
    return is_folder(name) or is_file(name)


def _is_here(settings: ControlSettings) -> bool:
    path = Path(settings.control)
    return settings.control in BUNDLED_CONTROLS or path.is_absolute() or _is_place(path)


def found_control(settings: ControlSettings, given: Sequence[Path] = ()) -> str:
    """The net that settings name, as `load_control` takes it: one told by a fingerprint is looked for.

    given: folders of nets, or that hold them, in which it is looked for first

    Raises: CheckpointError that says what to give, when it is nowhere.
    """
    name = without_place(settings.control)
    if settings.fingerprint is None:  # a name, a hub id, or a folder as pictures of earlier versions tell it
        is_lost = Path(settings.control).is_absolute() and not _is_place(settings.control)
        if not is_lost:
            return settings.control
        for folder in given:
            with suppress(CheckpointError):
                return str(control_place(folder))
        raise CheckpointError(f"The picture followed the control net {name!r}; give its folder with --control.")
    others = []
    for folder in _candidates(name, given):
        try:
            seen = control_fingerprint(control_place(folder))
        except CheckpointError:
            continue
        if seen == settings.fingerprint:
            return str(folder)
        others.append(f"{folder} is another one, {seen}")
    told = f" {'; '.join(others)}." if others else ""
    raise CheckpointError(
        f"The picture followed the control net {name!r} of the fingerprint {settings.fingerprint}, which was not "
        f"found; give its folder with --control.{told}"
    )


def _candidates(name: str, given: Sequence[Path]) -> Iterator[Path]:
    """Folders that may be the net, here and one level below."""
    for folder in given:
        yield from (folder, folder / name)
    yield Path(name)
    with suppress(OSError, ValueError):  # a name that no file can have
        yield from sorted(Path().glob(f"*/{glob.escape(name)}"))
