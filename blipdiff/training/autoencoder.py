"""The small model's autoencoder: a fixed linear encoder (PCA of 8 x 8 patches) and a trained decoder.

A linear encoder needs no training, so the U-Net's latents are settled before anything else is learned, and the
decoder can be improved later without touching the U-Net. It is written into the convolutions of diffusers'
AutoencoderTiny, whose encoder without residual blocks is a chain of linear maps: each stride-2 convolution packs
2 x 2 pixels into channels, and the third one projects on the principal components.
"""

from collections.abc import Iterable

import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn
from torch.nn import functional

from blipdiff.errors import ConfigError
from blipdiff.training.sections import AutoencoderRecipe, ModelRecipe

PATCH = 8  # pixels a latent's side
NARROWEST = 3 * (PATCH // 2) ** 2  # channels that hold a patch of 4 x 4 pixels


def principal_components(pictures: Tensor, channels: int) -> tuple[Tensor, Tensor, Tensor]:
    """mean (192), components (channels, 192) and their standard deviations from pictures (n, 3, H, W) in [0, 1]."""
    patches = functional.pixel_unshuffle(pictures, PATCH).flatten(2).transpose(1, 2).reshape(-1, 3 * PATCH**2)
    mean = patches.mean(0)
    covariance = torch.cov(patches.T.double())
    values, vectors = torch.linalg.eigh(covariance)
    order = values.argsort(descending=True)[:channels]
    return mean, vectors[:, order].T.float(), values[order].clamp(min=1e-12).sqrt().float()


def linear_autoencoder(recipe: ModelRecipe, pictures: Tensor) -> AutoencoderTiny:
    """An AutoencoderTiny whose encoder gives the pictures' principal components, partly whitened.

    Each component is divided by the square root of its standard deviation: full whitening would spend the U-Net
    on the finest details, none would leave them below the noise. All latents together then have unit variance
    after `scaling_factor`; before it they are a third of that, within the decoder's soft limit of 3.

    Raises: ConfigError for sizes that do not hold a patch.
    """
    width, depth = recipe.vae_width, len(recipe.vae_decoder_blocks)
    if depth != 4 or width < max(NARROWEST, recipe.latent_channels):
        raise ConfigError(
            f"The autoencoder has vae_width {width} and {depth} vae_decoder_blocks; it needs a width of at least "
            f"{max(NARROWEST, recipe.latent_channels)}, and 4 levels."
        )
    mean, components, deviations = principal_components(pictures, recipe.latent_channels)
    gains = deviations.rsqrt()
    gains = gains / (gains * deviations).square().mean().sqrt()  # unit variance over all channels
    vae = AutoencoderTiny(
        encoder_block_out_channels=(width,) * depth,
        decoder_block_out_channels=(width,) * depth,
        num_encoder_blocks=(0,) * depth,
        num_decoder_blocks=recipe.vae_decoder_blocks,
        latent_channels=recipe.latent_channels,
        scaling_factor=3.0,
    )
    _write_linear_encoder(vae, mean, components * gains[:, None] / vae.config.scaling_factor)
    vae.encoder.requires_grad_(False)
    return vae


@torch.no_grad()
def _write_linear_encoder(vae: AutoencoderTiny, mean: Tensor, projection: Tensor) -> None:
    first, second, third, fourth, last = (layer for layer in vae.encoder.layers if isinstance(layer, nn.Conv2d))
    channels = len(projection)
    for layer in (first, second, third, fourth, last):
        layer.weight.zero_()
        if layer.bias is not None:
            layer.bias.zero_()
    first.weight[range(3), range(3), 1, 1] = 1.0
    for layer, packed in ((second, 3), (third, 12)):  # 2 x 2 pixels -> channels, in pixel_unshuffle's order
        for channel in range(packed):
            for y in range(2):
                for x in range(2):
                    layer.weight[channel * 4 + y * 2 + x, channel, 1 + y, 1 + x] = 1.0
    # pixel_unshuffle(8) orders (colour, y, x); three nested unshuffles order (colour, y0 x0, y1 x1, y2 x2), y0 finest
    maps = projection.view(channels, 3, 2, 2, 2, 2, 2, 2)  # colour, y2 y1 y0, x2 x1 x0
    nested = maps.permute(0, 1, 4, 7, 3, 6, 2, 5).reshape(channels, 48, 2, 2)  # colour, y0 x0, y1 x1, y2, x2
    fourth.weight[:channels, :48, 1:, 1:] = nested
    last.weight[range(channels), range(channels), 1, 1] = 1.0
    last.bias = nn.Parameter(-projection @ mean)


@torch.no_grad()
def patch_encoder(vae: AutoencoderTiny) -> nn.Conv2d:
    """The linear encoder as one convolution on patches, scaled as the U-Net's latents: a hundredth of the work.

    pictures (n, 3, H, W) in [-1, 1] -> latents (n, channels, H / 8, W / 8). Only for a `linear_autoencoder`.
    """
    basis = torch.eye(3 * PATCH**2).view(-1, 3, PATCH, PATCH)
    offset = vae.encode(torch.zeros(1, 3, PATCH, PATCH)).latents  # (1, channels, 1, 1)
    responses = vae.encode(basis).latents - offset  # (192, channels, 1, 1)
    convolution = nn.Conv2d(3, len(offset[0]), PATCH, stride=PATCH)
    convolution.weight.copy_(responses[:, :, 0, 0].T.reshape(convolution.weight.shape))
    convolution.bias = nn.Parameter(offset.flatten())
    for values in convolution.parameters():
        values.mul_(vae.config.scaling_factor)
    return convolution.requires_grad_(False)


class DecoderObjective:
    """Pictures from their latents: absolute and squared error, and the same of neighbouring pixels' differences."""

    def __init__(self, vae: AutoencoderTiny, recipe: AutoencoderRecipe) -> None:
        self.vae = vae
        self.recipe = recipe
        self.encode = patch_encoder(vae)

    def modules(self) -> dict[str, nn.Module]:
        """The trained modules by name."""
        return {"decoder": self.vae.decoder}

    def trainable(self) -> Iterable[nn.Parameter]:
        """The decoder's parameters."""
        return list(self.vae.decoder.parameters())

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """batch["target"] (n, 3, H, W) uint8 -> the loss and its parts."""
        pictures = batch["target"].float() / 127.5 - 1
        with torch.no_grad():
            latents = self.encode(pictures).float() / self.vae.config.scaling_factor
            # a little noise: the U-Net's latents are not exact ones either
            latents = latents + 0.01 * torch.randn(latents.shape, generator=generator)
        drawn = self.vae.decoder(latents)
        error = (drawn - pictures).float()
        level = error.abs().mean() + error.square().mean()
        edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        psnr = -10 * (error.detach().clamp(-1, 1) / 2).square().mean().log10()
        return level + self.recipe.gradient_weight * edges, {"psnr": psnr}
