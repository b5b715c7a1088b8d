"""Train a describer on the library's subjects: words, stage 1 from a model's subject encoder, one small folder.

Every part is kept in the run's folder and found there again, so a run that was stopped at any moment goes on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from blipdiff.checkpoints import load_model
from blipdiff.checkpoints.describer import is_describer, load_describer, save_describer
from blipdiff.data.drawn.library import build_library
from blipdiff.data.pairs import PairLibrary
from blipdiff.data.varied import VariedPairs
from blipdiff.errors import CheckpointError
from blipdiff.images import PhotoSettings
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.describer import Describer, category_features
from blipdiff.models.representation import Representation
from blipdiff.models.tokenizers import load_category_tokenizer
from blipdiff.outputs import written_folder
from blipdiff.training.batches import DescribedBatches, stream
from blipdiff.training.config import DescriberRecipe
from blipdiff.training.loop import RunFolder, TrainingStep, average_weights, resume_step, train
from blipdiff.training.stage1 import RepresentationObjective
from blipdiff.training.vocabulary import train_category_tokenizer
from blipdiff.transformers_types import BertTokenizer

SAMPLED_CAPTIONS = 4096  # of which the words are learned


@dataclass(frozen=True, slots=True)
class DescriberParts:
    """What lies in a describer's run before anything is optimised."""

    recipe: DescriberRecipe
    folder: Path
    library: PairLibrary
    words: BertTokenizer
    network: Representation
    photo: PhotoSettings

    @property
    def stage(self) -> RunFolder:
        """The folder of the state and the log."""
        return RunFolder(self.folder / "representation")


def prepare_describer(
    recipe: DescriberRecipe, folder: Path, *, data: Path | None = None, start: str | Path | None = None
) -> DescriberParts:
    """Pictures and words, made when absent, and the network with the weights of the model that it begins with.

    start: another model than the recipe's, or a describer, which is trained on with the words that it has
    """
    source = start or recipe.start
    begins: Describer | BlipDiffusion = (
        load_describer(source) if is_describer(source) else load_model(source, dtype=torch.float32)
    )
    data = data or folder / "data"
    if not (data / "scenes.json").is_file():
        build_library(folder / "packages", data, side=begins.photo.side)
    library = PairLibrary(data)
    if isinstance(begins, Describer):
        words, network = begins.tokenizer, begins.network.train()
    else:
        words = _learned_words(recipe, folder, library)
        network = _begun(recipe, begins, words)
    return DescriberParts(recipe, folder, library, words, network, begins.photo)


def _learned_words(recipe: DescriberRecipe, folder: Path, library: PairLibrary) -> BertTokenizer:
    """The run's own words, learned of the library's captions when they are absent."""
    if not (folder / "tokenizer").is_dir():
        with written_folder(folder / "tokenizer") as place:
            train_category_tokenizer(caption_words(library, recipe.seed), place, recipe.representation.vocabulary)
    return load_category_tokenizer(folder / "tokenizer")


def _begun(recipe: DescriberRecipe, model: BlipDiffusion, words: BertTokenizer) -> Representation:
    """Trunk and Q-Former of a model, with fresh heads and a fresh table of words."""
    sizes = model.subject_encoder.sizes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = Representation(
            replace(sizes, qformer=replace(sizes.qformer, vocabulary=len(words))), recipe.representation.shared_width
        )
        torch.nn.init.normal_(network.embeddings.word_embeddings.weight, std=0.02)
    network.take(model.subject_encoder)
    return network


def caption_words(library: PairLibrary, seed: int) -> list[str]:
    """Captions and names of the library, for its vocabulary."""
    pairs = VariedPairs(library)
    captions = [pairs.draw_described(index, seed + 1)[2] for index in range(SAMPLED_CAPTIONS)]
    return [*captions, *known_categories(library) * 3]


def known_categories(library: PairLibrary) -> list[str]:
    """Every category that is trained on, in order."""
    return sorted({library.records[place].category for place in library.members["train"]})


def train_describer(parts: DescriberParts, *, compiled: bool = True) -> Iterator[TrainingStep]:
    """Stage 1 of the describer; goes on from its last saved state."""
    recipe = parts.recipe.representation
    objective = RepresentationObjective.of(recipe, parts.network, parts.words, parts.photo, compiled=compiled)
    first = resume_step(parts.stage)
    batches = DescribedBatches(
        VariedPairs(parts.library, scenes=recipe.scenes, varied=recipe.varied),
        parts.words,
        recipe.batch,
        seed=parts.recipe.seed,
        named=recipe.named,
        contradicted=recipe.contradicted,
        again=recipe.again,
        tokens=min(recipe.text_tokens, parts.network.sizes.qformer.positions),
    )
    yield from train(
        objective,
        stream(batches, first, recipe.steps, accumulate=recipe.accumulate),
        recipe,
        parts.stage,
        seed=parts.recipe.seed,
        first_step=first,
    )


def export_describer(parts: DescriberParts, target: Path, *, dtype: torch.dtype = torch.float16) -> Describer:
    """The averaged weights of the run's last state as a describer's folder.

    Raises: CheckpointError when nothing has been saved yet.
    """
    if not resume_step(parts.stage):
        raise CheckpointError(f"There is no trained state in {parts.folder}; train first.")
    parts.network.visual_encoder.requires_grad_(parts.recipe.representation.train_trunk)
    average_weights(parts.stage, {"representation": parts.network})
    categories = tuple(known_categories(parts.library))
    network = parts.network.eval()
    features = category_features(network, parts.words, categories)
    describer = Describer(network.to(dtype), parts.words, parts.photo, categories, features, parts.recipe.name)
    save_describer(describer, target)
    return describer
