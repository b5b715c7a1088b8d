"""The replicas that --ray asks for, as the artists of a workshop."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from app.jobs.artist import Artist
from app.jobs.models import Models
from app.jobs.own_files import OwnFiles
from blipdiff.errors import ConfigError

DESK = "cpu"  # where the server itself computes what the page asks it for, while replicas draw


def artists_of(
    stack: ExitStack,
    address: str | None,
    replicas: str | None,
    device: Sequence[str],
    *,
    models: Sequence[str],
    opening: Mapping[str, Any],
    files: OwnFiles,
    memory: int | None,
    place: Path,
) -> Callable[[Models], Sequence[Artist]] | None:
    """What a `Machine` takes for artists, None without --ray; the cluster is joined when the workshop asks for them.

    Raises: ConfigError for options that do not go together, and for bounds that are none.
    """
    if address is None:
        if replicas is not None:
            raise ConfigError("--replicas says how many replicas draw on a cluster; it goes with --ray.")
        return None
    if len(device) > 1:
        raise ConfigError("--ray gives each replica its device: say --device once, or not at all.")
    from app.cluster.joining import ray_library
    from app.cluster.replica import Setting
    from app.cluster.scale import Scale
    from app.cluster.serving import serving

    ray_library(serves=True)  # told before anything slow
    setting = Setting(
        tuple(models), device[0], dict(opening), tuple(str(one.absolute()) for one in files.folders), memory
    )
    scale = None if replicas is None else Scale.of(replicas)

    def artists(models: Models) -> Sequence[Artist]:
        return stack.enter_context(serving(address, setting, scale, place)).artists(models)

    return artists
