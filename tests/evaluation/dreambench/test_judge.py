"""A judge over HTTP: what it is asked, what is kept of its answers, and what happens when it gives none."""

import base64
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from blipdiff.errors import BlipdiffError, ConfigError
from blipdiff.evaluation.dreambench.benchmark import read_benchmark
from blipdiff.evaluation.dreambench.encoders import Encoders
from blipdiff.evaluation.dreambench.page import BenchReport
from blipdiff.evaluation.dreambench.scores import JUDGED
from pipelines.evaluate.dreambench import judging
from pipelines.evaluate.dreambench.evaluate import draw_benchmark, report_benchmark
from pipelines.evaluate.dreambench.judging import FOLLOWED, KEPT, Judge
from pipelines.evaluate.requests import DreamBenchRequest
from pipelines.studio import Studio
from tests.support import benchmarks
from tests.support.tiny_models import tiny_model


class Endpoint:
    """An endpoint on this machine that gives the answers of a list in turn, the last one again and again."""

    def __init__(self, answers: list[str | int]) -> None:
        self.asked: list[tuple[str | None, dict[str, object]]] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.asked.append((self.headers.get("Authorization"), body))
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                if isinstance(answer, int):
                    self.send_error(answer)
                    return
                told = json.dumps({"choices": [{"message": {"content": answer}}]}).encode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(told)

            def log_message(self, *_given: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}/v1"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def endpoint(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setattr(judging.time, "sleep", lambda _seconds: None)
    found = Endpoint(list(request.param))
    yield found
    found.close()


@pytest.mark.parametrize("endpoint", [["It is well kept.\nScore: 3", "**Score:** 1"]], indirect=True)
def test_marks_are_shares_of_the_best_and_kept_with_the_run(endpoint: Endpoint, tmp_path: Path) -> None:
    benchmark = read_benchmark(benchmarks.dreambench_plus(tmp_path / "data"))
    list(draw_benchmark(Studio(tiny_model()), benchmark, tmp_path / "run", DreamBenchRequest(steps=1), limit=2))
    encoders = Encoders.load(*map(str, benchmarks.encoders(tmp_path / "encoders")))
    judge = Judge(endpoint.address, "a-judge", "secret")
    *_, report = report_benchmark(encoders, benchmark, tmp_path / "run", judge=judge)
    assert isinstance(report, BenchReport)
    assert report.figure(JUDGED, KEPT).value == pytest.approx((3 / 4 + 1 / 4) / 2)
    assert report.figure(JUDGED, FOLLOWED).value == pytest.approx(1 / 4)
    assert "0.547" in report.as_html()
    key, body = endpoint.asked[0]
    assert (key, body["model"], len(endpoint.asked)) == ("Bearer secret", "a-judge", 4)
    question, *pictures = body["messages"][0]["content"]  # type: ignore[index]
    assert "kitten" in question["text"]
    assert len(pictures) == 2
    sent = Image.open(io.BytesIO(base64.b64decode(pictures[0]["image_url"]["url"].partition(",")[2])))
    assert sent.size == (512, 512)
    list(report_benchmark(encoders, benchmark, tmp_path / "run", judge=judge))
    assert len(endpoint.asked) == 4  # what was judged is not asked again
    assert "secret" not in repr(judge)
    assert not any("secret" in path.read_text() for path in (tmp_path / "run").rglob("*.json"))


@pytest.mark.parametrize("endpoint", [[500, "no mark at all", "Score: 4"]], indirect=True)
def test_an_answer_without_a_mark_and_a_failing_server_are_asked_again(endpoint: Endpoint) -> None:
    assert Judge(endpoint.address, "a").mark("?", [Image.new("RGB", (8, 8))]) == 1
    assert len(endpoint.asked) == 3


@pytest.mark.parametrize(("endpoint", "times"), [([401], 1), ([503], 3), (["I cannot say."], 3)], indirect=["endpoint"])
def test_a_judge_that_gives_nothing_ends_in_one_sentence(endpoint: Endpoint, times: int) -> None:
    with pytest.raises(BlipdiffError, match=r"The judge at .* does not answer .* kept"):
        Judge(endpoint.address, "a").mark("?", [])
    assert len(endpoint.asked) == times


def test_what_is_no_address_and_no_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="http://127"):
        Judge("ftp://x", "a")
    with pytest.raises(ConfigError, match="--judge-model"):
        Judge("http://127.0.0.1:1/v1", " ")
