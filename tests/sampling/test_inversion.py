import pytest
import torch
from diffusers import DDIMInverseScheduler

from blipdiff.errors import ConfigError, ShapeError
from blipdiff.latents import noise
from blipdiff.moment import Moment
from blipdiff.sampling.inversion import FixedPoint, HeldSource, InverseDDIM, invert
from blipdiff.sampling.loop import denoise
from blipdiff.sampling.predictor import GuidedPredictor
from blipdiff.sampling.schedulers import build_scheduler, set_timesteps

STEPS = 8
ZERO_SNR = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}


def ddim(config, **changes):
    scheduler = build_scheduler("ddim", {**config, **changes})
    set_timesteps(scheduler, STEPS)
    return scheduler


def smooth(latents, moment):
    """A predictor that a trained model resembles: it changes little when its latents do."""
    return 0.3 * torch.tanh(latents.roll(1, -1)) + 0.1 * moment.timestep / 1000


@pytest.fixture
def picture():
    return noise([1, 2], (4, 8, 8))


def test_ddim_inversion_is_diffusers_for_a_model_of_the_noise(scheduler_config, picture):
    scheduler = ddim(scheduler_config)
    theirs = DDIMInverseScheduler.from_config(scheduler.config)
    theirs.set_timesteps(STEPS)
    ours = [step.latents for step in invert(smooth, scheduler, picture, method="ddim")]
    for one, step in zip(ours, denoise(smooth, theirs, picture), strict=True):
        assert torch.allclose(one, step.latents, atol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"prediction_type": "v_prediction"}, ZERO_SNR])
def test_the_inverse_undoes_a_step_of_the_scheduler_for_every_kind_of_prediction(scheduler_config, picture, changes):
    scheduler = ddim(scheduler_config, **changes)
    prediction = noise([3, 4], (4, 8, 8))
    for timestep in scheduler.timesteps:
        stepped = scheduler.step(prediction, timestep, picture, return_dict=False)[0]
        assert torch.allclose(InverseDDIM(scheduler).step(prediction, timestep, stepped)[0], picture, atol=1e-4)


@pytest.mark.parametrize("changes", [{}, {"prediction_type": "v_prediction"}, ZERO_SNR])
def test_fixed_point_inversion_returns_to_the_picture_and_ddim_drifts(scheduler_config, picture, changes):
    scheduler = ddim(scheduler_config, **changes)
    distances = {}
    for method in ("ddim", "fixed-point"):
        *_, last = invert(smooth, scheduler, picture, method=method)
        *_, back = denoise(smooth, scheduler, last.latents)
        distances[method] = float((back.latents - picture).abs().max())
    assert distances["fixed-point"] < 2e-3
    assert distances["fixed-point"] < distances["ddim"] / 50


@pytest.mark.parametrize("size", [(8, 8), (12, 8), (8, 16)])
def test_a_unets_inversion_comes_closer_the_more_it_is_iterated(tiny_unet, guided, scheduler_config, size):
    scheduler, picture = ddim(scheduler_config), noise([1], (4, *size))
    unet, distances = GuidedPredictor(tiny_unet, guided(1, 1.0)), []

    def predict(latents, moment):
        return 0.1 * unet(latents, moment)  # random weights magnify differences, as trained ones do not

    for iterations in (1, 4, 8):
        inverse = InverseDDIM(scheduler)
        *_, last = denoise(FixedPoint(predict, inverse, iterations), inverse, picture)
        *_, back = denoise(predict, scheduler, last.latents)
        distances.append(float((back.latents - picture).square().mean().sqrt()))
    assert distances[0] > 2 * distances[1] > 4 * distances[2]


def test_one_iteration_is_ddim_inversion(scheduler_config, picture):
    scheduler = ddim(scheduler_config)
    inverse = InverseDDIM(scheduler)
    once = [step.latents for step in denoise(FixedPoint(smooth, inverse, 1), inverse, picture)]
    assert all(
        torch.equal(one, step.latents)
        for one, step in zip(once, invert(smooth, scheduler, picture, method="ddim"), strict=True)
    )


def test_iteration_ends_when_nothing_changes_any_more(scheduler_config, picture):
    calls = []

    def constant(latents, moment):
        calls.append(moment.index)
        return torch.ones_like(latents)

    list(invert(constant, ddim(scheduler_config), picture))
    assert calls == [index for index in range(STEPS) for _ in range(2)]


def test_a_batch_is_inverted_as_its_rows_are(scheduler_config, picture):
    scheduler = ddim(scheduler_config)
    *_, both = invert(smooth, scheduler, picture)
    for row in (0, 1):
        *_, alone = invert(smooth, scheduler, picture[[row]])
        assert torch.allclose(both.latents[[row]], alone.latents, atol=1e-5)


def test_the_scheduler_stays_ready_for_the_run_forwards(scheduler_config, picture):
    scheduler = ddim(scheduler_config)
    before = scheduler.timesteps.clone()
    list(invert(smooth, scheduler, picture))
    assert torch.equal(scheduler.timesteps, before)


def test_a_held_source_ends_in_the_pictures_own_latents_whatever_is_predicted(scheduler_config, picture):
    scheduler, source = ddim(scheduler_config), picture[:1]
    way = (source, *(step.latents for step in invert(smooth, scheduler, source, method="ddim")))
    latents = way[-1].repeat(2, 1, 1, 1)
    steps = list(denoise(lambda x, moment: 7 * smooth(x, moment), scheduler, latents, [HeldSource(way)]))
    assert torch.equal(steps[-1].latents[:1], source)
    assert torch.equal(steps[0].latents[:1], way[-2])
    assert not torch.equal(steps[-1].latents[1:], source)


def test_an_inversion_of_another_length_is_refused(picture):
    with pytest.raises(ShapeError, match="inversion of 2 steps was given to a run of 5"):
        HeldSource((picture, picture, picture))(picture, Moment(0, 5, torch.tensor(1)))


@pytest.mark.parametrize("name", ["pndm", "dpm++2m", "unipc", "euler", "euler-a", "lcm", "tcd"])
def test_schedulers_that_cannot_invert_are_named_before_any_step(scheduler_config, picture, name):
    scheduler = build_scheduler(name, scheduler_config)
    set_timesteps(scheduler, STEPS)
    with pytest.raises(ConfigError, match=r"cannot invert.*ddim"):
        invert(smooth, scheduler, picture)


def test_clipping_unready_schedulers_and_unknown_methods_are_refused(scheduler_config, picture):
    clipping = ddim(scheduler_config)
    clipping.register_to_config(clip_sample=True)
    with pytest.raises(ConfigError, match="clips samples"):
        invert(smooth, clipping, picture)
    with pytest.raises(ConfigError, match="no timesteps"):
        invert(smooth, build_scheduler("ddim", scheduler_config), picture)
    with pytest.raises(ConfigError, match="'newton'"):
        invert(smooth, ddim(scheduler_config), picture, method="newton")
    with pytest.raises(ConfigError, match="0 iterations"):
        FixedPoint(smooth, InverseDDIM(ddim(scheduler_config)), 0)
