"""Control nets and detectors, each loaded once; structures become maps, and maps become control branches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TypeAlias

from diffusers import T2IAdapter
from PIL import Image
from torch import Tensor

from blipdiff.checkpoints.controls import load_control
from blipdiff.control.adapter import AdapterBranch
from blipdiff.control.choices import INPAINT
from blipdiff.control.controlnet import ControlBranch
from blipdiff.control.preprocessors import Preprocessors
from blipdiff.devices import Placement
from blipdiff.diffusers_types import Adapter, ControlNet
from blipdiff.given_pictures import PictureLike
from blipdiff.images import as_layers, as_rgb, fitted, map_tensor, picture_tensor
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.sampling.acceleration import fit
from pipelines.controls.found import found_control, told_control, untold_nets
from pipelines.controls.settings import ControlSettings
from pipelines.inputs import Input, given_images, picture_text, pixels_hash
from pipelines.job import Job

Branch: TypeAlias = ControlBranch | AdapterBranch

_MOST_MAP_LETTERS = 300_000  # of maps in a picture's metadata, which has room for a million


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """Branches that are ready, with what pictures tell of them."""

    branches: tuple[Branch, ...] = ()
    maps: tuple[Image.Image, ...] = ()
    controls: tuple[ControlSettings, ...] = ()  # with nets by their names and fingerprints
    notices: tuple[str, ...] = ()

    def inputs(self) -> dict[str, tuple[Input, ...]]:
        """The maps, so that a picture can be drawn again without its structures; their hashes where they are large."""
        if not self.maps:
            return {}
        letters = sum(len(picture_text(one)) for one in self.maps)
        if letters > _MOST_MAP_LETTERS:
            return {"map": tuple(Input(None, pixels=pixels_hash(one)) for one in self.maps)}
        return {"map": tuple(Input(one) for one in self.maps)}


class Nets:
    """The ControlNets and detectors that a model has used.

    folders: where nets are looked for that metadata name; loaded: told of each net once it is there
    """

    def __init__(
        self,
        model: BlipDiffusion,
        *,
        download: bool = False,
        folders: Sequence[Path] = (),
        loaded: Callable[[ControlNet | Adapter], None] = lambda _net: None,
    ) -> None:
        self._model, self._download, self._loaded = model, download, loaded
        self._folders = tuple(folders)
        self.preprocessors = Preprocessors(download=download, device=str(model.device))
        self._nets: dict[str, ControlNet | Adapter] = {}
        self._loading = Lock()

    def net(self, name: str) -> ControlNet | Adapter:
        """The ControlNet or T2I-Adapter of this name, folder or hub id, on the model's device and in its dtype.

        Raises: CheckpointError when there is none.
        """
        with self._loading:
            if name not in self._nets:
                unet = self._model.unet
                loaded = load_control(
                    name, dtype=unet.dtype, device=unet.device, download=self._download, unet_config=unet.config
                )
                self._loaded(loaded)
                self._nets[name] = loaded.eval().requires_grad_(False)
                fit(self._nets[name], Placement(unet.device, unet.dtype))
            return self._nets[name]

    def maps(
        self, controls: Sequence[ControlSettings], structures: Sequence[PictureLike], size: tuple[int, int]
    ) -> tuple[Image.Image, ...]:
        """The map of each control at `size` = (W, H); `structures` is one for all, or one each.

        Raises: what preprocessors raise.
        """
        pictures = list(structures) * (len(controls) if len(structures) == 1 else 1)
        return tuple(
            map_of(self.preprocessors, settings, picture, size)
            for settings, picture in zip(controls, pictures, strict=True)
        )

    def branches(self, controls: Sequence[ControlSettings], maps: Sequence[Image.Image]) -> tuple[Branch, ...]:
        """A branch of each control on its map, checked against the U-Net.

        Raises: CheckpointError when a net is missing, or is nowhere found, ShapeError for one of another model.
        """
        known = (*self._folders, *(Path(name) for name in self._nets))
        found = tuple(
            branch_of(self.net(found_control(one, known)), _map_tensor(drawn, one).to(self._model.device), one)
            for one, drawn in zip(controls, maps, strict=True)
        )
        for branch in found:
            branch.check_unet(self._model.unet)
        return found

    def followed(self, job: Job, size: tuple[int, int], structures: Sequence[PictureLike] | None = None) -> Followed:
        """What an opened job's controls follow in pictures of `size` = (W, H): its maps, else its structures.

        structures: instead of the job's own

        Raises: as `branches`, and what preprocessors raise.
        """
        controls: tuple[ControlSettings, ...] = job.request.controls
        if not controls:
            return Followed()
        maps: Sequence[Image.Image] = given_images(job.given("map"))
        if not maps:
            maps = self.maps(controls, structures or given_images(job.given("structure")), size)
        told = tuple(told_control(one) for one in controls)
        notices = untold_nets(controls) if job.model is not None else ()
        return Followed(self.branches(controls, maps), tuple(maps), told, tuple(notices))


def map_of(
    preprocessors: Preprocessors, settings: ControlSettings, structure: PictureLike, size: tuple[int, int]
) -> Image.Image:
    """The map of a structure picture at `size` = (W, H): cut, laid on black, or stretched, then preprocessed.

    A picture is fitted before its map is made, so that edges stay thin; a margin is added after, so that it has none.
    """
    rgb = as_layers(structure) if settings.preprocessor == INPAINT else as_rgb(structure)
    if settings.structure_fit != "pad":
        return preprocessors.map_of(_resized(rgb, size, settings.structure_fit, settings), settings.map_choice())
    scale = min(size[0] / rgb.width, size[1] / rgb.height)
    inner = (max(1, min(size[0], round(rgb.width * scale))), max(1, min(size[1], round(rgb.height * scale))))
    drawn = preprocessors.map_of(_resized(rgb, inner, "squash", settings), settings.map_choice())
    frame = Image.new(drawn.mode, size)
    frame.paste(drawn, ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    return frame


def _resized(rgb: Image.Image, size: tuple[int, int], fit: str, settings: ControlSettings) -> Image.Image:
    return fitted(rgb, size, fit, settings.structure_resample)  # type: ignore[arg-type]


def _map_tensor(drawn: Image.Image, settings: ControlSettings) -> Tensor:
    return (map_tensor if settings.preprocessor == INPAINT else picture_tensor)(drawn)[None]


def branch_of(net: ControlNet | Adapter, picture: Tensor, settings: ControlSettings) -> Branch:
    """A net with its map (1 or rows, 3, H, W), as the settings say."""
    asked = (picture, settings.strength, settings.window(), settings.guess)
    return AdapterBranch.of(net, *asked) if isinstance(net, T2IAdapter) else ControlBranch(net, *asked)
