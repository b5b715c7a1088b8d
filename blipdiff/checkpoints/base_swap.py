"""BLIP-Diffusion on another base: a checkpoint of Stable Diffusion 1.5 lends its look, by adding the difference.

result = custom + strength * (BLIP-Diffusion - original), for the U-Net and the text encoder. It is computed as
BLIP-Diffusion + (custom - original) at strength 1, so that the original as custom gives BLIP-Diffusion bit for bit.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from blipdiff.checkpoints.configs import read_json
from blipdiff.checkpoints.detect import is_file, is_folder, is_hub_id
from blipdiff.checkpoints.given_files import SUFFIXES, open_given
from blipdiff.checkpoints.hub import snapshot
from blipdiff.checkpoints.kinds import kind_of
from blipdiff.checkpoints.needed import DIFFUSERS_STEMS, TRANSFORMERS_STEMS, Names, weights_among
from blipdiff.checkpoints.single_file import text_encoder_in, text_names, unet_in
from blipdiff.checkpoints.weights import check_finite, check_names, open_tensors, weight_paths
from blipdiff.errors import CheckpointError, ConfigError
from blipdiff.models.identity import DRAWING, Fingerprint

ORIGINAL = "stable-diffusion-v1-5/stable-diffusion-v1-5"
PARTS = {"unet": "U-Net", "text_encoder": "text encoder"}
UNTOLD = "not told; see where it came from"

_RELEASE_BYTES = 64 * 2**20
_BLOCKS = re.compile(r"text_encoder|unet|(down|up)_blocks(\.\d+)?|mid_block|conv_(in|out)|time_embedding")
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)

Opened: TypeAlias = Callable[[], dict[str, Tensor]]  # a part's tensors, mapped anew from their files


@dataclass(frozen=True, slots=True)
class Strengths:
    """How much of BLIP-Diffusion's difference goes on the base: one value, and others for single blocks.

    Raises: ConfigError for a value that is not from 0 to 2, and for a block that is none.
    """

    whole: float = 1.0
    blocks: Mapping[str, float] = field(default_factory=dict)  # "text_encoder", "up_blocks.1", "mid_block"

    def __post_init__(self) -> None:
        for name, value in {"The strength": self.whole, **self.blocks}.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 2:
                raise ConfigError(f"{name} is {value!r}; a strength goes from 0 (the base alone) to 2.")
        unknown = [name for name in self.blocks if not _BLOCKS.fullmatch(name)]
        if unknown:
            raise ConfigError(
                f"There is no block {unknown[0]!r}; name text_encoder, unet, down_blocks.0, mid_block, up_blocks.1 "
                "and the like."
            )

    @classmethod
    def of(cls, given: "float | Strengths | Sequence[str]") -> "Strengths":
        """Of a number, or of texts: "0.8", "up_blocks.1=0.5". Raises: ConfigError for anything else."""
        if isinstance(given, Strengths):
            return given
        if isinstance(given, int | float):
            return cls(given)
        whole, blocks = 1.0, {}
        for text in given:
            name, sign, number = text.rpartition("=")
            try:
                value = float(number)
            except ValueError as reason:
                raise ConfigError(f"The strength {text!r} is none; write 0.8, or up_blocks.1=0.5.") from reason
            if sign:
                blocks[name] = value
            else:
                whole = value
        return cls(whole, blocks)

    def at(self, part: str, name: str) -> float:
        """Of one tensor: that of the most narrowly named block which holds it."""
        place = name if part == "unet" else part
        fitting = [one for one in self.blocks if place == one or place.startswith(f"{one}.") or one == part]
        return self.blocks[max(fitting, key=lambda one: (one != part, len(one)))] if fitting else self.whole

    @property
    def text(self) -> str:
        """As people read it."""
        return ", ".join([f"{self.whole:g}", *(f"{name}={value:g}" for name, value in self.blocks.items())])


@dataclass(frozen=True, slots=True)
class Base:
    """Another base for a model: where it is, where the original is, and how much of the difference goes on it."""

    source: str
    original: str | None = None
    strengths: Strengths = field(default_factory=Strengths)


@dataclass(frozen=True, slots=True, eq=False)
class StableDiffusion:
    """A checkpoint of Stable Diffusion 1.5 on this machine, its parts opened only when they are read."""

    name: str
    parts: Mapping[str, Opened]
    licence: str

    def fingerprint(self) -> str:
        """16 hexadecimal digits of its U-Net's weights, as they are stored."""
        return Fingerprint(DRAWING).added(self.parts["unet"]()).digest()


def original_of(source: str | None, unet_config: Mapping[str, Any], *, download: bool) -> StableDiffusion:
    """The original Stable Diffusion 1.5. Raises: CheckpointError that asks for it where it is not there."""
    try:
        return stable_diffusion(source or ORIGINAL, unet_config, download=download)
    except CheckpointError as reason:
        if source is not None:
            raise
        raise CheckpointError(
            "The difference is taken from the original Stable Diffusion 1.5, which is not on this machine: give its "
            f"folder, file or hub id with --original, or allow --download to fetch {ORIGINAL}."
        ) from reason


def stable_diffusion(source: str, unet_config: Mapping[str, Any], *, download: bool = False) -> StableDiffusion:
    """A checkpoint from a single file, a folder in diffusers' layout or a hub id.

    unet_config: of the U-Net that it shall fit

    Raises: CheckpointError that says what it is, where it is no checkpoint of Stable Diffusion 1.5.
    """
    if is_file(source):
        return _in_file(Path(source), unet_config)
    if is_folder(source):
        return _in_folder(Path(source), Path(source).absolute().name)
    if is_hub_id(source):
        return _in_folder(snapshot(source, download=download, choose=_files), source)
    raise CheckpointError(f"There is no checkpoint at {str(source)[:200]}; give a file, a folder or a hub id.")


def check_fit(one: StableDiffusion, expected: Mapping[str, Mapping[str, Tensor]]) -> list[str]:
    """The parts that a checkpoint has, when all their names and shapes are those of the model.

    Raises: CheckpointError for others.
    """
    for part, opened in one.parts.items():
        shapes = {name: tuple(value.shape) for name, value in opened().items()}
        check_names(dict(expected[part]), shapes, f"{PARTS[part]} ({one.name})")
    return list(one.parts)


def differences(
    part: str, own: Opened, custom: Opened, original: Opened, strengths: Strengths
) -> Iterator[tuple[str, Tensor]]:
    """Each tensor of a part on its new base, in the dtype that BLIP-Diffusion's has; one at a time in memory."""
    files, seen = [own(), custom(), original()], 0
    for name in list(files[0]):
        blip, other, before = (tensors[name] for tensors in files)
        yield name, _added(blip, other.reshape(blip.shape), before.reshape(blip.shape), strengths.at(part, name))
        seen += blip.nbytes + other.nbytes + before.nbytes
        if seen > _RELEASE_BYTES:  # mapped pages count as memory until the files are let go
            del blip, other, before
            files, seen = [own(), custom(), original()], 0


def _added(blip: Tensor, custom: Tensor, original: Tensor, strength: float) -> Tensor:
    if blip.dtype not in _FLOATS:
        return blip
    other = custom.float()
    moved = other - original.float()
    whole = torch.where(moved == 0, blip.float(), blip.float() + moved)  # adding zero would turn -0 to 0
    found = (whole if strength == 1 else torch.lerp(other, whole, strength)).to(blip.dtype)
    check_finite(found, blip, "A merged tensor")
    return found


def _in_file(path: Path, unet_config: Mapping[str, Any]) -> StableDiffusion:
    file = open_given(path)
    kind = file.kind
    if kind.family not in ("checkpoint", "unet") or not kind.fits:
        raise CheckpointError(f"{path} is {kind.text}; a checkpoint of Stable Diffusion 1.5 was expected.")
    parts: dict[str, Opened] = {"unet": lambda: unet_in(open_given(path).tensors, unet_config)}
    if text_encoder_in(file.tensors):
        parts["text_encoder"] = lambda: text_encoder_in(open_given(path).tensors)
    return StableDiffusion(path.stem, parts, file.metadata.get("modelspec.license") or UNTOLD)


def _in_folder(folder: Path, name: str) -> StableDiffusion:
    index = folder / "model_index.json"
    pipeline = str(read_json(index).get("_class_name", "")) if index.is_file() else ""
    if pipeline and not re.fullmatch(r"(StableDiffusion|BlipDiffusion)(Img2Img|ControlNet)?Pipeline", pipeline):
        raise CheckpointError(f"{name} is made for {pipeline}; a checkpoint of Stable Diffusion 1.5 was expected.")
    if not (folder / "unet").is_dir():
        files = [one.name for one in folder.iterdir() if one.suffix in SUFFIXES]
        hint = f"; give one of its files: {', '.join(files[:3])}" if files else ""
        raise CheckpointError(f"{name} holds no checkpoint in diffusers' layout: there is no unet/ in it{hint}.")
    inputs = read_json(folder / "unet" / "config.json").get("in_channels", 4)
    if inputs in (5, 8, 9):
        kind = {9: "an inpainting model", 8: "a model that edits by instructions", 5: "a model led by depth"}[inputs]
        raise CheckpointError(f"{name} is {kind} ({inputs} input channels); a plain Stable Diffusion 1.5 was expected.")
    parts: dict[str, Opened] = {"unet": lambda: _all(weight_paths(folder / "unet", DIFFUSERS_STEMS))}
    found = kind_of(parts["unet"]())
    if found.family != "unet" or not found.fits:
        raise CheckpointError(f"{name} holds {found.text}; a checkpoint of Stable Diffusion 1.5 was expected.")
    if (folder / "text_encoder").is_dir():
        paths = weight_paths(folder / "text_encoder", TRANSFORMERS_STEMS)
        parts["text_encoder"] = lambda: text_names(_all(paths))
    return StableDiffusion(name, parts, card_licence(folder / "README.md") or UNTOLD)


def _all(paths: list[Path]) -> dict[str, Tensor]:
    return {name: value for path in paths for name, value in open_tensors(path).items()}


def card_licence(card: Path) -> str | None:
    """What a model card says in its first lines: "license: creativeml-openrail-m"; None where it says nothing."""
    text = card.read_text(encoding="utf-8", errors="replace")[:4096] if card.is_file() else ""
    found = re.search(r"^license:\s*(\S.*)$", text, re.M)
    return found[1].strip() if found else None


def _files(names: Names) -> list[str]:
    """What of a hub's listing is needed: U-Net, text encoder, and the card that tells the licence."""
    parts = {"unet/": DIFFUSERS_STEMS, "text_encoder/": TRANSFORMERS_STEMS}
    found = [name for folder, stems in parts.items() for name in weights_among(names, folder, stems)]
    if not any(name.startswith("unet/") for name in found):
        raise CheckpointError("there is no U-Net in diffusers' layout in it")
    small = ("unet/config.json", "text_encoder/config.json", "model_index.json", "README.md")
    return [*found, *(name for name in small if name in names)]
