"""What makes a loaded model fast where it is, and a report of what was switched on."""

from dataclasses import dataclass

from blipdiff.devices import Placement, memory_format, uses_xformers
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.ranges import TORCH
from blipdiff.sampling.openvino_engine.engine import Engine


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
    for net in (model.unet, model.vae, model.controlnet):
        if net is not None:
            net.to(memory_format=layout)
    attention = "scaled_dot_product_attention"
    if uses_xformers(place.device):
        model.unet.enable_xformers_memory_efficient_attention()
        attention = "xformers"
    if engine is not None:
        engine.serve(model.unet, model.vae, model.controlnet)
    return Acceleration(
        str(place.device),
        place.dtype_name,
        str(layout).removeprefix("torch."),
        attention,
        TORCH if engine is None else engine.name,
    )
