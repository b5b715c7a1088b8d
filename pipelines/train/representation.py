"""Stage 1 of a small model: what a photo shows, in a few rows; and these weights at the start of later stages."""

from collections.abc import Iterator

from blipdiff.data.varied import VariedPairs
from blipdiff.models.representation import Representation
from blipdiff.models.subject_encoder import SubjectEncoder
from blipdiff.training.batches import DescribedBatches, stream
from blipdiff.training.initial import initial_representation
from blipdiff.training.loop import TrainingStep, average_weights, resume_step, train
from blipdiff.training.sections import RepresentationRecipe
from blipdiff.training.stage1 import RepresentationObjective
from pipelines.train.parts import RunParts


def train_representation(parts: RunParts, *, compiled: bool = True) -> Iterator[TrainingStep]:
    """Stage 1 of the run, where the recipe asks for it; goes on from its last saved state."""
    recipe = parts.recipe.representation
    if recipe is None:
        return
    network = _representation(parts, recipe)
    objective = RepresentationObjective.of(recipe, network, parts.categories, parts.photo, compiled=compiled)
    folder = parts.stage("representation")
    first = resume_step(folder)
    batches = DescribedBatches(
        VariedPairs(parts.library, scenes=recipe.scenes, varied=recipe.varied),
        parts.categories,
        recipe.batch,
        seed=parts.recipe.seed + 4,
        named=recipe.named,
        contradicted=recipe.contradicted,
        again=recipe.again,
        tokens=min(recipe.text_tokens, network.sizes.qformer.positions),
    )
    yield from train(
        objective,
        stream(batches, first, recipe.steps, accumulate=recipe.accumulate),
        recipe,
        folder,
        seed=parts.recipe.seed,
        first_step=first,
    )


def begin_represented(parts: RunParts, encoder: SubjectEncoder) -> None:
    """What stage 1 of the run has learned into a fresh subject encoder, where there was one."""
    recipe, folder = parts.recipe.representation, parts.stage("representation")
    if recipe is None or not resume_step(folder):
        return
    network = _representation(parts, recipe)
    network.visual_encoder.requires_grad_(recipe.train_trunk)
    average_weights(folder, {"representation": network})
    network.give(encoder)


def _representation(parts: RunParts, recipe: RepresentationRecipe) -> Representation:
    return initial_representation(
        parts.recipe.model,
        vocabulary=len(parts.categories),
        shared_width=recipe.shared_width,
        seed=parts.recipe.seed,
    )
