"""Webhooks: told where the operator says, nowhere else, and never led on."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import httpx

from app.api.client import Client
from tests.api.test_gate import job
from tests.support.workshops import served


@contextmanager
def listening(answer: int = 200, location: str = "") -> Iterator[tuple[str, "Queue[Any]"]]:
    heard: Queue[Any] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(answer)
            if location:
                self.send_header("Location", location)
            self.end_headers()

        def log_message(self, *_given: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", heard
    server.shutdown()
    server.server_close()


def test_a_job_that_is_over_is_told_where_the_operator_allows_it(tmp_path: Path) -> None:
    with listening() as (address, heard), served(tmp_path, webhooks=[address]) as running:
        made = httpx.post(f"{running.url}/api/v1/jobs", json=job(webhook=address))
        assert made.status_code == 202
        told = heard.get(timeout=60)
        assert (told["id"], told["state"]) == (made.json()["id"], "done")
        assert len(told["results"]) == 1
        other = httpx.post(f"{running.url}/api/v1/jobs", json=job(webhook=f"{address}/elsewhere"))
        assert other.status_code == 422


def test_a_webhook_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    with (
        listening() as (secret, unheard),
        listening(302, secret) as (address, heard),
        served(tmp_path, webhooks=[address]) as running,
    ):
        made = httpx.post(f"{running.url}/api/v1/jobs", json=job(webhook=address))
        heard.get(timeout=60)
        assert Client(running.url).wait(made.json()["id"])["state"] == "done"
        assert unheard.empty()
