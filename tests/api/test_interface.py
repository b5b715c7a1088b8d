"""The interface over HTTP: jobs from JSON and forms, events, results, history, subjects, figures."""

import base64
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from app.api.client import Client, ServerError
from app.api.described import described
from app.api.views import API
from app.jobs.tickets import Sender
from app.server import Running
from pipelines.parameters import request_from
from pipelines.task import tasks
from tests.support.studios import drawn, job
from tests.support.tiny_models import photo
from tests.support.workshops import served, tiny_studio

REQUEST = {"category": "dog", "prompt": "on a beach", "count": 1, "steps": 3}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with served(tmp_path_factory.mktemp("history")) as found:
        yield found


@pytest.fixture
def client(running: Running) -> Client:
    return Client(running.url)


def png(seed: int = 0) -> bytes:
    stream = io.BytesIO()
    photo(seed).save(stream, format="PNG")
    return stream.getvalue()


def array(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data))).astype(int)


def test_a_picture_over_http_is_the_one_that_is_drawn_here(client: Client) -> None:
    job = client.submit("generate", REQUEST | {"seed": 5}, subject=png())
    events = list(client.events(job["id"]))
    assert [event.kind for event in events if event.kind != "progress"] in (
        ["state", "state", "result", "state"],
        ["state", "result", "state"],
    )
    assert events[-1].ends
    assert any(event.previews() for event in events)
    assert np.array_equal(array(client.picture(client.results(job["id"])[0])), drawn(tiny_studio(), seed=5)[0])


def test_a_form_with_a_file_is_the_same_job(running: Running, client: Client) -> None:
    form = {"task": "generate", "category": "dog", "prompt": "on a beach", "count": "1", "steps": "3", "seed": "5"}
    answer = httpx.post(
        f"{running.url}/api/v1/jobs?wait=60", data=form, files={"subject": ("dog.png", png())}, timeout=90
    )
    assert answer.status_code == 202, answer.text
    told = answer.json()
    assert told["state"] == "done", told
    assert np.array_equal(array(client.picture(told["results"][0]["id"])), drawn(tiny_studio(), seed=5)[0])


def test_inputs_come_from_the_library_from_results_and_from_named_files(running: Running, client: Client) -> None:
    client.add_subject(png(), name="Rex", category="dog")
    assert [one["name"] for one in client.subjects("rex")] == ["Rex"]
    first = client.wait(client.submit("generate", REQUEST, subject="@Rex")["id"])
    assert first["state"] == "done"
    result = first["results"][0]["id"]
    second = client.wait(client.submit("generate", REQUEST, subject={"result": result, "word": "dog"})["id"])
    assert second["state"] == "done"
    job = {"task": "scene", "request": {"prompt": "a {dog} and a {cat}", "steps": 2},
           "inputs": {"subject": [{"upload": "a", "word": "dog"}, {"upload": "b", "word": "cat"}]}}  # fmt: skip
    files = {"a": ("a.png", png()), "b": ("b.png", png(1))}
    answer = httpx.post(f"{running.url}/api/v1/jobs", data={"job": json.dumps(job)}, files=files, timeout=60)
    assert answer.status_code == 202, answer.text
    assert client.wait(answer.json()["id"])["state"] == "done"
    card = httpx.get(f"{running.url}/api/v1/subjects/Rex").content
    again = client.submit("generate", REQUEST, subject=card)
    assert client.wait(again["id"])["state"] == "done"


def test_a_misspelt_field_of_a_form_is_named_and_nothing_is_drawn(running: Running, client: Client) -> None:
    before = httpx.get(f"{running.url}{API}/jobs").json()["jobs"]
    files = {"subject": ("dog.png", png())}
    answer = httpx.post(f"{running.url}{API}/jobs", data={"category": "dog", "promt": "in the snow"}, files=files)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "promt")
    assert httpx.get(f"{running.url}{API}/jobs").json()["jobs"] == before


def test_a_subject_of_the_library_says_itself_what_it_is(running: Running, client: Client) -> None:
    files = {"file": ("dog.png", png())}
    kept = httpx.post(f"{running.url}{API}/subjects", data={"name": "Bello", "category": "dog"}, files=files)
    assert kept.status_code == 201, kept.text
    job = client.submit("generate", {"prompt": "on a beach", "count": 1, "steps": 1}, subject="@Bello")
    asked = httpx.get(f"{running.url}{API}/jobs/{job['id']}/job").json()
    assert asked["request"]["category"] == "dog"


def test_every_task_is_described_by_a_schema_that_its_default_request_fits() -> None:
    found = {one["name"]: one for one in described()}
    assert set(found) == set(tasks())
    for name, task in tasks().items():
        schema = found[name]["request"]
        defaults = {key: one["default"] for key, one in schema["properties"].items() if "default" in one}
        needed = {"category": "dog", "source": "cat", "prompt": "a {dog}", "from_prompt": True}
        needed |= {"job": {"task": "generate", "request": {"category": "dog"}}, "x": "steps=2,3"}
        request_from(task.request, defaults | {key: needed[key] for key in needed if key in schema["properties"]})
        assert set(found[name]["inputs"]) == set(task.inputs)
        json.dumps(found[name])


def test_the_same_key_twice_is_one_job(client: Client) -> None:
    first = client.submit("generate", REQUEST, subject=png(), key="once")
    assert client.submit("generate", REQUEST, subject=png(), key="once")["id"] == first["id"]
    with pytest.raises(ServerError, match="used for another request") as refused:
        client.submit("generate", REQUEST | {"seed": 1}, subject=png(), key="once")
    assert refused.value.status == 409
    client.wait(first["id"])


def test_cancel_retry_and_the_list_of_jobs(client: Client) -> None:
    long = client.submit("generate", REQUEST | {"steps": 500}, subject=png())
    waiting = client.submit("generate", REQUEST, subject=png())
    assert waiting["place"] in (1, 2)
    assert client.cancel(waiting["id"])["state"] == "cancelled"
    client.cancel(long["id"])
    assert client.wait(long["id"])["state"] == "cancelled"
    assert {one["id"] for one in client.jobs("cancelled")} >= {long["id"], waiting["id"]}
    assert client.retry(waiting["id"])["state"] in ("waiting", "drawing")
    assert client.wait(waiting["id"])["state"] == "done"


def test_the_history_is_searched_marked_binned_and_recalled(running: Running, client: Client) -> None:
    job = client.wait(client.submit("generate", REQUEST | {"prompt": "under a volcano"}, subject=png())["id"])
    name = job["results"][0]["id"]
    assert [one["id"] for one in client.history(words="volcano")] == [name]
    address = f"{running.url}/api/v1/history/{name}"
    assert httpx.post(f"{address}/favourite").json()["favourite"]
    assert [one["id"] for one in client.history(favourites=True)] == [name]
    assert httpx.delete(address).json()["binned"]
    assert client.history(words="volcano") == []
    assert not httpx.post(f"{address}/restore").json()["binned"]
    again = httpx.post(f"{running.url}/api/v1/results/{name}/again", json={}).json()
    done = client.wait(again["id"])
    assert done["state"] == "done", done
    assert client.picture(done["results"][0]["id"]) == client.picture(name)
    boards = httpx.get(f"{running.url}/api/v1/history/boards?by=subject").json()["boards"]
    assert "dog" in {board["name"] for board in boards}
    small = httpx.get(f"{running.url}/api/v1/results/{name}?side=16")
    assert small.headers["content-type"] == "image/jpeg"


def test_an_edit_is_recalled_with_its_photo(client: Client, running: Running) -> None:
    request = {"source": "cat", "target": "dog", "prompt": "on a sofa", "steps": 3}
    job = client.wait(client.submit("edit", request, source=png(2), subject={"file": text(png()), "word": "dog"})["id"])
    assert job["state"] == "done", job
    name = job["results"][0]["id"]
    about = httpx.get(f"{running.url}/api/v1/results/{name}/about").json()
    assert "before" in about["beside"]
    assert httpx.get(running.url + about["beside"]["before"]).content.startswith(b"\x89PNG")
    again = httpx.post(f"{running.url}/api/v1/results/{name}/again", json={})
    assert again.status_code == 202, again.text
    done = client.wait(again.json()["id"])
    assert array(client.picture(done["results"][0]["id"])).tolist() == array(client.picture(name)).tolist()


def test_a_path_has_its_sheets(client: Client, running: Running) -> None:
    subjects = [{"file": text(png(seed)), "word": word} for seed, word in enumerate(("dog", "teapot"))]
    request = {"frames": 3, "steps": 2, "spacing": "even"}
    job = client.wait(client.submit("blend", request, subject=subjects)["id"])
    assert job["state"] == "done", job
    assert {one["name"] for one in job["sheets"]} == {"grid.png", "film.webp"}
    assert httpx.get(running.url + job["sheets"][0]["url"]).status_code == 200


def test_figures_and_health(running: Running) -> None:
    assert httpx.get(f"{running.url}/healthz").json() == {"status": "ok"}
    text = httpx.get(f"{running.url}/metrics").text
    assert 'blipdiff_jobs{state="done"}' in text
    assert all(line.startswith(("#", "blipdiff_")) for line in text.splitlines())


def test_prometheus_reads_the_figures_and_they_count_what_was_drawn(tmp_path: Path) -> None:
    with served(tmp_path / "here", results=str(tmp_path / "there")) as running:
        for seed, steps in ((0, 3), (1, 5)):
            ticket = running.workshop.submit(job(seed=seed, count=2, steps=steps), Sender())
            assert running.workshop.wait(ticket.id, 120).state == "done"
        bad = running.workshop.submit(job(steps=1000), Sender())  # more than its scheduler has
        assert running.workshop.wait(bad.id, 120).state == "failed"
        shelf = running.workshop.history.shelf
        assert shelf is not None
        while shelf.outbox.waiting():
            time.sleep(0.01)
        found = figures(httpx.get(f"{running.url}/metrics").text)
        assert found["blipdiff_jobs", ("state", "done")] == 2
        assert found["blipdiff_jobs_oldest_seconds", ("state", "waiting")] == 0
        assert found["blipdiff_jobs_ended_total", ("state", "done"), ("task", "generate")] == 2
        assert found["blipdiff_job_failures_total", ("kind", "asked")] == 1
        assert found["blipdiff_pictures_total", ("task", "generate")] == 4
        assert found["blipdiff_steps_total",] == 2 * (3 + 5)
        assert found["blipdiff_job_duration_seconds_count", ("task", "generate")] == 3
        assert found["blipdiff_job_wait_seconds_sum", ("task", "generate")] >= 0
        assert found["blipdiff_store_waiting_files",] == found["blipdiff_store_away",] == 0
        assert found["blipdiff_store_sent_total",] == 4
        assert found["blipdiff_database_errors_total",] == 0
        assert found["blipdiff_model_bytes", ("device", "0"), ("model", "tiny")] > 10_000
        assert found["blipdiff_process_memory_bytes",] > 10_000_000


def test_health_tells_that_the_place_of_results_is_away_until_it_is_back(tmp_path: Path) -> None:
    there, aside = tmp_path / "there", tmp_path / "aside"
    with served(tmp_path / "here", results=str(there)) as running:
        there.rename(aside)
        ticket = running.workshop.submit(job(), Sender())
        assert running.workshop.wait(ticket.id, 120).state == "done"

        def health() -> dict[str, str]:
            answer = httpx.get(f"{running.url}/healthz")
            assert answer.status_code == 200
            return dict(answer.json())

        while "results" not in (told := health()):
            time.sleep(0.05)
        assert told["status"] == "ok" and str(tmp_path) not in str(told)
        aside.rename(there)
        while health() != {"status": "ok"}:
            time.sleep(0.05)
        assert len(list(there.rglob("*.png"))) == 1


def figures(text: str) -> dict[tuple[object, ...], float]:
    """Prometheus' own reading of figures, by name and labels."""
    return {
        (one.name, *sorted(one.labels.items())): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def told(answer: httpx.Response) -> Any:
    return answer.json()["error"]["message"]


def test_the_description_tells_what_every_request_holds(running: Running) -> None:
    told = httpx.get(f"{running.url}/api/v1/openapi.json").json()
    job = told["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    forms = {one["title"]: one["properties"] for one in job["anyOf"]}
    assert set(forms) == set(tasks())
    assert forms["stylize"]["request"]["properties"]["steps"]["maximum"] == 1000
    assert set(forms["edit"]["inputs"]["properties"]) == set(tasks()["edit"].inputs)
    reads = {f"{API}/jobs/{{name}}/retry", "/sdapi/v1/interrupt", "/sdapi/v1/skip", f"{API}/history/{{name}}/favourite",
             f"{API}/history/{{name}}/restore", f"{API}/subjects/{{name}}/restore"}  # fmt: skip
    posts = {
        path for path, methods in told["paths"].items() if "requestBody" not in methods.get("post", {"requestBody": 1})
    }
    assert posts == reads


def test_what_curl_sends_without_a_header_is_json_and_a_done_job_is_at_its_last_step(running: Running) -> None:
    job = {"request": REQUEST, "inputs": {"subject": base64.b64encode(png()).decode()}}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    made = httpx.post(f"{running.url}{API}/jobs?wait=60", content=json.dumps(job), headers=headers, timeout=60)
    assert made.status_code == 202, made.text
    assert made.json()["state"] == "done"
    assert made.json()["step"] == made.json()["steps"]
