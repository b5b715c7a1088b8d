"""What places several servers elsewhere: files that can be read, options, paths, ports and figures that are there."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from app import settings
from tests.api.test_interface import figures
from tests.packaging.test_deploy import DOCKERFILE, ROOT, unknown
from tests.support.workshops import served

DEPLOY = ROOT / "deploy"
SEVERAL, KUBERNETES = DEPLOY / "several", DEPLOY / "kubernetes"
PORT = re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE)[0]
_SECRET = re.compile(r"TOKEN|PASSWORD|SECRET|ACCESS_KEY|S3_KEY|ROOT_USER")
_REFERENCE = re.compile(r"\$\{[A-Z0-9_]+:\?[^}]*\}")


def documents(path: Path) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one]


def compose() -> dict[str, Any]:
    return documents(SEVERAL / "compose.yaml")[0]


def containers(told: Any) -> Iterator[dict[str, Any]]:
    """The containers of Kubernetes' documents, wherever they stand."""
    if isinstance(told, dict):
        for name, value in told.items():
            if name == "containers":
                yield from value
            else:
                yield from containers(value)
    elif isinstance(told, list):
        for one in told:
            yield from containers(one)


def test_every_file_can_be_read() -> None:
    files = [path for path in DEPLOY.rglob("*") if path.suffix in (".yaml", ".yml", ".json")]
    assert len(files) >= 7
    for path in files:
        assert json.loads(path.read_text()) if path.suffix == ".json" else documents(path), path


def test_images_have_versions_and_no_registry_of_their_own() -> None:
    images = [one["image"] for one in compose()["services"].values() if "image" in one]
    images += [one["image"] for path in KUBERNETES.glob("*.yaml") for one in containers(documents(path))]
    assert len(images) >= 8
    for image in images:
        name, _, tag = image.partition(":")
        assert re.search(r"\d", tag) and tag != "latest", image
        assert "." not in name.split("/")[0], image


def test_servers_are_started_with_options_that_there_are_on_the_port_that_is_published() -> None:
    own = [one for one in compose()["services"].values() if "build" in one]
    targets = re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE)
    assert len(own) == 2
    for one in own:
        assert unknown(["blipdiff", *one["command"]]) == []
        assert one["command"][one["command"].index("--port") + 1] == PORT
        assert one["ports"][0].startswith("127.0.0.1:") and one["ports"][0].endswith(f":{PORT}")
        assert (SEVERAL / one["build"]["context"]).resolve() == ROOT
        assert one["build"]["target"].removeprefix("${BLIPDIFF_TARGET:-").removesuffix("}") in targets
        assert "shared" in one["build"]["args"]["EXTRAS"].split(",")
    assert DOCKERFILE.count("ARG EXTRAS=") == DOCKERFILE.count("[$EXTRAS]") == 2
    assert len({volume for one in own for volume in one["volumes"] if volume.endswith(":/data")}) == 2
    for path in KUBERNETES.glob("*.yaml"):
        started = [one for one in containers(documents(path)) if one.get("args", [""])[0] == "serve"]
        assert len(started) == 1
        for one in started:
            assert unknown(["blipdiff", *one["args"]]) == []
            assert [str(port["containerPort"]) for port in one["ports"]] == [PORT]
            assert one["args"][one["args"].index("--port") + 1] == PORT
            assert "memory" in one["resources"]["limits"]


def test_settings_are_those_that_the_program_reads() -> None:
    known = {value for name, value in vars(settings).items() if name.isupper() and isinstance(value, str)}
    told = [one.get("environment", {}) for one in compose()["services"].values() if "build" in one]
    told += [one["data"] for one in documents(KUBERNETES / "blipdiff.yaml") if one["kind"] == "ConfigMap"]
    for one in told:
        assert {name for name in one if name.startswith("BLIPDIFF_")} <= known
        assert (
            settings.read_settings({name: str(value) for name, value in one.items()}).results == "s3://blipdiff/studio"
        )


def test_secrets_are_named_and_never_written() -> None:
    for service in compose()["services"].values():
        for name, value in service.get("environment", {}).items():
            assert not _SECRET.search(name) or _REFERENCE.fullmatch(value), name
    for path in KUBERNETES.glob("*.yaml"):
        for one in containers(documents(path)):
            for told in one.get("env", ()):
                assert not _SECRET.search(told["name"]) or "secretKeyRef" in told["valueFrom"], told
        assert all(one["kind"] != "Secret" for one in documents(path))


def test_volumes_and_files_that_services_name_are_there() -> None:
    told = compose()
    for service in told["services"].values():
        for volume in service.get("volumes", ()):
            place = volume.split(":")[0]
            assert (SEVERAL / place).is_file() if place.startswith(".") else place in told["volumes"], place
        assert set(service.get("depends_on", ())) <= set(told["services"])


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[set[str], str]]:
    """The names of all figures, and the server's address."""
    folder = tmp_path_factory.mktemp("figures")
    with served(folder / "here", results=str(folder / "there")) as running:
        text = httpx.get(f"{running.url}/metrics").text
        names = {str(name[0]) for name in figures(text)}
        for kind, name in re.findall(r"^# TYPE (\S+) (histogram|counter|gauge)$", text, re.MULTILINE):
            names |= {kind} | (
                {f"{kind}_{part}" for part in ("bucket", "sum", "count")} if name == "histogram" else set()
            )
        yield names, running.url


def test_probes_and_prometheus_ask_at_places_that_answer(known: tuple[set[str], str]) -> None:
    _, url = known
    paths = {documents(SEVERAL / "prometheus.yml")[0]["scrape_configs"][0]["metrics_path"]}
    for path in KUBERNETES.glob("*.yaml"):
        for one in containers(documents(path)):
            paths |= {value["httpGet"]["path"] for name, value in one.items() if name.endswith("Probe")}
    assert paths == {"/metrics", "/healthz"}
    assert [httpx.get(url + path).status_code for path in sorted(paths)] == [200, 200]
    job = documents(SEVERAL / "prometheus.yml")[0]["scrape_configs"][0]
    services = compose()["services"]
    for target in job["static_configs"][0]["targets"]:
        name, _, port = target.partition(":")
        assert port == PORT
        assert name in services[name]["command"], "the server answers to the name that it is asked by"
    secret = Path(job["authorization"]["credentials_file"]).name
    assert services["prometheus"]["secrets"] == [secret] and secret in compose()["secrets"]


def test_the_board_shows_figures_that_there_are(known: tuple[set[str], str]) -> None:
    board = json.loads((SEVERAL / "grafana" / "board.json").read_text())
    source = documents(SEVERAL / "grafana" / "datasource.yaml")[0]["datasources"][0]
    shown = set()
    for panel in board["panels"]:
        assert panel["datasource"] == {"type": source["type"], "uid": source["uid"]}
        for target in panel["targets"]:
            shown |= set(re.findall(r"\bblipdiff_\w+", target["expr"]))
    assert len(shown) > 15
    assert shown <= known[0], shown - known[0]
