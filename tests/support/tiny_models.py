"""A tiny model with random weights, made from nothing: 16-pixel pictures, two pixels a latent's side."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import RLock

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from PIL import Image

from blipdiff.checkpoints.configs import PNDM
from blipdiff.images import PhotoSettings
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.context_text_encoder import ContextTextEncoder
from blipdiff.models.identity import fingerprint
from blipdiff.models.sizes import QFormerSizes, SubjectEncoderSizes, TextSizes, VisionSizes
from blipdiff.models.subject_encoder import SubjectEncoder
from blipdiff.training.vocabulary import train_category_tokenizer, train_prompt_tokenizer

PIXELS = 16  # a picture's side
WORDS = ["a dog on a beach", "a tiger in the snow", "a teapot swimming under water"]

_UNET = {
    "block_out_channels": (8, 16),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "cross_attention_dim": 16,
    "attention_head_dim": 2,
    "norm_num_groups": 4,
    "sample_size": PIXELS // 2,
}
_CONTROLNET = {name: value for name, value in _UNET.items() if name not in ("up_block_types", "sample_size")}
_VAE = {
    "block_out_channels": (8, 8),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 4,
    "sample_size": PIXELS,
}


_DRAWING = RLock()


@contextmanager
def weights_of(seed: int) -> Iterator[None]:
    """Weights are drawn from torch's one generator of the process: by one thread at a time, or they get mixed."""
    with _DRAWING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def tiny_model(seed: int = 0) -> BlipDiffusion:
    """The same seed gives the same weights, another one another model with its own fingerprint."""
    with weights_of(seed), TemporaryDirectory() as place:
        prompts = train_prompt_tokenizer(WORDS, Path(place) / "tokenizer", 600)
        categories = train_category_tokenizer(WORDS, Path(place) / "qformer_tokenizer", 200)
        encoder = SubjectEncoder(
            SubjectEncoderSizes(
                VisionSizes(width=12, depth=2, heads=2, mlp_width=24, patch=8, picture=32),
                QFormerSizes(
                    width=16, depth=2, heads=2, mlp_width=32, vocabulary=len(categories), positions=24, queries=4
                ),
            )
        )
        text = ContextTextEncoder(
            TextSizes(width=16, depth=2, heads=2, mlp_width=32, vocabulary=len(prompts), positions=24)
        )
        unet = UNet2DConditionModel(**_UNET).eval().requires_grad_(False)
        for name, weight in unet.named_parameters():
            if "attn2.to_v" in name or "attn2.to_out.0.weight" in name:
                weight.mul_(4)  # random weights hardly listen to their words, and pictures have 256 values only
        return BlipDiffusion(
            subject_encoder=encoder.eval().requires_grad_(False),
            text_encoder=text.eval().requires_grad_(False),
            prompt_tokenizer=prompts,
            category_tokenizer=categories,
            unet=unet,
            vae=AutoencoderKL(**_VAE).eval().requires_grad_(False),
            scheduler_config=PNDM,
            photo=PhotoSettings(side=32),
            subject_fingerprint=fingerprint(encoder.state_dict()),
            name="tiny",
        )


def tiny_controlnet(seed: int = 1) -> ControlNetModel:
    """A ControlNet for the tiny model, whose residuals are not zero as those of a new one are."""
    with weights_of(seed):
        net = ControlNetModel(**_CONTROLNET, conditioning_embedding_out_channels=(4, 8))
        for layer in (*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out):
            torch.nn.init.normal_(layer.weight, std=0.2)
        return net.eval().requires_grad_(False)


def photo(seed: int = 0, size: tuple[int, int] = (40, 32)) -> Image.Image:
    """A colourful picture; each seed has its own."""
    generator = torch.Generator().manual_seed(seed)
    small = torch.randint(0, 256, (4, 5, 3), generator=generator, dtype=torch.uint8)
    return Image.fromarray(small.numpy()).resize(size)


def cut_out() -> Image.Image:
    """A subject without a ground."""
    picture = photo(0).convert("RGBA")
    picture.putalpha(Image.new("L", picture.size))
    picture.paste(photo(1, (20, 16)), (10, 8))
    return picture
