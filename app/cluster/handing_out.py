"""Work handed out to the workers of a Ray cluster by Ray Data: a stream of units, each done whole by one of them."""

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from app.cluster.connection import Pool, Workers, connected
from blipdiff.errors import BlipdiffError, ConfigError
from blipdiff.foreign import first_line
from pipelines.handing import HandOut

State = TypeVar("State")
Unit = TypeVar("Unit")
End = TypeVar("End")

_AHEAD = 2  # units that a worker has at a time, the one that it works on included
_UNIT, _END = "unit", "end"


@dataclass(frozen=True, slots=True)
class _Trouble:
    """What a person can mend, met in another process: it is told here."""

    error: BlipdiffError


def handed_out(
    units: Callable[[], Iterable[Unit]],
    make: Callable[[], State],
    work: Callable[[State, Unit], End],
    pool: Pool,
    *,
    ordered: bool = True,
    deaths: int | None = 2,
) -> Iterator[End]:
    """What comes of each unit; `make` gives what a worker has for all that it does, such as a loaded model.

    Units are made by a worker too, not faster than they are done, so that there may be any number. A unit whose worker
    was killed is done again by another one.

    ordered: whether ends come in the order of their units; deaths: how often a unit may end its worker, None for ever

    Raises: BlipdiffError that making or working raised, ConfigError where a unit ended too many workers, and where
    the cluster is lost.
    """
    import ray
    from ray.data import ActorPoolStrategy, read_datasource
    from ray.exceptions import RayError

    _be_quiet(ordered=ordered)
    both = ray.put((make, work))
    stream = read_datasource(_source(ray.put(units)), override_num_blocks=1, ray_remote_args={"num_cpus": 0})
    ends = stream.map_batches(
        _worker(),
        fn_constructor_args=(both,),
        batch_size=1,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(min_size=pool.least, max_size=pool.most, max_tasks_in_flight_per_actor=_AHEAD),
        num_cpus=pool.cores,
        num_gpus=pool.gpus or None,
        max_task_retries=-1 if deaths is None else deaths - 1,
    )
    found = iter(ends.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1))
    while True:
        try:
            batch = next(found, None)
        except RayError as error:
            raise _lost(error) from error
        if batch is None:
            return
        for text in batch[_END]:
            end = ray.cloudpickle.loads(text.as_py())
            if isinstance(end, _Trouble):
                raise end.error
            yield end


@contextmanager
def over_ray(address: str, workers: Workers, make: Callable[[], Any], *, device: str) -> Iterator[HandOut]:
    """A block in which units are handed out to the workers of a cluster, each with what `make` gives.

    Raises: as `connection.connected` and `handed_out`.
    """

    def hand_out(units: Sequence[Unit], work: Callable[[Any, Unit], End]) -> Iterator[End]:
        return handed_out(lambda: units, make, work, pool) if units else iter(())

    with connected(address) as cluster:
        pool = cluster.pool(workers, device=device)
        yield hand_out


def _lost(error: Exception) -> Exception:
    """What there is to say of an error of Ray; a mistake of ours keeps its own traceback."""
    from ray.exceptions import RayActorError, RayTaskError

    if isinstance(error, RayTaskError):
        return RuntimeError(str(error))
    if isinstance(error, RayActorError):
        return ConfigError("A worker ended again and again on the same part; what the others have done is kept.")
    return ConfigError(f"The Ray cluster was lost: {first_line(error)}; what is done is kept.")


def _be_quiet(*, ordered: bool) -> None:
    from ray.data import DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = 1  # a block for each unit: what is handed out, and done again, at a time
    context.execution_options.preserve_order = ordered
    warnings.filterwarnings("ignore", module=r"ray\.data")
    for name in ("ray.data", "ray.train", "ray"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _worker() -> Any:
    import pyarrow
    import ray

    class Worker:
        """Works on one unit at a time, with what is made for the first one."""

        def __init__(self, both: Any) -> None:
            self.make, self.work = ray.get(both)
            self.state: Any = None

        def __call__(self, batch: Any) -> Any:
            unit = ray.cloudpickle.loads(batch[_UNIT][0].as_py())
            return pyarrow.table({_END: [ray.cloudpickle.dumps(self.end_of(unit))]})

        def end_of(self, unit: Any) -> Any:
            """What comes of a unit, or what was met that a person can mend."""
            if isinstance(unit, _Trouble):
                return unit
            try:
                if self.state is None:
                    self.state = self.make()
                return self.work(self.state, unit)
            except BlipdiffError as error:
                return _Trouble(error)

    return Worker


def _source(units: Any) -> Any:
    import pyarrow
    import ray
    from ray.data.block import BlockMetadata
    from ray.data.datasource import Datasource, ReadTask

    class Source(Datasource):  # type: ignore[misc]
        """One task that makes all units, as a stream."""

        def estimate_inmemory_data_size(self) -> None:
            """Nobody knows."""

        def get_read_tasks(self, *_given: Any, **_more: Any) -> list[Any]:
            """The one task."""
            unknown = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
            return [ReadTask(blocks, unknown, schema=pyarrow.schema([(_UNIT, pyarrow.binary())]))]

    def blocks() -> Iterator[Any]:
        try:
            for unit in ray.get(units)():
                yield pyarrow.table({_UNIT: [ray.cloudpickle.dumps(unit)]})
        except BlipdiffError as error:
            yield pyarrow.table({_UNIT: [ray.cloudpickle.dumps(_Trouble(error))]})

    return Source()
