"""Details by an adapter: a clean reference is seen once by the U-Net, and every step reads what was seen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from blipdiff.attention.context import Added
from blipdiff.attention.maps import resized
from blipdiff.attention.reference import Reference
from blipdiff.attention.sites import AttentionSite
from blipdiff.attention.store import grid
from blipdiff.attention.taps import TapCall, tapped
from blipdiff.conditioning.subject_weights import weights_resting
from blipdiff.diffusers_types import UNet
from blipdiff.errors import ConfigError, ShapeError
from blipdiff.models.detail_adapter import DetailAdapter, Offered, Seen, places_of
from blipdiff.moment import Moment, Window

Where = Tensor | Callable[[Moment], Tensor | None]
Frame: TypeAlias = tuple[float, float, float, float]

_KEPT_OFFERS = 64
_KEPT_NUMBERS = 2**22  # of a layer's biases: at the largest sizes they are computed at every step
_COVERED = 0.25  # of a position that is the subject where it is read


class SeenReference:
    """What an adapter's layers see of one reference; computed when it is first asked for, for all runs."""

    def __init__(self, unet: UNet, adapter: DetailAdapter, reference: Reference) -> None:
        self.adapter, self.reference = adapter, reference
        self._unet = unet
        self._seen: dict[str, Seen] = {}
        self._offered: dict[tuple[str, tuple[int, int], Frame | None], Offered] = {}
        self.calls = 0

    def keeps(self, moments: int) -> bool:  # noqa: ARG002
        """Whether a schedule of so many moments is computed once: there is one moment to it."""
        return True

    def at(self, site: AttentionSite) -> Seen | None:
        """What the layer sees of the subject; None where the adapter adds nothing."""
        if not self.adapter.reads_at(site.name):
            return None
        if not self._seen:
            self._seen = self._computed()
        return self._seen[site.name]

    def offered(self, site: AttentionSite, size: tuple[int, int], frame: Frame | None = None) -> Offered | None:
        """What the layer offers a picture whose places there are a grid of (height, width); None as above.

        frame: the part of the picture that is the subject's own, as `places_of` takes it
        """
        seen = self.at(site)
        if seen is None:
            return None
        known = site.name, size, frame
        if known in self._offered:
            return self._offered[known]
        with torch.no_grad():
            places = places_of(*size, seen.states.device, frame)
            offered = self.adapter.layer(site.name).offered(places, seen)
        if offered.bias.numel() <= _KEPT_NUMBERS and len(self._offered) < _KEPT_OFFERS:
            self._offered[known] = offered
        return offered

    def _computed(self) -> dict[str, Seen]:
        latents = self.reference.latents.to(self._unet.device, self._unet.dtype)
        with torch.no_grad(), weights_resting():
            states = clean_states(self._unet, self.adapter, latents, self.reference.words.to(latents))
        self.calls += 1
        mask = self.reference.mask[None].to(latents.device)
        seen = {}
        for name, found in seen_of(states, latents, mask).items():
            inside = found.is_inside
            assert inside is not None
            kept = inside[0].nonzero().flatten()
            seen[name] = Seen(found.states[:, kept], found.places[kept])
        return seen


def clean_states(unet: UNet, adapter: DetailAdapter, latents: Tensor, words: Tensor) -> dict[str, Tensor]:
    """The states of an adapter's layers where the U-Net is given latents without noise: (rows, positions, width)."""
    recorder = _Recorder(adapter)
    call = TapCall((), Moment(0, 1, torch.tensor(0)), 0, more_keys=recorder)
    with tapped(unet):
        unet(latents, 0, words, cross_attention_kwargs={"tap_call": call}, return_dict=False)
    return recorder.found


def seen_of(states: dict[str, Tensor], latents: Tensor, masks: Tensor) -> dict[str, Seen]:
    """States, latents (rows, channels, h, w) and masks (rows, h, w) of references as their layers read them."""
    sizes: dict[int, tuple[int, int]] = {}
    for level in range(8):
        height, width = grid((latents.shape[-2], latents.shape[-1]), level)
        sizes.setdefault(height * width, (height, width))
    seen = {}
    for name, found in states.items():
        size = sizes[found.shape[1]]
        small = interpolate(latents.float(), size, mode="area").flatten(2).transpose(1, 2)
        covered = interpolate(masks.float()[:, None], size, mode="area").flatten(1)
        inside = covered > torch.minimum(covered.amax(1, keepdim=True) * 0.99, covered.new_tensor(_COVERED))
        places = places_of(size[0], size[1], found.device)
        seen[name] = Seen(torch.cat([found, small.to(found)], dim=-1), places, inside)
    return seen


@dataclass(frozen=True, slots=True, eq=False)
class AdaptedRead:
    """One reference as a run reads it; weight and where as in `reference.Read`.

    is_framed: whether the subject fills the place where it is read, as a picture of its own, and not the whole picture
    """

    seen: SeenReference
    weight: float | Tensor = 1.0
    where: Where | None = None
    is_framed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class AdaptedReading:
    """A run that reads references by an adapter.

    detail: 0 to 1, how much of what the adapter adds is added; latent_size: (h, w) of the picture

    Raises: ConfigError for a detail that is not above 0 and up to 1.
    """

    reads: Sequence[AdaptedRead]
    detail: float
    latent_size: tuple[int, int]
    window: Window = field(default_factory=Window)

    def __post_init__(self) -> None:
        if not 0 < self.detail <= 1:
            raise ConfigError(f"A detail of {self.detail} was given; it is above 0 and up to 1.")

    def more(self, states: Tensor, site: AttentionSite, moment: Moment) -> Added | None:
        """What all references add to a layer, each by its weight and place."""
        if not self.window.holds(moment):
            return None
        total: Tensor | None = None
        for read in self.reads:
            where = read.where(moment) if callable(read.where) else read.where
            if not read.seen.adapter.reads_at(site.name) or (read.where is not None and where is None):
                continue
            size = _size_of(self.latent_size, states.shape[1], site)
            frames = [frame_of(one) for one in where] if read.is_framed and where is not None else [None]
            parts = states.split(1) if len(frames) > 1 else (states,)
            answers = [_answered(read, site, size, *one) for one in zip(parts, frames, strict=True)]
            added = torch.cat(answers) * self.detail
            weight = torch.as_tensor(read.weight, dtype=torch.float32).clamp(min=0).reshape(-1, 1, 1).to(added)
            if where is not None:
                weight = weight * resized(where.float()[:, None], size, smooth=True).flatten(1)[..., None].to(added)
            total = added * weight if total is None else total + added * weight
        return None if total is None else Added(total)


def _answered(
    read: AdaptedRead, site: AttentionSite, size: tuple[int, int], states: Tensor, frame: Frame | None
) -> Tensor:
    offered = read.seen.offered(site, size, frame)
    assert offered is not None
    return read.seen.adapter.layer(site.name).answer(states, offered)


def frame_of(mask: Tensor) -> Frame | None:
    """The box around what a mask (h, w) covers, in fractions of its sides; None where it covers nothing."""
    inside = mask > mask.amax() / 2
    if not bool(inside.any()):
        return None
    rows, columns = (inside.any(across).nonzero().flatten() for across in (1, 0))
    height, width = mask.shape
    return int(rows[0]) / height, int(columns[0]) / width, (int(rows[-1]) + 1) / height, (int(columns[-1]) + 1) / width


class _Recorder:
    """Notes what an adapter's layers are given, and gives them nothing."""

    def __init__(self, adapter: DetailAdapter) -> None:
        self.found: dict[str, Tensor] = {}
        self._adapter = adapter

    def more(self, states: Tensor, site: AttentionSite, moment: Moment) -> None:  # noqa: ARG002
        if self._adapter.reads_at(site.name):
            self.found[site.name] = states


def _size_of(latent_size: tuple[int, int], positions: int, site: AttentionSite) -> tuple[int, int]:
    for level in range(8):
        height, width = grid(latent_size, level)
        if height * width == positions:
            return height, width
    raise ShapeError(f"{site.name} has {positions} positions, which latents of {latent_size} have at no level.")
