"""Subjects of the tiny model with weights that were learned of them, at random."""

from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import nn

from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.conditioning.subject_weights import Acting, SubjectWeights
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.identity import weights_fingerprint
from pipelines.personalize.learning import Learning
from pipelines.personalize.photos import read_photos
from pipelines.personalize.request import PersonalizeRequest
from pipelines.personalize.run import material
from pipelines.studio import Studio
from tests.support.studios import dog

_TARGETS = (".to_q", ".to_k", ".to_v", ".to_out.0")


def lora(model: BlipDiffusion, seed: int = 0, *, rank: int = 4, least_rank: int | None = None) -> SubjectWeights:
    """A LoRA on the attention of a model's U-Net, strong enough to be seen."""
    generator, tensors = torch.Generator().manual_seed(seed), {}
    for name, layer in model.unet.named_modules():
        if isinstance(layer, nn.Linear) and name.endswith(_TARGETS):
            tensors[f"unet.{name}.lora_A.weight"] = 0.4 * torch.randn(rank, layer.in_features, generator=generator)
            tensors[f"unet.{name}.lora_B.weight"] = 0.4 * torch.randn(layer.out_features, rank, generator=generator)
    return SubjectWeights.of(
        tensors, weights_fingerprint(model.unet), least_rank=least_rank, told={"method": "lora", "steps": "20"}
    )


def whole(model: BlipDiffusion, seed: int = 0) -> SubjectWeights:
    """Changes of every parameter of a model's U-Net."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        f"unet.{name}.diff": 0.3 * one.std().nan_to_num(0.1) * torch.randn(one.shape, generator=generator)
        for name, one in model.unet.named_parameters()
    }
    return SubjectWeights.of(tensors, weights_fingerprint(model.unet))


def card(model: BlipDiffusion, weights: SubjectWeights | None, seed: int = 0) -> SubjectEmbedding:
    """The dog as a card, with weights."""
    subject = model.encode_subject(dog(seed))
    return subject if weights is None else replace(subject, weights=(Acting(weights),))


def view(number: int = 0, colour: str = "firebrick", side: int = 64) -> Image.Image:
    """A photo of one thing on plain ground, seen from a little elsewhere each time."""
    picture = Image.new("RGB", (side, side + 8 * (number % 2)), "white")
    ImageDraw.Draw(picture).ellipse((10 + 3 * number, 14, 44 + 3 * number, 50), colour, "black", 3)
    return picture


def asked(**changes: object) -> PersonalizeRequest:
    """A short learning of a dog."""
    return PersonalizeRequest(**{"category": "dog", "steps": 4, "batch": 2, "seed": 3} | changes)


def learning(studio: Studio, folder: Path, **changes: object) -> Learning:
    """Of two views, in a folder."""
    request = asked(**{"steps": 12, "rate": 0.01} | changes)
    photos = read_photos(studio, [view(0), view(1)], request.category, request.fit)
    return Learning(studio.model, request, material(studio.model, photos, request), folder)
