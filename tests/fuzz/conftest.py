"""Files that somebody damaged: each ends in a result or in an error of ours, soon, and in little memory.

`pytest tests/fuzz --fuzz 2000` reads 2,000 damaged inputs of each kind; without the option it reads a few.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

from blipdiff.checkpoints import save_model
from tests.fuzz.watch import Finding, watched
from tests.support.tiny_models import tiny_controlnet, tiny_model

FEW = 60

Input = TypeVar("Input")


class Fuzz:
    """Reads many damaged inputs and keeps what should not have happened, one of each kind of failure."""

    def __init__(self, count: int, kept: Path) -> None:
        self.count, self.kept = count, kept

    def __call__(
        self,
        inputs: SearchStrategy[Input],
        read: Callable[[Input], object],
        *,
        content: Callable[[Input], bytes] = lambda given: repr(given).encode(),
        share: float = 1.0,
    ) -> None:
        """Fails when reading one of the inputs ends in anything but a result or a BlipdiffError.

        `content` says what is kept of an input that failed; a `share` below 1 reads fewer of a kind that is slow.
        """
        findings: dict[str, tuple[Finding, int]] = {}
        count = max(1, round(self.count * share))

        @settings(
            max_examples=count,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(inputs)
        def every(one: Input) -> None:
            finding = watched(lambda: read(one))
            if finding is None:
                return
            first, times = findings.get(finding.kind, (finding, 0))
            findings[finding.kind] = (first, times + 1)
            if not times:
                (self.kept / f"{len(findings)}.input").write_bytes(content(one))

        every()
        if findings:
            told = [f"{times} x {finding.kind}\n{finding.told}" for finding, times in findings.values()]
            pytest.fail(
                f"{sum(times for _, times in findings.values())} of {count} inputs; the first of each kind is in "
                f"{self.kept} (1.input, 2.input, ...):\n" + "\n".join(told),
                pytrace=False,
            )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz", type=int, default=FEW, metavar="N", help="how many damaged inputs of each kind")


@pytest.fixture
def fuzz(request: pytest.FixtureRequest, tmp_path: Path) -> Fuzz:
    """Reads as many damaged inputs as `--fuzz` says."""
    kept = tmp_path / "failed"
    kept.mkdir()
    return Fuzz(request.config.getoption("--fuzz", FEW), kept)


@pytest.fixture(scope="session")
def whole_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model with its ControlNet; not to be changed."""
    folder = tmp_path_factory.mktemp("whole") / "model"
    save_model(replace(tiny_model(), controlnet=tiny_controlnet()), folder)
    return folder
