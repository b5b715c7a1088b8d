"""New, untrained networks at the sizes of a recipe."""

import torch
from diffusers import UNet2DConditionModel

from blipdiff.diffusers_types import UNet
from blipdiff.models.context_text_encoder import ContextTextEncoder
from blipdiff.models.representation import Representation
from blipdiff.models.sizes import QFormerSizes, SubjectEncoderSizes, TextSizes, VisionSizes
from blipdiff.models.subject_encoder import SubjectEncoder
from blipdiff.training.reconstruction import PositionReconstruction, Reconstruction, position_waves
from blipdiff.training.sections import ModelRecipe
from blipdiff.training.stage2 import SubjectNetworks


def initial_networks(
    model: ModelRecipe, *, prompt_vocabulary: int, category_vocabulary: int, latent_side: int, seed: int
) -> SubjectNetworks:
    """Subject encoder, text encoder, U-Net and reconstruction head, fresh; the same seed, the same weights."""
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
        _prepare_to_see(encoder)
        return SubjectNetworks(
            encoder,
            text,
            initial_unet(model, latent_side),
            PositionReconstruction(model.width, model.heads, model.latent_channels, latent_side),
        )


def initial_representation(model: ModelRecipe, *, vocabulary: int, shared_width: int, seed: int) -> Representation:
    """The representation model of stage 1 with fresh weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Representation(subject_sizes(model, vocabulary), shared_width)
        for table in (network.embeddings.word_embeddings, network.embeddings.position_embeddings):
            torch.nn.init.normal_(table.weight, std=0.02)
        _prepare_to_see(network)
        return network


def initial_reconstruction(model: ModelRecipe, *, rows: int, latent_side: int, seed: int) -> Reconstruction:
    """The head of the reconstruction stage with fresh weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Reconstruction(rows, model.width, model.latent_channels, latent_side)


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
    """A U-Net of one residual block a level, with attention at each level but, of three or more, the coarsest.

    So has Stable Diffusion's; there the middle block attends at the same size.
    """
    attending = len(model.unet_widths) - (len(model.unet_widths) > 2)
    plain = len(model.unet_widths) - attending
    return UNet2DConditionModel(
        sample_size=latent_side,
        in_channels=model.latent_channels,
        out_channels=model.latent_channels,
        block_out_channels=model.unet_widths,
        layers_per_block=1,
        cross_attention_dim=model.width,
        attention_head_dim=model.unet_heads,  # diffusers' name for the number of heads
        down_block_types=("CrossAttnDownBlock2D",) * attending + ("DownBlock2D",) * plain,
        up_block_types=("UpBlock2D",) * plain + ("CrossAttnUpBlock2D",) * attending,
        norm_num_groups=32,
    )


@torch.no_grad()
def _prepare_to_see(encoder: SubjectEncoder | Representation) -> None:
    """Where things are, from the start: queries that look at places learn shapes many times sooner.

    With the usual small positions and near-uniform attention all 16 rows begin as the same average of the photo.
    """
    positions = encoder.visual_encoder.embeddings.position_embedding
    positions[0, 1:] = position_waves(
        encoder.sizes.vision.width, encoder.sizes.vision.picture // encoder.sizes.vision.patch
    )
    for name, weight in encoder.encoder.named_parameters():
        if name.endswith(("crossattention.attention.query.weight", "crossattention.attention.key.weight")):
            torch.nn.init.xavier_normal_(weight, gain=1.2)
