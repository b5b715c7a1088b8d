"""What one device serves, what several serve, and what a thousand pictures cost: a simulated queue of measured jobs.

    python -m benchmarks.capacity --measure --jobs-per-hour 600
    python -m benchmarks.capacity --seconds-per-picture 1.9 --price-per-hour 2.5 --jobs-per-hour 1200
    python -m benchmarks.capacity --seconds-per-picture 1.9 --models 3 --opening-seconds 12 --jobs-per-hour 600

Jobs come at random (Poisson) and are drawn in the order in which they came, each by a free server, one that has its
model open if there is one. How long a picture takes is given, or measured here with mini; prices are given.
"""

import argparse
import heapq
import math
import random
import statistics
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

PERCENTILES = (50, 90, 95, 99)
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked for.

    jobs_per_hour: the mean of arrivals; pictures: of a job; models: how many are asked for, each as often
    """

    jobs_per_hour: float
    pictures: int = 1
    models: int = 1


@dataclass(frozen=True, slots=True)
class Machines:
    """What draws.

    seconds: those of one job's pictures together, given a generator of chance; overhead: seconds of a job beside its
    pictures; opening: seconds to open a model; keeps: how many of those a server keeps; price: of a server's hour
    """

    count: int
    seconds: Callable[[random.Random], float]
    overhead: float = 0.0
    opening: float = 0.0
    keeps: int = 1
    price: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it; seconds, and shares from 0 to 1."""

    waits: dict[int, float]  # by percentile, until a job's first picture is begun
    mean_wait: float
    utilisation: float
    openings: int
    jobs: int
    pictures_per_hour: float
    cost_per_thousand: float


def simulated(demand: Demand, machines: Machines, *, jobs: int = 20_000, seed: int = 0) -> Outcome:
    """The jobs of a stretch of time, drawn one after the other; the first tenth fills the queue and is not counted."""
    chance = random.Random(seed)
    rate = demand.jobs_per_hour / _HOUR
    free = [(0.0, number) for number in range(machines.count)]  # since when each server is free
    heapq.heapify(free)
    opened = [OrderedDict[int, None]() for _ in range(machines.count)]
    now = busy = begun_at = ended_at = 0.0
    waits, openings, first = list[float](), 0, jobs // 10
    for number in range(jobs):
        now += chance.expovariate(rate)
        model = chance.randrange(demand.models)
        server, since = _server(free, opened, model, now)
        start = max(now, since)
        opening = 0.0 if model in opened[server] else machines.opening
        seconds = machines.seconds(chance) + machines.overhead + opening
        openings += model not in opened[server] and number >= first
        _open(opened[server], model, machines.keeps)
        heapq.heappush(free, (start + seconds, server))
        if number == first:
            begun_at = now
        if number >= first:
            waits.append(start - now + opening)
            busy += seconds
            ended_at = max(ended_at, start + seconds)
    stretch, counted = ended_at - begun_at, len(waits)
    pictures = counted * demand.pictures
    cuts = statistics.quantiles(waits, n=100, method="inclusive")
    return Outcome(
        {percent: cuts[percent - 1] for percent in PERCENTILES},
        statistics.fmean(waits),
        busy / (stretch * machines.count),
        openings,
        counted,
        pictures / stretch * _HOUR,
        1000 * machines.count * machines.price * stretch / _HOUR / pictures,
    )


def most_jobs(demand: Demand, machines: Machines, patience: float, *, jobs: int = 5_000) -> float:
    """How many jobs an hour these machines draw with 95 of 100 waiting for no longer than `patience` seconds."""
    mean = statistics.fmean(machines.seconds(random.Random(seed)) for seed in range(200)) + machines.overhead
    low, high = 0.0, machines.count / mean * _HOUR
    for _ in range(14):
        middle = (low + high) / 2
        asked = replace(demand, jobs_per_hour=middle)
        low, high = (middle, high) if simulated(asked, machines, jobs=jobs).waits[95] <= patience else (low, middle)
    return low


def erlang_wait(jobs_per_hour: float, seconds: float, servers: int) -> float:
    """The mean wait in seconds where service times are exponential: M/M/c (Erlang 1917, his formula C)."""
    load = jobs_per_hour / _HOUR * seconds
    if load >= servers:
        return math.inf
    term = total = 1.0
    for number in range(1, servers):
        term *= load / number
        total += term
    last = term * load / servers * servers / (servers - load)
    return last / (total + last) * seconds / (servers - load)


def constant_wait(jobs_per_hour: float, seconds: float) -> float:
    """The mean wait in seconds at one server whose jobs all take as long: M/D/1 (Pollaczek 1930, Khinchin 1932)."""
    load = jobs_per_hour / _HOUR * seconds
    return math.inf if load >= 1 else load * seconds / (2 * (1 - load))


def measured(pictures: int, steps: int, times: int = 8) -> list[float]:
    """Seconds of jobs of so many pictures, drawn here with mini one after the other, the first one left out."""
    from importlib.resources import files
    from pathlib import Path

    from blipdiff.conditioning.subject import SubjectPhoto
    from blipdiff.images import open_picture
    from pipelines.generate.request import GenerateRequest
    from pipelines.job import Job, run
    from pipelines.studio import Studio

    studio = Studio.open("mini")
    photo = open_picture(Path(str(files("blipdiff"))) / "assets" / "subjects" / "padlock.png")
    found = []
    for seed in range(times + 1):
        request = GenerateRequest(category="padlock", prompt="on a beach", count=pictures, steps=steps, seed=seed)
        began = time.perf_counter()
        for _ in run(studio, Job.of(request, subject=SubjectPhoto(photo, "padlock"))):
            pass
        found.append(time.perf_counter() - began)
    return found[1:]


def _server(
    free: list[tuple[float, int]], opened: Sequence[OrderedDict[int, None]], model: int, now: float
) -> tuple[int, float]:
    """The server that draws next and since when it is free; one that has the model open, of those that are."""
    ready = [one for one in free if one[0] <= now and model in opened[one[1]]]
    if not ready:
        since, server = heapq.heappop(free)
        return server, since
    chosen = min(ready)
    free.remove(chosen)
    heapq.heapify(free)
    return chosen[1], chosen[0]


def _open(models: OrderedDict[int, None], model: int, keeps: int) -> None:
    models[model] = None
    models.move_to_end(model)
    while len(models) > keeps:
        models.popitem(last=False)


def main() -> None:
    """Prints a line for each number of servers."""
    asked = _arguments()
    if asked.measure:
        times = measured(asked.pictures, asked.steps)
        print(
            f"mini here, {asked.pictures} pictures of {asked.steps} steps: {statistics.fmean(times):.3f} s a job, "
            f"{min(times):.3f} to {max(times):.3f} s, {len(times)} jobs"
        )
    else:
        times = [asked.seconds_per_picture * asked.pictures]
    demand = Demand(asked.jobs_per_hour, asked.pictures, asked.models)
    waits = "".join(f"{f'{percent} % wait':>12}" for percent in PERCENTILES)
    print(f"{'servers':>7}{waits}{'used':>7}{'pictures/h':>12}{'cost/1000':>11}{'openings':>10}{'most jobs/h':>13}")
    for count in asked.servers:
        machines = Machines(
            count, lambda chance: chance.choice(times), asked.overhead_seconds, asked.opening_seconds, asked.keeps,
            asked.price_per_hour,
        )  # fmt: skip
        out = simulated(demand, machines, jobs=asked.jobs)
        seconds = "".join(f"{out.waits[percent]:>10.1f} s" for percent in PERCENTILES)
        cost = f"{out.cost_per_thousand:.2f}" if asked.price_per_hour else "-"
        most = most_jobs(demand, machines, asked.patience)
        print(
            f"{count:>7}{seconds}{out.utilisation:>7.0%}{out.pictures_per_hour:>12.0f}{cost:>11}{out.openings:>10}"
            f"{most:>13.0f}"
        )
    print(f"most jobs/h: with 95 of 100 waiting for no longer than {asked.patience:g} s")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--seconds-per-picture", type=_above_zero, help="as measured on the device in question")
    source.add_argument("--measure", action="store_true", help="measure jobs with mini on this machine")
    parser.add_argument("--steps", type=int, default=25, help="of a picture that is measured")
    parser.add_argument("--pictures", type=int, default=1, help="of a job")
    parser.add_argument("--jobs-per-hour", type=_above_zero, required=True)
    parser.add_argument("--servers", type=int, nargs="+", default=[1, 2, 4], help="devices that draw")
    parser.add_argument("--overhead-seconds", type=float, default=0.0, help="of a job beside its pictures")
    parser.add_argument("--models", type=int, default=1, help="that are asked for, each as often")
    parser.add_argument("--opening-seconds", type=float, default=0.0, help="to open a model that is not open")
    parser.add_argument("--keeps", type=int, default=1, help="models that a server keeps open")
    parser.add_argument("--price-per-hour", type=float, default=0.0, help="of a server")
    parser.add_argument("--patience", type=_above_zero, default=30.0, help="seconds that 95 of 100 may wait at most")
    parser.add_argument("--jobs", type=int, default=20_000, help="that are simulated")
    asked = parser.parse_args()
    if min(asked.steps, asked.pictures, asked.models, asked.keeps, *asked.servers) < 1 or asked.jobs < 1000:
        parser.error("steps, pictures, models, keeps and servers are 1 or more, jobs 1000 or more")
    return asked


def _above_zero(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


if __name__ == "__main__":
    main()
