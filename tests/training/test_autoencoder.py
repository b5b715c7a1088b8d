"""The linear autoencoder: exactly the pictures' principal components, written as convolutions."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from torch import Tensor
from torch.nn import functional

from blipdiff.data import PairLibrary
from blipdiff.errors import ConfigError
from blipdiff.latents import encode_picture
from blipdiff.training.autoencoder import DecoderObjective, linear_autoencoder, patch_encoder, principal_components
from blipdiff.training.config import Recipe


@pytest.fixture(scope="module")
def pictures(library: PairLibrary) -> Tensor:
    drawn = np.stack([library.draw(index, 0).target for index in range(64)])
    return torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255


@pytest.fixture
def vae(recipe: Recipe, pictures: Tensor) -> AutoencoderTiny:
    torch.manual_seed(0)
    return linear_autoencoder(recipe.model, pictures).eval()


def patches(pictures: Tensor) -> np.ndarray:
    rows = functional.pixel_unshuffle(pictures, 8).flatten(2).transpose(1, 2)
    return rows.reshape(-1, 192).double().numpy()


def test_components_are_those_of_a_singular_value_decomposition(pictures: Tensor) -> None:
    mean, components, deviations = principal_components(pictures, 8)
    rows = patches(pictures)
    centred = rows - rows.mean(0)
    _, values, directions = np.linalg.svd(centred, full_matrices=False)
    assert np.allclose(mean.numpy(), rows.mean(0), atol=1e-5)
    assert np.allclose(deviations.numpy(), values[:8] / np.sqrt(len(rows) - 1), rtol=1e-4)
    assert np.allclose(np.abs((components.double().numpy() * directions[:8]).sum(1)), 1, atol=1e-4)
    assert np.allclose((components @ components.T).numpy(), np.eye(8), atol=1e-5)


def test_the_encoder_is_exactly_the_projection_on_the_components(
    recipe: Recipe, vae: AutoencoderTiny, pictures: Tensor
) -> None:
    mean, components, deviations = principal_components(pictures, recipe.model.latent_channels)
    latents = encode_picture(vae, pictures[:5])
    assert latents.shape == (5, 8, 4, 4)
    projected = (patches(pictures[:5]) - mean.double().numpy()) @ components.T.double().numpy()
    found = latents.permute(0, 2, 3, 1).reshape(-1, 8).double().numpy()
    ratio = (found * projected).sum(0) / np.square(projected).sum(0)
    assert np.allclose(found, projected * ratio, atol=1e-4)
    assert np.allclose(ratio * np.sqrt(deviations.numpy()), ratio[0] * np.sqrt(float(deviations[0])), rtol=1e-3)


def test_all_latents_together_have_unit_variance(vae: AutoencoderTiny, pictures: Tensor) -> None:
    latents = encode_picture(vae, pictures)
    assert float(latents.square().mean()) == pytest.approx(1.0, abs=0.01)
    assert float(latents.mean(dim=(0, 2, 3)).abs().max()) < 0.01


def test_what_the_components_leave_out_is_what_the_small_ones_hold(recipe: Recipe, pictures: Tensor) -> None:
    mean, components, _ = principal_components(pictures, recipe.model.latent_channels)
    rows = patches(pictures) - mean.double().numpy()
    basis = components.double().numpy()
    left = np.square(rows - rows @ basis.T @ basis).sum(1).mean()
    everything = np.linalg.eigvalsh(np.cov(rows.T))[::-1]
    assert left == pytest.approx(everything[8:].sum(), rel=0.01)
    assert left < 0.5 * everything.sum()


def test_one_convolution_on_patches_is_the_whole_encoder(vae: AutoencoderTiny, pictures: Tensor) -> None:
    convolution = patch_encoder(vae)
    assert not any(weight.requires_grad for weight in convolution.parameters())
    wanted = encode_picture(vae, pictures)
    assert float((convolution(pictures * 2 - 1) - wanted).abs().max()) < 1e-4 * float(wanted.abs().max())


def test_the_encoder_is_fixed_and_saved_with_the_rest(vae: AutoencoderTiny, pictures: Tensor, tmp_path: Any) -> None:
    assert not any(weight.requires_grad for weight in vae.encoder.parameters())
    assert all(weight.requires_grad for weight in vae.decoder.parameters())
    vae.save_pretrained(tmp_path)
    again = AutoencoderTiny.from_pretrained(tmp_path)
    assert torch.equal(encode_picture(again, pictures[:2]), encode_picture(vae, pictures[:2]))


def test_the_decoder_learns_and_the_encoder_does_not(recipe: Recipe, vae: AutoencoderTiny, pictures: Tensor) -> None:
    objective = DecoderObjective(vae, recipe.autoencoder)
    batch = {"target": (pictures[:4] * 255).byte()}
    encoder = [weight.clone() for weight in vae.encoder.parameters()]
    optimizer = torch.optim.Adam(objective.trainable(), lr=2e-3)
    losses, ratios = [], []
    for step in range(20):
        loss, parts = objective.loss(batch, torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        ratios.append(float(parts["psnr"]))
    assert losses[-1] < 0.8 * losses[0]
    assert ratios[-1] > ratios[0]
    assert all(torch.equal(one, other) for one, other in zip(encoder, vae.encoder.parameters(), strict=True))


def test_sizes_that_hold_no_patch_are_refused(recipe: Recipe, pictures: Tensor) -> None:
    for changes in ({"vae_width": 47}, {"latent_channels": 49}, {"vae_decoder_blocks": (0, 0, 0)}):
        with pytest.raises(ConfigError, match="vae_width"):
            linear_autoencoder(replace(recipe.model, **changes), pictures)
