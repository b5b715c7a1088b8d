"""The detail adapter: silent when fresh, read where it is asked for, kept on disk, part of the model's identity."""

import copy
import json
from dataclasses import replace

import pytest
import torch

from blipdiff.attention.reference import Reference, ReferenceRows
from blipdiff.attention.taps import TapCall, tapped
from blipdiff.checkpoints.detail_adapter import load_detail_adapter, save_detail_adapter
from blipdiff.errors import CheckpointError, ConfigError
from blipdiff.latents import noise
from blipdiff.models.detail_adapter import places_of
from blipdiff.moment import Moment, Window
from blipdiff.sampling.adapted import AdaptedRead, AdaptedReading, SeenReference
from blipdiff.training.details import initial_adapter

NOW = Moment(0, 10, torch.tensor(501))
LATENTS = noise([7], (4, 8, 8))


@pytest.fixture
def unet(tiny_unet):
    return copy.deepcopy(tiny_unet)


@pytest.fixture
def adapter(unet):
    """One that does add something."""
    made = initial_adapter(unet, seed=1).eval().requires_grad_(False)
    for layer in made.layers.values():
        layer.to_out.weight.copy_(torch.eye(len(layer.to_out.weight)))
    return made


def words(rows=1):
    return torch.randn(1, 77, 32, generator=torch.Generator().manual_seed(5)).expand(rows, -1, -1)


def reference(mask=None):
    clean, other = noise([1, 2], (4, 8, 8)).split(1)
    return Reference(clean, other, torch.ones(8, 8) if mask is None else mask, words())


def called(unet, latents, source=None, first=0):
    told = None if source is None else {"tap_call": TapCall((), NOW, first, more_keys=source)}
    with torch.no_grad(), tapped(unet):
        return unet(latents, NOW.timestep, words(len(latents)), cross_attention_kwargs=told).sample


def reading(unet, adapter, given=None, detail=1.0, **more):
    seen = SeenReference(unet, adapter, given or reference())
    return AdaptedReading([AdaptedRead(seen, **more)], detail, (8, 8))


def test_a_fresh_adapter_changes_nothing(unet):
    fresh = initial_adapter(unet, seed=1).eval()
    assert torch.equal(called(unet, LATENTS, reading(unet, fresh)), called(unet, LATENTS))


def test_more_detail_goes_further_and_leaves_the_processors_as_they_were(unet, adapter):
    before = list(unet.attn_processors.values())
    plain = called(unet, LATENTS)
    away = [float((called(unet, LATENTS, reading(unet, adapter, detail=d)) - plain).norm()) for d in (0.1, 0.5, 1.0)]
    assert 0 < away[0] < away[1] < away[2]
    assert all(one is other for one, other in zip(before, unet.attn_processors.values(), strict=True))


def test_a_reference_is_seen_once_for_all_steps_and_rows(unet, adapter):
    source = reading(unet, adapter)
    for _ in range(3):
        called(unet, LATENTS.expand(2, -1, -1, -1), source)
    assert source.reads[0].seen.calls == 1


def test_unconditional_rows_see_no_reference(unet, adapter):
    both = LATENTS.expand(2, -1, -1, -1)
    found = called(unet, both, reading(unet, adapter), first=1)
    assert torch.allclose(found[:1], called(unet, LATENTS), atol=1e-5)
    assert not torch.allclose(found[1:], found[:1], atol=1e-3)


def test_rows_read_references_of_their_own_or_none(unet, adapter):
    source = reading(unet, adapter)
    found = called(unet, LATENTS.expand(2, -1, -1, -1), ReferenceRows([None, source]))
    assert torch.allclose(found[:1], called(unet, LATENTS), atol=1e-5)
    assert torch.allclose(found[1:], called(unet, LATENTS, source), atol=1e-5)


def test_what_lies_outside_the_mask_is_not_seen(unet, adapter):
    mask = torch.zeros(8, 8)
    mask[2:6, 2:6] = 1
    given = reference(mask)
    seen = SeenReference(unet, adapter, given)
    name = next(iter(adapter.sizes.layers))
    site = type("Site", (), {"name": name})()
    assert 0 < len(seen.at(site).places) < 64


def test_weight_place_and_window_bound_what_is_read(unet, adapter):
    plain = called(unet, LATENTS)
    assert torch.allclose(called(unet, LATENTS, reading(unet, adapter, weight=0.0)), plain, atol=1e-6)
    nowhere = reading(unet, adapter, where=torch.zeros(1, 8, 8))
    assert torch.allclose(called(unet, LATENTS, nowhere), plain, atol=1e-6)
    late = replace(reading(unet, adapter), window=Window(0.5, 1.0))
    assert torch.equal(called(unet, LATENTS, late), plain)
    with pytest.raises(ConfigError, match="detail"):
        reading(unet, adapter, detail=0)


def test_nearer_positions_are_read_more(unet, adapter):
    layer = adapter.layer(next(iter(adapter.sizes.layers)))
    assert float(layer.nearness.exp().min()) > 0
    places = places_of(2, 4)
    assert places.tolist()[0] == [-1.5, -0.5] and places.tolist()[-1] == [1.5, 0.5]


def test_an_adapter_comes_back_from_disk(unet, adapter, tmp_path):
    save_detail_adapter(adapter, tmp_path)
    loaded = load_detail_adapter(tmp_path)
    assert loaded.sizes == adapter.sizes and loaded.detail == 1.0
    assert torch.equal(called(unet, LATENTS, reading(unet, loaded)), called(unet, LATENTS, reading(unet, adapter)))


def test_how_much_is_read_unasked_comes_back_and_is_all_where_the_folder_says_nothing(adapter, tmp_path):
    usual = copy.deepcopy(adapter)
    usual.detail = 0.6
    save_detail_adapter(usual, tmp_path)
    assert load_detail_adapter(tmp_path).detail == 0.6
    config = json.loads((tmp_path / "config.json").read_text())
    del config["detail"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_detail_adapter(tmp_path).detail == 1.0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"detail": 1.5}, "detail"),
        ({"detail": "much"}, "detail"),
        ({"layers": {}}, "layers"),
        ({"layers": {"mid": {"width": 8, "heads": 3}}}, "divide"),
        ({"layers": {"mid": {"width": 10**7, "heads": 1}}}, "width"),
        ({"latent_channels": -1}, "latent_channels"),
        ({"layers": {"mid": [8, 2]}}, "width and heads"),
    ],
)
def test_a_wrong_configuration_is_named(adapter, tmp_path, change, told):
    save_detail_adapter(adapter, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | change
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=told):
        load_detail_adapter(tmp_path)
