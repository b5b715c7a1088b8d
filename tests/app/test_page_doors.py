"""The door of the page: by which name it is reached, by whose pages, and who is let in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from app.doors.access import Access, access_of
from app.doors.credentials import Credentials
from app.doors.hosts import Hosts, Name
from app.doors.listening import listen
from app.server import Running
from blipdiff.errors import ConfigError
from tests.support.small_page import opened, upload

TOKEN = "0123456789-abcdefgh"
ACCOUNT = ("anna", "a:good:password")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where these pages keep uploads."""
    place = tmp_path_factory.mktemp("uploads").resolve()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(place))
        yield place


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Running]:
    names = [Name.parse(name) for name in ("https://pictures.example.org", "box.lan", "half.lan:81")]
    with opened(Access(Hosts(names))) as page:
        yield page


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:{port}", 200),
        ("LOCALHOST:{port}", 200),
        ("[::1]:{port}", 200),
        ("pictures.example.org", 200),
        ("box.lan:9000", 200),
        ("half.lan:81", 200),
        ("half.lan:82", 403),
        ("half.lan", 403),
        ("evil.example:{port}", 403),
        ("127.0.0.1", 403),
        ("localhost:1", 403),
        ("127.0.0.1.evil.example:{port}", 403),
        ("localhost:{port}@evil.example", 403),
        ("0.0.0.0:{port}", 403),
        ("127.1:{port}", 403),
        ("", 403),
        ("evil\u202e", 403),
    ],
)
def test_the_page_answers_to_its_own_names_alone(running: Running, host: str, status: int) -> None:
    given = host.format(port=urlsplit(running.page).port)
    assert httpx.get(f"{running.page}config", headers={"Host": given.encode()}).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Host": "pictures.example.org", "Origin": "https://pictures.example.org"}, 200),
        ({"Host": "box.lan:9000", "Origin": "http://box.lan:9000"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "https://127.0.0.1:{port}0"}, 403),
        ({"Origin": "http://localhost:{port}"}, 403),
        ({"Host": "pictures.example.org", "Origin": "http://pictures.example.org"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 403),
    ],
)
def test_other_sites_can_neither_upload_nor_read(running: Running, headers: dict[str, str], status: int) -> None:
    told = {name: value.format(port=urlsplit(running.page).port) for name, value in headers.items()}
    assert upload(running.page, ("a.png", b"a"), headers=told).status_code == status
    assert httpx.get(f"{running.page}config", headers=told).status_code == status


def test_another_site_may_lead_to_the_page_and_not_ask_before_it(running: Running) -> None:
    visit = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert httpx.get(running.page, headers=visit).status_code == 200
    assert httpx.get(running.page, headers={**visit, "Sec-Fetch-Dest": "iframe"}).status_code == 403
    asking = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answered = httpx.options(f"{running.page}gradio_api/upload", headers=asking)
    assert answered.status_code == 403
    assert not [name for name in answered.headers if name.startswith("access-control")]


def test_what_a_proxy_is_said_to_have_seen_changes_nothing(running: Running) -> None:
    lies = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Gradio-Server": "http://evil.example",
        "Forwarded": "host=evil.example",
        "X-Forwarded-For": "10.0.0.1",
    }
    for path in ("", "config", "config?deep_link=../x"):
        assert "evil.example" not in httpx.get(running.page + path, headers=lies).text
    assert httpx.get(f"{running.page}config", headers=lies).json()["root"] == running.page.rstrip("/")


@pytest.mark.parametrize("text", ["", "http://", "ftp://a", "a b", "a/b", "user@host", "a:b", "a:123456", "://a"])
def test_a_name_that_is_none_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="--allow-host"):
        access_of("127.0.0.1", names=[text])


def test_other_machines_are_asked_for_something_unless_it_is_said_not_to() -> None:
    with pytest.raises(ConfigError, match=r"other machines reach the page.*--auth.*--token.*--insecure"):
        access_of("0.0.0.0")
    with pytest.raises(ConfigError, match="other machines"):
        opened(listening=listen("0.0.0.0")).__enter__()
    for allowed in ({"token": TOKEN}, {"auth": ":".join(ACCOUNT)}, {"is_insecure": True}):
        access_of("0.0.0.0", **allowed).check("::")
    for host in ("127.0.0.1", "localhost", "::1", "127.0.0.9"):
        access_of(host)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"auth": "anna"}, "USER:PASSWORD"),
        ({"auth": "anna:short"}, "8 letters"),
        ({"auth": ":long enough"}, "USER:PASSWORD"),
        ({"token": "short"}, "16 letters"),
        ({"token": "with blanks in it and more"}, "16 letters"),
        ({"token": "@{folder}/none"}, "cannot be read: No such file"),
        ({"auth": "@{folder}"}, "cannot be read: Is a directory"),
        ({"auth": "@{folder}/empty"}, "is empty"),
        ({"auth": "@{folder}/bytes"}, "it is no text"),
    ],
)
def test_a_weak_or_unreadable_secret_is_told_and_not_shown(given: dict[str, str], words: str, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=words) as raised:
        access_of("127.0.0.1", **{name: text.format(folder=tmp_path) for name, text in given.items()})
    assert "long enough" not in str(raised.value)


def test_a_secret_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{TOKEN}\nmore\n")
    assert access_of("127.0.0.1", token=f"@{tmp_path / 'secret'}").credentials.token == TOKEN


@pytest.fixture(scope="module")
def locked(folder: Path) -> Iterator[Running]:
    """A page that asks for a password or a token; a page for each test of failures."""
    with opened(Access(credentials=Credentials(":".join(ACCOUNT), TOKEN))) as page:
        yield page


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({}, 401),
        ({"headers": {"Authorization": f"Bearer {TOKEN}"}}, 200),
        ({"headers": {"Authorization": f"bearer {TOKEN}"}}, 200),
        ({"auth": ACCOUNT}, 200),
        ({"headers": {"Authorization": "Bearer"}}, 401),
        ({"headers": {"Authorization": f"Bearer {TOKEN}x"}}, 401),
        ({"auth": ("anna", TOKEN)}, 401),
        ({"headers": {"Authorization": "Basic ÿ".encode("latin-1")}}, 401),
        ({"cookies": {"blipdiff-7860": "x"}}, 401),
    ],
)
def test_a_token_or_a_password_opens_every_route(locked: Running, given: dict[str, Any], status: int) -> None:
    for path in ("", "config", "theme.css", "assets/nothing.js", "gradio_api/nothing"):
        code = httpx.get(locked.page + path, **given).status_code
        assert code == status or (status == 200 and code == 404 and "nothing" in path)
    assert upload(locked.page, ("a.png", b"a"), **given).status_code == status
    httpx.get(locked.page, auth=ACCOUNT)  # what failed before is forgotten


def test_the_interface_beside_the_page_asks_for_the_same(locked: Running) -> None:
    tasks = f"{locked.url}/api/v1/tasks"
    for given in ({}, {"auth": ("anna", "wrong password")}, {"headers": {"Authorization": f"Bearer {TOKEN}x"}}):
        assert httpx.get(tasks, **given).status_code == 401
    for given in ({"auth": ACCOUNT}, {"auth": ("anybody", TOKEN)}, {"headers": {"Authorization": f"Bearer {TOKEN}"}}):
        assert httpx.get(tasks, **given).status_code == 200


def test_a_visit_with_the_token_gets_a_cookie_and_leaves_it_out_of_the_address(locked: Running) -> None:
    with httpx.Client() as browser:
        first = browser.get(locked.page, params={"token": TOKEN})
        assert (first.status_code, first.headers["location"]) == (303, "/")
        assert "HttpOnly; SameSite=Lax" in first.headers["set-cookie"]
        assert TOKEN not in first.headers["set-cookie"]
        assert browser.get(locked.page).status_code == 200
        assert upload(locked.page, ("a.png", b"a"), cookies=dict(browser.cookies)).status_code == 200
    assert httpx.get(f"{locked.page}config", params={"token": TOKEN}).status_code == 401  # at the page alone
    asked = httpx.get(locked.page)
    assert asked.headers["www-authenticate"].startswith("Basic ")


def test_an_address_that_guesses_is_not_listened_to_and_visits_go_on(folder: Path) -> None:
    with opened(Access(credentials=Credentials(token=TOKEN))) as page, httpx.Client() as browser:
        assert "www-authenticate" not in httpx.get(page.page).headers
        browser.get(page.page, params={"token": TOKEN})
        codes = [httpx.get(page.page, params={"token": f"guess-{number}"}).status_code for number in range(12)]
        assert codes == [401] * 10 + [429] * 2
        assert httpx.get(page.page, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 429
        assert browser.get(page.page).status_code == 200
