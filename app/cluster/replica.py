"""A replica: a process of a cluster with the models of one device, which draws one job at a time."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from app.cluster.errors import ClusterError
from app.cluster.passing import Failed, Report, Sent, sent
from app.jobs.artist import Begun, Here
from app.jobs.models import Models
from app.jobs.opening import opener, shortages
from app.jobs.own_files import OwnFiles
from app.jobs.packing import unpacked
from app.settings import Settings, silence_libraries, take_large_pages
from blipdiff import __version__


@dataclass(frozen=True, slots=True)
class Setting:
    """All that a replica takes over of the server's settings, by value.

    opening: as `app.jobs.opening.opener` takes it, but for the files' folders, which stand in `files`; memory: bytes of
    weights that are kept at the same time, None for no limit; most: models, with what is on them, that are kept
    """

    models: tuple[str, ...]
    device: str
    opening: Mapping[str, Any]
    files: tuple[str, ...] = ()
    memory: int | None = None
    most: int = 4
    version: str = __version__


@dataclass(frozen=True, slots=True)
class Order:
    """A job as it is sent to a replica.

    text, contents: as `app.jobs.packing.packed` has them; held: the model with what is on it, as
    `app.jobs.models.called` tells it; previews: as `app.jobs.artist.Artist` takes them
    """

    text: str
    contents: Mapping[str, str]
    model: str
    held: str
    previews: int


class Replica:
    """Draws in a thread of its own, so that it is reached meanwhile."""

    def __init__(self, setting: Setting) -> None:
        """Raises: ClusterError for a server of another version."""
        from ray import serve  # this class is made where Ray is

        if setting.version != __version__:
            raise ClusterError(f"A machine of the cluster has blipdiff {__version__}; the server is {setting.version}.")
        silence_libraries(Settings(download=bool(setting.opening.get("download"))))
        take_large_pages()
        self._name = str(serve.get_replica_context().replica_id.unique_id)
        files = OwnFiles([Path(one) for one in setting.files])
        opened = opener(**setting.opening, files=files)
        shortage = shortages(dtype=str(setting.opening.get("dtype", "auto")))
        self._models = Models(
            setting.models,
            lambda name, *added: opened(name, setting.device, *added),
            setting.memory,
            lambda name: shortage(name, setting.device),
        )
        self._artist = Here(self._models, files.placed)
        self._thread = ThreadPoolExecutor(1, "drawing")

        async def held(told: str) -> _Held:
            return _Held(told, self._models)

        # which models Serve sends here, the least recently used let go; `Models` alone holds weights
        self._held: Any = serve.multiplexed(max_num_models_per_replica=setting.most)(held)

    async def draw(self, order: Order) -> AsyncGenerator[Sent, None]:
        """What comes of a job; whoever stops listening stops it within its step."""
        stopped = Event()

        def drawing(tell: Callable[[Sent], None]) -> None:
            import ray

            job = unpacked(order.text, order.contents.__getitem__)
            self._models.offer(order.model)  # the server has looked whether it may be asked for
            for event in self._artist.drawn(job, order.model, order.previews, stopped.is_set):
                tell(sent(event, ray.put))
                if isinstance(event, Begun):
                    tell(self._report())

        await self._held(order.held)
        async for item in self._told(drawing, stopped):
            yield item

    async def warm(self) -> AsyncGenerator[Sent, None]:
        """Opens the first model."""
        stopped = Event()

        def opening(_tell: Callable[[Sent], None]) -> None:
            self._artist.warm(stopped.is_set)

        await self._held(self._models.names[0])
        async for item in self._told(opening, stopped):
            yield item

    async def _told(self, work: Callable[[Callable[[Sent], None]], None], stopped: Event) -> AsyncGenerator[Sent, None]:
        """What the thread tells, then what the replica holds; left early, the thread is stopped."""
        loop, items = asyncio.get_running_loop(), asyncio.Queue[Sent | None]()

        def tell(item: Sent | None) -> None:
            loop.call_soon_threadsafe(items.put_nowait, item)

        def working() -> None:
            try:
                failed = None
                try:
                    if not stopped.is_set():
                        work(tell)
                except Exception as error:
                    failed = Failed.of(error)
                tell(self._report())
                if failed is not None:
                    tell(failed)
            finally:
                tell(None)

        self._thread.submit(working)
        try:
            while (item := await items.get()) is not None:
                yield item
        finally:
            stopped.set()

    def _report(self) -> Report:
        facts = {name: facts for name in self._models.names if (facts := self._artist.facts(name)) is not None}
        return Report(self._name, self._models.loaded, facts, dict(self._models.troubles))


class _Held:
    """That a model may be open here; when Serve takes this off its list, it is let go."""

    def __init__(self, told: str, models: Models) -> None:
        self._told: str | None = told
        self._models = models

    def __del__(self) -> None:
        told, self._told = self._told, None
        if told is not None:
            self._models.let_go(told)
