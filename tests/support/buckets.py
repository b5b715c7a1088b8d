"""An s3-compatible server of its own for tests: moto's, in a process of its own, at this machine alone."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

KEYS = {
    "AWS_ACCESS_KEY_ID": "a-key-that-is-nobodys",
    "AWS_SECRET_ACCESS_KEY": "a-secret-that-nobody-may-read",
    "AWS_DEFAULT_REGION": "us-east-1",
}


class Buckets:
    """A server that can be ended and started again at its address, without what it held."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "moto.log"
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self.environment = KEYS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}"}
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | KEYS)
        end = time.monotonic() + 120
        while True:
            assert time.monotonic() < end and self._process.poll() is None, self._log.read_text()
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)

    def stop(self) -> None:
        """Ends it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)
            self._process = None

    @contextmanager
    def asking_for_rights(self) -> Iterator[None]:
        """A block in which nobody's keys are known there."""
        place = f"{self.environment['AWS_ENDPOINT_URL']}/moto-api/reset-auth"
        assert httpx.post(place, content=b"0").is_success
        try:
            yield
        finally:
            assert httpx.post(place, content=b"inf").is_success

    def bucket(self, name: str) -> str:
        """The URL of a folder in a new bucket."""
        self.files().mkdir(name)
        return f"s3://{name}/studio"

    def names(self, url: str) -> list[str]:
        """What lies at a URL."""
        root = url.removeprefix("s3://")
        return sorted(path.removeprefix(f"{root}/") for path in self.files().find(root))

    def files(self) -> Any:
        """The server's files, by fsspec."""
        import s3fs

        return s3fs.S3FileSystem(
            key=KEYS["AWS_ACCESS_KEY_ID"], secret=KEYS["AWS_SECRET_ACCESS_KEY"], use_listings_cache=False,
            skip_instance_cache=True, endpoint_url=self.environment["AWS_ENDPOINT_URL"],
        )  # fmt: skip


@contextmanager
def buckets() -> Iterator[Buckets]:
    """A server as long as the block lasts."""
    with TemporaryDirectory() as place:
        made = Buckets(Path(place))
        try:
            yield made
        finally:
            made.stop()
