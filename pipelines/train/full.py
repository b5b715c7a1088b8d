"""Train at full size, one stage at a time, in one process or many: `accelerate launch -m app train RECIPE.toml`."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from blipdiff.checkpoints import load_model, save_model
from blipdiff.checkpoints.describer import save_describer
from blipdiff.data.fetched_shards import addresses, is_address
from blipdiff.data.shard_library import ShardLibrary
from blipdiff.data.shard_sources import FetchedShards, Shards
from blipdiff.errors import ConfigError
from blipdiff.images import PhotoSettings
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.describer import Describer, category_features
from blipdiff.models.identity import fingerprint
from blipdiff.training.batches import DescribedBatches, SubjectBatches, Wording, stream
from blipdiff.training.details import DetailBatches, DetailObjective, initial_adapter
from blipdiff.training.full import FullRecipe, begin_representation, begin_subject, encoder_of
from blipdiff.training.loop import RunFolder, TrainingStep, average_weights, resume_step, train
from blipdiff.training.memory import checkpoint_blocks
from blipdiff.training.noise import NoiseSchedule
from blipdiff.training.sections import DetailRecipe, RepresentationRecipe, SubjectRecipe
from blipdiff.training.stage1 import RepresentationObjective
from blipdiff.training.stage2 import RowShares, SubjectObjective
from blipdiff.training.workers import ALONE, Workers

CATEGORIES = 2000  # at most, that a full-size describer ranks


def train_full(
    recipe: FullRecipe, run: Path, output: Path, *, workers: Workers = ALONE, tensorboard: bool = False
) -> Iterator[TrainingStep]:
    """The recipe's stage; goes on from the run's last saved state, and writes what it made at the end.

    Raises: ConfigError or CheckpointError for a start or data that are not there, before anything is optimised.
    """
    if recipe.representation is not None:
        yield from _representation(recipe, recipe.representation, run, output, workers, tensorboard)
    elif recipe.subject is not None:
        yield from _subject(recipe, recipe.subject, run, output, workers, tensorboard)
    elif recipe.detail is not None:
        yield from _detail(recipe, recipe.detail, run, output, workers, tensorboard)


def _representation(
    recipe: FullRecipe, stage: RepresentationRecipe, run: Path, output: Path, workers: Workers, tensorboard: bool
) -> Iterator[TrainingStep]:
    if stage.distillation and workers.sharded:
        raise ConfigError("Distillation needs whole averaged weights, and these are shared out; set distillation = 0.")
    network, words = begin_representation(stage, recipe.start, recipe.seed)
    photo = PhotoSettings(side=network.sizes.vision.picture)
    library = ShardLibrary(_source(recipe, run), photo_side=photo.side, picture_side=photo.side)
    if stage.checkpointing:
        checkpoint_blocks(network)
    workers.place(network)
    objective = RepresentationObjective.of(stage, network, words, photo)
    folder = RunFolder(run / "representation", tensorboard=tensorboard)
    first = resume_step(folder)
    batches = stream(
        DescribedBatches(
            library,
            words,
            stage.batch,
            seed=recipe.seed,
            named=stage.named,
            contradicted=stage.contradicted,
            again=stage.again,
            tokens=min(stage.text_tokens, network.sizes.qformer.positions),
        ),
        first,
        stage.steps,
        accumulate=stage.accumulate,
        workers=workers,
        loaders=recipe.hardware.loaders,
    )
    yield from train(objective, batches, stage, folder, seed=recipe.seed, first_step=first, workers=workers)
    if workers.is_first:
        average_weights(folder, {"representation": network})
        categories = library.categories()[:CATEGORIES]
        network = network.cpu().eval()
        features = category_features(network, words, categories)
        save_describer(Describer(network.half(), words, photo, categories, features, recipe.name), output)
    workers.wait()


def _subject(
    recipe: FullRecipe, stage: SubjectRecipe, run: Path, output: Path, workers: Workers, tensorboard: bool
) -> Iterator[TrainingStep]:
    start = begin_subject(recipe.start, recipe.name)
    networks, model = start.networks, start.model
    library = _shards(recipe, model, run)
    if stage.checkpointing:
        checkpoint_blocks(networks)
    workers.place(networks)
    model.vae.to(workers.device)
    mean, std = torch.tensor(model.photo.mean), torch.tensor(model.photo.std)
    schedule = NoiseSchedule(model.scheduler_config)
    objective = SubjectObjective(networks, encoder_of(model.vae), schedule, stage, mean, std)
    folder = RunFolder(run / "subject", tensorboard=tensorboard)
    first = resume_step(folder)
    pairs = SubjectBatches(
        library,
        model.prompt_tokenizer,
        model.category_tokenizer,
        partial(RowShares.at, stage),
        positions=model.positions,
        subject_slots=model.subject_slots,
        seed=recipe.seed,
        wording=Wording.of(stage, model.subject_encoder.sizes.qformer.positions),
    )
    batches = stream(
        pairs,
        first,
        stage.steps,
        accumulate=stage.accumulate,
        workers=workers,
        loaders=recipe.hardware.loaders,
    )
    yield from train(objective, batches, stage, folder, seed=recipe.seed, first_step=first, workers=workers)
    if workers.is_first:
        whole = begin_subject(recipe.start, recipe.name)  # sharded networks cannot be saved as they are
        average_weights(folder, dict(whole.networks.named_children()))
        seen = fingerprint(whole.networks.subject_encoder.state_dict())
        save_model(replace(whole.model, subject_fingerprint=seen), output)
    workers.wait()


def _detail(
    recipe: FullRecipe, stage: DetailRecipe, run: Path, output: Path, workers: Workers, tensorboard: bool
) -> Iterator[TrainingStep]:
    if not recipe.start.blip_diffusion:
        raise ConfigError("The recipe's [start] needs 'blip_diffusion', the checkpoint that shall read references.")
    model = load_model(recipe.start.blip_diffusion, dtype=torch.float32)
    adapter = model.detail_adapter or initial_adapter(model.unet, seed=recipe.seed)
    library = _shards(recipe, model, run)
    for part in (model.unet, model.subject_encoder, model.text_encoder, model.vae, adapter):
        part.to(workers.device)
    objective = DetailObjective(model, adapter.train().requires_grad_(True), encoder_of(model.vae), stage)
    if stage.checkpointing:
        checkpoint_blocks(model.unet)
    folder = RunFolder(run / "detail", tensorboard=tensorboard)
    first = resume_step(folder)
    pairs = DetailBatches(
        library,
        model.prompt_tokenizer,
        model.category_tokenizer,
        partial(RowShares.at, stage),
        positions=model.positions,
        subject_slots=model.subject_slots,
        seed=recipe.seed,
        wording=Wording.of(stage, model.subject_encoder.sizes.qformer.positions),
    )
    loaders = recipe.hardware.loaders
    batches = stream(pairs, first, stage.steps, accumulate=stage.accumulate, workers=workers, loaders=loaders)
    yield from train(objective, batches, stage, folder, seed=recipe.seed, first_step=first, workers=workers)
    if workers.is_first:
        whole = load_model(recipe.start.blip_diffusion, dtype=torch.float32)
        trained: dict[str, torch.nn.Module] = {"adapter": adapter.cpu()}
        average_weights(folder, trained | ({"unet": whole.unet} if stage.unet else {}))
        adapter.detail = stage.detail
        save_model(replace(whole, detail_adapter=adapter.eval()), output)
    workers.wait()


def _source(recipe: FullRecipe, run: Path) -> Path | Shards:
    """The folder of the recipe's shards, or its addresses with the folder that they are fetched into."""
    data = recipe.data
    if not is_address(data.shards) and not data.shards.endswith(".txt"):
        return Path(data.shards)
    cache = Path(data.cache) if data.cache else run / "shards"
    return FetchedShards.of(addresses(data.shards), cache, window=data.window)


def _shards(recipe: FullRecipe, model: BlipDiffusion, run: Path) -> ShardLibrary:
    """The recipe's prepared photos, at the sizes that the model and the recipe ask for."""
    return ShardLibrary(
        _source(recipe, run),
        photo_side=model.photo.side,
        picture_side=recipe.data.picture,
        backgrounds=Path(recipe.data.backgrounds) if recipe.data.backgrounds else None,
    )
