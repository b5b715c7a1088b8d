import math

import diffusers
import pytest
import torch

from blipdiff.errors import CheckpointError, ConfigError
from blipdiff.sampling.loop import denoise
from blipdiff.sampling.schedulers import SCHEDULER_NAMES, build_scheduler, draws_noise, set_timesteps

BASE = {
    "_class_name": "PNDMScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 0,
    "timestep_spacing": "leading",
    "prediction_type": "epsilon",
}
ZERO_SNR = {
    **BASE,
    "_class_name": "DDIMScheduler",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
}


@pytest.mark.parametrize("name", [None, "as configured", " As Configured "])
def test_the_checkpoints_own_scheduler_stays_as_configured(name):
    own = diffusers.DDIMScheduler(clip_sample=True, beta_schedule="squaredcos_cap_v2")
    built = build_scheduler(name, dict(own.config) | {"_class_name": "DDIMScheduler"})
    assert type(built) is diffusers.DDIMScheduler
    assert {k: v for k, v in built.config.items() if k[0] != "_"} == {
        k: v for k, v in own.config.items() if k[0] != "_"
    }


@pytest.mark.parametrize(
    ("name", "kind", "karras"),
    [
        ("pndm", "PNDMScheduler", None),
        ("DDIM", "DDIMScheduler", None),
        ("dpm++2m", "DPMSolverMultistepScheduler", False),
        ("dpm++ 2m", "DPMSolverMultistepScheduler", False),
        ("dpm++2m-karras", "DPMSolverMultistepScheduler", True),
        ("dpm++ 2m karras", "DPMSolverMultistepScheduler", True),
        ("unipc", "UniPCMultistepScheduler", False),
        ("euler", "EulerDiscreteScheduler", False),
        ("euler a", "EulerAncestralDiscreteScheduler", None),
        ("lcm", "LCMScheduler", None),
        ("tcd", "TCDScheduler", None),
    ],
)
def test_a_name_gives_its_scheduler(name, kind, karras):
    built = build_scheduler(name, BASE)
    assert type(built).__name__ == kind
    assert built.config.get("use_karras_sigmas") == karras


def test_an_unknown_name_is_refused_with_the_names_there_are():
    with pytest.raises(ConfigError, match=r"'plms'.*pndm, ddim.*lcm, tcd, fitted, ays, gits, as configured"):
        build_scheduler("plms", BASE)


@pytest.mark.parametrize("kind", [None, "NoSuchScheduler", "UNet2DConditionModel", 7])
def test_a_config_that_names_no_scheduler_is_refused(kind):
    with pytest.raises(CheckpointError, match="diffusers has no scheduler"):
        build_scheduler(None, {**BASE, "_class_name": kind})


@pytest.mark.parametrize("name", SCHEDULER_NAMES)
def test_the_checkpoints_noise_schedule_is_kept(name):
    config = {**BASE, "beta_end": 0.015, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}
    built = build_scheduler(name, {**config, "clip_sample": True, "thresholding": True})
    reference = diffusers.DDIMScheduler.from_config(config)
    assert torch.equal(built.alphas_cumprod, reference.alphas_cumprod)
    assert built.config.prediction_type == "v_prediction"
    assert built.config.timestep_spacing == "trailing"
    assert not built.config.get("clip_sample")
    assert not built.config.get("thresholding")


@pytest.mark.parametrize("name", SCHEDULER_NAMES)
def test_a_sparse_config_means_the_defaults_of_the_checkpoints_own_class(name):
    built = build_scheduler(name, {"_class_name": "PNDMScheduler", "skip_prk_steps": True})
    assert torch.equal(built.alphas_cumprod, diffusers.PNDMScheduler().alphas_cumprod)


def test_settings_of_the_checkpoints_solver_do_not_leak_into_a_named_one():
    own = {
        **BASE,
        "_class_name": "DPMSolverMultistepScheduler",
        "algorithm_type": "sde-dpmsolver++",
        "use_karras_sigmas": True,
        "solver_order": 3,
        "variance_type": "learned",
        "final_sigmas_type": "sigma_min",
    }
    built = build_scheduler("dpm++2m", own)
    assert (built.config.algorithm_type, built.config.solver_order) == ("dpmsolver++", 2)
    assert not built.config.use_karras_sigmas
    assert built.config.variance_type is None
    assert not build_scheduler("unipc", own).config.use_karras_sigmas
    assert not build_scheduler("euler", own).config.use_karras_sigmas


@pytest.mark.parametrize("name", ["pndm", "euler-a"])
def test_a_scheduler_that_cannot_use_the_prediction_is_refused(name):
    with pytest.raises(ConfigError, match="'sample'"):
        build_scheduler(name, {**BASE, "prediction_type": "sample"})


@pytest.mark.parametrize("name", SCHEDULER_NAMES)
@pytest.mark.parametrize("steps", [0, -1, 1001, 2.5, "20", True])
def test_steps_outside_their_range_are_refused(name, steps):
    with pytest.raises(ConfigError, match="a run has 1 to 1000"):
        set_timesteps(build_scheduler(name, BASE), steps)


def test_steps_that_one_scheduler_cannot_make_are_refused():
    with pytest.raises(ConfigError, match="LCMScheduler cannot make 51 steps"):
        set_timesteps(build_scheduler("lcm", BASE), 51)
    for name in ("dpm++2m", "unipc"):
        with pytest.raises(ConfigError, match="cannot make 1000 different steps"):
            set_timesteps(build_scheduler(name, BASE), 1000)
    with pytest.raises(ConfigError, match="ask for fewer"):
        set_timesteps(build_scheduler("ddim", {**BASE, "steps_offset": 1}), 1000)


@pytest.mark.parametrize("name", [name for name in SCHEDULER_NAMES if name not in ("lcm", "tcd")])
@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("steps", [1, 2, 3, 20, 61, 103, 206, 500, 769])
def test_every_number_of_steps_makes_that_many_timesteps_in_range(name, spacing, steps):
    scheduler = build_scheduler(name, {**BASE, "timestep_spacing": spacing})
    set_timesteps(scheduler, steps)
    calls = steps + 1 if name == "pndm" and steps > 1 else steps
    assert len(scheduler.timesteps) == calls
    assert 0 <= float(scheduler.timesteps.min()) <= float(scheduler.timesteps.max()) <= 999
    if hasattr(scheduler, "sigmas"):
        assert len(scheduler.sigmas) == calls + 1
        assert bool((scheduler.sigmas.diff() < 0).all())


def test_only_schedulers_that_add_noise_ask_for_generators():
    drawing = [name for name in SCHEDULER_NAMES if draws_noise(build_scheduler(name, BASE))]
    assert drawing == ["euler-a", "lcm", "tcd"]


def test_zero_terminal_snr_with_noise_prediction_is_refused_where_it_has_no_answer():
    config = {**ZERO_SNR, "prediction_type": "epsilon"}
    for name in SCHEDULER_NAMES:
        with pytest.raises(ConfigError, match="v_prediction"):
            set_timesteps(build_scheduler(name, config), 20)
    set_timesteps(build_scheduler("ddim", {**config, "timestep_spacing": "leading"}), 20)


class KnownData:
    """The exact prediction for data of two normal distributions, and where the exact flow takes a noise.

    In one dimension the probability-flow path (Song et al. 2021, arXiv:2011.13456, sec. 4.3) keeps the quantile.
    """

    means, widths, shares = (torch.tensor(v, dtype=torch.float64) for v in ([-1.2, 0.8], [0.3, 0.2], [0.4, 0.6]))

    def __init__(self, signal: torch.Tensor, kind: str) -> None:
        self.signal, self.kind = signal.double(), kind

    def _spread(self, kept):
        return (kept * self.widths**2 + 1 - kept).sqrt()

    def __call__(self, latents, moment):
        low = moment.timestep.double().floor().long()
        weight = moment.timestep.double() - low
        kept = self.signal[low] * (1 - weight) + self.signal[(low + 1).clamp(max=999)] * weight
        x = latents.double()[..., None]
        away = x - kept.sqrt() * self.means
        likely = torch.softmax(self.shares.log() - self._spread(kept).log() - (away / self._spread(kept)) ** 2 / 2, -1)
        clean = (likely * (self.means + kept.sqrt() * (self.widths / self._spread(kept)) ** 2 * away)).sum(-1)
        noise = (latents.double() - kept.sqrt() * clean) / (1 - kept).sqrt()
        return (noise if self.kind == "epsilon" else kept.sqrt() * noise - (1 - kept).sqrt() * clean).float()

    def _quantile(self, x, kept):
        normal = torch.special.ndtr((x[..., None] - kept.sqrt() * self.means) / self._spread(kept))
        return (self.shares * normal).sum(-1)

    def exact(self, noise, first, last):
        wanted = self._quantile(noise.double(), first)
        low, high = torch.full_like(wanted, -9), torch.full_like(wanted, 9)
        for _ in range(60):
            middle = (low + high) / 2
            below = self._quantile(middle, last) < wanted
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return low


def error(name: str, config: dict, steps: int) -> float:
    signal = diffusers.DDIMScheduler.from_config({k: v for k, v in config.items() if k[0] != "_"}).alphas_cumprod
    data = KnownData(signal, config["prediction_type"])
    scheduler = build_scheduler(name, config)
    set_timesteps(scheduler, steps)
    noise = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    *_, last = denoise(data, scheduler, noise)
    end = data.signal[0] if name in ("pndm", "ddim") else torch.tensor(1.0, dtype=torch.float64)
    return float((last.latents - data.exact(noise, data.signal[-1], end)).abs().mean())


DETERMINISTIC = [name for name in SCHEDULER_NAMES if name not in ("euler-a", "lcm", "tcd")]


@pytest.mark.parametrize("name", DETERMINISTIC)
@pytest.mark.parametrize("config", [BASE, {**BASE, "prediction_type": "v_prediction"}, ZERO_SNR], ids=["e", "v", "0"])
def test_every_scheduler_converges_to_the_exact_flow(name, config):
    coarse, fine = error(name, config, 20), error(name, config, 100)
    assert fine < coarse / 2
    assert fine < 0.02


def test_karras_levels_serve_zero_terminal_snr_as_well_as_an_ordinary_schedule():
    assert error("dpm++2m-karras", ZERO_SNR, 20) < 1.5 * error("dpm++2m-karras", BASE, 20)


def test_karras_levels_of_zero_terminal_snr_begin_at_the_terminal_level_and_then_where_signal_is():
    scheduler = build_scheduler("dpm++2m-karras", ZERO_SNR)
    set_timesteps(scheduler, 20)
    assert int(scheduler.timesteps[0]) == 999
    assert math.isclose(float(scheduler.sigmas[0]), 4096, rel_tol=1e-3)
    assert math.isclose(float(scheduler.sigmas[1]), 14.61, rel_tol=1e-2)


@pytest.mark.parametrize("name", SCHEDULER_NAMES)
@pytest.mark.parametrize("steps", [1, 2, 5, 30])
def test_zero_terminal_snr_stays_finite_at_every_length(name, steps):
    signal = diffusers.DDIMScheduler.from_config({k: v for k, v in ZERO_SNR.items() if k[0] != "_"}).alphas_cumprod
    scheduler = build_scheduler(name, ZERO_SNR)
    set_timesteps(scheduler, steps)
    noise = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    generators = [torch.Generator().manual_seed(1)]
    *_, last = denoise(KnownData(signal, "v_prediction"), scheduler, noise, generators=generators)
    assert float(last.latents.abs().max()) < 6


def test_an_ancestral_run_of_few_steps_from_nearly_pure_noise_stays_finite():
    """3 steps of a cosine schedule go from sigma 20291 to 1.75, where float32 takes the root of a negative number."""
    cosine = {**BASE, "_class_name": "DDIMScheduler", "beta_schedule": "squaredcos_cap_v2"}
    cosine |= {"prediction_type": "v_prediction", "timestep_spacing": "trailing"}
    doubled = []
    for steps in range(1, 26):
        scheduler = build_scheduler("euler-a", cosine)
        set_timesteps(scheduler, steps)
        noise = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(steps))
        *_, last = denoise(lambda latents, _: latents, scheduler, noise, generators=[torch.Generator().manual_seed(0)])
        assert torch.isfinite(last.latents).all() and last.latents.dtype == torch.float32
        doubled += [steps] if scheduler.sigmas.dtype == torch.float64 else []
    assert doubled == [3]  # all others keep the arithmetic that their pictures were made with
