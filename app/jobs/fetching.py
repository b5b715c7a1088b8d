"""A model of the hub that is being fetched beside the jobs: how far it is, stopped, gone on with."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock, Thread
from typing import Literal, TypeAlias

from app.libraries import load_libraries
from blipdiff.errors import BlipdiffError

State: TypeAlias = Literal["none", "going", "stopping", "stopped", "done", "failed"]


@dataclass(frozen=True, slots=True)
class Fetched:
    """How far the last one is; bytes of its large files."""

    name: str = ""
    state: State = "none"
    there: int = 0
    size: int = 0
    trouble: str = ""

    @property
    def is_going(self) -> bool:
        """Whether bytes may still come."""
        return self.state in ("going", "stopping")


class Fetching:
    """One model at a time, fetched in a thread of its own; what has come of it is always kept."""

    def __init__(self, done: Callable[[str], object] = lambda _name: None) -> None:
        """done: told of each model that is here whole"""
        self._done, self._access = done, Lock()
        self._seen = Fetched()

    @property
    def seen(self) -> Fetched:
        """How far it is now."""
        return self._seen

    def begin(self, name: str) -> bool:
        """Begins, or goes on where it was stopped; False while one is being fetched."""
        with self._access:
            if self._seen.is_going:
                return False
            self._seen = Fetched(name, "going")
        Thread(target=self._fetch, args=(name,), name="fetching", daemon=True).start()
        return True

    def stop(self) -> None:
        """Ends it after the piece that is on its way."""
        with self._access:
            if self._seen.state == "going":
                self._seen = replace(self._seen, state="stopping")

    def _fetch(self, name: str) -> None:
        load_libraries()
        from blipdiff.checkpoints.inventory import fetched  # which loads torch

        try:
            fetched(name, self._watch)
            self._done(name)
            self._ended("done")
        except _Stopped:
            self._ended("stopped")
        except BlipdiffError as error:
            self._ended("failed", str(error))
        except Exception as error:
            self._ended("failed", f"The program has a fault here: {type(error).__name__}.")
            raise

    def _watch(self, there: int, size: int) -> None:
        with self._access:
            self._seen = replace(self._seen, there=there, size=size)
            if self._seen.state == "stopping":
                raise _Stopped

    def _ended(self, state: State, trouble: str = "") -> None:
        with self._access:
            self._seen = replace(self._seen, state=state, trouble=trouble)


class _Stopped(Exception):
    """A person has stopped it."""
