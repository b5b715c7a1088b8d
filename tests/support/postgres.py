"""A PostgreSQL server of its own for tests, from Debian's package, at a Unix socket in a temporary folder."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_NOT_HERE = "PostgreSQL is not installed (apt-get install postgresql)"


def programs() -> Path | None:
    """The folder of the newest installed server's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return found[-1] if found else None


class Postgres:
    """A server that can be ended and started again, as a machine can go away."""

    def __init__(self, folder: Path) -> None:
        found = programs()
        if found is None or sys.platform == "win32":
            pytest.skip(_NOT_HERE)
        self._programs, self._folder = found, folder
        self._user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:  # which PostgreSQL refuses to run as
            shutil.chown(folder, "postgres")
        folder.chmod(0o755)
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "--auth=trust", "--no-sync", "--username=blipdiff", "--encoding=UTF8", "--locale=C.UTF-8",
                  f"--pgdata={folder / 'data'}")  # fmt: skip
        self.start()

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        settings = ("fsync=off", "listen_addresses=", f"unix_socket_directories={self._folder}", "max_connections=60",
                    "shared_buffers=16MB")  # fmt: skip
        command = [str(self._programs / "postgres"), "-D", str(self._folder / "data")]
        command += [word for one in settings for word in ("-c", one)]
        with (self._folder.parent / f"{self._folder.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, user=self._user if os.geteuid() == 0 else None, cwd=self._folder
            )
        end = time.monotonic() + 60
        while subprocess.run(
            [str(self._programs / "pg_isready"), "-q", "-h", str(self._folder), "-U", "blipdiff", "-d", "postgres"],
            check=False,
        ).returncode:
            assert time.monotonic() < end and self._process.poll() is None, "PostgreSQL does not start"
            time.sleep(0.05)

    def stop(self) -> None:
        """Ends it at once, with all connections."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(60)
            self._process = None

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"t{secrets.token_hex(6)}"
        self.sql("postgres", f"CREATE DATABASE {name}")
        return f"postgresql://blipdiff@/{name}?host={self._folder}"

    def sql(self, database: str, sentence: str) -> str:
        """What a sentence gives, as text."""
        command = [str(self._programs / "psql"), "-XAtq", "-h", str(self._folder), "-U", "blipdiff", "-d", database,
                   "-c", sentence]  # fmt: skip
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=self._folder).stdout

    def _run(self, program: str, *words: str) -> None:
        user = self._user if os.geteuid() == 0 else None
        command = [str(self._programs / program), *words]
        done = subprocess.run(command, check=False, capture_output=True, text=True, user=user, cwd=self._folder)
        assert done.returncode == 0, done.stderr


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A server as long as the block lasts; skips the test where none is installed."""
    with tempfile.TemporaryDirectory(prefix="bdpg-", dir="/tmp") as place:  # a socket's path is short
        Path(place).chmod(0o755)
        folder = Path(place) / "pg"
        folder.mkdir()
        made = Postgres(folder)
        try:
            yield made
        finally:
            made.stop()
