"""A published benchmark is drawn, scored and reported."""

from functools import partial
from pathlib import Path
from typing import Any

from app.cli.runs.asked import request_values
from app.cli.runs.cluster import absolute, handing
from app.cli.runs.drawing import opened, staged
from app.cli.terminal import say
from app.outputs import check_writable
from app.settings import judge_key
from blipdiff.devices import placement
from blipdiff.errors import ConfigError
from blipdiff.evaluation.dreambench.benchmark import DREAMBENCH_PLUS, Benchmark, read_benchmark
from blipdiff.evaluation.dreambench.encoders import DINO, DINO_PLUS, RESIZES, Encoders
from blipdiff.ranges import TORCH
from pipelines.evaluate.dreambench.drawing import Begun, Shard
from pipelines.evaluate.dreambench.evaluate import begin, draw_benchmark, report_benchmark
from pipelines.evaluate.dreambench.judging import Judge
from pipelines.evaluate.requests import DreamBenchRequest
from pipelines.studio import Studio


def evaluate_dreambench(
    folder: Path,
    output: Path,
    shard: str | None,
    limit: int | None,
    allow_missing: bool,
    against: Path | None,
    shown: int,
    model: str,
    device: str,
    dtype: str,
    download: bool,
    judge_url: str | None,
    judge_model: str,
    ray: str | None,
    workers: str | None,
    **asked: Any,
) -> None:
    """Runs `blipdiff evaluate dreambench`: what scoring takes is looked for before anything is drawn."""
    benchmark = read_benchmark(folder if ray is None else folder.absolute(), allow_missing=allow_missing)
    part = None if shard is None else Shard.of(shard)
    if part is not None and ray is not None:
        raise ConfigError("--shard is for processes that share the work without --ray, which shares it by itself.")
    judge = None if judge_url is None else Judge(judge_url, judge_model, judge_key())
    encoders = None if part is not None else _encoders(benchmark, asked, device, download)
    request = DreamBenchRequest(**request_values(DreamBenchRequest, asked, []))
    check_writable(output)
    make = partial(_begun, absolute(model), device, dtype, download, benchmark, output.absolute(), request)
    with handing(ray, workers, make, device=device) as hand_out:
        studio = hand_out or opened(model, device=device, dtype=dtype, download=download)
        for _ in staged(draw_benchmark(studio, benchmark, output, request, shard=part, limit=limit)):
            pass  # progress alone
    if encoders is None:
        say(output)
        return
    for report in staged(report_benchmark(encoders, benchmark, output, against=against, judge=judge, shown=shown)):
        say(report.as_table(), lines=True)
        say(output / "report.html")


def _begun(
    model: str,
    device: str,
    dtype: str,
    download: bool,
    benchmark: Benchmark,
    place: Path,
    request: DreamBenchRequest,
) -> Begun:
    """The run as a worker of a cluster begins it, or goes on with it."""
    studio = Studio.open(model, device=device, dtype=dtype, download=download, engine=TORCH)
    return begin(studio, benchmark, place, request)


def _encoders(benchmark: Benchmark, asked: dict[str, Any], device: str, download: bool) -> Encoders:
    resize = asked.pop("resize")
    if resize not in RESIZES:
        raise ConfigError(f"--resize is '{resize}'; choose one of: {', '.join(RESIZES)}.")
    dino = asked.pop("dino") or (DINO_PLUS if benchmark.name == DREAMBENCH_PLUS else DINO)
    place = placement(device).device
    return Encoders.load(dino, asked.pop("clip"), resize=resize, device=place, download=download)
