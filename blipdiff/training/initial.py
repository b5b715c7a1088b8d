"""New, untrained networks at the sizes of a recipe."""

import torch
from diffusers import UNet2DConditionModel

from blipdiff.diffusers_types import UNet
from blipdiff.models.context_text_encoder import ContextTextEncoder
from blipdiff.models.sizes import QFormerSizes, SubjectEncoderSizes, TextSizes, VisionSizes
from blipdiff.models.subject_encoder import SubjectEncoder
from blipdiff.training.config import ModelRecipe
from blipdiff.training.redrawing import Redrawing
from blipdiff.training.stage2 import SubjectNetworks


def initial_networks(
    model: ModelRecipe, *, prompt_vocabulary: int, category_vocabulary: int, latent_side: int, seed: int
) -> SubjectNetworks:
    """Subject encoder, text encoder, U-Net and redrawing head with fresh weights; the same seed, the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = SubjectEncoder(subject_sizes(model, category_vocabulary))
        text = ContextTextEncoder(
            TextSizes(
                width=model.width,
                depth=model.text_depth,
                heads=model.heads,
                mlp_width=4 * model.width,
                vocabulary=prompt_vocabulary,
                positions=model.positions,
            )
        )
        for table in (
            encoder.embeddings.word_embeddings,
            encoder.embeddings.position_embeddings,
            text.text_model.embeddings.token_embedding,
            text.text_model.embeddings.position_embedding,
        ):
            torch.nn.init.normal_(table.weight, std=0.02)
        return SubjectNetworks(
            encoder,
            text,
            initial_unet(model, latent_side),
            Redrawing(encoder.sizes.qformer.queries, model.width, model.latent_channels, latent_side),
        )


def subject_sizes(model: ModelRecipe, category_vocabulary: int) -> SubjectEncoderSizes:
    """The subject encoder's sizes that a recipe asks for."""
    return SubjectEncoderSizes(
        VisionSizes(
            width=model.width,
            depth=model.vision_depth,
            heads=model.heads,
            mlp_width=4 * model.width,
            patch=model.patch,
            picture=model.picture,
        ),
        QFormerSizes(
            width=model.width,
            depth=model.qformer_depth,
            heads=model.heads,
            mlp_width=4 * model.width,
            vocabulary=category_vocabulary,
            positions=32,
        ),
    )


def initial_unet(model: ModelRecipe, latent_side: int) -> UNet:
    """A U-Net with attention at every level and one residual block a level."""
    levels = len(model.unet_widths)
    return UNet2DConditionModel(
        sample_size=latent_side,
        in_channels=model.latent_channels,
        out_channels=model.latent_channels,
        block_out_channels=model.unet_widths,
        layers_per_block=1,
        cross_attention_dim=model.width,
        attention_head_dim=model.unet_heads,  # diffusers' name for the number of heads
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        norm_num_groups=32,
    )
