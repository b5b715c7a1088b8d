"""Tiles: parts of the latents that the U-Net predicts alone, each under a conditioning of its own."""

import pytest
import torch

from blipdiff.errors import ShapeError
from blipdiff.latents import noise
from blipdiff.moment import Moment, Window
from blipdiff.sampling.predictor import GuidedPredictor
from blipdiff.sampling.tiles import Tile, tiled

NOW = Moment(2, 10, torch.tensor(701))
LEFT = (slice(0, 8), slice(0, 8))


def test_a_tile_that_decides_alone_is_the_prediction_of_its_part(tiny_unet, guided):
    latents, guidance = noise([1, 2], (4, 8, 16)), guided(2)
    whole = GuidedPredictor(tiny_unet, guidance.select([1, 0]))
    got = tiled([Tile(guidance, LEFT, torch.ones(1, 1, 8, 8))])(whole)(latents, NOW)
    assert torch.equal(got[..., :8], GuidedPredictor(tiny_unet, guidance)(latents[..., :8], NOW))
    assert torch.equal(got[..., 8:], whole(latents, NOW)[..., 8:])


@pytest.mark.parametrize(("weight", "window"), [(0.0, Window()), (1.0, Window(0.5, 1.0))])
def test_a_tile_without_weight_or_outside_its_window_changes_nothing(tiny_unet, guided, weight, window):
    latents, whole = noise([1], (4, 8, 16)), GuidedPredictor(tiny_unet, guided(1))
    tile = Tile(guided(1, 1.0), LEFT, torch.full((1, 1, 8, 8), weight), window)
    assert torch.equal(tiled([tile])(whole)(latents, NOW), whole(latents, NOW))


def test_without_tiles_nothing_is_wrapped_and_a_weight_has_its_tiles_size(guided):
    assert tiled([]) is None
    with pytest.raises(ShapeError, match=r"A tile's weight is \(1, 1, 4, 8\), its part of the latents \(8, 8\)"):
        Tile(guided(1), LEFT, torch.ones(1, 1, 4, 8))
