"""The Ray cluster that a command is handed to: joined, or started on this machine for as long as the command runs."""

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from blipdiff.errors import ConfigError, MissingDependencyError
from blipdiff.foreign import first_line

LOCAL, RUNNING = "local", "auto"  # a cluster of this machine alone; the one that runs on it already
_STORE = 256 * 2**20  # bytes of a local cluster's object store: rows pass through it, pictures do not
_PATIENCE = 15.0  # seconds for a cluster to answer
_CORES_EACH = 4  # of a worker, where there is no GPU and nobody says how many workers there shall be
_QUIET = {
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}
_LISTENS_EVERYWHERE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # who reaches Ray's ports can run programs
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
    """A block in which this process belongs to a cluster; one that was started for it ends with it.

    A process that belongs to one already stays in that.

    address: of the cluster's head, HOST:PORT; "auto" for the one that runs on this machine, "local" for a new one

    Raises: MissingDependencyError without Ray, ConfigError where nothing answers at the address.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if address == LOCAL:
        os.environ[_LISTENS_EVERYWHERE] = "0"
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingDependencyError("--ray needs Ray: pip install 'blipdiff[ray]'.") from error
    if ray.is_initialized():
        yield _joined()
        return
    if address != LOCAL:
        _check_answers(address)
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    asked: dict[str, Any] = {"include_dashboard": False, "object_store_memory": _STORE} if address == LOCAL else {}
    if address == LOCAL:
        ray._private.ray_constants.ENABLE_RAY_CLUSTER = False  # as the environment says, where Ray was imported before
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": passed},
            **asked,
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise ConfigError(f"No Ray cluster could be joined ({address}): {first_line(error)}.") from error
    try:
        yield _joined()
    finally:
        ray.shutdown()


def _joined() -> Cluster:
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cores = [node.get("CPU", 0.0) for node in nodes]
    return Cluster(sum(cores), sum(node.get("GPU", 0.0) for node in nodes), min(filter(None, cores), default=1.0))


def _check_answers(address: str) -> None:
    """Passes where a cluster's head answers: Ray itself waits for one for minutes, and then ends the process."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check"]
    if address == RUNNING:
        wrong = "No Ray cluster runs on this machine; leave the address out, and one is started for the command."
    else:
        _check_listens(address)
        command += ["--address", address]
        wrong = f"What answers at {address} is no Ray cluster, or one of another version of Ray."
    try:
        answer = subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired as error:
        raise ConfigError(wrong) from error
    if answer.returncode:
        raise ConfigError(wrong)


def _check_listens(address: str) -> None:
    """Passes where something listens. Raises: ConfigError."""
    host, sign, port = address.rpartition(":")
    if not sign or not port.isdecimal() or "/" in host:
        raise ConfigError(
            f"--ray is '{address}'; give the address of the cluster's head as HOST:PORT, such as 10.0.0.1:6379, "
            f"{RUNNING} for the one of this machine, or nothing to start one."
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE / 2).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(f"No Ray cluster answers at {address}: {first_line(error)}.") from error
