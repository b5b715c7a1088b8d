"""What makes a loaded model fast where it is, and a report of what was switched on."""

from dataclasses import dataclass

from blipdiff.devices import Placement, memory_format, uses_xformers
from blipdiff.models.blip_diffusion import BlipDiffusion


@dataclass(frozen=True, slots=True)
class Acceleration:
    """What is on, in words that a bug report can carry."""

    device: str
    dtype: str
    memory_format: str
    attention: str


def accelerate(model: BlipDiffusion, place: Placement) -> Acceleration:
    """Convolutions in the memory format that is fastest there, and the attention kernel that really runs."""
    layout = memory_format(place.device)
    for net in (model.unet, model.vae, model.controlnet):
        if net is not None:
            net.to(memory_format=layout)
    attention = "scaled_dot_product_attention"
    if uses_xformers(place.device):
        model.unet.enable_xformers_memory_efficient_attention()
        attention = "xformers"
    return Acceleration(str(place.device), place.dtype_name, str(layout).removeprefix("torch."), attention)
