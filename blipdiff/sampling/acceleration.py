"""What makes a loaded model fast where it is, and a report of what was switched on."""

from dataclasses import dataclass

import torch
from torch import nn

from blipdiff.attention.tiled import set_tiled
from blipdiff.devices import Placement, attends_slowly, memory_format, uses_xformers
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.ranges import TORCH
from blipdiff.sampling.openvino_engine.engine import Engine

SDPA, TILED, XFORMERS = "scaled_dot_product_attention", "tiled products", "xformers"


@dataclass(frozen=True, slots=True)
class Acceleration:
    """What is on, in words that a bug report can carry."""

    device: str
    dtype: str
    memory_format: str
    attention: str
    engine: str = TORCH


def accelerate(model: BlipDiffusion, place: Placement, engine: Engine | None = None) -> Acceleration:
    """Convolutions in the memory format that is fastest there, the attention kernel that really runs, and the engine.

    engine: what computes the networks from now on; without one they stay with what computes them
    """
    layout = memory_format(place.device)
    kernel = attention_kernel(place)
    for net in (model.unet, model.vae, model.controlnet):
        if net is not None:
            fit(net, place)
    if kernel == XFORMERS:
        model.unet.enable_xformers_memory_efficient_attention()
    if engine is not None:
        engine.serve(model.unet, model.vae, model.controlnet)
    return Acceleration(
        str(place.device),
        place.dtype_name,
        str(layout).removeprefix("torch."),
        kernel,
        TORCH if engine is None else engine.report,
    )


def fit(net: nn.Module, place: Placement) -> None:
    """One network, of the model or brought beside it: its memory format, and tiles where they are the faster kernel.

    A processor that someone has set stays, such as an IP-Adapter's.
    """
    net.to(memory_format=memory_format(place.device))  # type: ignore[call-overload]
    if attention_kernel(place) == TILED:
        set_tiled(net)


def attention_kernel(place: Placement) -> str:
    """The kernel for large attention layers there; small ones, and masked ones, are SDPA's wherever tiles are used."""
    if uses_xformers(place.device):
        return XFORMERS
    tiled = place.device.type == "cpu" and place.dtype == torch.bfloat16 and attends_slowly()
    return TILED if tiled else SDPA
