"""The gate: names, sites, tokens, scopes, sizes, rates, and whatever hostile programs send."""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.tokens import DRAW, READ, Holder, Tokens
from app.doors.access import Access, Limits
from app.jobs.workshop import Workshop
from app.server import Running, check_reach, serve
from blipdiff.errors import ConfigError
from tests.api.test_interface import REQUEST, png
from tests.support.workshops import machine, served

ROOT, ONE, OTHER, READER = ("r" * 20, "a" * 20, "b" * 20, "c" * 20)


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


TOKENS = Tokens(
    {
        digest(ROOT): Holder("root"),
        digest(ONE): Holder("one", frozenset({DRAW, READ}), waiting=2, pictures=3),
        digest(OTHER): Holder("other", frozenset({DRAW, READ})),
        digest(READER): Holder("reader", frozenset({READ}), rate=5),
    }
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    access = Access(limits=Limits(upload=200_000, file=100_000, form=50_000))
    with served(tmp_path_factory.mktemp("history"), tokens=TOKENS, access=access) as found:
        yield found


def ask(running: Running, method: str, path: str, token: str | None = ROOT, **more: Any) -> httpx.Response:
    headers = more.pop("headers", {}) | ({} if token is None else {"Authorization": f"Bearer {token}"})
    return httpx.request(method, running.url + path, headers=headers, timeout=60, **more)


def job(**changes: Any) -> dict[str, Any]:
    subject = [{"file": base64.b64encode(png()).decode()}]
    return {"task": "generate", "request": REQUEST, "inputs": {"subject": subject}} | changes


def test_nobody_comes_in_without_a_token(running: Running) -> None:
    assert ask(running, "GET", "/api/v1/jobs", None).status_code == 401
    assert ask(running, "GET", "/metrics", None).status_code == 401
    assert ask(running, "GET", "/api/v1/jobs", "wrong" * 5).status_code == 401
    assert ask(running, "GET", "/healthz", None).status_code == 200
    basic = base64.b64encode(f"anybody:{ROOT}".encode()).decode()
    assert ask(running, "GET", "/api/v1/jobs", None, headers={"Authorization": f"Basic {basic}"}).status_code == 200


def test_other_names_and_other_sites_are_turned_away(running: Running) -> None:
    assert ask(running, "GET", "/api/v1/jobs", headers={"Host": "evil.example"}).status_code == 403
    assert ask(running, "POST", "/api/v1/jobs", headers={"Origin": "http://evil.example"}).status_code == 403
    assert ask(running, "GET", "/api/v1/jobs", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert ask(running, "GET", "/healthz", None, headers={"Host": "evil.example"}).status_code == 403


def test_a_token_does_what_its_scopes_say_and_sees_its_own(running: Running) -> None:
    made = ask(running, "POST", "/api/v1/jobs?wait=60", ONE, json=job())
    assert made.status_code == 202, made.text
    address, result = made.json()["url"], made.json()["results"][0]["url"]
    for path in (address, result, f"{address}/events", f"{address}/job", f"{result}/job"):
        assert ask(running, "GET", path, OTHER).status_code == 404, path
        assert ask(running, "GET", path, ONE).status_code == 200, path
        assert ask(running, "GET", path, ROOT).status_code == 200, path
    assert ask(running, "DELETE", address, OTHER).status_code == 404
    assert ask(running, "GET", "/api/v1/jobs", OTHER).json()["jobs"] == []
    assert ask(running, "GET", "/api/v1/history", OTHER).json()["results"] == []
    theirs = job(inputs={"subject": [{"result": result.rsplit("/", 1)[1], "word": "dog"}]})
    assert ask(running, "POST", "/api/v1/jobs", OTHER, json=theirs).status_code == 404
    assert ask(running, "POST", "/api/v1/jobs", READER, json=job()).status_code == 403
    assert ask(running, "POST", "/api/v1/subjects", ONE, json={}).status_code == 403
    assert ask(running, "POST", "/api/v1/jobs", ONE, json=job(priority=5)).status_code == 403


def test_limits_of_a_holder(running: Running) -> None:
    many = ask(running, "POST", "/api/v1/jobs", ONE, json=job(request=REQUEST | {"count": 4}))
    assert many.status_code == 422
    assert "3 are allowed" in many.text
    long = job(request=REQUEST | {"steps": 500})
    first, second = (ask(running, "POST", "/api/v1/jobs", ONE, json=long).json()["url"] for _ in range(2))
    third = ask(running, "POST", "/api/v1/jobs", ONE, json=long)
    assert third.status_code == 429
    for address in (first, second):
        assert ask(running, "DELETE", address, ONE).status_code == 200


def test_more_requests_than_allowed_wait(running: Running) -> None:
    answers = [ask(running, "GET", "/api/v1/tasks", READER) for _ in range(8)]
    assert 429 in {one.status_code for one in answers}
    assert int(answers[-1].headers["retry-after"]) > 0


def test_an_address_that_guesses_is_not_listened_to(tmp_path: Path) -> None:
    with served(tmp_path, tokens=TOKENS) as found:
        codes = [ask(found, "GET", "/api/v1/jobs", f"guess{number}" * 4).status_code for number in range(12)]
        assert codes[0] == 401
        assert codes[-1] == 429
        assert ask(found, "GET", "/api/v1/jobs", ROOT).status_code == 429


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 422),
        (b"[]", 400),
        (b"{", 400),
        (b'{"task": NaN}', 400),
        (b"[" * 100_000, 400),
        (b'{"task": "rm"}', 422),
        (b'{"task": ["generate"]}', 422),
        (b'{"request": 5}', 422),
        (b'{"request": {"category": "dog", "steps": "many"}}', 422),
        (b'{"request": {"category": "dog", "steps": 1e999}}', 422),
        (b'{"request": {"category": "dog"}, "inputs": {"subject": [{"path": "/etc/passwd"}]}}', 422),
        (b'{"request": {"category": "dog"}, "inputs": {"subject": "@../../etc/passwd"}}', 422),
        (b'{"request": {"category": "dog"}, "inputs": {"subject": "http://169.254.169.254/"}}', 422),
        (b'{"request": {"category": "dog"}, "inputs": {"subject": [{"file": "aGVsbG8="}]}}', 422),
        (b'{"request": {"category": "dog"}, "inputs": {"subject": [{"result": "../../x"}]}}', 422),
        (b'{"request": {"category": "dog"}, "inputs": {"subject": [{"upload": "x"}]}}', 422),
        (b'{"request": {"category": "dog"}, "inputs": {"source": []}}', 422),
        (b'{"request": {"category": "dog"}, "model": "../secret"}', 422),
        (b'{"request": {"category": "dog"}, "webhook": "http://169.254.169.254/"}', 422),
        (b'{"request": {"category": "dog"}, "priority": true}', 422),
        (b'{"request": {"category": "\\ud800"}}', 422),
        (b'{"request": {"category": "dog", "step_table": "\\ud800"}}', 422),
        (b'{"request": {"category": "dog", "step_table": 3}}', 422),
        (b'{"request": "\\ud800"}', 422),
        (b'{"request": {"category": "dog"}, "name": "\\ud800"}', 422),
        (b'{"request": {"category": "dog"}, "model": "\\uDFFF"}', 422),
        (b'{"request": {"category": "dog"}, "inputs": {"subject": "@\\ud800"}}', 422),
        (b'{"task": "\\ud800"}', 422),
    ],
)
def test_whatever_is_sent_gets_a_sentence(running: Running, body: bytes, code: int) -> None:
    answer = ask(running, "POST", "/api/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == code, answer.text
    assert answer.json()["error"]["message"]
    assert "Traceback" not in answer.text


def test_what_is_too_large_is_refused_before_it_is_read(running: Running) -> None:
    assert ask(running, "POST", "/api/v1/jobs", content=b"x" * 300_000).status_code == 413

    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 10_000

    assert ask(running, "POST", "/api/v1/jobs", content=endless()).status_code == 413
    files = {"subject": ("dog.png", b"x" * 150_000)}
    assert ask(running, "POST", "/api/v1/jobs", data={"category": "dog"}, files=files).status_code == 413
    many = [("subject", (f"{number}.png", b"x")) for number in range(100)]
    assert ask(running, "POST", "/api/v1/jobs", data={"category": "dog"}, files=many).status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/results/..%2f..%2fqueue.sqlite",
        "/api/v1/results/%00",
        "/api/v1/jobs/../../etc/passwd",
        "/api/v1/jobs/" + "a" * 3000,
        "/api/v1/subjects/..%2f..%2fx",
        "/api/v1/history?most=-1",
        "/api/v1/history?most=99999999999999999999",
        "/docs",
        "/v1/models/../../x",
    ],
)
def test_no_path_leads_out(running: Running, path: str) -> None:
    answer = ask(running, "GET", path)
    assert answer.status_code in (404, 422), answer.text


def test_each_interface_has_its_own_form_of_error(running: Running) -> None:
    openai = ask(running, "POST", "/v1/images/generations", None, json={}).json()["error"]
    assert set(openai) == {"message", "type", "param", "code"}
    a1111 = ask(running, "POST", "/sdapi/v1/txt2img", None, json={}).json()
    assert set(a1111) == {"error", "detail", "body", "errors"}
    assert ask(running, "POST", "/sdapi/v1/img2img", json={}).json()["detail"] == "Init image not found"


def test_tokens_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps({"ci": {"token": ONE, "scopes": ["draw"], "rate": 7},
                                "ops": {"token": f"sha256:{digest(OTHER)}"}}))  # fmt: skip
    tokens = Tokens.of(ROOT, path)
    assert tokens.holder(ONE) == Holder("ci", frozenset({DRAW}), 7)
    assert tokens.holder(OTHER) == Holder("ops", frozenset({DRAW, READ}))
    assert tokens.holder("") is tokens.holder(None) is None


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ([], "has no token"),
        ({"a": {"token": "short"}}, "16 letters"),
        ({"a": {"token": ONE, "scope": []}}, "other fields"),
        ({"a": {"token": ONE, "scopes": ["everything"]}}, "choose of"),
        ({"a": {"token": ONE, "rate": 0}}, "above 0"),
        ({"../a": {"token": ONE}}, "cannot hold a token"),
        ({"local": {"token": ONE}}, "cannot hold a token"),
        ({"a": {"token": ONE}, "b": {"token": ONE}}, "somebody else"),
        ({"a": {}}, "is no text"),
    ],
)
def test_a_file_of_tokens_that_says_nothing_clear_is_refused(tmp_path: Path, told: Any, words: str) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps(told))
    with pytest.raises(ConfigError, match=words):
        Tokens.of(None, path)


def test_other_machines_need_a_token(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="other machines reach the server"):
        check_reach("0.0.0.0", Tokens(), Access())
    check_reach("0.0.0.0", TOKENS, Access())
    check_reach("127.0.0.1", Tokens(), Access())
    made = Workshop(tmp_path, machine(), library=tmp_path / "subjects")
    with pytest.raises(ConfigError, match="webhook"):
        serve(made, webhooks=["file:///etc/passwd"])
    made.close()
