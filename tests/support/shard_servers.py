"""Servers of shards at 127.0.0.1: one that fails as it is told, and moto's of S3."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class ShardServer:
    """A folder over HTTP. faults: how often a name is still answered wrongly, and how; asked: what was asked for."""

    port: int = 0
    faults: dict[str, tuple[int, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def url(self, name: str) -> str:
        return f"http://someone:secret@127.0.0.1:{self.port}/{name}"


@contextlib.contextmanager
def shard_server(folder: Path) -> Iterator[ShardServer]:
    told = ShardServer()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_given: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            name = self.path.partition("?")[0].strip("/")
            told.asked.append(name)
            left, fault = told.faults.get(name, (0, ""))
            told.faults[name] = (left - 1, fault)
            path = folder / name
            if left > 0 and fault == "500":
                self.send_error(500)
            elif not path.is_file():
                self.send_error(404)
            else:
                content = path.read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if left > 0 and fault == "cut" else content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
