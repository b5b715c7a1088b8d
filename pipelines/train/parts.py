"""What a run of the small model is made of: pictures, tokenizers, latents, in a folder where they are found again."""

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderTiny

from blipdiff.checkpoints.parts import load_vae
from blipdiff.conditioning.prompt import build_prompt
from blipdiff.data.drawn.library import build_library
from blipdiff.data.pairs import PairLibrary
from blipdiff.images import PhotoSettings
from blipdiff.models.tokenizers import load_category_tokenizer, load_prompt_tokenizer
from blipdiff.outputs import written_folder
from blipdiff.training.autoencoder import linear_autoencoder
from blipdiff.training.config import Recipe
from blipdiff.training.initial import initial_networks
from blipdiff.training.loop import RunFolder
from blipdiff.training.old_names import FOLDERS
from blipdiff.training.stage2 import SubjectNetworks
from blipdiff.training.vocabulary import train_category_tokenizer, train_prompt_tokenizer
from blipdiff.training.warm_start import take_over_vocabulary
from blipdiff.transformers_types import BertTokenizer, CLIPTokenizer
from pipelines.train.describer import caption_words

SAMPLED_PAIRS = 4096  # of which the vocabulary and the principal components are taken


@dataclass(frozen=True, slots=True)
class RunParts:
    """What lies in a run's folder before anything is optimised."""

    recipe: Recipe
    folder: Path
    library: PairLibrary
    prompts: CLIPTokenizer
    categories: BertTokenizer
    vae: AutoencoderTiny
    tensorboard: bool = False
    save_every_seconds: float = 300.0

    @property
    def latent_side(self) -> int:
        """Latents a picture's side."""
        return self.recipe.model.picture // 8

    @property
    def photo(self) -> PhotoSettings:
        """How the vision trunk wants its photos."""
        return PhotoSettings(side=self.recipe.model.picture)

    def stage(self, name: str) -> RunFolder:
        """The folder of one stage's state and log; where a run has it under the name of earlier versions, that one."""
        then = FOLDERS.get(name, name)
        if not (self.folder / name).is_dir() and (self.folder / then).is_dir():
            name = then
        return RunFolder(self.folder / name, self.save_every_seconds, self.tensorboard)


def prepare(
    recipe: Recipe,
    folder: Path,
    *,
    data: Path | None = None,
    start: Path | None = None,
    tensorboard: bool = False,
) -> RunParts:
    """Pictures, tokenizers and the linear encoder: made when absent, read when there.

    start: a checkpoint whose tokenizers and autoencoder are taken over
    """
    data = data or folder / "data"
    if start is not None:
        take_over_vocabulary(start, folder)
    if not (data / "scenes.json").is_file():
        build_library(folder / "packages", data, side=recipe.model.picture)
    library = PairLibrary(data, recipe.subject.spread)
    if not (folder / "vae" / "config.json").is_file():
        pairs = [library.draw(index, recipe.seed + 1) for index in range(SAMPLED_PAIRS)]
        texts = [build_prompt(pair.category, pair.prompt) for pair in pairs]
        names = sorted({library.records[i].category for i in library.members["train"]})
        train_prompt_tokenizer([*texts, *names], folder / "tokenizer", recipe.model.vocabulary)
        captions = [] if recipe.representation is None else caption_words(library, recipe.seed)
        train_category_tokenizer([*names * 3, *captions], folder / "qformer_tokenizer", recipe.model.vocabulary)
        pictures = torch.stack([torch.from_numpy(pair.target) for pair in pairs]).permute(0, 3, 1, 2).float() / 255
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            encoder = linear_autoencoder(recipe.model, pictures)
        with written_folder(folder / "vae") as place:  # last, and whole: it tells that everything is there
            encoder.save_pretrained(place)
    return RunParts(
        recipe,
        folder,
        library,
        load_prompt_tokenizer(folder / "tokenizer"),
        load_category_tokenizer(folder / "qformer_tokenizer"),
        load_vae(folder / "vae").float(),  # taken over from a checkpoint it is in half precision
        tensorboard,
    )


def fresh_networks(parts: RunParts) -> SubjectNetworks:
    """The networks of the subject's stage at the recipe's sizes, untrained."""
    return initial_networks(
        parts.recipe.model,
        prompt_vocabulary=len(parts.prompts),
        category_vocabulary=len(parts.categories),
        latent_side=parts.latent_side,
        seed=parts.recipe.seed,
    )
