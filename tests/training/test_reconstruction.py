"""Reconstruction heads: photos from rows, and from rows asked by places."""

import torch

from blipdiff.training.reconstruction import PositionReconstruction, Reconstruction, position_waves


def test_both_heads_give_the_photos_latents() -> None:
    rows = torch.randn(3, 16, 32, generator=torch.Generator().manual_seed(0))
    assert Reconstruction(16, 32, 8, 6)(rows).shape == (3, 8, 6, 6)
    assert PositionReconstruction(32, 2, 8, 6)(rows).shape == (3, 8, 6, 6)


def test_every_place_has_waves_of_its_own() -> None:
    waves = position_waves(30, 5)
    assert waves.shape == (25, 30)
    assert float(waves.abs().max()) <= 1
    assert float(torch.cdist(waves, waves).fill_diagonal_(9).min()) > 0.1


def test_places_learn_to_draw_from_rows() -> None:
    torch.manual_seed(0)
    rows, wanted = torch.randn(4, 16, 32), torch.randn(4, 8, 4, 4)
    head = PositionReconstruction(32, 2, 8, 4)
    optimizer = torch.optim.Adam(head.parameters(), 3e-3)
    errors = []
    for _ in range(150):
        error = (head(rows) - wanted).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.2 * errors[0]
