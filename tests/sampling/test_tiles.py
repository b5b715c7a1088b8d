"""Tiles: parts of the latents that the U-Net predicts alone, each under a conditioning of its own."""

import math
from itertools import pairwise

import pytest
import torch

from blipdiff.errors import ShapeError
from blipdiff.latents import noise
from blipdiff.moment import Moment, Window
from blipdiff.sampling.predictor import GuidedPredictor
from blipdiff.sampling.tiles import OverlappingTiles, Tile, tile_starts, tiled

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


@pytest.mark.parametrize(("length", "side"), [(8, 8), (9, 8), (16, 8), (20, 8), (31, 16), (5, 8)])
def test_tiles_cover_everything_and_overlap_by_half(length: int, side: int) -> None:
    starts = tile_starts(length, side)
    assert starts[0] == 0
    assert starts[-1] + side >= length
    assert all(0 < second - first <= side / 2 for first, second in pairwise(starts))


def test_tiles_of_a_prediction_that_knows_no_edges_are_the_whole_prediction() -> None:
    latents = noise([1, 2], (4, 20, 13))
    got = OverlappingTiles(lambda part, _moment: 2 * part, (8, 8))(latents, NOW)
    assert torch.allclose(got, 2 * latents, atol=1e-5)


def test_tiles_that_disagree_leave_no_seam() -> None:
    """Each tile predicts another constant: hard edges would jump by 1, and these go over in half a tile."""
    calls: list[int] = []

    def disagreeing(part: torch.Tensor, _moment: Moment) -> torch.Tensor:
        calls.append(1)
        return torch.full_like(part, float(len(calls) % 2))

    got = OverlappingTiles(disagreeing, (16, 16))(torch.zeros(1, 4, 32, 32), NOW)
    assert len(calls) == 9
    assert float(got.max() - got.min()) > 0.9
    assert max(float(got.diff(dim=-1).abs().max()), float(got.diff(dim=-2).abs().max())) < math.pi / 16


def test_latents_of_one_tile_are_predicted_as_ever(tiny_unet, guided) -> None:
    latents, whole = noise([1], (4, 8, 8)), GuidedPredictor(tiny_unet, guided(1))
    assert torch.allclose(OverlappingTiles(whole, (8, 8))(latents, NOW), whole(latents, NOW), atol=1e-6)
