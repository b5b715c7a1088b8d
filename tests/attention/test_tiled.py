"""Attention by tiles: the same as SDPA within bfloat16, for runs with and without taps, and only where it is faster."""

import copy

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0
from torch.nn.functional import scaled_dot_product_attention

from blipdiff.attention import tiled
from blipdiff.attention.taps import TapCall, tapped
from blipdiff.attention.tiled import TiledProcessor, serves, set_tiled, tiled_attention
from blipdiff.latents import noise
from blipdiff.moment import Moment

# bfloat16 keeps 8 bits: scores and shares are rounded by up to 1/256 of themselves, values weighted by them likewise.
ROUNDING = 2**-6
NOW = Moment(0, 1, torch.tensor(501))


@pytest.fixture
def every_size(monkeypatch):
    """Tiles of tiny layers too, and several to each."""
    monkeypatch.setattr(tiled, "LEAST_SCORES", 1)
    monkeypatch.setattr(tiled, "TILE_SCORES", 300)


def heads(count, positions, width, seed=0):
    return torch.randn(count, positions, width, generator=torch.Generator().manual_seed(seed)).bfloat16()


def distance(one, other):
    return float((one.float() - other.float()).square().mean().sqrt())


@pytest.mark.parametrize("scores", [1, 300, 5000, 2**21])
@pytest.mark.parametrize(("queries", "keys"), [(64, 64), (49, 77), (1, 5), (130, 3)])
def test_tiles_of_any_size_agree_with_the_fused_kernel(monkeypatch, scores, queries, keys):
    monkeypatch.setattr(tiled, "TILE_SCORES", scores)
    query, key, value = heads(6, queries, 40), heads(6, keys, 40, 1), heads(6, keys, 40, 2)
    exact = scaled_dot_product_attention(query.double(), key.double(), value.double())
    ours = tiled_attention(query, key, value)
    assert ours.shape == query.shape
    assert ours.dtype == torch.bfloat16
    assert (ours - exact).abs().max() < ROUNDING
    fused = (scaled_dot_product_attention(query, key, value) - exact).abs().mean()
    assert (ours - exact).abs().mean() < 4 * fused, "the scores are rounded as well, and no more than that"


def test_scores_too_large_for_an_exponential_are_no_trouble():
    query, key, value = 100 * heads(2, 8, 40), 100 * heads(2, 8, 40, 1), heads(2, 8, 40, 2)
    assert bool(torch.isfinite(tiled_attention(query, key, value)).all())


@torch.no_grad()
def test_a_unet_stays_as_near_to_float32_as_bfloat16_itself(unet, every_size):
    half = copy.deepcopy(unet).to(torch.bfloat16)
    ours = copy.deepcopy(half)
    assert set_tiled(ours) == len(ours.attn_processors)
    latents, words = noise([1, 2], (4, 8, 8)), torch.randn(2, 77, 32, generator=torch.Generator().manual_seed(5))
    exact = unet(latents, 501, words).sample
    stock, found = (net(latents.bfloat16(), 501, words.bfloat16()).sample for net in (half, ours))
    assert not torch.equal(found, stock)
    assert distance(found, exact) < 1.5 * distance(stock, exact)


@torch.no_grad()
def test_a_tapped_unet_uses_tiles_where_no_tap_reads(unet, every_size, recorder, monkeypatch):
    half, used, kernel = copy.deepcopy(unet).to(torch.bfloat16), [], tiled.tiled_attention
    monkeypatch.setattr(tiled, "tiled_attention", lambda *given: used.append(given) or kernel(*given))
    latents, words = noise([1], (4, 8, 8)), torch.randn(1, 77, 32, generator=torch.Generator().manual_seed(5))
    watching = recorder(lambda site, queries: site.kind == "cross")

    def watched():
        told = {"tap_call": TapCall((watching,), NOW, 0)}
        with tapped(half):
            return half(latents.bfloat16(), 501, words.bfloat16(), cross_attention_kwargs=told).sample

    stock = watched()
    assert not used
    set_tiled(half)
    before = list(half.attn_processors.values())
    found = watched()
    assert len(used) == len(watching.seen) // 2 == len(before) // 2
    assert all(one is other for one, other in zip(before, half.attn_processors.values(), strict=True))
    exact = unet(latents, 501, words).sample
    assert distance(found, exact) < 1.5 * distance(stock, exact)


@torch.no_grad()
def test_a_decoder_stays_as_near_to_float32_as_bfloat16_itself(every_size, tiny_vae):
    half = copy.deepcopy(tiny_vae).to(torch.bfloat16)
    ours = copy.deepcopy(half)
    assert set_tiled(ours) > 0
    latents = noise([3], (4, 8, 8))
    exact = tiny_vae.decode(latents).sample
    stock, found = (net.decode(latents.bfloat16()).sample for net in (half, ours))
    assert distance(found, exact) < 1.5 * distance(stock, exact)


def layer(heads=8, **settings):
    return Attention(16 * heads, heads=heads, dim_head=16, **settings)


def states(places, dtype=torch.bfloat16, heads=8):
    return torch.randn(1, places, 16 * heads, dtype=dtype)


def test_tiles_serve_large_layers_in_bfloat16_without_gradients():
    with torch.no_grad():
        assert serves(layer(), states(256))
        assert serves(layer(), states(1024), states(77))
        assert serves(layer(heads=1), torch.randn(1, 16, 64, 64, dtype=torch.bfloat16)), "a VAE's: (rows, width, h, w)"
        assert not serves(layer(), states(16))
        assert not serves(layer(), states(256, torch.float32))
        assert not serves(layer(upcast_attention=True), states(256))
        assert not serves(layer(), states(256).to("meta"))
    assert not serves(layer(), states(256))


@torch.no_grad()
def test_what_tiles_do_not_serve_is_the_fused_kernels_to_the_last_bit(every_size):
    attention, given = layer().bfloat16(), states(16)
    mask = torch.zeros(1, 1, 16).bfloat16()
    mask[..., 8:] = -10000
    plain = AttnProcessor2_0()(attention, given, attention_mask=mask)
    assert torch.equal(TiledProcessor()(attention, given, attention_mask=mask), plain)
    exact = layer()
    assert torch.equal(TiledProcessor()(exact, given.float()), AttnProcessor2_0()(exact, given.float()))


def test_gradients_pass_through_the_fused_kernel(every_size):
    attention, given = layer().bfloat16(), states(16)
    TiledProcessor()(attention, given).float().sum().backward()
    assert attention.to_q.weight.grad is not None


def test_a_processor_that_someone_has_set_stays(unet):
    unet.set_attn_processor(AttnProcessor())
    before = list(unet.attn_processors.values())
    assert set_tiled(unet) == 0
    assert all(one is other for one, other in zip(before, unet.attn_processors.values(), strict=True))


def test_tiles_are_set_once(unet):
    count = set_tiled(unet)
    before = list(unet.attn_processors.values())
    assert set_tiled(unet) == count == len(before)
    assert all(one is other for one, other in zip(before, unet.attn_processors.values(), strict=True))
