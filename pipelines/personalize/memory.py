"""What learning a subject will take of memory, counted from shapes before anything is learned."""

from dataclasses import dataclass, replace
from typing import cast

import psutil
import torch
from torch import Tensor

from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.training.memory import GIGABYTE, MemoryPlan, kept_bytes
from blipdiff.training.personalize import Method, copied, twin_of
from blipdiff.training.sections import PersonalRecipe
from pipelines.personalize.defaults import batch_of
from pipelines.personalize.request import PersonalizeRequest

_IN_FLIGHT = 1.35  # of what is kept for the backward pass: with what it computes meanwhile, measured at full size
_LIBRARIES = 0.5 * GIGABYTE  # what PyTorch and its neighbours take beside


@dataclass(frozen=True, slots=True)
class PlannedMemory:
    """What is needed, and whether blocks are computed again in the backward pass for want of room."""

    plan: MemoryPlan
    checkpointing: bool
    free: int

    @property
    def sentence(self) -> str:
        """As people read it."""
        again = ", with blocks computed again in the backward pass" if self.checkpointing else ""
        short = "" if self.plan.total + _LIBRARIES < self.free else f"; only {self.free / GIGABYTE:.1f} GB are free"
        return f"Learning takes about {self.plan.total / GIGABYTE:.2f} GB of memory{again}{short}."


def planned_memory(model: BlipDiffusion, request: PersonalizeRequest) -> PlannedMemory:
    """For a loaded model: all that is held while it learns, its own weights included."""
    free = _free(model.device) + _own(model)
    plain = memory_plan(model, request, checkpointing=False)
    if plain.total + _LIBRARIES < free:
        return PlannedMemory(plain, False, free)
    return PlannedMemory(memory_plan(model, request, checkpointing=True), True, free)


def memory_plan(model: BlipDiffusion, request: PersonalizeRequest, *, checkpointing: bool) -> MemoryPlan:
    """Bytes that are held in the middle of a step, from shapes alone."""
    method, batch = cast("Method", request.method), batch_of(model, request)
    recipe = PersonalRecipe(
        steps=1, batch=batch, learning_rate=0.0, warmup_steps=0, cooldown_fraction=0.0, weight_decay=0.0,
        ema_decay=0.0, rank=request.rank, rank_falls=False,
    )  # fmt: skip
    with torch.no_grad():
        unet = copied(model.unet, shares=False).to("meta")
    with torch.device("meta"):
        twin = twin_of(replace(model, unet=unet), method, recipe, seed=0).unet
    trained = sum(one.numel() for one in twin.parameters() if one.requires_grad)
    side, width = int(unet.config.sample_size), int(unet.config.cross_attention_dim)
    channels = int(unet.config.in_channels)
    torch.nn.Module.to(twin, torch.bfloat16)
    rows = batch + recipe.silent_rows(batch - round(batch * request.prior))
    words = torch.empty(rows, model.positions, width, dtype=torch.bfloat16, device="meta", requires_grad=True)
    noised = torch.empty(rows, channels, side, side, dtype=torch.bfloat16, device="meta")
    times = torch.zeros(rows, device="meta")

    def forward() -> Tensor:
        said: Tensor = twin(noised, times, words, return_dict=False)[0]
        return said

    activations = round(_IN_FLIGHT * kept_bytes(forward, twin, checkpointing=checkpointing))
    whole = trained if method == "full" else 0
    return MemoryPlan(
        trained=trained,
        frozen=_numbers(model) - whole,
        weights=_own(model) + trained * 4 + whole * 4,  # a whole U-Net learns as a copy, beside what it began as
        copies=0 if unet.dtype == torch.bfloat16 else 2 * sum(one.numel() for one in unet.parameters()),
        gradients=trained * 4,
        moments=2 * trained * (1 if request.eight_bit else 4),
        averages=trained * 4,
        activations=activations,
    )


def _numbers(model: BlipDiffusion) -> int:
    return sum(one.numel() for net in _networks(model) for one in net.parameters())


def _own(model: BlipDiffusion) -> int:
    return sum(one.nbytes for net in _networks(model) for one in net.parameters())


def _networks(model: BlipDiffusion) -> tuple[torch.nn.Module, ...]:
    return (model.subject_encoder, model.text_encoder, model.unet, model.vae)


def _free(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)
