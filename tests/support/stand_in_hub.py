"""A hub on this machine: it lists and serves the files of a folder as the real one does, and can fail as it can."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants, file_download

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".bin", ".safetensors", ".pt")  # what is kept in large-file storage

NAME = "Salesforce/blipdiffusion"
PUBLISHED = [  # the hub's listing
    ".gitattributes",
    "README.md",
    "image_processor/preprocessor_config.json",
    "model_index.json",
    "qformer/config.json",
    "qformer/pytorch_model.bin",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/pytorch_model.bin",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.bin",
    "vae/config.json",
    "vae/diffusion_pytorch_model.bin",
]
SPARE = ("tokenizer/special_tokens_map.json", "tokenizer/tokenizer_config.json")
UNET = "unet/diffusion_pytorch_model.bin"


@dataclass
class StandInHub:
    """What it serves, how it fails, and what it was asked for."""

    folder: Path
    name: str
    sizes: dict[str, int] = field(default_factory=dict)  # what the listing says instead of the truth
    cut_at: dict[str, int] = field(default_factory=dict)  # the byte at which a connection breaks, and then all do
    held_at: dict[str, int] = field(default_factory=dict)  # the byte at which a file waits for `go`, once
    go: Event = field(default_factory=Event)
    damaged: set[str] = field(default_factory=set)
    broken: bool = False
    tags: list[str] = field(default_factory=list)
    address: str = ""
    tokens: set[str] = field(default_factory=set)  # by which files were asked for
    fetched: list[tuple[str, int]] = field(default_factory=list)  # each file that was sent, and from which byte

    @property
    def files(self) -> list[str]:
        paths = (path for path in self.folder.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.folder).as_posix() for path in paths)

    def size(self, name: str) -> int:
        return self.sizes.get(name, (self.folder / name).stat().st_size)

    def tag(self, name: str) -> str:
        content = (self.folder / name).read_bytes()
        if name.endswith(LARGE):
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def info(self) -> dict[str, Any]:
        listed = [{"rfilename": name, "size": self.size(name), "blobId": self.tag(name)} for name in self.files]
        for one in listed:
            if str(one["rfilename"]).endswith(LARGE):
                one["lfs"] = {"sha256": one["blobId"], "size": one["size"], "pointerSize": 134}
        return {
            "id": self.name,
            "modelId": self.name,
            "sha": COMMIT,
            "siblings": listed,
            "private": False,
            "tags": self.tags,
        }

    def tree(self) -> list[dict[str, Any]]:
        entries = []
        for name in self.files:
            entry: dict[str, Any] = {"type": "file", "path": name, "size": self.size(name), "oid": self.tag(name)}
            if name.endswith(LARGE):
                entry["lfs"] = {"oid": self.tag(name), "size": self.size(name), "pointerSize": 134}
            entries.append(entry)
        return entries


@contextmanager
def served(hub: StandInHub) -> Iterator[StandInHub]:
    """The hub, listening on a free port of this machine while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            _answer(self, hub)

        def do_HEAD(self) -> None:
            _answer(self, hub)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(hub: StandInHub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on huggingface_hub asks this hub, and keeps what it fetches in this folder."""
    address = f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    for module in (constants, file_download):  # before its version 1 the library had copies of it
        monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", address, raising=module is constants)


def _answer(request: BaseHTTPRequestHandler, hub: StandInHub) -> None:
    path = unquote(urlsplit(request.path).path)
    api = f"/api/models/{hub.name}"
    if hub.broken:
        _send(request, 500, b"")
    elif path in (api, f"{api}/revision/main", f"{api}/revision/{COMMIT}"):
        _send(request, 200, json.dumps(hub.info()).encode())
    elif path == f"{api}/tree/{COMMIT}":
        _send(request, 200, json.dumps(hub.tree()).encode())
    elif path.startswith(f"/{hub.name}/resolve/"):
        _send_file(request, hub, path.split("/", 5)[5])
    else:
        code = "RevisionNotFound" if path.startswith(f"{api}/revision/") else "RepoNotFound"
        _send(request, 404, b"", {"X-Error-Code": code})


def _send(request: BaseHTTPRequestHandler, code: int, content: bytes, headers: dict[str, str] | None = None) -> None:
    request.send_response(code)
    for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
        request.send_header(name, value)
    request.end_headers()
    if request.command == "GET":
        request.wfile.write(content)


def _send_file(request: BaseHTTPRequestHandler, hub: StandInHub, name: str) -> None:
    content = (hub.folder / name).read_bytes()
    if name in hub.damaged:
        content = content[:-1] + bytes([content[-1] ^ 1])
    tag = f'"{hub.tag(name)}"'
    headers = {"ETag": tag, "X-Linked-ETag": tag, "X-Linked-Size": str(len(content)), "X-Repo-Commit": COMMIT}
    start = int((request.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])
    if request.command == "GET":
        hub.fetched.append((name, start))
        hub.tokens |= {request.headers["Authorization"]} if request.headers["Authorization"] else set()
    if start:
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
    if request.command == "GET" and name in hub.cut_at:
        hub.broken = True
        request.send_response(206 if start else 200)
        for key, value in {**headers, "Content-Length": str(len(content) - start)}.items():
            request.send_header(key, value)
        request.end_headers()
        request.wfile.write(content[start : hub.cut_at.pop(name)])
        request.wfile.flush()
        request.close_connection = True
        request.connection.close()
        return
    if request.command == "GET" and name in hub.held_at:
        _send_held(request, hub, name, content, headers)
        return
    _send(request, 206 if start else 200, content[start:], headers)


def _send_held(
    request: BaseHTTPRequestHandler, hub: StandInHub, name: str, content: bytes, headers: dict[str, str]
) -> None:
    request.send_response(200)
    for key, value in {**headers, "Content-Length": str(len(content))}.items():
        request.send_header(key, value)
    request.end_headers()
    place = hub.held_at.pop(name)
    request.wfile.write(content[:place])
    request.wfile.flush()
    hub.go.wait(300)  # longer than any test waits for what it shows meanwhile
    with suppress(OSError):  # whoever asked may have gone
        request.wfile.write(content[place:])
