"""Fixtures for tests that call the command line: the program, a tiny model's folder, and a photo."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli.main import run_blipdiff
from blipdiff.checkpoints import save_model
from blipdiff.conditioning.subject import SubjectPhoto
from pipelines.generate.request import GenerateRequest
from pipelines.job import Job, run
from pipelines.pictures import save_picture
from pipelines.studio import Studio
from tests.support.command_line import Command, Ended
from tests.support.studios import pictures
from tests.support.tiny_models import photo, tiny_controlnet, tiny_model


@pytest.fixture
def blipdiff(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """blipdiff("generate", "--seed", 7): in an empty folder, with nothing in the environment."""
    for name in ("GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "1")  # the program sets them; here they are put back
    for name in ("BLIPDIFF_OUTPUT", "BLIPDIFF_MODEL", "BLIPDIFF_DOWNLOAD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("BLIPDIFF_SETTINGS", str(tmp_path / "settings.json"))
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    monkeypatch.setattr("app.cli.progress._EVERY", 3600.0)  # how slow a busy machine is shall not be told
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["blipdiff", *map(str, arguments)])
        capsys.readouterr()
        code = run_blipdiff()
        return Ended(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """models(seed): the folder of a tiny model with these random weights; not to be changed."""
    folder, made = tmp_path_factory.mktemp("models"), dict[int, Path]()

    def folder_of(seed: int) -> Path:
        if seed not in made:
            save_model(tiny_model(seed), folder / f"tiny-{seed}")
            made[seed] = folder / f"tiny-{seed}"
        return made[seed]

    return folder_of


@pytest.fixture(scope="session")
def made(models: Callable[[int], Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A picture that the tiny model made, and the card of its subject; not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    studio = Studio.open(models(0), device="cpu", dtype="float32")
    subject = studio.subject([SubjectPhoto(photo(0), "dog")])
    request = GenerateRequest(category="dog", prompt="on a beach", seed=3, count=1, steps=2)
    (picture,) = pictures(run(studio, Job.of(request, subject=subject)))
    return save_picture(picture, folder / "dog.png"), subject.save(folder / "dog.safetensors")


@pytest.fixture
def model(models: Callable[[int], Path]) -> Path:
    """The folder of the tiny model."""
    return models(0)


@pytest.fixture
def dog(tmp_path: Path) -> Path:
    """A photo's file."""
    photo(0).save(tmp_path / "dog.png")
    return tmp_path / "dog.png"


@pytest.fixture
def controlnet(tmp_path: Path) -> Path:
    """A ControlNet's folder, for the tiny model."""
    tiny_controlnet().save_pretrained(tmp_path / "controlnet")
    return tmp_path / "controlnet"


@pytest.fixture
def generate(blipdiff: Command, model: Path, dog: Path) -> Command:
    """generate("--seed", 7): one picture in two steps, of the dog and by the tiny model unless others are given."""

    def run(*arguments: object) -> Ended:
        own = {"--model": model, "--subject": dog, "--category": "dog", "--count": 1, "--steps": 2}
        kept = [item for pair in own.items() if pair[0] not in arguments for item in pair]
        return blipdiff("generate", *kept, *arguments)

    return run
