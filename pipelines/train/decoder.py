"""The last stage of a small model: the decoder of its latents."""

from collections.abc import Iterator

import torch

from blipdiff.training.autoencoder import DecoderObjective
from blipdiff.training.batches import TargetBatches, stream
from blipdiff.training.loop import TrainingStep, resume_step, train
from pipelines.train.parts import RunParts


def train_decoder(parts: RunParts) -> Iterator[TrainingStep]:
    """The decoder of the latents; goes on from its last saved state."""
    recipe = parts.recipe.autoencoder
    parts.vae.decoder.to(memory_format=torch.channels_last)
    folder = parts.stage("autoencoder")
    first = resume_step(folder)
    batches = TargetBatches(parts.library, recipe.batch, seed=parts.recipe.seed + 2)
    yield from train(
        DecoderObjective(parts.vae, recipe),
        stream(batches, first, recipe.steps, accumulate=recipe.accumulate),
        recipe,
        folder,
        seed=parts.recipe.seed,
        first_step=first,
    )
