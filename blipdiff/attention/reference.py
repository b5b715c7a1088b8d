"""Reference attention: self-attention layers also read a subject's photo, as the same U-Net sees it at that moment.

Sixteen rows say what a subject is like; its keyhole, its stripe, the print on a can they cannot. The photo, noised to
the run's moment, passes through the same U-Net, and its states inside the subject's cut-out join the picture's keys
and values. That takes no training ("reference-only" of the ControlNet extension; masked, Ding et al. 2024, FreeCustom,
arXiv:2405.13870). Two things differ from the paper: the noise is the same in every run, so that a reference's states
are computed once for a schedule and kept; and how much is read is a dial rather than a constant.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor

from blipdiff.attention.context import Added, KeyValueSource, MoreKeys
from blipdiff.attention.maps import resized
from blipdiff.attention.sites import AttentionSite
from blipdiff.attention.store import grid
from blipdiff.attention.taps import TapCall, tapped
from blipdiff.conditioning.subject_weights import weights_resting
from blipdiff.diffusers_types import UNet
from blipdiff.errors import ConfigError, ShapeError
from blipdiff.moment import Moment, Window

MOST_BYTES = 2**29  # of one reference's states

_INSIDE = 0.5  # how much of a position the cut-out covers where that is read
_MOST_DETAIL = 0.95  # beyond, a picture would read hardly anything of its own
_MAP_POSITIONS = 32 * 32  # of a layer whose reading is shown

Where: TypeAlias = Tensor | Callable[[Moment], Tensor | None]  # (rows or 1, h, w) in [0, 1]; None: not known yet


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A subject's photo as a U-Net reads it.

    latents: (1, channels, h, w) of the cut-out on plain ground; noise: the same shape; mask: (h, w) in [0, 1], what of
    them is the subject; words: (1, slots, width), what the photo shows

    Raises: ShapeError for other shapes, ConfigError for a mask that is empty.
    """

    latents: Tensor
    noise: Tensor
    mask: Tensor
    words: Tensor

    def __post_init__(self) -> None:
        shape = tuple(self.latents.shape)
        if len(shape) != 4 or shape[0] != 1 or self.noise.shape != self.latents.shape:
            noise = tuple(self.noise.shape)
            raise ShapeError(f"A reference has the shape {shape}, its noise {noise}; both are (1, channels, h, w).")
        if tuple(self.mask.shape) != shape[2:]:
            raise ShapeError(f"The mask is {tuple(self.mask.shape)}, the reference's latents are {shape[2:]}.")
        if not bool((self.mask > 0).any()):
            raise ConfigError("A reference's mask is empty: there is no subject in it.")

    def noised(self, signal: float) -> Tensor:
        """The latents at a moment that has kept `signal` of their variance, scaled as every U-Net reads them."""
        return math.sqrt(signal) * self.latents + math.sqrt(1 - signal) * self.noise


class ReferenceStates:
    """What the self-attention layers of a U-Net are given inside a reference's mask, at every moment of a schedule.

    The states of a moment are computed by one call of the U-Net when they are first asked for, and kept as long as
    all that is kept stays below `most_bytes`; else they are computed for every run anew, with the same result.

    blocks: of the layers that are looked at; dtype: in which states are kept, and read whether kept or not
    """

    def __init__(
        self,
        unet: UNet,
        reference: Reference,
        blocks: Sequence[str] = ("down", "mid", "up"),
        *,
        most_bytes: int = MOST_BYTES,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        self.reference = reference
        self.blocks = tuple(blocks)
        self._unet, self._most, self._dtype = unet, most_bytes, dtype
        size = (reference.latents.shape[-2], reference.latents.shape[-1])
        grids = [grid(size, level) for level in range(len(unet.config.down_block_types))]
        self._inside = {height * width: _covered(reference.mask, (height, width)) for height, width in grids}
        self._counts = [height * width for height, width in grids]
        self._kept: OrderedDict[tuple[float, float], dict[str, Tensor]] = OrderedDict()
        self.calls = 0  # of the U-Net, so far

    @property
    def moment_bytes(self) -> int:
        """How much the states of one moment take."""
        size = torch.empty((), dtype=self._dtype).element_size()
        return sum(
            len(self._inside[self._counts[self._level(name)]]) * int(layer.to_k.in_features) * size
            for name, layer in self._unet.named_modules()
            if isinstance(layer, Attention) and not layer.is_cross_attention and self._is_wanted(name)
        )

    def keeps(self, moments: int) -> bool:
        """Whether a schedule of so many moments is computed once, and kept."""
        return self.moment_bytes * moments <= self._most

    def at(self, site: AttentionSite, moment: Moment, signal: float) -> tuple[Tensor, int]:
        """A layer's states inside the mask, (inside, width), and how many positions it has in the whole reference."""
        key = (float(moment.timestep), signal)
        if key not in self._kept:
            found = self._computed(moment, signal)
            while self._kept and (len(self._kept) + 1) * self.moment_bytes > self._most:
                self._kept.popitem()  # the latest: what is kept from the first moments on serves every later run
            self._kept[key] = found
        return self._kept[key][site.name], self._counts[self._level(site.name)]

    def _computed(self, moment: Moment, signal: float) -> dict[str, Tensor]:
        recorder = _Recorder(self.blocks, self._inside, self._dtype)
        unet, given = self._unet, self.reference
        call = TapCall((), moment, 0, more_keys=recorder)
        latents = given.noised(signal).to(unet.device, unet.dtype)
        words = given.words.to(unet.device, unet.dtype)
        with torch.no_grad(), tapped(unet), weights_resting():  # what is kept serves every subject's runs
            unet(latents, moment.timestep, words, cross_attention_kwargs={"tap_call": call}, return_dict=False)
        self.calls += 1
        return recorder.found

    def _is_wanted(self, layer: str) -> bool:
        return layer.partition("_")[0] in self.blocks  # down_blocks, mid_block, up_blocks

    def _level(self, layer: str) -> int:
        """How often the latents' sides are halved where this layer is."""
        block, number = layer.split(".")[:2]
        deepest = len(self._counts) - 1
        if block == "down_blocks":
            return int(number)
        return deepest - int(number) if block == "up_blocks" else deepest


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """One reference as a run reads it.

    weight: of this reference among several, for all rows or (rows,) for each; 0 leaves a row without it; where: on the
    picture it is read, everywhere if None
    """

    states: ReferenceStates
    weight: float | Tensor = 1.0
    where: Where | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceAttention:
    """A run that reads references: more keys and values for the self-attention layers of its conditional rows.

    detail: 0 to 1, the share of attention that a reference's position gets against one of the picture's that is as
    much alike: 0.5 counts it as the picture's own. References of another size count as if they had the picture's.

    signal: (timesteps,), `alphas_cumprod` of the run's scheduler; latent_size: (h, w) of the picture

    Raises: ConfigError for a detail that is not above 0 and up to 1.
    """

    reads: Sequence[Read]
    detail: float
    signal: Tensor
    latent_size: tuple[int, int]
    window: Window = field(default_factory=Window)

    def __post_init__(self) -> None:
        if not 0 < self.detail <= 1:
            raise ConfigError(f"A detail of {self.detail} was given; it is above 0 and up to 1.")

    def more(self, states: Tensor, site: AttentionSite, moment: Moment) -> MoreKeys | None:
        """The references' states inside their masks, each as heavy as detail, weight and place make it."""
        if not self.window.holds(moment):
            return None
        signal = float(self.signal[int(moment.timestep.round())])
        parts, biases = [], []
        for read in self.reads:
            if site.block not in read.states.blocks:
                continue
            bias = self._bias(read, states.shape[1], site, moment)
            if bias is None:
                continue
            kept, positions = read.states.at(site, moment, signal)
            parts.append(kept.to(states))
            bias = (bias + math.log(states.shape[1] / positions)).to(states)  # (rows or 1, queries or 1)
            biases.append(bias[..., None].expand(-1, -1, len(kept)))
        if not parts:
            return None
        rows, lines = (max(bias.shape[axis] for bias in biases) for axis in (0, 1))
        bias = torch.cat([one.expand(rows, lines, -1) for one in biases], dim=-1)[:, None]
        return MoreKeys(torch.cat(parts)[None].expand(states.shape[0], -1, -1), bias)

    def _bias(self, read: Read, queries: int, site: AttentionSite, moment: Moment) -> Tensor | None:
        """(rows or 1, queries or 1); None where nobody reads."""
        weight = torch.as_tensor(read.weight, dtype=torch.float32).clamp(min=0).reshape(-1, 1)
        where = read.where(moment) if callable(read.where) else read.where
        if (read.where is not None and where is None) or not bool((weight > 0).any()):
            return None
        shares = weight if where is None else weight * self._shown(where, queries, site).to(weight.device)
        detail = min(self.detail, _MOST_DETAIL)
        return shares.log() + math.log(detail / (1 - detail))

    def _shown(self, where: Tensor, queries: int, site: AttentionSite) -> Tensor:
        """A mask on the picture at a layer's own resolution: (rows or 1, queries)"""
        for level in range(8):
            height, width = grid(self.latent_size, level)
            if height * width == queries:
                return resized(where.float()[:, None], (height, width), smooth=True).flatten(1)
        raise ShapeError(f"{site.name} has {queries} positions, which latents of {self.latent_size} have at no level.")


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceRows:
    """Rows that each read references of their own; None for a row that reads none."""

    rows: Sequence[KeyValueSource | None]

    def more(self, states: Tensor, site: AttentionSite, moment: Moment) -> MoreKeys | Added | None:
        """Each row's own, all as long as the longest: what is filled in is left out."""
        given = [
            None if one is None else one.more(states[row : row + 1], site, moment) for row, one in enumerate(self.rows)
        ]
        there = [one for one in given if isinstance(one, MoreKeys)]
        if any(isinstance(one, Added) for one in given):
            nothing = torch.zeros_like(states[:1])
            return Added(torch.cat([one.output if isinstance(one, Added) else nothing for one in given]))
        if not there:
            return None
        longest = max(one.states.shape[1] for one in there)
        lines = max(1 if one.bias is None else one.bias.shape[2] for one in there)
        filled = states.new_zeros(len(given), longest, states.shape[2])
        bias = states.new_full((len(given), 1, lines, longest), -torch.inf)
        for row, one in enumerate(given):
            if isinstance(one, MoreKeys):
                count = one.states.shape[1]
                filled[row, :count] = one.states[0]
                bias[row, :, :, :count] = 0 if one.bias is None else one.bias[0]
        return MoreKeys(filled, bias)


class ReferenceMap:
    """A tap that reads: how much each position of the picture took from references over a run."""

    def __init__(self, latent_size: tuple[int, int], levels: int) -> None:
        grids = (grid(latent_size, level) for level in range(levels))
        self._grids = {height * width: (height, width) for height, width in grids}
        self._sums: dict[int, Tensor] = {}
        self._layers: dict[int, int] = {}

    def wants(self, site: AttentionSite, moment: Moment, queries: int) -> bool:  # noqa: ARG002
        """Self-attention that is not too large to be looked at."""
        return site.kind == "self" and queries in self._grids and queries <= _MAP_POSITIONS

    def __call__(self, probs: Tensor, site: AttentionSite, moment: Moment) -> Tensor:  # noqa: ARG002
        """Takes note of what went to other keys than the layer's own."""
        queries = probs.shape[2]
        if probs.shape[-1] > queries:
            taken = probs[..., queries:].detach().float().sum(-1).mean(1)  # (rows, queries)
            self._sums[queries] = self._sums.get(queries, 0) + taken
            self._layers[queries] = self._layers.get(queries, 0) + 1
        return probs

    def mean(self) -> Tensor | None:
        """(rows, h, w) in [0, 1], the share of attention that references got; None where none was read."""
        if not self._sums:
            return None
        finest = self._grids[max(self._sums)]
        maps = [
            resized((total / self._layers[queries]).unflatten(1, self._grids[queries])[:, None], finest, smooth=True)
            for queries, total in self._sums.items()
        ]
        return torch.cat(maps, dim=1).mean(1)


class _Recorder:
    """Notes what layers are given inside a mask, and gives them nothing."""

    def __init__(self, blocks: Sequence[str], inside: dict[int, Tensor], dtype: torch.dtype) -> None:
        self.found: dict[str, Tensor] = {}
        self._blocks, self._inside, self._dtype = blocks, inside, dtype

    def more(self, states: Tensor, site: AttentionSite, moment: Moment) -> None:  # noqa: ARG002
        if site.block in self._blocks:
            inside = self._inside[states.shape[1]].to(states.device)
            self.found[site.name] = states[0].index_select(0, inside).to(self._dtype)


def _covered(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """The positions of a grid that a mask covers, by number; the one that it covers most, if it is so thin."""
    shares = torch.nn.functional.interpolate(mask.float().cpu()[None, None], size=size, mode="area").flatten()
    inside = (shares > _INSIDE).nonzero().flatten()
    return inside if len(inside) else shares.argmax()[None]
