"""One of two processes that train the subject's stage together; the test starts them as `accelerate launch` does."""

import sys
from pathlib import Path

import torch

from blipdiff.data.pairs import PairLibrary
from blipdiff.models.tokenizers import load_category_tokenizer, load_prompt_tokenizer
from blipdiff.training.batches import SubjectBatches, stream
from blipdiff.training.config import load_recipe
from blipdiff.training.loop import RunFolder, resume_step, train
from blipdiff.training.noise import MINI_SCHEDULE, NoiseSchedule
from blipdiff.training.stage2 import RowShares, SubjectObjective
from blipdiff.training.workers import Workers, workers_of_this_run
from tests.support.initial_parts import subject_networks

SHARDS_HERE = hasattr(torch.cpu.Stream, "record_event")  # torch 2.6 shards on graphics cards alone


def run(place: Path, library: Path, *, sharded: bool, workers: Workers, stop: int | None = None) -> None:
    """Trains in `place`, which holds the recipe and the tokenizers, from the last saved step on."""
    torch.set_num_threads(1)
    recipe = load_recipe(place / "recipe.toml")
    prompts = load_prompt_tokenizer(place / "prompts")
    words = load_category_tokenizer(place / "words")
    networks, encode = subject_networks(recipe, len(prompts), len(words))
    workers.place(networks)
    half = torch.tensor([0.5, 0.5, 0.5])
    objective = SubjectObjective(networks, encode, NoiseSchedule(MINI_SCHEDULE), recipe.subject, half, half)
    shares = RowShares.of(recipe.subject)
    pairs = SubjectBatches(
        PairLibrary(library), prompts, words, shares, positions=recipe.model.positions, subject_slots=16, seed=3
    )
    folder = RunFolder(place / ("sharded" if sharded else f"workers-{workers.count}"), save_every_seconds=-1.0)
    first = resume_step(folder)
    batches = stream(pairs, first, recipe.subject.steps, accumulate=recipe.subject.accumulate, workers=workers)
    for step in train(
        objective, batches, recipe.subject, folder, seed=5, first_step=first, log_every=1, workers=workers
    ):
        if step.index + 1 == stop:
            break


if __name__ == "__main__":
    where, pictures = Path(sys.argv[1]), Path(sys.argv[2])
    together = workers_of_this_run()
    run(where, pictures, sharded=False, workers=together)
    if SHARDS_HERE:
        both = Workers(together.count, together.rank, together.device, sharded=True)
        run(where, pictures, sharded=True, workers=both, stop=2)
        run(where, pictures, sharded=True, workers=both)
