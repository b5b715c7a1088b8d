"""Files that somebody sends before the jobs that name them, kept for an hour."""

import hashlib
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from blipdiff.errors import ConfigError
from blipdiff.filenames import paths_now
from blipdiff.outputs import written_file

SECONDS_KEPT = 3600.0
MOST_BYTES = 1_000_000_000  # of one owner
_NAME = re.compile(r"u[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Uploads:
    """Files of a folder, each below its owner's name under the hash of what it holds."""

    folder: Path
    most: int = MOST_BYTES
    clock: Callable[[], float] = time.time

    def keep(self, owner: str, data: bytes) -> str:
        """The name under which `find` gives it back.

        Raises: ConfigError where the owner has too many, OutputError when it cannot be written.
        """
        self.forget_old()
        name = f"u{hashlib.sha256(data).hexdigest()[:40]}"
        path = self.folder / owner / name
        others = 0
        for one in path.parent.glob("u*"):
            with suppress(FileNotFoundError):  # its hour is over
                others += one.stat().st_size if one.name != name else 0
        if others + len(data) > self.most:
            raise ConfigError(f"Uploads of {others / 1e6:.0f} MB are kept for you already; each goes after an hour.")
        with written_file(path) as part:
            part.write_bytes(data)
        return name

    def find(self, owner: str | None, name: str) -> bytes | None:
        """What an owner has sent, anybody where it is None; None where nothing is kept under this name."""
        if not _NAME.fullmatch(name):
            return None
        self.forget_old()
        for path in paths_now(self.folder, f"{owner or '*'}/{name}"):
            try:
                return path.read_bytes()
            except OSError:  # its hour is over
                continue
        return None

    def forget_old(self) -> None:
        """Removes what was sent more than an hour ago."""
        for path in paths_now(self.folder, "*/u*"):
            try:
                if self.clock() - path.stat().st_mtime > SECONDS_KEPT:
                    path.unlink(missing_ok=True)
            except OSError:
                continue
