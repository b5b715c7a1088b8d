"""Pictures of a run that is not finished: quick to make, and only to look at."""

import torch
from diffusers import AutoencoderTiny
from PIL import Image
from torch import Tensor

from blipdiff.diffusers_types import VAE
from blipdiff.images import to_pictures
from blipdiff.latents import decode_latents

# Stable Diffusion 1's four latent channels as red, green and blue, fitted by linear regression on its VAE.
_LATENT_COLOURS = torch.tensor(
    [[0.298, 0.207, 0.208], [0.187, 0.286, 0.173], [-0.158, 0.189, 0.264], [-0.184, -0.271, -0.473]]
)


def preview_pictures(vae: VAE, clean: Tensor) -> list[Image.Image]:
    """What the run will come to, as far as it can tell: decoded where that is cheap, else one pixel a latent.

    clean: (rows, channels, h, w), the latents without their noise
    """
    if isinstance(vae, AutoencoderTiny) or clean.shape[1] != len(_LATENT_COLOURS):
        return to_pictures(decode_latents(vae, clean.clamp(-8, 8)))
    colours = torch.einsum("nchw,cd->ndhw", clean.float().cpu(), _LATENT_COLOURS)
    return [
        picture.resize((8 * picture.width, 8 * picture.height))
        for picture in to_pictures((colours / 2 + 0.5).clamp(0, 1))
    ]
