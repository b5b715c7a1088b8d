"""Groups: one job with a list of prompts becomes a job for each, all of them or none."""

import base64
from pathlib import Path

import httpx
import pytest

from app.api.tokens import DRAW, READ, Holder, Tokens
from app.jobs.tickets import Asked, KeyTaken, Sender
from blipdiff.errors import BlipdiffError
from tests.api.test_gate import digest
from tests.api.test_interface import REQUEST, png
from tests.support.studios import job
from tests.support.workshops import served, workshop

PROMPTS = ["on a beach", " in the snow ", "", "at night"]


def test_each_prompt_is_a_job_of_its_own_and_they_are_known_together(tmp_path: Path) -> None:
    with workshop(tmp_path) as made:
        found = made.submit_all(job(count=1), PROMPTS, Sender(), Asked(name="trip"))
        assert made.queue.groups.jobs(found[0].id) == [one.id for one in found]
        assert {made.queue.groups.of(one.id) for one in found} == {found[0].id}
        ended = [made.wait(one.id, 60) for one in found]
        assert [(one.state, one.name) for one in ended] == [("done", "trip")] * 3
        prompts = [made.history.entry(made.results(one)[0]).prompt for one in ended]
        assert prompts == ["on a beach", "in the snow", "at night"]


def test_a_list_with_one_wrong_prompt_puts_nothing_into_the_line(tmp_path: Path) -> None:
    with workshop(tmp_path, starts=False) as made:
        for prompts in (["fine", "\x00"], [], ["", "  "], ["x"] * 1001, ["fine", 5]):
            with pytest.raises(BlipdiffError):
                made.submit_all(job(), prompts, Sender())  # type: ignore[arg-type]
        assert made.queue.count(("waiting",)) == 0


def test_a_list_that_is_sent_again_under_its_key_is_the_same(tmp_path: Path) -> None:
    with workshop(tmp_path, starts=False) as made:
        first = made.submit_all(job(), PROMPTS, Sender(), Asked(key="k", digest="1"))
        assert made.submit_all(job(), PROMPTS, Sender(), Asked(key="k", digest="1")) == first
        with pytest.raises(KeyTaken):
            made.submit_all(job(), PROMPTS, Sender(), Asked(key="k", digest="2"))
        assert made.queue.count(("waiting",)) == 3


def test_a_group_over_http_is_looked_at_and_cancelled(tmp_path: Path) -> None:
    holder = Holder("one", frozenset({DRAW, READ}), waiting=3)
    tokens = Tokens({digest("a" * 20): holder, digest("b" * 20): Holder("other", frozenset({DRAW, READ}))})
    sent = {"request": REQUEST | {"steps": 500}, "inputs": {"subject": base64.b64encode(png()).decode()}}
    with served(tmp_path, tokens=tokens) as running:
        line = httpx.Client(base_url=running.url, headers={"Authorization": f"Bearer {'a' * 20}"}, timeout=60)
        made = line.post("/api/v1/groups", json=sent | {"prompts": "on a beach\n\nat night"})
        assert made.status_code == 202, made.text
        assert [one["group"] for one in made.json()["jobs"]] == [made.json()["id"]] * 2
        assert line.post("/api/v1/groups", json=sent | {"prompts": ["a", "b"]}).status_code == 429
        for wrong in (None, 5, [5], {}):
            assert line.post("/api/v1/groups", json=sent | {"prompts": wrong}).status_code == 422
        path = made.json()["url"]
        assert httpx.get(running.url + path, headers={"Authorization": f"Bearer {'b' * 20}"}).status_code == 404
        line.delete(path)
        for one in made.json()["jobs"]:
            running.workshop.wait(one["id"], 60)
        assert line.get(path).json()["states"] == {"cancelled": 2}
        form = {"category": "dog", "prompts": "x\ny", "count": "1", "steps": "2"}
        made = line.post("/api/v1/groups", data=form, files={"subject": png()})
        assert made.status_code == 202, made.text
        assert [one["count"] for one in made.json()["jobs"]] == [1, 1]
