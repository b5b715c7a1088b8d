"""The subject's stage: who sees what, what the loss is made of, and a run that is killed and goes on."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from blipdiff.data import PairLibrary
from blipdiff.training.autoencoder import linear_autoencoder, patch_encoder
from blipdiff.training.batches import SubjectBatches, stream
from blipdiff.training.config import Recipe
from blipdiff.training.initial import initial_networks
from blipdiff.training.loop import RunFolder, resume_step, train
from blipdiff.training.noise import MINI_SCHEDULE, NoiseSchedule
from blipdiff.training.stage2 import RowShares, SubjectObjective
from blipdiff.training.vocabulary import train_category_tokenizer, train_prompt_tokenizer
from tests.training.conftest import SIDE

WHITE = torch.tensor([0.5, 0.5, 0.5])


@pytest.fixture(scope="module")
def tokenizers(library: PairLibrary, tmp_path_factory: pytest.TempPathFactory):
    folder: Path = tmp_path_factory.mktemp("tokenizers")
    texts = [f"a {pair.category} {pair.prompt}" for pair in (library.draw(index, 0) for index in range(40))]
    return train_prompt_tokenizer(texts, folder / "p", 700), train_category_tokenizer(texts, folder / "c", 200)


@pytest.fixture
def objective(recipe: Recipe, library: PairLibrary, tokenizers) -> SubjectObjective:
    return new_objective(recipe, library, tokenizers)


def new_objective(recipe: Recipe, library: PairLibrary, tokenizers, seed: int = 0) -> SubjectObjective:
    pictures = torch.stack([torch.from_numpy(library.draw(index, 1).target) for index in range(32)])
    torch.manual_seed(0)
    vae = linear_autoencoder(recipe.model, pictures.permute(0, 3, 1, 2).float() / 255)
    networks = initial_networks(
        recipe.model,
        prompt_vocabulary=len(tokenizers[0]),
        category_vocabulary=len(tokenizers[1]),
        latent_side=SIDE // 8,
        seed=seed,
    )
    return SubjectObjective(networks, patch_encoder(vae), NoiseSchedule(MINI_SCHEDULE), recipe.subject, WHITE, WHITE)


@pytest.fixture
def batches(recipe: Recipe, library: PairLibrary, tokenizers) -> SubjectBatches:
    shares = RowShares.of(recipe.subject)
    return SubjectBatches(library, *tokenizers, shares, positions=recipe.model.positions, subject_slots=16, seed=3)


def loss_of(objective: SubjectObjective, batch: dict[str, Tensor], seed: int = 0) -> Tensor:
    return objective.loss(batch, torch.Generator().manual_seed(seed))[0]


def test_the_same_seed_gives_the_same_networks(recipe: Recipe, library: PairLibrary, tokenizers) -> None:
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    first, second, third = (
        new_objective(recipe, library, tokenizers, seed).networks.state_dict() for seed in (0, 0, 1)
    )
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert not all(torch.equal(value, third[name]) for name, value in first.items())
    torch.manual_seed(99)
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_loss_depends_on_batch_and_generator_alone(objective: SubjectObjective, batches: SubjectBatches) -> None:
    batch = batches[0]
    kept = {name: value.clone() for name, value in batch.items()}
    first = loss_of(objective, batch)
    torch.manual_seed(123)
    assert torch.equal(loss_of(objective, batch), first)
    assert not torch.equal(loss_of(objective, batch, seed=1), first)
    assert all(torch.equal(value, kept[name]) for name, value in batch.items()), "nothing given is changed"
    assert 0.1 < float(first.detach()) < 10


def test_every_part_learns_and_the_autoencoder_does_not(objective: SubjectObjective, batches: SubjectBatches) -> None:
    assert set(objective.modules()) == {"subject_encoder", "text_encoder", "unet", "reconstruction"}
    loss_of(objective, batches[0]).backward()
    for name, module in objective.modules().items():
        steep = [float(weight.grad.abs().sum()) for weight in module.parameters() if weight.grad is not None]
        assert sum(steep) > 0, name
    assert not any(weight.requires_grad for weight in objective.encode.parameters())


def test_rows_without_a_subject_see_no_photo(objective: SubjectObjective, batches: SubjectBatches) -> None:
    batch = batches[0]
    other = batch | {"photo": 255 - batch["photo"]}
    latents = torch.randn(8, 8, SIDE // 8, SIDE // 8, generator=torch.Generator().manual_seed(0))
    times = torch.full((8,), 500)
    mean, std = objective.mean, objective.std
    with torch.no_grad():
        first, second = (
            objective.networks(latents, times, (given["photo"].float() / 255 - mean) / std, given)[0]
            for given in (batch, other)
        )
    shares = RowShares.of(objective.recipe)
    assert not torch.equal(first[: shares.subject], second[: shares.subject])
    assert torch.equal(first[shares.subject :], second[shares.subject :])


def test_the_mask_weighs_the_subject_and_reconstruction_its_photo(
    objective: SubjectObjective, batches: SubjectBatches
) -> None:
    batch = batches[0]
    plain = loss_of(objective, batch)
    everywhere = loss_of(objective, batch | {"mask": torch.full_like(batch["mask"], 255)})
    nowhere = loss_of(objective, batch | {"mask": torch.zeros_like(batch["mask"])})
    assert torch.allclose(everywhere, nowhere), "an even weight is no weight"
    assert not torch.allclose(plain, nowhere)
    heavier = loss_of(objective, batch | {"mask": batch["mask"].flip(0)})
    assert not torch.allclose(plain, heavier)
    _, parts = objective.loss(batch, torch.Generator().manual_seed(0))
    objective.recipe = replace(objective.recipe, reconstruction_weight=0.0, mask_weight=0.0)
    assert torch.allclose(loss_of(objective, batch), parts["noise"])
    objective.recipe = replace(objective.recipe, reconstruction_weight=2.0)
    assert torch.allclose(loss_of(objective, batch), parts["noise"] + 2 * parts["reconstruction"])


@pytest.mark.parametrize("count", [1, 2, 8, 48])
def test_timesteps_are_spread_evenly_over_each_batch(count: int, objective: SubjectObjective) -> None:
    for seed in range(5):
        times = objective.schedule.drawn(count, torch.Generator().manual_seed(seed))
        assert times.shape == (count,)
        for part, time in enumerate(sorted(times.tolist())):  # whole numbers, rounded down
            assert part * 1000 / count - 1 < time < (part + 1) * 1000 / count


def test_noisy_times_are_drawn_more_often_where_that_is_asked_for(objective: SubjectObjective) -> None:
    times = objective.schedule.drawn(1000, torch.Generator().manual_seed(1), 2.5)
    assert int(times.min()) >= 0 and int(times.max()) < 1000
    share = float((times > 700).float().mean())
    assert abs(share - 0.3 ** (1 / 2.5)) < 0.01, "1 - u**2.5 lies above 0.7 where u lies below 0.3 ** 0.4"


def test_killed_and_resumed_is_the_same_as_never_stopped(
    recipe: Recipe, library: PairLibrary, tokenizers, batches: SubjectBatches, tmp_path: Path
) -> None:
    stage = replace(recipe.subject, steps=4)

    def start(folder: RunFolder):
        first = resume_step(folder)
        objective = new_objective(recipe, library, tokenizers)
        steps = train(objective, stream(batches, first, 4), stage, folder, seed=7, first_step=first, log_every=1)
        return objective, steps

    whole, killed = (RunFolder(tmp_path / name, save_every_seconds=-1.0) for name in ("whole", "killed"))
    wanted, steps = start(whole)
    losses = [step.loss for step in steps]
    _, running = start(killed)
    told = [next(running).loss for _ in range(3)]  # the third step was not saved yet when it is killed
    running.close()
    assert resume_step(killed) == 2
    found, steps = start(killed)
    assert told[:2] + [step.loss for step in steps] == losses
    weights = wanted.networks.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in found.networks.state_dict().items())
