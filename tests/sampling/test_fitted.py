import json
import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from blipdiff.checkpoints import load_model, save_model
from blipdiff.checkpoints.step_tables import STEPS_FILE, step_tables
from blipdiff.errors import CheckpointError, ConfigError
from blipdiff.models.step_tables import StepTable, StepTables
from blipdiff.moment import Moment
from blipdiff.sampling.fitting import Way, converged, error_of, fitted, moved, spacings
from blipdiff.sampling.inversion import check_invertible
from blipdiff.sampling.loop import denoise
from blipdiff.sampling.schedulers import build_scheduler, ready_scheduler, set_timesteps
from pipelines.generate.request import GenerateRequest
from pipelines.plan import pace_of, resolved
from tests.support.tiny_models import tiny_model

CONFIG = {
    "_class_name": "DDIMScheduler",
    "num_train_timesteps": 1000,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
    "clip_sample": False,
}
STABLE = {
    **CONFIG,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "epsilon",
}
TIMES = (999, 749, 499, 249)


def ddim_weights(timesteps=TIMES, predictions=4):
    """DDIM as a table: latents * b' / b + clean * (a' - a b' / b), a and b being signal and noise."""
    signal = build_scheduler("ddim", CONFIG).alphas_cumprod.double()
    levels = [float(signal[one]) for one in timesteps] + [1.0]
    rows = []
    for call, (now, then) in enumerate(pairwise(levels)):
        noise = math.sqrt((1 - then) / (1 - now))
        one = (noise, math.sqrt(then) - math.sqrt(now) * noise)
        rows.append(tuple((*one, *[0.0] * more) for more in range(min(call + 1, predictions))))
    return tuple(rows)


def doubled(weights):
    return tuple(tuple(tuple(2 * one for one in row) for row in rows) for rows in weights)


def tables_of(*tables):
    calls = [len(one.timesteps) for one in tables]
    return StepTables(tables, {"exact": calls[-1], "balanced": calls[-1], "fast": calls[0]})


DDIM = tables_of(StepTable(TIMES[:1], {3.0: ddim_weights(TIMES[:1])}), StepTable(TIMES, {3.0: ddim_weights()}))


def bent(latents, moment):
    """A prediction that is no straight way from noise to picture."""
    return torch.tanh(latents * (1 + float(moment.timestep) / 500)) * 0.8


def drawn(scheduler, noise, start=0):
    *_, last = denoise(bent, scheduler, noise, start=start)
    return last.latents


def test_ddims_own_weights_draw_as_ddim():
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    plain = build_scheduler("ddim", CONFIG)
    set_timesteps(plain, 4)
    own = build_scheduler("fitted", CONFIG, DDIM)
    set_timesteps(own, 4)
    assert plain.timesteps.tolist() == [999, 749, 499, 249] == own.timesteps.tolist()
    assert torch.allclose(drawn(plain, noise), drawn(own, noise), atol=1e-5)
    assert torch.allclose(drawn(plain, noise, start=1), drawn(own, noise, start=1), atol=1e-5)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_fitted_steps_come_nearer_than_those_of_unipc(kind):
    config = {**CONFIG, "prediction_type": kind}
    generator = torch.Generator().manual_seed(1)
    noise, other = (torch.randn(4, 4, 8, 8, generator=generator) for _ in range(2))
    *_, way = converged(bent, config, noise, steps=60)
    *_, wanted = converged(bent, config, other, steps=60)
    errors = []
    for places in spacings(way, 5):
        weights, latents = fitted(bent, config, way, places)
        table = StepTable(tuple(way.timesteps[place] for place in places), {1.0: weights})
        scheduler = build_scheduler("fitted", config, tables_of(table))
        set_timesteps(scheduler, 5)
        assert torch.allclose(drawn(scheduler, noise).double(), latents, atol=1e-3)
        errors.append(error_of(drawn(scheduler, other), wanted))
    plain = build_scheduler("unipc", config)
    set_timesteps(plain, 5)
    assert min(errors) < error_of(drawn(plain, other), wanted) - 6  # half as far at most, on noise that was not fitted


def test_a_call_is_moved_between_its_neighbours_alone():
    way = Way((999, 800, 600, 400, 200, 0), ())
    assert moved(way, (0, 2, 4), 1, 1) == (0, 3, 4)
    assert moved(way, (0, 2, 4), 2, 1) == (0, 2, 5)
    assert moved(way, (0, 2, 4), 1, 2) is moved(way, (0, 2, 4), 1, -2) is moved(way, (0, 2, 4), 2, 2) is None


def test_weights_lie_between_those_of_the_two_scales_beside():
    low, high = ddim_weights(), doubled(ddim_weights())
    table = StepTable(TIMES, {2.0: low, 4.0: high})
    assert table.at(1.0) == table.at(2.0) == low
    assert table.at(4.0) == table.at(9.0) == high
    assert table.at(3.0)[1][1] == pytest.approx([1.5 * one for one in low[1][1]])


def test_a_run_takes_the_weights_of_its_guidance():
    doubled = tuple(tuple(tuple(2 * x for x in row) for row in rows) for rows in ddim_weights())
    model = replace(
        tiny_model(),
        scheduler_config=CONFIG,
        step_tables=tables_of(StepTable(TIMES, {2.0: ddim_weights(), 4.0: doubled})),
    )
    noise = torch.randn(1, 4, 8, 8)
    results = [drawn(ready_scheduler(model, "fitted", 4, scale), noise) for scale in (2.0, 4.0)]
    assert not torch.allclose(*results)


def test_fitted_steps_cannot_be_inverted():
    scheduler = build_scheduler("fitted", CONFIG, DDIM)
    set_timesteps(scheduler, 4)
    with pytest.raises(ConfigError, match="cannot invert"):
        check_invertible(scheduler)


def test_what_is_asked_in_vain_is_said():
    with pytest.raises(ConfigError, match="no fitted steps; `blipdiff schedule`"):
        build_scheduler("fitted", CONFIG)
    with pytest.raises(ConfigError, match="fitted for 1, 4 calls, not 2"):
        set_timesteps(build_scheduler("fitted", CONFIG, DDIM), 2)


@pytest.mark.parametrize("name", ["ays", "gits"])
@pytest.mark.parametrize("calls", [4, 8, 10, 20])
def test_published_steps_begin_at_full_noise(name, calls):
    config = {
        **CONFIG,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "prediction_type": "epsilon",
    }
    scheduler = build_scheduler(name, config)
    set_timesteps(scheduler, calls)
    assert len(scheduler.timesteps) == calls
    assert int(scheduler.timesteps[0]) == 999
    assert float(scheduler.sigmas[-1]) == 0
    assert drawn(scheduler, torch.randn(1, 4, 8, 8)).isfinite().all()
    with pytest.raises(ConfigError, match="published for Stable Diffusion"):
        build_scheduler(name, {**config, "beta_schedule": "linear"})


def test_align_your_steps_are_the_published_timesteps():
    scheduler = build_scheduler("ays", STABLE)
    set_timesteps(scheduler, 10)
    assert scheduler.timesteps.tolist() == [999, 850, 736, 645, 545, 455, 343, 233, 124, 24]


def test_a_model_keeps_its_steps(tmp_path):
    model = replace(tiny_model(), step_tables=DDIM)
    save_model(model, tmp_path / "model")
    found = load_model(tmp_path / "model").step_tables
    assert found == DDIM
    assert found.fingerprint == DDIM.fingerprint != ""
    assert tiny_model().step_tables is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "'version'"),
        ({"tables": {}}, "needs 'tables'"),
        ({"tables": [{"timesteps": [999]}]}, "lacks its timesteps or weights"),
        ({"tables": [{"timesteps": [1, 2], "fitted": []}]}, "damaged"),
        ({"dial": {"exact": 1}}, "for each speed"),
        ({"dial": {"exact": 7, "balanced": 1, "fast": 1}}, "for each speed"),
        ({"dial": {"exact": "1", "balanced": 1, "fast": 1}}, "'exact'"),
    ],
)
def test_damaged_steps_are_one_sentence(tmp_path, change, said):
    save_model(replace(tiny_model(), step_tables=DDIM), tmp_path / "model")
    path = tmp_path / "model" / STEPS_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=said):
        step_tables(tmp_path / "model", CONFIG)
    with pytest.raises(CheckpointError, match=said):
        load_model(tmp_path / "model")


def test_tables_that_are_there_twice_are_refused_and_numbers_of_calls_are_whole(tmp_path):
    save_model(replace(tiny_model(), step_tables=DDIM), tmp_path / "model")
    path = tmp_path / "model" / STEPS_FILE
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | {"dial": {speed: float(calls) for speed, calls in told["dial"].items()}}))
    assert {type(calls) for calls in step_tables(tmp_path / "model", CONFIG).dial.values()} == {int}
    path.write_text(json.dumps(told | {"tables": told["tables"] * 2}))
    with pytest.raises(CheckpointError, match="two tables"):
        step_tables(tmp_path / "model", CONFIG)
    told["tables"][0]["fitted"] *= 2
    path.write_text(json.dumps(told))
    with pytest.raises(CheckpointError, match="twice"):
        step_tables(tmp_path / "model", CONFIG)


@pytest.mark.parametrize("weight", [math.nan, 1e9, "1", None])
def test_weights_that_are_no_numbers_are_refused(tmp_path, weight):
    save_model(replace(tiny_model(), step_tables=DDIM), tmp_path / "model")
    path = tmp_path / "model" / STEPS_FILE
    told = json.loads(path.read_text())
    told["tables"][0]["fitted"][0]["weights"][0][0][0] = weight
    path.write_text(json.dumps(told))
    with pytest.raises(CheckpointError):
        step_tables(tmp_path / "model", CONFIG)


def test_a_speed_is_what_the_model_says():
    plain, own = tiny_model(), replace(tiny_model(), step_tables=DDIM)
    asked = GenerateRequest(category="dog")
    assert (pace_of(plain, asked).scheduler, pace_of(plain, asked).steps) == ("unipc", 20)
    assert pace_of(plain, replace(asked, speed="exact")).steps == 50
    assert (pace_of(own, asked).scheduler, pace_of(own, asked).steps) == ("fitted", 4)
    assert pace_of(own, replace(asked, speed="fast")).steps == 1
    assert (pace_of(own, replace(asked, steps=12)).scheduler, pace_of(own, replace(asked, steps=12)).steps) == (
        "unipc",
        12,
    )
    assert pace_of(own, replace(asked, scheduler="ddim")).steps == 20
    told = resolved(own, asked)
    assert (told.scheduler, told.steps, told.step_table) == ("fitted", 4, DDIM.fingerprint)
    assert resolved(own, told) == told


def test_other_fitted_steps_do_not_repeat_a_picture():
    own = replace(tiny_model(), step_tables=DDIM)
    told = resolved(own, GenerateRequest(category="dog"))
    other = tables_of(
        StepTable(TIMES, {3.0: tuple(tuple(tuple(2 * x for x in r) for r in one) for one in ddim_weights())})
    )
    with pytest.raises(ConfigError, match="other fitted steps"):
        resolved(replace(own, step_tables=other), told)
    with pytest.raises(ConfigError, match="none"):
        resolved(tiny_model(), told)
    assert resolved(own, replace(told, scheduler="ddim", steps=5)).step_table == ""


def test_a_moment_is_all_that_a_prediction_is_told():
    scheduler = build_scheduler("fitted", CONFIG, DDIM)
    set_timesteps(scheduler, 4)
    seen = []

    def predict(latents, moment: Moment):
        seen.append((moment.index, moment.count, int(moment.timestep)))
        return latents

    list(denoise(predict, scheduler, torch.randn(1, 4, 8, 8)))
    assert seen == [(0, 4, 999), (1, 4, 749), (2, 4, 499), (3, 4, 249)]
