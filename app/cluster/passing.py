"""What a replica sends to the server while it draws: small things as they are, pictures by reference to Ray's store."""

import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from app.cluster.errors import ClusterError
from app.jobs.artist import Begun, Moved, Told
from app.jobs.facts import Facts
from app.jobs.tickets import FAULT
from blipdiff import errors
from blipdiff.errors import BlipdiffError, OutOfMemoryError, is_out_of_memory
from pipelines.task import Notice, Result, Sheet

_LOG = logging.getLogger("blipdiff.cluster")


@dataclass(frozen=True, slots=True)
class Report:
    """What a replica holds: bytes of weights and facts by model, why the last one could not be opened."""

    replica: str
    loaded: Mapping[str, int]
    facts: Mapping[str, Facts]
    troubles: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Stored:
    """A result or a sheet that lies in Ray's store."""

    reference: Any


@dataclass(frozen=True, slots=True)
class File:
    """A sheet as the file that it is."""

    kind: str
    name: str
    suffix: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """The run has failed: the kind of error by its name, what it says, and where it came from."""

    kind: str
    text: str
    trace: str = ""

    @classmethod
    def of(cls, error: BaseException) -> "Failed":
        """What is sent of an error; where it came from stays out of what people are told."""
        if is_out_of_memory(error):
            return cls(OutOfMemoryError.__name__, str(error))
        if isinstance(error, BlipdiffError):
            return cls(type(error).__name__, str(error))
        return cls("", type(error).__name__, "".join(traceback.format_exception(error)))

    def error(self) -> BlipdiffError:
        """The error again."""
        if not self.kind:
            _LOG.error("A replica has a fault:\n%s", self.trace)
            return ClusterError(f"{FAULT}has a fault here: {self.text}.")
        kind = getattr(errors, self.kind, ClusterError)
        return (
            kind(self.text) if isinstance(kind, type) and issubclass(kind, BlipdiffError) else ClusterError(self.text)
        )


Sent: TypeAlias = Begun | Notice | Moved | Stored | Report | Failed


def sent(event: Told, put: Callable[[Any], Any]) -> Begun | Notice | Moved | Stored:
    """What goes over the line; `put` keeps what is large. A result's detail, which programs alone read, stays here."""
    if isinstance(event, Result):
        return Stored(put(replace(event, detail=None)))
    if isinstance(event, Sheet):
        with TemporaryDirectory(prefix="blipdiff-") as folder:
            path = Path(folder) / f"sheet{event.suffix}"
            event.write(path)
            return Stored(put(File(event.kind, event.name, event.suffix, path.read_bytes())))
    return event


def received(item: Begun | Notice | Moved | Stored, get: Callable[[Any], Any]) -> Told:
    """The event again; `get` fetches what was kept. Raises: what fetching raises."""
    if not isinstance(item, Stored):
        return item
    found = get(item.reference)
    if isinstance(found, File):
        content = found.content
        return Sheet(found.kind, found.name, found.suffix, lambda path: path.write_bytes(content))
    assert isinstance(found, Result), found
    return found
