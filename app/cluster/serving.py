"""The deployment: replicas that draw, on this machine or on several, as many as the jobs call for."""

import hashlib
import logging
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.cluster.away import Away, Known
from app.cluster.errors import ClusterError
from app.cluster.joining import joined
from app.cluster.replica import Replica, Setting
from app.cluster.scale import Scale
from app.jobs.models import Models
from blipdiff.errors import ConfigError

_LOG = logging.getLogger("blipdiff.cluster")
_DEPLOYMENT = "Studio"
_SECONDS_TO_GROW, _SECONDS_TO_SHRINK, _SECONDS_TO_MEASURE = 2.0, 300.0, 2.0
_SECONDS_OF_HEALTH = 120.0  # a large model that is opened may hold a process up
_SECONDS_TO_LOOK = 5.0  # and no replica is missed for longer
_SECONDS_TO_END = 15.0  # for a step that is computed


class Serving:
    """Replicas of one server, which ends them."""

    def __init__(self, ray: Any, setting: Setting, scale: Scale, place: Path) -> None:
        """place: of the server's queue, by which its replicas are known when it is started again

        Raises: ClusterError where no replica can be started.
        """
        self.scale = scale
        self._ray = ray
        self._name = f"blipdiff-{hashlib.sha256(f'{socket.gethostname()}:{place.resolve()}'.encode()).hexdigest()[:12]}"
        self._handle = self._deployed(setting)

    def artists(self, models: Models) -> Sequence[Away]:
        """One for each replica that there may be; `models` are open where the server is."""
        known = Known(self._living)
        return [
            Away(self._handle, models, known, number, is_warm=number < self.scale.least)
            for number in range(self.scale.most)
        ]

    def close(self) -> None:
        """Ends the replicas."""
        from ray import serve

        try:
            serve.delete(self._name)
        except Exception as error:  # the cluster is gone, and they with it
            _LOG.warning("The replicas could not be told to end: %s", error)

    def _deployed(self, setting: Setting) -> Any:
        from ray import serve

        share = shares(self._ray.nodes(), self.scale, needs_gpu=setting.device == "cuda")
        asked: dict[str, Any] = {
            "name": _DEPLOYMENT,
            "max_ongoing_requests": 1,
            "health_check_period_s": _SECONDS_TO_LOOK,
            "health_check_timeout_s": _SECONDS_OF_HEALTH,
            "graceful_shutdown_timeout_s": _SECONDS_TO_END,
            "ray_actor_options": share,
        }
        if self.scale.least == self.scale.most:
            asked["num_replicas"] = self.scale.most
        else:
            asked["autoscaling_config"] = _autoscaling(self.scale)
        serve.start(proxy_location="Disabled", logging_config={"log_level": "CRITICAL"})
        app = serve.deployment(**asked)(Replica).bind(setting)
        try:
            return serve.run(app, name=self._name, route_prefix=None)
        except Exception as error:
            raise ClusterError(f"No replica can be started: {' '.join(str(error).split())[:400]}") from error

    def _living(self) -> set[str] | None:
        """The replicas' own names, of Ray's list of actors."""
        try:
            actors = self._ray.util.list_named_actors(all_namespaces=True)
        except Exception:  # Ray is down: nothing is known
            return None
        return {str(one["name"]).rpartition("#")[2] for one in actors if self._name in str(one["name"])}


@contextmanager
def serving(
    address: str, setting: Setting, scale: Scale | None, place: Path, *, folder: str | None = None
) -> Iterator[Serving]:
    """Replicas at this address (`joining.HERE`: a cluster that is started here), ended with the block.

    scale: one for each device of the cluster if absent, one of them kept; folder: where
    the logs of a cluster go that is started here

    Raises: as `joined`, ConfigError for a device that Ray cannot give, ClusterError where no replica can be started.
    """
    if setting.device not in ("auto", "cpu", "cuda", "mps"):
        raise ConfigError(f"--ray gives each replica its device; say --device cuda or cpu, not {setting.device:.40}.")
    with joined(address, serves=True, processors=1 if scale is None else scale.most, folder=folder) as ray:
        resources = ray.cluster_resources()
        devices = int(resources.get("GPU", 0))
        if setting.device == "auto":
            setting = replace(setting, device="cuda" if devices else "auto")
        if setting.device != "cuda":
            devices = sum(name.startswith("node:") for name in resources if "internal" not in name)
        running = Serving(ray, setting, scale or Scale(1, max(1, devices)), place)
        try:
            yield running
        finally:
            running.close()


def shares(nodes: Sequence[Mapping[str, Any]], scale: Scale, *, needs_gpu: bool) -> dict[str, float]:
    """What of a machine a replica has for itself: a GPU, or as many processors as let all of them run at once.

    nodes: as Ray lists them

    Raises: ClusterError where there is no room for the least that are kept.
    """
    kind = "GPU" if needs_gpu else "CPU"
    found = [int(one["Resources"].get(kind, 0)) for one in nodes if one["Alive"]]
    if sum(found) < max(1, scale.least):
        raise ClusterError(
            f"The cluster has {sum(found)} {kind}s, too few for {max(1, scale.least)} replicas; add machines, or ask "
            "for fewer with --replicas."
        )
    if needs_gpu:
        return {"num_gpus": 1, "num_cpus": 1}
    fitting = [share for share in range(max(found), 1, -1) if sum(count // share for count in found) >= scale.most]
    return {"num_cpus": fitting[0] if fitting else 1}


def _autoscaling(scale: Scale) -> dict[str, Any]:
    return {
        "min_replicas": scale.least,
        "max_replicas": scale.most,
        "target_ongoing_requests": 1.0,
        "metrics_interval_s": _SECONDS_TO_MEASURE / 2,
        "look_back_period_s": _SECONDS_TO_MEASURE,
        "upscale_delay_s": _SECONDS_TO_GROW,
        "downscale_delay_s": _SECONDS_TO_SHRINK,
    }
