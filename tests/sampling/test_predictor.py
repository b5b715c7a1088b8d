import copy

import pytest
import torch

from blipdiff.conditioning.guidance import Guidance
from blipdiff.control.controlnet import ControlBranch
from blipdiff.errors import ShapeError
from blipdiff.latents import noise
from blipdiff.moment import Moment, Window
from blipdiff.sampling.predictor import GuidedPredictor, TapCall

NOW = Moment(2, 10, torch.tensor(701))


@pytest.fixture
def calls(tiny_unet):
    """The rows of every U-Net call while a test runs."""
    seen = []
    hook = tiny_unet.register_forward_pre_hook(
        lambda module, inputs, kwargs: seen.append((inputs[0].shape[0], sorted(kwargs))), with_kwargs=True
    )
    yield seen
    hook.remove()


def raw(unet, latents, context):
    return unet(latents, NOW.timestep, encoder_hidden_states=context).sample


def test_guidance_mixes_both_predictions_of_each_row_by_its_scale(tiny_unet, guided, calls):
    guidance, latents = guided(3, [7.5, 1.0, 2.0]), noise([1, 2, 3], (4, 8, 8))
    got = GuidedPredictor(tiny_unet, guidance)(latents, NOW)
    assert calls == [(5, ["encoder_hidden_states", "return_dict"])]
    with_text = raw(tiny_unet, latents, guidance.positive.embeddings)
    without = raw(tiny_unet, latents, guidance.negative.embeddings)
    expected = without + torch.tensor([7.5, 1.0, 2.0]).view(-1, 1, 1, 1) * (with_text - without)
    assert torch.allclose(got, expected, atol=1e-4)


def test_scale_one_is_the_unguided_prediction_in_one_call_of_its_rows(tiny_unet, guided, calls):
    guidance, latents = guided(2, 1.0), noise([1, 2], (4, 8, 8))
    unguided = GuidedPredictor(tiny_unet, Guidance.even(guidance.positive, None, 1.0))(latents, NOW)
    assert torch.equal(GuidedPredictor(tiny_unet, guidance)(latents, NOW), unguided)
    assert [rows for rows, _ in calls] == [2, 2]
    assert torch.equal(unguided, raw(tiny_unet, latents, guidance.positive.embeddings))


def test_outside_its_window_guidance_costs_nothing_and_changes_nothing(tiny_unet, guided, calls):
    latents = noise([1, 2], (4, 8, 8))
    windowed = GuidedPredictor(tiny_unet, guided(2, 7.5, Window(0.5, 1)))(latents, NOW)
    assert [rows for rows, _ in calls] == [2]
    assert torch.equal(windowed, GuidedPredictor(tiny_unet, guided(2, 1.0))(latents, NOW))


def test_the_order_of_rows_does_not_matter(tiny_unet, guided):
    guidance, latents = guided(3, [7.5, 1.0, 2.0]), noise([1, 2, 3], (4, 8, 8))
    got = GuidedPredictor(tiny_unet, guidance)(latents, NOW)
    turned = GuidedPredictor(tiny_unet, guidance.select([2, 0, 1]))(latents[[2, 0, 1]], NOW)
    assert torch.allclose(turned, got[[2, 0, 1]], atol=1e-4)


def test_a_bfloat16_unet_takes_and_gives_float32(tiny_unet, guided):
    brain = copy.deepcopy(tiny_unet).to(torch.bfloat16)
    latents = noise([1], (4, 8, 8))
    guidance = guided(1, 1.0)
    got = GuidedPredictor(brain, guidance)(latents, NOW)
    expected = raw(brain, latents.bfloat16(), guidance.positive.embeddings.bfloat16())
    assert got.dtype == torch.float32
    assert torch.equal(got, expected.float())


def test_a_control_branch_follows_its_own_row_whatever_rows_are_guided(tiny_unet, tiny_controlnet, guided):
    pictures = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    guidance, latents = guided(3, [7.5, 1.0, 2.0]), noise([1, 2, 3], (4, 8, 8))
    for conditional_only in (False, True):
        together = GuidedPredictor(
            tiny_unet, guidance, [ControlBranch(tiny_controlnet, pictures, conditional_only=conditional_only)]
        )(latents, NOW)
        for row in range(3):
            branch = ControlBranch(tiny_controlnet, pictures[[row]], conditional_only=conditional_only)
            alone = GuidedPredictor(tiny_unet, guidance.select([row]), [branch])(latents[[row]], NOW)
            assert torch.allclose(together[[row]], alone, atol=1e-4)


def test_a_float32_control_serves_a_bfloat16_unet(tiny_unet, tiny_controlnet, guided):
    brain = copy.deepcopy(tiny_unet).to(torch.bfloat16)
    branch = ControlBranch(tiny_controlnet, torch.rand(1, 3, 64, 64))
    assert GuidedPredictor(brain, guided(1), [branch])(noise(1, (4, 8, 8)), NOW).dtype == torch.float32


def test_taps_are_told_the_moment_and_the_first_conditional_row(tiny_unet, guided):
    unet, told = copy.deepcopy(tiny_unet), []

    class Watching:
        def __call__(self, attention, hidden_states, encoder_hidden_states=None, tap_call=None, **kwargs):
            told.append(tap_call)
            return hidden_states

    unet.set_attn_processor(Watching())
    tap = object()
    GuidedPredictor(unet, guided(3, [7.5, 1.0, 2.0]), taps=[tap])(noise([1, 2, 3], (4, 8, 8)), NOW)
    assert set(told) == {TapCall((tap,), NOW, 2)}
    told.clear()
    GuidedPredictor(unet, guided(1))(noise(1, (4, 8, 8)), NOW)
    assert set(told) == {None}


def test_other_rows_or_another_width_are_refused(tiny_unet, guided):
    with pytest.raises(ShapeError, match="2 rows of latents"):
        GuidedPredictor(tiny_unet, guided(1))(noise([1, 2], (4, 8, 8)), NOW)
    narrow = guided(1, 1.0).positive
    narrow = type(narrow)(narrow.embeddings[..., :16], narrow.layouts)
    with pytest.raises(ShapeError, match=r"width 16.*width 32"):
        GuidedPredictor(tiny_unet, Guidance.even(narrow, None, 1.0))
