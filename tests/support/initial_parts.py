"""Networks of a recipe with fresh weights, the same in every process."""

from collections.abc import Callable

import torch
from torch import Tensor

from blipdiff.training.autoencoder import linear_autoencoder, patch_encoder
from blipdiff.training.config import Recipe
from blipdiff.training.initial import initial_networks
from blipdiff.training.stage2 import SubjectNetworks


def subject_networks(recipe: Recipe, prompts: int, words: int) -> tuple[SubjectNetworks, Callable[[Tensor], Tensor]]:
    """The networks of the subject's stage and the encoder of their latents."""
    torch.manual_seed(0)
    side = recipe.model.picture
    vae = linear_autoencoder(recipe.model, torch.rand(16, 3, side, side))
    networks = initial_networks(
        recipe.model, prompt_vocabulary=prompts, category_vocabulary=words, latent_side=side // 8, seed=0
    )
    return networks, patch_encoder(vae)
