"""One prediction of the noise: the U-Net under guidance, control branches and attention taps."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

from blipdiff.attention.context import KeyValueSource, SiteConditioning
from blipdiff.attention.taps import AttentionTap, TapCall
from blipdiff.conditioning.guidance import Guidance
from blipdiff.conditioning.image_prompt import ImagePrompt, read_by
from blipdiff.control.controlnet import ControlBranch
from blipdiff.diffusers_types import UNet
from blipdiff.errors import ShapeError
from blipdiff.models.acting_weights import acting
from blipdiff.models.caching import ALL_WHOLE, Caching
from blipdiff.moment import Moment
from blipdiff.sampling.caching import DeepFeatures
from blipdiff.sampling.stopping import check_stopped
from blipdiff.stand_ins import allowing, computed

NoisePredictor: TypeAlias = Callable[[Tensor, Moment], Tensor]
Residuals: TypeAlias = tuple[list[Tensor], Tensor | None]  # without a middle: an adapter's features


class Control(Protocol):
    """What steers the U-Net through residuals: a ControlNet, a T2I-Adapter."""

    @property
    def conditional_only(self) -> bool:
        """Whether the unconditional rows go without."""

    def residuals(
        self, latents: Tensor, context: Tensor, moment: Moment, rows: Sequence[int] | None = None
    ) -> Residuals | None:
        """(down blocks, mid block) for each row of `latents`, which belong to the pictures `rows`; None to pass.

        A T2I-Adapter's features, which go into the down blocks rather than around them, come without a mid block.
        """


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of one U-Net call: the unconditional ones first, then the conditional ones."""

    pictures: list[int]  # the picture that each row of the call belongs to
    unconditional: int

    @property
    def guided(self) -> list[int]:
        return self.pictures[: self.unconditional]


class GuidedPredictor:
    """The U-Net's noise prediction under classifier-free guidance with a scale for each row.

    Latents come in and the prediction goes out in float32; only the networks run in their own dtype. The
    unconditional half is computed only for rows with a scale other than 1, and only inside the guidance window.

    may_stand_in: whether what is held beside U-Net and ControlNets (`blipdiff.stand_ins`) may compute; a run that
    looks into the U-Net, adds to it or keeps deep features is torch's in any case;
    caching: how deep features are kept between the calls of the one run; every call is whole where a run looks into the
    U-Net, adds to it, or is steered by controls

    Raises: ShapeError when the conditioning's width is not the U-Net's, ConfigError for caching that it cannot do.
    """

    def __init__(
        self,
        unet: UNet,
        guidance: Guidance,
        controls: Sequence[Control] = (),
        taps: Sequence[AttentionTap] = (),
        conditioning: SiteConditioning | None = None,
        more_keys: KeyValueSource | None = None,
        image_prompt: ImagePrompt | None = None,
        *,
        may_stand_in: bool = False,
        caching: Caching = ALL_WHOLE,
    ) -> None:
        width = guidance.positive.embeddings.shape[-1]
        if width != unet.config.cross_attention_dim:
            raise ShapeError(
                f"The text conditioning has width {width}, the U-Net reads width {unet.config.cross_attention_dim}."
            )
        self.unet = unet
        self.guidance = guidance
        self.controls = tuple(controls)
        self.taps = tuple(taps)
        self.conditioning = conditioning
        self.more_keys = more_keys
        reads = image_prompt is not None or getattr(unet.config, "encoder_hid_dim_type", None) is not None
        self.image_prompt = read_by(unet, image_prompt) if reads else None
        looks = bool(self.taps) or conditioning is not None or more_keys is not None or reads
        adds = bool(guidance.positive.weights) or not all(isinstance(one, ControlBranch) for one in self.controls)
        alone = not (looks or adds or self.controls)
        self.deep = DeepFeatures(unet, caching) if caching.is_on and alone else None
        self.may_stand_in = may_stand_in and not looks and not adds and self.deep is None

    def __call__(self, latents: Tensor, moment: Moment) -> Tensor:
        """latents: (rows, channels, h, w), scaled for this moment -> the prediction, the same shape, float32

        Raises: ShapeError when there are other rows than the guidance has.
        """
        if latents.shape[0] != self.guidance.rows:
            raise ShapeError(f"{latents.shape[0]} rows of latents were given to guidance for {self.guidance.rows}.")
        guided = self.guidance.guided_rows(moment)
        rows = _Rows([*guided, *range(latents.shape[0])], len(guided))
        inputs = latents[rows.pictures].to(self.unet.dtype)
        context = self._context(guided).to(inputs.device, inputs.dtype)
        with allowing(self.may_stand_in):
            prediction = self._predicted(inputs, context, moment, rows)
        if not guided:
            return prediction
        unconditional, conditional = prediction[: len(guided)], prediction[len(guided) :]
        scale = self.guidance.scale[guided].to(prediction).view(-1, 1, 1, 1)
        mixed: Tensor = unconditional + scale * (conditional[guided] - unconditional)
        return conditional.index_copy(0, torch.tensor(guided, device=conditional.device), mixed)

    def _predicted(self, inputs: Tensor, context: Tensor, moment: Moment, rows: _Rows) -> Tensor:
        """The U-Net's output for each row, float32."""
        if self.deep is not None:
            return self.deep(inputs, context, moment, (rows.unconditional, *rows.pictures)).float()
        extras = self._extras(inputs, context, moment, rows)
        if self.may_stand_in:
            around = extras.get("down_block_additional_residuals", [])
            given = [*around, extras["mid_block_additional_residual"]] if around else []
            check_stopped()
            found = computed(self.unet, inputs, moment.timestep, context, *given)
            if found is not None:
                return found[0]
        weights, size = self.guidance.positive.weights, (inputs.shape[-2], inputs.shape[-1])
        with acting(self.unet, weights, rows.pictures, moment, size) if weights else nullcontext():
            output = self.unet(inputs, moment.timestep, encoder_hidden_states=context, return_dict=False, **extras)
        prediction: Tensor = output[0].float()
        return prediction

    def _context(self, guided: list[int]) -> Tensor:
        positive = self.guidance.positive.embeddings
        if not guided or self.guidance.negative is None:
            return positive
        return torch.cat([self.guidance.negative.embeddings[guided], positive])

    def _extras(self, inputs: Tensor, context: Tensor, moment: Moment, rows: _Rows) -> dict[str, Any]:
        extras: dict[str, Any] = {}
        around, within = self._residuals(inputs, context, moment, rows)
        if around:
            extras["down_block_additional_residuals"] = around[:-1]
            extras["mid_block_additional_residual"] = around[-1]
        if within:
            extras["down_intrablock_additional_residuals"] = within
        if self.image_prompt is not None:
            embeds = self.image_prompt.embeds(rows.pictures, rows.unconditional)
            extras["added_cond_kwargs"] = {"image_embeds": [one.to(inputs) for one in embeds]}
        if self.taps or self.conditioning is not None or self.more_keys is not None:
            call = TapCall(self.taps, moment, rows.unconditional, self.conditioning, self.more_keys)
            extras["cross_attention_kwargs"] = {"tap_call": call}
        return extras

    def _residuals(
        self, inputs: Tensor, context: Tensor, moment: Moment, rows: _Rows
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The sums of what control nets add around the blocks, and of what adapters add within them."""
        around: list[Tensor] = []
        within: list[Tensor] = []
        for control in self.controls:
            first = rows.unconditional if control.conditional_only else 0
            given = control.residuals(inputs[first:], context[first:], moment, rows.pictures[first:])
            if given is None:
                continue
            down, middle = given
            parts = [
                _after_zeros(part.to(inputs.dtype), first) for part in (down if middle is None else [*down, middle])
            ]
            if middle is None:
                within = _summed(within, parts)
            else:
                around = _summed(around, parts)
        return around, within


def _summed(total: list[Tensor], parts: list[Tensor]) -> list[Tensor]:
    return [one + other for one, other in zip(total, parts, strict=True)] if total else parts


def _after_zeros(part: Tensor, rows: int) -> Tensor:
    return torch.cat([part.new_zeros((rows, *part.shape[1:])), part]) if rows else part
