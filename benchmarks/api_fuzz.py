"""Whatever the OpenAPI description allows, and what it does not, sent to a running server: no answer may be a 5xx.

    python -m benchmarks.api_fuzz --calls 10000

Schemathesis makes the requests (`pip install -e ".[dev]"`). Half of them are given names of jobs, results and subjects
that there are, and inputs that can be drawn, so that more than the reading of requests is tried. Jobs are cancelled
soon: what is drawn is not what is measured.
"""

import argparse
import logging
import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from schemathesis import GenerationMode

from app.api.client import Client, ServerError
from benchmarks.workshop import SUBJECT, Server, asked

_CALLS_OF_ONE_ROUND = 40
_SECONDS_TO_ANSWER = 120.0
_FORMS: dict[str, Callable[[dict[str, Any]], Any]] = {  # where each interface says what was wrong
    "/v1/": lambda told: told["error"]["message"],
    "/sdapi/": lambda told: told["detail"],
    "/": lambda told: told["error"]["message"],
}


@dataclass
class Found:
    """What came of the calls."""

    calls: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    by_route: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, str] = field(default_factory=dict)  # the first one of each kind
    slowest: tuple[float, str] = (0.0, "")

    def note(self, case: Any, response: Any, seconds: float) -> None:
        """Counts an answer; keeps it if it is a 5xx, or says in another form what was wrong."""
        route = f"{case.method} {case.path}"
        self.calls += 1
        self.statuses[response.status_code] += 1
        self.by_route[f"{route} {response.status_code}"] += 1
        self.slowest = max(self.slowest, (seconds, route))
        if response.status_code >= 500:
            self.keep(f"{route} {response.status_code}", case, response.text)
        elif response.status_code >= 400:
            form = next(told for start, told in _FORMS.items() if case.path.startswith(start))
            try:
                form(response.json())
            except (ValueError, KeyError, TypeError):
                self.keep(f"{route} {response.status_code} in another form", case, response.text)

    def keep(self, kind: str, case: Any, told: str) -> None:
        """Keeps the first one of a kind."""
        sent = f"{case.path_parameters} {case.query} {str(case.headers)[:200]} {str(case.body)[:1500]}"
        self.wrong.setdefault(kind, f"{sent} -> {told[:500]}")


@dataclass(frozen=True)
class Known:
    """Names that there are."""

    jobs: list[str]
    results: list[str]
    chance: random.Random

    def put_into(self, case: Any) -> None:
        """Names of things that there are, and inputs that can be drawn, in place of what was made up."""
        names = {"/api/v1/jobs": self.jobs, "/api/v1/results": self.results, "/api/v1/history": self.results,
                 "/api/v1/subjects": ["Rex"], "/v1/models": ["mini"]}  # fmt: skip
        if "name" in case.path_parameters and case.method != "DELETE":  # what there is is needed by the next calls
            known = next(found for start, found in names.items() if case.path.startswith(start))
            case.path_parameters["name"] = self.chance.choice(known)
        if not isinstance(case.body, dict):
            return
        subject: Any = self.chance.choice(["@Rex", [{"library": "Rex", "weight": 1}], {"result": self.results[0]}])
        if case.path == "/api/v1/jobs" and "request" in case.body:
            told = case.body["request"] if isinstance(case.body["request"], dict) else {}
            kept = dict(self.chance.sample(sorted(told.items()), min(3, len(told))))
            case.body |= {"task": "generate", "inputs": {"subject": subject}, "request": asked(1) | kept}
        elif case.path.startswith(("/v1/", "/sdapi/")):
            case.body |= {"subject": subject, "steps": 4, "prompt": f"{case.body.get('prompt')} <category:padlock>"}
        case.body.pop("model", None)


def fuzz(server: Server, calls: int, number: int) -> Found:
    """So many calls, in turns over all routes."""
    found, chance = Found(), random.Random(number)
    known = _filled(server, chance)
    described = schemathesis.openapi.from_url(f"{server.client.address}/api/v1/openapi.json")
    routes = [one.ok() for one in described.get_all_operations()]
    stop = threading.Event()
    threading.Thread(target=_cancel_all, args=(server.client.address, stop), daemon=True).start()
    while found.calls < calls:
        for route in routes:
            for mode in GenerationMode:
                number += 1
                try:
                    _round(route.as_strategy(generation_mode=mode), number, found, known)
                except Exception as error:  # of the generator: nothing negative can be made of a route without values
                    logging.debug("%s %s: %s", route.label, mode, error)
        print(f"{found.calls} calls: {dict(sorted(found.statuses.items()))}; wrong: {list(found.wrong)}", flush=True)
    stop.set()
    return found


def _round(strategy: Any, number: int, found: Found, known: Known) -> None:
    quiet = settings(
        max_examples=_CALLS_OF_ONE_ROUND,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    session = requests.Session()

    @seed(number)
    @quiet
    @given(case=strategy)
    def one(case: Any) -> None:
        if known.chance.random() < 0.5:
            known.put_into(case)
        begun = time.monotonic()
        try:
            response = case.call(session=session, timeout=_SECONDS_TO_ANSWER)
        except (requests.RequestException, OSError) as error:
            found.keep(f"{case.method} {case.path} {type(error).__name__}", case, str(error))
            session.close()
            return
        found.note(case, response, time.monotonic() - begun)

    one()


def _filled(server: Server, chance: random.Random) -> Known:
    """A subject, some jobs, and results of one."""
    client = server.client
    client.add_subject(SUBJECT, name="Rex", category="padlock")
    jobs = [client.submit("generate", asked(number, count=2), subject=SUBJECT)["id"] for number in range(3)]
    results = [result["id"] for name in jobs for result in client.wait(name)["results"]]
    return Known(jobs, results, chance)


def _cancel_all(address: str, stop: threading.Event) -> None:
    """Somebody who wants no picture for longer than a moment."""
    client = Client(address, name="impatient")
    while not stop.wait(0.3):
        try:
            for one in (*client.jobs("drawing"), *client.jobs("waiting")):
                client.cancel(one["id"])
        except (ServerError, OSError):
            continue


def main() -> None:
    """Sends the calls, and says what came of them; the exit code is 1 for any that is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    given_ = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="blipdiff-fuzz-") as place:
        os.environ["BLIPDIFF_LIBRARY"] = str(Path(place) / "subjects")
        server, begun = Server(Path(place) / "history"), time.monotonic()
        found = fuzz(server, given_.calls, given_.seed)
        alive, log = server.process.poll() is None, (Path(place) / "server.log").read_text()
        server.close()
    for route, count in sorted(found.by_route.items()):
        print(f"{count:6} {route}")
    for kind, told in found.wrong.items():
        print(f"WRONG {kind}: {told}")
    print(f"{found.calls} calls in {time.monotonic() - begun:.0f} s, by status {dict(sorted(found.statuses.items()))}")
    print(f"slowest: {found.slowest[0]:.1f} s, {found.slowest[1]}; the server lives: {alive}")
    print(f"tracebacks in its log: {log.count('Traceback')}\n{log[-3000:] if 'Traceback' in log else ''}")
    raise SystemExit(1 if found.wrong or not alive or "Traceback" in log else 0)


if __name__ == "__main__":
    main()
