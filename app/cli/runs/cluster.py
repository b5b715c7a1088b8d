"""Whether a command's work is handed out to a Ray cluster, and to which workers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from blipdiff.errors import ConfigError
from pipelines.handing import HandOut


@contextmanager
def handing(ray: str | None, workers: str | None, make: Callable[[], Any], *, device: str) -> Iterator[HandOut | None]:
    """A block with what hands out work to a cluster's workers, each with what `make` gives; None without one.

    Raises: ConfigError for workers without a cluster, and as `app.cluster.handing_out.over_ray`.
    """
    check_workers(ray, workers)
    if ray is None:
        yield None
        return
    from app.cluster.connection import Workers
    from app.cluster.handing_out import over_ray

    with over_ray(ray, Workers.of(workers), make, device=device) as hand_out:
        yield hand_out


def absolute(name: str) -> str:
    """A model's folder or file from the root on, for workers have folders of their own; other names stay."""
    return str(Path(name).absolute()) if Path(name).exists() else name


def check_workers(ray: str | None, workers: str | None) -> None:
    """Passes where nobody asks for workers that there are not. Raises: ConfigError."""
    if ray is None and workers is not None:
        raise ConfigError("--workers is how many work at the same time with --ray; without it one does.")
