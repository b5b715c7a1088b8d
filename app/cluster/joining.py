"""Ray, where it is asked for: a cluster is joined, or one is started on this machine."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Event, Thread, current_thread, main_thread
from typing import Any

from app.cluster.errors import ClusterError
from app.cluster.loopback import listen_here
from blipdiff import __version__
from blipdiff.errors import ConfigError, MissingDependencyError

HERE, RUNNING = "local", "auto"  # addresses: a cluster of this machine alone; the one that runs on it already
_ALONE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # off: Ray listens at 127.0.0.1; who reaches its ports can run programs
_NICENESS = "RAY_worker_niceness"  # Ray's own is 15: beside anything else that computes, its workers hardly would
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is told to anybody
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "GRPC_VERBOSITY": "ERROR",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # else a thread of Serve's that outlives its cluster would start another one
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # without which Ray warns of its next version
}
GONE = (
    "The head of the cluster at %s is gone, and Ray ends this program with it within a minute; started again when the "
    "cluster is there, it goes on."
)
_LOG = logging.getLogger("blipdiff.cluster")
_SECONDS_TO_REACH = 5.0
_SECONDS_TO_ANSWER = 15.0
_SECONDS_TO_COMPARE = 60.0
_STORE_BYTES = 400_000_000  # of results on their way


def ray_library(*, serves: bool = False) -> Any:
    """Ray; serves: with its Serve. Raises: MissingDependencyError where it is not installed."""
    os.environ |= _ENVIRONMENT  # before Ray is imported
    try:
        import ray

        if serves:
            from ray import serve  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("--ray needs Ray: pip install 'blipdiff[ray]'.") from error
    for name in ("ray", "ray.serve"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what concerns people is told by us
    return ray


@contextmanager
def joined(
    address: str,
    *,
    serves: bool = False,
    processors: int = 1,
    folder: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Any]:
    """Ray, joined to the cluster at `address`, or to one that is started here and ended with the block.

    serves: whether Ray's Serve is needed; processors: that a cluster of this machine has at least; folder: where its
    logs go, Ray's own place if absent; environment: variables of the processes that work for this one

    Raises: MissingDependencyError without Ray, ConfigError for an address that is none, ClusterError where there is no
    cluster, or one of other versions.
    """
    if address == HERE:
        os.environ[_ALONE] = "0"
        os.environ.setdefault(_NICENESS, "0")
    ray = ray_library(serves=serves)
    if ray.is_initialized():
        raise ClusterError("This program has joined a cluster already.")
    own: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    own["runtime_env"] = {"env_vars": dict(environment or {})}
    if address == HERE:
        ray._private.ray_constants.ENABLE_RAY_CLUSTER = False  # as the environment says, where Ray was imported before
        own |= {"address": "local", "include_dashboard": False, "num_cpus": max(processors, os.cpu_count() or 1)}
        own |= {"object_store_memory": _STORE_BYTES}
        own["runtime_env"]["worker_process_setup_hook"] = f"{listen_here.__module__}.{listen_here.__name__}"
        own |= {} if folder is None else {"_temp_dir": folder}
    else:
        own["address"] = _checked(address)
    try:
        _keeping_signals(lambda: ray.init(**own))
    except Exception as error:
        raise ClusterError(_why(address, error)) from error
    is_over, head = Event(), str(ray.get_runtime_context().gcs_address)
    Thread(target=watch, args=(head, lambda: _LOG.error(GONE, address), is_over), name="cluster", daemon=True).start()
    try:
        _check_versions(ray, address)
        yield ray
    finally:
        is_over.set()
        ray.shutdown()


def watch(head: str, gone: Callable[[], object], is_over: Event, *, seconds: float = 20.0) -> None:
    """Calls `gone` when nothing has listened at a cluster's head for so long; returns then, or when it is over."""
    host, _, port = head.rpartition(":")
    last = time.monotonic()
    while not is_over.wait(seconds / 10):
        try:
            socket.create_connection((host.strip("[]"), int(port)), seconds / 10).close()
            last = time.monotonic()
        except OSError:
            if time.monotonic() - last > seconds:
                gone()
                return


def _checked(address: str) -> str:
    """An address that a cluster answers at. Raises: ConfigError for none, ClusterError where none does."""
    looks = [sys.executable, "-m", "ray.scripts.scripts", "health-check"]
    if address == RUNNING:
        if not _answers(looks):
            raise ClusterError("No cluster runs on this machine; with --ray alone, one is started.")
        return address
    if "://" in address:
        raise ConfigError(
            f"--ray {address:.80} is an address for clients; start this on a machine of the cluster, with HOST:PORT."
        )
    host, sign, port = address.rpartition(":")
    if not sign or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"--ray {address:.80} is no address; write HOST:PORT of the cluster's head, like head:6379.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _SECONDS_TO_REACH).close()
    except OSError as error:
        raise ClusterError(
            f"There is no cluster at {address}: {error}. Start one with: ray start --head --port {port}"
        ) from error
    if not _answers([*looks, "--address", address]):
        raise ClusterError(f"What listens at {address} does not answer as a cluster of this version of Ray.")
    return address


def _answers(looks: Sequence[str]) -> bool:
    """Asked by a process of its own: whoever joins waits for minutes, and is ended by Ray then."""
    try:
        return subprocess.run(looks, capture_output=True, timeout=_SECONDS_TO_ANSWER, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _keeping_signals(act: Callable[[], object]) -> None:
    """Acts, and puts this program's own end back in its place, where Ray has put its own."""
    before = signal.getsignal(signal.SIGTERM)
    act()
    if current_thread() is main_thread():
        signal.signal(signal.SIGTERM, before)


def _check_versions(ray: Any, address: str) -> None:
    """Passes where a process of the cluster has this blipdiff. Raises: ClusterError otherwise."""

    def version() -> str:  # sent as code: the other side need not know it
        from importlib import import_module

        try:
            import_module("app.cluster")
            return str(import_module("blipdiff").__version__)
        except ImportError as error:
            return f"none that can draw ({error})"

    try:
        there = ray.get(ray.remote(num_cpus=0, max_retries=0)(version).remote(), timeout=_SECONDS_TO_COMPARE)
    except Exception as error:
        raise ClusterError(f"The cluster at {address} runs nothing: {_short(error)}") from error
    if there != __version__:
        raise ClusterError(
            f"The cluster at {address} has blipdiff {there}; this is {__version__}. Install the same on its machines."
        )


def _why(address: str, error: Exception) -> str:
    if "ersion mismatch" in str(error):
        own = f"Python {'.'.join(map(str, sys.version_info[:3]))}"
        return f"The cluster at {address} runs other versions of Python or Ray than this one ({own}): {_short(error)}"
    if address == HERE:
        return f"No cluster can be started on this machine: {_short(error)}"
    return f"The cluster at {address} cannot be joined: {_short(error)} This must be one of its machines."


def _short(error: BaseException) -> str:
    """An error of Ray's in a line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}." if not text else text[:300].rstrip(".") + "."
