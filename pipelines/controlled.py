"""Structures that tasks other than stylizing follow: an edit or a scene under control branches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from blipdiff.errors import ConfigError
from blipdiff.given_pictures import PictureLike
from pipelines.nets import told_control
from pipelines.stylize import Branch, Stylist, maps_from, told_maps
from pipelines.stylize_request import ControlSettings, plain_settings, settings_from


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """Branches that are ready, and what a picture's metadata say of them."""

    branches: tuple[Branch, ...] = ()
    told: Mapping[str, Any] = field(default_factory=dict)


def followed_structures(
    stylist: Stylist, controls: Sequence[ControlSettings], structures: Sequence[PictureLike], size: tuple[int, int]
) -> Followed:
    """A branch of each control, its structure fitted to pictures of `size` = (W, H); nothing without controls.

    structures: one for all controls, or one each

    Raises: ConfigError for another number of structures, CheckpointError for a net that is missing, ShapeError for
        one of another model, and what preprocessors raise.
    """
    return _of_maps(stylist, controls, stylist.maps_at(controls, structures, size)) if controls else Followed()


def restored_structures(stylist: Stylist, told: Mapping[str, Any]) -> Followed:
    """The branches that a picture's metadata tell of: `told` is its request.

    Raises: ConfigError where the maps are missing or damaged.
    """
    if "controls" not in told:
        return Followed()
    controls, maps = settings_from(told["controls"]), maps_from(told.get("maps"))
    if len(maps) != len(controls):
        raise ConfigError("The metadata lacks a map of the picture's structures; run it again from the structures.")
    return _of_maps(stylist, controls, maps)


def _of_maps(stylist: Stylist, controls: Sequence[ControlSettings], maps: Sequence[Image.Image]) -> Followed:
    branches = stylist.branches(controls, maps)
    for branch in branches:
        branch.check_unet(stylist.studio.model.unet)
    return Followed(branches, {"controls": [plain_settings(told_control(one)) for one in controls], **told_maps(maps)})
