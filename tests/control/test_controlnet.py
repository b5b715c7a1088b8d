import pytest
import torch

from blipdiff.conditioning.guidance import Conditioning, Guidance
from blipdiff.conditioning.layout import TokenLayout
from blipdiff.control.controlnet import ControlBranch
from blipdiff.errors import ConfigError, ImageError, ShapeError
from blipdiff.latents import noise
from blipdiff.moment import Moment, Window
from blipdiff.sampling.loop import denoise
from blipdiff.sampling.predictor import GuidedPredictor
from blipdiff.sampling.schedulers import build_scheduler, set_timesteps

PICTURE = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
CONFIG = {"_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@pytest.fixture
def net_calls(tiny_controlnet):
    """A list that grows with every call of the ControlNet."""
    seen = []
    hook = tiny_controlnet.register_forward_pre_hook(lambda *_: seen.append(1))
    yield seen
    hook.remove()


def final(unet, controls) -> torch.Tensor:
    layouts = (TokenLayout(("x</w>",) * 77),)
    texts = [torch.randn(1, 77, 32, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    guidance = Guidance.even(Conditioning(texts[0], layouts), Conditioning(texts[1], layouts), 7.5)
    scheduler = build_scheduler("ddim", CONFIG)
    set_timesteps(scheduler, 10)
    *_, last = denoise(GuidedPredictor(unet, guidance, controls), scheduler, noise(3, (4, 8, 8)))
    return last.latents


def test_strength_zero_is_bit_equal_to_no_control(tiny_unet, tiny_controlnet, net_calls):
    assert torch.equal(final(tiny_unet, [ControlBranch(tiny_controlnet, PICTURE, 0.0)]), final(tiny_unet, []))
    assert net_calls == []


def test_two_halves_equal_one_whole(tiny_unet, tiny_controlnet):
    halves = [ControlBranch(tiny_controlnet, PICTURE, 0.5)] * 2
    assert torch.equal(final(tiny_unet, halves), final(tiny_unet, [ControlBranch(tiny_controlnet, PICTURE)]))


def test_a_branch_windowed_to_nothing_is_never_called(tiny_unet, tiny_controlnet, net_calls):
    branch = ControlBranch(tiny_controlnet, PICTURE, window=Window(0.5, 0.5))
    assert torch.equal(final(tiny_unet, [branch]), final(tiny_unet, []))
    assert net_calls == []


def test_a_branch_runs_only_inside_its_window(tiny_unet, tiny_controlnet, net_calls):
    final(tiny_unet, [ControlBranch(tiny_controlnet, PICTURE, window=Window(0.2, 0.6))])
    assert len(net_calls) == 4


def test_residuals_grow_with_strength(tiny_controlnet):
    moment = Moment(0, 1, torch.tensor(500))
    latents, context = noise(1, (4, 8, 8)), torch.randn(1, 77, 32)
    down, middle = ControlBranch(tiny_controlnet, PICTURE).residuals(latents, context, moment)
    half_down, half_middle = ControlBranch(tiny_controlnet, PICTURE, 0.5).residuals(latents, context, moment)
    assert all(torch.allclose(one * 0.5, other) for one, other in zip(down, half_down, strict=True))
    assert torch.allclose(middle * 0.5, half_middle)


@pytest.mark.parametrize("strength", [-0.1, float("nan"), float("inf")])
def test_a_strength_outside_its_range_is_refused(tiny_controlnet, strength):
    with pytest.raises(ConfigError, match="strength"):
        ControlBranch(tiny_controlnet, PICTURE, strength)


@pytest.mark.parametrize("picture", [torch.zeros(3, 64, 64), torch.zeros(1, 1, 64, 64)])
def test_a_picture_of_another_shape_is_refused(tiny_controlnet, picture):
    with pytest.raises(ShapeError, match="rows, 3, H, W"):
        ControlBranch(tiny_controlnet, picture)


@pytest.mark.parametrize("value", [-1.0, 255.0, float("nan")])
def test_a_picture_outside_zero_to_one_is_refused(tiny_controlnet, value):
    with pytest.raises(ImageError, match=r"\[0, 1\]"):
        ControlBranch(tiny_controlnet, torch.full((1, 3, 64, 64), value))


def test_a_branch_that_does_not_fit_is_refused_by_name(tiny_controlnet):
    branch = ControlBranch(tiny_controlnet, PICTURE)
    with pytest.raises(ShapeError, match="64 x 64 pixels, the picture to make 64 x 128"):
        branch.check(torch.zeros(1, 4, 16, 8), torch.zeros(1, 77, 32))
    with pytest.raises(ShapeError, match="width 32, the model's has width 768"):
        branch.check(torch.zeros(1, 4, 8, 8), torch.zeros(1, 77, 768))
    two = ControlBranch(tiny_controlnet, PICTURE.repeat(2, 1, 1, 1))
    with pytest.raises(ShapeError, match="2 pictures for 3 rows"):
        two.residuals(torch.zeros(3, 4, 8, 8), torch.zeros(3, 77, 32), Moment(0, 1, torch.tensor(1)))
