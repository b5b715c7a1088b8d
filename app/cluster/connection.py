"""The workers of a Ray cluster that a command is handed to: how many, and what of a machine each has."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from app.cluster.joining import joined, ray_library
from blipdiff.errors import ConfigError

_CORES_EACH = 4  # of a worker, where there is no GPU and nobody says how many workers there shall be
_PASSED_ON = ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "OMP_NUM_THREADS", "BLIPDIFF_SETTINGS")


@dataclass(frozen=True, slots=True)
class Workers:
    """How many work at the same time: as many as there is work for, between two numbers; None for what fits."""

    least: int | None = None
    most: int | None = None

    @classmethod
    def of(cls, text: str | None) -> "Workers":
        """From "4", or "1:4". Raises: ConfigError for another text."""
        if text is None:
            return cls()
        least, sign, most = text.partition(":")
        most = most if sign else least
        if not (least.isdecimal() and most.isdecimal() and 1 <= int(least) <= int(most) <= 10_000):
            raise ConfigError(f"--workers is '{text}'; write four as 4, and between one and four as 1:4.")
        return cls(int(least), int(most))


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that this process has joined. cores, gpus: all of its nodes' together; each: cores of its smallest."""

    cores: float
    gpus: float
    each: float

    def pool(self, workers: Workers, *, device: str) -> "Pool":
        """How workers are placed: one on each GPU, or as many as share the cores.

        Raises: ConfigError where a GPU is asked for and there is none.
        """
        wants = device == "auto" or device.startswith("cuda")
        if device.startswith("cuda") and not self.gpus:
            raise ConfigError(f"--device is {device}, and no node of the Ray cluster offers a GPU.")
        if wants and self.gpus:
            most = workers.most or int(self.gpus)
            return Pool(min(workers.least or 1, most), most, gpus=min(1.0, self.gpus / most))
        most = workers.most or max(1, int(self.cores // _CORES_EACH))
        share = self.cores / most
        return Pool(
            min(workers.least or 1, most), most, cores=min(float(int(share)), self.each) if share >= 1 else share
        )


@dataclass(frozen=True, slots=True)
class Pool:
    """Workers between two numbers, and what each takes of its node."""

    least: int
    most: int
    cores: float = 0.0
    gpus: float = 0.0


@contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """A block in which this process belongs to a cluster, with its workers; one that was started for it ends with it.

    A process that belongs to one already stays in that.

    Raises: as `app.cluster.joining.joined`.
    """
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    ray = ray_library()
    if ray.is_initialized():
        yield _found(ray)
        return
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    with joined(address, environment=passed):
        yield _found(ray)


def _found(ray: Any) -> Cluster:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cores = [node.get("CPU", 0.0) for node in nodes]
    return Cluster(sum(cores), sum(node.get("GPU", 0.0) for node in nodes), min(filter(None, cores), default=1.0))
