"""T2I-Adapters: the U-Net gets what diffusers would give it, in a window, and foreign ones are refused."""

import pytest
import torch
from diffusers import T2IAdapter

from blipdiff.checkpoints.controls import load_control, save_control
from blipdiff.conditioning.guidance import Conditioning, Guidance
from blipdiff.conditioning.layout import TokenLayout
from blipdiff.control.adapter import AdapterBranch
from blipdiff.errors import ConfigError, ImageError, ShapeError
from blipdiff.latents import noise
from blipdiff.moment import Moment, Window
from blipdiff.sampling.predictor import GuidedPredictor

PICTURE = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
NOW = Moment(0, 10, torch.tensor(501))


@pytest.fixture
def adapter(tiny_unet):
    torch.manual_seed(0)
    widths = list(tiny_unet.config.block_out_channels)
    return T2IAdapter(channels=widths, num_res_blocks=1, downscale_factor=8).eval().requires_grad_(False)


def predicted(unet, controls):
    words = Conditioning(
        torch.randn(1, 77, 32, generator=torch.Generator().manual_seed(1)), (TokenLayout(("x",) * 77),)
    )
    with torch.no_grad():
        return GuidedPredictor(unet, Guidance.even(words, None, 1.0), controls)(noise(3, (4, 8, 8)), NOW)


def test_the_unet_gets_what_diffusers_would_give_it(tiny_unet, adapter):
    words = torch.randn(1, 77, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        features = [0.7 * one for one in adapter(PICTURE)]
        right = tiny_unet(noise(3, (4, 8, 8)), 501, words, down_intrablock_additional_residuals=features).sample
    assert torch.equal(predicted(tiny_unet, [AdapterBranch.of(adapter, PICTURE, 0.7)]), right)
    assert not torch.equal(right, predicted(tiny_unet, []))


def test_strength_zero_and_an_empty_window_change_nothing_and_halves_make_a_whole(tiny_unet, adapter):
    whole = AdapterBranch.of(adapter, PICTURE)
    for silent in (AdapterBranch.of(adapter, PICTURE, 0.0), AdapterBranch(whole.features, window=Window(0.5, 1.0))):
        assert torch.equal(predicted(tiny_unet, [silent]), predicted(tiny_unet, []))
    halves = [AdapterBranch(whole.features, 0.5)] * 2
    assert torch.allclose(predicted(tiny_unet, halves), predicted(tiny_unet, [whole]), atol=1e-6)


def test_it_is_written_and_found_by_its_folder(adapter, tmp_path):
    save_control(adapter, tmp_path / "adapter")
    again = load_control(tmp_path / "adapter")
    assert isinstance(again, T2IAdapter)
    assert all(torch.equal(one, other) for one, other in zip(again(PICTURE), adapter(PICTURE), strict=True))


def test_what_does_not_fit_is_refused(tiny_unet, adapter):
    with pytest.raises(ShapeError, match="reads"):
        AdapterBranch.of(adapter, PICTURE[:, :2])
    with pytest.raises(ImageError):
        AdapterBranch.of(adapter, 2 * PICTURE)
    with pytest.raises(ConfigError):
        AdapterBranch.of(adapter, PICTURE, -1.0)
    with pytest.raises(ShapeError, match="of the size to make"):
        predicted(tiny_unet, [AdapterBranch.of(adapter, PICTURE[..., :32, :32])])
    foreign = AdapterBranch(tuple(torch.zeros(1, 3, 8, 8) for _ in range(2)))
    with pytest.raises(ShapeError, match="another model"):
        foreign.check_unet(tiny_unet)
