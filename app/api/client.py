"""A small client of `blipdiff serve`, on Python's standard library alone.

client = Client("http://127.0.0.1:7860", token="...")
job = client.submit("generate", {"category": "dog", "prompt": "on a beach"}, subject=Path("my_dog.png"))
for event in client.events(job["id"]): print(event.kind, event.told)
for name in client.results(job["id"]): client.save(name, Path("pictures"))
"""

import base64
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

from blipdiff.errors import BlipdiffError

Given: TypeAlias = Path | bytes | str | Mapping[str, Any]  # a file, its bytes, "@NAME" of the library, or an input
_API = "/api/v1"


class ServerError(BlipdiffError):
    """The server does not do what was asked: its status, its code and its sentence."""

    def __init__(self, status: int, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.code = status, code


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """Something that happened to a job: kind is state, progress, notice, result or sheet."""

    kind: str
    told: Mapping[str, Any]

    @property
    def ends(self) -> bool:
        """Whether nothing more comes of the job."""
        return self.kind == "state" and self.told.get("state") in ("done", "failed", "cancelled")

    def previews(self) -> dict[int, bytes]:
        """JPEG files by seed, of an event of progress."""
        found = self.told.get("previews", {})
        return {int(seed): base64.b64decode(text.partition(",")[2]) for seed, text in found.items()}


class Client:
    """A server's jobs, pictures and subjects.

    name: among which clients of a token turns are taken; every call raises ServerError for what the server refuses
    """

    def __init__(
        self, address: str, *, token: str | None = None, name: str | None = None, seconds: float = 60.0
    ) -> None:
        self.address = address.rstrip("/")
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._headers |= {} if name is None else {"X-Client": name}
        self._seconds = seconds
        self._opener = urllib.request.build_opener()

    def tasks(self) -> list[dict[str, Any]]:
        """What can be asked for, with the JSON schema of each request."""
        found: list[dict[str, Any]] = self._json("GET", "/tasks")["tasks"]
        return found

    def files(self) -> list[dict[str, Any]]:
        """LoRAs, embeddings and the like that jobs may be drawn with."""
        found: list[dict[str, Any]] = self._json("GET", "/files")["files"]
        return found

    def submit(
        self,
        task: str,
        request: Mapping[str, Any],
        *,
        key: str | None = None,
        model: str = "",
        name: str = "",
        priority: int = 0,
        added: Sequence[Mapping[str, Any]] = (),
        **inputs: Given | Sequence[Given],
    ) -> dict[str, Any]:
        """Puts a job into the line: `subject=Path("dog.png")`, or a list of such. The same `key` is the same job.

        added: LoRAs and embeddings of the server's files: `[{"name": "chalk", "weight": 0.8}]`
        """
        given = {one: _inputs(told) for one, told in inputs.items()}
        body: dict[str, Any] = {"task": task, "request": dict(request), "inputs": given, "model": model, "name": name}
        body |= {"added": [dict(one) for one in added]} if added else {}
        headers = {} if key is None else {"Idempotency-Key": key}
        return self._json("POST", "/jobs", body | {"priority": priority}, headers)

    def job(self, name: str, *, wait: float = 0) -> dict[str, Any]:
        """A job as it stands, after at most `wait` seconds once it is over."""
        return self._json("GET", f"/jobs/{quote(name)}?{urlencode({'wait': wait})}", seconds=wait)

    def jobs(self, state: str | None = None) -> list[dict[str, Any]]:
        """The jobs, the latest first."""
        asked = "" if state is None else f"?{urlencode({'state': state})}"
        found: list[dict[str, Any]] = self._json("GET", f"/jobs{asked}")["jobs"]
        return found

    def wait(self, name: str) -> dict[str, Any]:
        """A job once it is over."""
        while True:
            found = self.job(name, wait=30)
            if found["state"] in ("done", "failed", "cancelled"):
                return found

    def cancel(self, name: str) -> dict[str, Any]:
        """Cancels a job that waits or is drawn."""
        return self._json("DELETE", f"/jobs/{quote(name)}")

    def retry(self, name: str) -> dict[str, Any]:
        """A job that failed or was cancelled waits again."""
        return self._json("POST", f"/jobs/{quote(name)}/retry")

    def events(self, name: str, *, previews: bool = True) -> Iterator[ServerEvent]:
        """What happens to a job, until it is over."""
        with self._open("GET", f"/jobs/{quote(name)}/events?previews={str(previews).lower()}") as answer:
            kind = ""
            for line in answer:
                text = line.decode().rstrip("\n")
                if text.startswith("event: "):
                    kind = text[7:]
                elif text.startswith("data: "):
                    yield ServerEvent(kind, json.loads(text[6:]))

    def results(self, name: str) -> list[str]:
        """The names of a job's pictures."""
        return [str(one["id"]) for one in self.job(name)["results"]]

    def picture(self, result: str, part: str | None = None) -> bytes:
        """A picture's PNG, or that of what stands beside it."""
        asked = "" if part is None else f"?{urlencode({'part': part})}"
        with self._open("GET", f"/results/{quote(result)}{asked}") as answer:
            found: bytes = answer.read()
            return found

    def about(self, result: str) -> dict[str, Any]:
        """What the history knows of a picture."""
        return self._json("GET", f"/results/{quote(result)}/about")

    def save(self, result: str, folder: Path) -> Path:
        """Writes a picture into a folder, as its name; gives its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{result}.png"
        path.write_bytes(self.picture(result))
        return path

    def history(self, **asked: Any) -> list[dict[str, Any]]:
        """Pictures: words, subject, task, model, day, favourites, binned, before, most."""
        told = {name: str(value).lower() if isinstance(value, bool) else value for name, value in asked.items()}
        found: list[dict[str, Any]] = self._json("GET", f"/history?{urlencode(told)}")["results"]
        return found

    def subjects(self, search: str = "") -> list[dict[str, Any]]:
        """The subject library."""
        found: list[dict[str, Any]] = self._json("GET", f"/subjects?{urlencode({'search': search})}")["subjects"]
        return found

    def add_subject(self, file: Path | bytes, *, name: str | None = None, category: str = "") -> dict[str, Any]:
        """Keeps a card, or a photo with its category, in the library."""
        content = file if isinstance(file, bytes) else file.read_bytes()
        told = {"file": base64.b64encode(content).decode(), "category": category}
        return self._json("POST", "/subjects", told | ({} if name is None else {"name": name}))

    def _json(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = 0,
    ) -> dict[str, Any]:
        try:
            with self._open(method, path, body, headers, seconds) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except (OSError, http.client.HTTPException) as error:  # it ended while it answered
            raise ServerError(0, "unreachable", f"{self.address} did not answer to the end: {error}.") from error

    def _open(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = 0,
    ) -> Any:
        data = None if body is None else json.dumps(body).encode()
        sent = self._headers | dict(headers or {}) | ({} if data is None else {"Content-Type": "application/json"})
        request = urllib.request.Request(f"{self.address}{_API}{path}", data, sent, method=method)
        try:
            return self._opener.open(request, timeout=self._seconds + seconds)
        except urllib.error.HTTPError as error:
            raise _refusal(error) from error
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(0, "unreachable", f"{self.address} cannot be reached: {error}.") from error


def _inputs(given: Given | Sequence[Given]) -> list[Any]:
    if isinstance(given, Path | bytes | str | Mapping):
        return [_input(given)]
    return [_input(one) for one in given]


def _input(given: Given) -> Any:
    if isinstance(given, Path):
        given = given.read_bytes()
    return {"file": base64.b64encode(given).decode()} if isinstance(given, bytes) else given


def _refusal(error: urllib.error.HTTPError) -> ServerError:
    try:
        told = json.load(error)["error"]
        return ServerError(error.code, str(told["code"]), str(told["message"]))
    except (ValueError, KeyError, TypeError):
        return ServerError(error.code, "error", f"The server answers {error.code}.")
