"""The simulated queue waits as the formulas say where there are some, and counts models and money as it must."""

import random
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.capacity import Demand, Machines, constant_wait, erlang_wait, measured, most_jobs, simulated

SECONDS, JOBS = 3.0, 60_000


def exponential(chance: random.Random) -> float:
    return chance.expovariate(1 / SECONDS)


def constant(_chance: random.Random) -> float:
    return SECONDS


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (1, 0.8), (2, 0.7), (4, 0.85)])
def test_exponential_times_wait_as_erlang_says(servers: int, load: float) -> None:
    rate = load * servers * 3600 / SECONDS
    runs = [simulated(Demand(rate), Machines(servers, exponential), jobs=JOBS, seed=seed) for seed in range(6)]
    waits, out = statistics.fmean(one.mean_wait for one in runs), runs[1]  # single ones lie within a tenth or so
    assert waits == pytest.approx(erlang_wait(rate, SECONDS, servers), rel=0.05)
    assert out.utilisation == pytest.approx(load, rel=0.03)
    assert out.pictures_per_hour == pytest.approx(rate, rel=0.03)


def test_one_server_waits_for_no_formula_but_the_plain_one() -> None:
    assert erlang_wait(600, SECONDS, 1) == pytest.approx(0.5 * SECONDS / (1 - 0.5))
    assert erlang_wait(3600, SECONDS, 3) == float("inf") == constant_wait(1200, SECONDS)


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_constant_times_wait_half_as_long(load: float) -> None:
    rate = load * 3600 / SECONDS
    out = simulated(Demand(rate), Machines(1, constant), jobs=JOBS, seed=1)
    assert out.mean_wait == pytest.approx(constant_wait(rate, SECONDS), rel=0.08)
    assert constant_wait(rate, SECONDS) == pytest.approx(erlang_wait(rate, SECONDS, 1) / 2)
    assert out.waits[50] <= out.waits[90] <= out.waits[95] <= out.waits[99]


def test_models_are_opened_as_seldom_as_the_servers_can_keep_them() -> None:
    demand = Demand(900, models=3)
    machines = Machines(2, constant, opening=1.0)
    every, all_of_them = simulated(demand, machines), simulated(demand, Machines(2, constant, opening=1.0, keeps=3))
    assert all_of_them.openings == 0, "each was opened before anything was counted"
    assert every.openings > every.jobs / 4
    assert every.mean_wait > all_of_them.mean_wait
    assert simulated(demand, Machines(6, constant, opening=1.0)).openings < every.openings


def test_a_thousand_pictures_cost_what_the_servers_cost_meanwhile() -> None:
    out = simulated(Demand(600, pictures=4), Machines(2, constant, price=1.5), jobs=JOBS)
    assert out.cost_per_thousand == pytest.approx(1000 * 2 * 1.5 / out.pictures_per_hour)
    assert out.pictures_per_hour == pytest.approx(2400, rel=0.03)


def test_twice_the_servers_draw_more_than_twice_the_jobs_within_ones_patience() -> None:
    one, two = (most_jobs(Demand(1), Machines(count, constant), 10.0) for count in (1, 2))
    assert 600 < one < 1200
    assert 2 * one < two < 2400


def test_jobs_are_measured_on_the_bundled_model() -> None:
    found = measured(1, 2, times=2)
    assert len(found) == 2 and min(found) > 0


def test_it_prints_a_line_for_each_number_of_servers() -> None:
    command = [sys.executable, "-m", "benchmarks.capacity", "--seconds-per-picture", "2", "--jobs-per-hour", "900"]
    root = Path(__file__).parents[1]
    done = subprocess.run([*command, "--jobs", "2000"], cwd=root, check=True, capture_output=True, text=True)
    assert [line.split()[0] for line in done.stdout.splitlines()[1:-1]] == ["1", "2", "4"]
    wrong = subprocess.run([*command, "--servers", "0"], cwd=root, check=False, capture_output=True, text=True)
    assert wrong.returncode == 2 and "1 or more" in wrong.stderr
