"""Stage 1 before stage 2, or not: two short trainings from the same weights, at equal steps of stage 2.

    python benchmarks/stage_one.py --data LIBRARY [--run runs/stage-one] [--first 300] [--second 300]

Text encoder, U-Net and autoencoder are the bundled model's. The subject encoder begins anew: once as stage 1
(contrast, matching, captioning) leaves it, once from nothing. Both then train all together in stage 2. The two models
are left in RUN/with/model and RUN/without/model, for `blipdiff evaluate --model`.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

import blipdiff
from blipdiff.checkpoints import load_model, save_model
from blipdiff.training.config import load_describer_recipe, load_recipe
from blipdiff.training.initial import initial_networks, initial_representation
from blipdiff.training.loop import TrainingStep, average_weights
from blipdiff.training.sections import RepresentationRecipe
from pipelines.train.export import export
from pipelines.train.parts import RunParts, prepare
from pipelines.train.representation import train_representation
from pipelines.train.subjects import train_subjects


def main() -> None:
    """Trains both and prints where they are."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--run", type=Path, default=Path("runs/stage-one"))
    arguments.add_argument("--first", type=int, default=300, help="steps of stage 1")
    arguments.add_argument("--second", type=int, default=300, help="steps of stage 2")
    asked = arguments.parse_args()
    whole = load_describer_recipe("describe").representation
    representation = replace(whole, steps=asked.first, warmup_steps=min(whole.warmup_steps, asked.first // 5))
    for name, first in (("with", representation), ("without", None)):
        print(trained(name, asked.data, asked.run / name, first, asked.second))


def trained(name: str, data: Path, run: Path, first: RepresentationRecipe | None, steps: int) -> Path:
    """One of the two models, its folder."""
    recipe = load_recipe("mini")
    subject = replace(recipe.subject, steps=steps, warmup_steps=min(recipe.subject.warmup_steps, steps // 5))
    recipe = replace(recipe, name=name, representation=first, subject=subject)
    bundled = Path(blipdiff.__file__).parent / "assets" / "mini"
    parts = prepare(recipe, run, data=data, start=bundled)
    tell(name, 1, train_representation(parts))
    if not (run / "start").is_dir():
        begin(parts, bundled, run / "start")
    tell(name, 2, train_subjects(parts, start=run / "start"))
    export(parts, run / "model", name=name)
    return run / "model"


def tell(name: str, stage: int, steps: Iterator[TrainingStep]) -> None:
    """Runs a stage and prints its steps."""
    for step in steps:
        found = " ".join(f"{part} {value:.3f}" for part, value in step.parts.items())
        print(f"{name}, stage {stage}, step {step.index + 1}: {found}, {step.samples_per_second:.0f}/s", flush=True)


def begin(parts: RunParts, bundled: Path, folder: Path) -> None:
    """The bundled model with another subject encoder: a fresh one, or what stage 1 has learned."""
    model = load_model(bundled, dtype=torch.float32)
    recipe = parts.recipe
    fresh = initial_networks(
        recipe.model,
        prompt_vocabulary=len(parts.prompts),
        category_vocabulary=len(parts.categories),
        latent_side=parts.latent_side,
        seed=recipe.seed,
    ).subject_encoder
    if recipe.representation is not None:
        network = initial_representation(
            recipe.model,
            vocabulary=len(parts.categories),
            shared_width=recipe.representation.shared_width,
            seed=recipe.seed,
        )
        network.visual_encoder.requires_grad_(recipe.representation.train_trunk)
        average_weights(parts.stage("representation"), {"representation": network})
        network.give(fresh)
    model.subject_encoder.load_state_dict(fresh.state_dict())
    save_model(model, folder)


if __name__ == "__main__":
    main()
