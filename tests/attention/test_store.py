from types import SimpleNamespace

import pytest
import torch

from blipdiff.attention.store import CrossAttentionStore, cross_levels, grid, layout_level
from blipdiff.errors import ConfigError, ShapeError
from blipdiff.moment import Moment, Window

SIZES = [(8, 8), (12, 8), (10, 14)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("level", [0, 1, 2])
def test_maps_have_the_latents_aspect_at_every_size_and_level(unet, call, size, level):
    store = CrossAttentionStore(size, (level,))
    call(unet, [store], size=size)
    height, width = grid(size, level)
    assert store.mean().shape == (2, height, width, 77)
    assert torch.allclose(store.mean().sum(-1), torch.ones(2, height, width), atol=1e-5)


def test_a_place_in_the_map_is_that_place_in_the_latents(unet, call, recorder):
    watching, store = recorder(lambda site, queries: site.name.endswith("attn2")), CrossAttentionStore((12, 8), (0,))
    call(unet, [watching, store], size=(12, 8))
    seen = [probs.mean(1) for site, _, probs in watching.seen if probs.shape[2] == 96]
    assert torch.allclose(store.mean()[:, 3, 5], torch.stack(seen).mean(0)[:, 3 * 8 + 5], atol=1e-6)


def test_several_levels_are_enlarged_to_the_finest(unet, call):
    store = CrossAttentionStore((12, 8), (0, 1, 2))
    call(unet, [store], size=(12, 8))
    assert store.mean().shape == (2, 12, 8, 77)
    assert torch.allclose(store.mean().sum(-1), torch.ones(2, 12, 8), atol=1e-5)


def test_the_middle_block_is_left_out_unless_asked_for(unet, call, recorder):
    outer, inner = CrossAttentionStore((8, 8), (3,)), CrossAttentionStore((8, 8), (3,), blocks=("mid",))
    call(unet, [outer, inner])
    assert inner.mean().shape == (2, 1, 1, 77)
    with pytest.raises(ConfigError, match="No attention has been collected"):
        outer.mean()


def test_a_second_run_through_one_store_starts_afresh(unet, call):
    store, once = CrossAttentionStore((8, 8), (1,)), CrossAttentionStore((8, 8), (1,))
    moments = [Moment(index, 2, torch.tensor(501)) for index in range(2)]
    for moment in moments:
        call(unet, [store], moment=moment)
    call(unet, [store], moment=moments[0])
    call(unet, [once], moment=moments[0])
    assert torch.equal(store.mean(), once.mean())


def test_only_the_window_is_collected(unet, call):
    store = CrossAttentionStore((8, 8), (1,), window=Window(0.5, 1.0))
    call(unet, [store], moment=Moment(0, 2, torch.tensor(501)))
    with pytest.raises(ConfigError):
        store.mean()


def test_levels_come_from_the_unets_blocks(tiny_unet):
    assert cross_levels(tiny_unet) == (0, 1, 2)
    assert layout_level(tiny_unet) == 0, "its latents have 8 x 8 places"
    large = tiny_unet.config | {"sample_size": 64}
    assert layout_level(SimpleNamespace(config=SimpleNamespace(**large))) == 2


def test_latents_without_such_a_grid_are_refused():
    with pytest.raises(ShapeError, match="do not exist"):
        CrossAttentionStore((0, 8))
    with pytest.raises(ShapeError, match="do not exist"):
        CrossAttentionStore((8, 8), ())
