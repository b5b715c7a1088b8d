"""Everything that writes files, each as it writes again and again, and as it is checked after it was killed."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import nn

from blipdiff.checkpoints import load_model, save_model
from blipdiff.checkpoints.controls import save_control
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.evaluation.report import Report
from blipdiff.outputs import write_new
from blipdiff.training.loop import RunFolder
from blipdiff.training.state import load_state, resume_step, save_state
from blipdiff.training.workers import ALONE
from pipelines.controls.settings import ControlSettings
from pipelines.metadata import read_metadata
from pipelines.pictures import Picture, save_new_picture
from pipelines.prepare_data import PrepareRequest, Tools, prepare_photos
from pipelines.sheets import save_animation
from pipelines.studio import Studio
from pipelines.stylize.matrix import Cell, Structure, matrix
from pipelines.stylize.request import StylizeRequest
from pipelines.subject_library import SubjectLibrary
from tests.support.tiny_models import photo, tiny_controlnet, tiny_model


class Writer(Protocol):
    """`write` yields a word whenever something is finished; `check` is told the words that came before the kill."""

    is_finished_by_check: bool

    def write(self, folder: Path, number: int) -> Iterator[str]: ...

    def check(self, folder: Path, told: list[str]) -> None: ...


class Pictures:
    is_finished_by_check = False

    def write(self, folder: Path, number: int) -> Iterator[str]:
        image = Image.fromarray(np.random.default_rng(number).integers(0, 256, (64, 64, 3)).astype(np.uint8))
        job = {"version": 1, "task": "generate", "request": {"prompt": "a"}, "inputs": {}, "index": 0}
        path = save_new_picture(Picture(image, number, job, {"name": "model"}), folder, "dog")
        yield f"{path.name} {number}"

    def check(self, folder: Path, told: list[str]) -> None:
        there = {path.name: read_metadata(path)["seed"] for path in folder.glob("*.png")}
        for path in folder.glob("*.png"):
            Image.open(path).verify()
        assert {word.split()[0]: int(word.split()[1]) for word in told}.items() <= there.items()


def subject(number: int) -> SubjectEmbedding:
    return SubjectEmbedding(torch.full((4, 8), float(number)), "dog", Image.new("RGB", (8, 8)), "0")


class Card:
    """One card, which each writing replaces."""

    is_finished_by_check = False

    def write(self, folder: Path, number: int) -> Iterator[str]:
        subject(number).save(folder / "dog.safetensors")
        yield str(number)

    def check(self, folder: Path, told: list[str]) -> None:
        if told:
            found = SubjectEmbedding.load(folder / "dog.safetensors")
            assert float(found.tokens[0, 0]) >= int(told[-1])
            assert bool((found.tokens == found.tokens[0, 0]).all())


class Library:
    """Each subject is saved, renamed, deleted and restored."""

    is_finished_by_check = False

    def write(self, folder: Path, number: int) -> Iterator[str]:
        library = SubjectLibrary(folder)
        library.save(subject(number), f"new {number}")
        yield str(number)
        library.rename(f"new {number}", f"old {number}")
        library.delete(f"old {number}")
        library.restore(f"old {number}")

    def check(self, folder: Path, told: list[str]) -> None:
        library = SubjectLibrary(folder)
        entries = [*library.entries(), *library.deleted()]
        assert all(entry.trouble is None for entry in entries)
        names = [entry.name.split()[1] for entry in entries]
        assert len(names) == len(set(names))
        assert set(told) <= set(names)


class Half:
    """Finds the left half of every photo."""

    def chances(self, photo: Image.Image, category: str) -> Any:
        found = np.zeros(photo.size[::-1], np.float32)
        found[:, : photo.width // 2] = 1
        return found


class Shards:
    """Photos are prepared; each time the folder is another one, and a killed one is finished by the check."""

    is_finished_by_check = True

    def __init__(self, photos: Path) -> None:
        self.photos = photos
        self.photos.mkdir()
        for number in range(4):
            photo(number, (48, 32)).save(self.photos / f"{number}.png")
        list(self._prepared(self.photos.parent / "wanted"))
        self.wanted = {path.name: path.read_bytes() for path in (self.photos.parent / "wanted").iterdir()}

    def _prepared(self, out: Path) -> Iterator[Any]:
        tools = Tools(Half(), lambda picture, trimap: (trimap / 255.0, picture / 255.0))  # type: ignore[arg-type]
        request = PrepareRequest(category="dog", side=32, subject_side=32, per_shard=1)
        yield from prepare_photos(self.photos, out, tools, request)

    def write(self, folder: Path, number: int) -> Iterator[str]:
        for state in self._prepared(folder / str(number)):
            yield f"{number}/{state.done}"

    def check(self, folder: Path, told: list[str]) -> None:
        times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.tar")}
        for number, count in (word.split("/") for word in told):
            path = folder / number / f"subjects-{int(count) - 1:06d}.tar"
            list(self._prepared(folder / number))
            assert times[path] == path.stat().st_mtime_ns, "what was told of is not made again"
        for place in list(folder.iterdir()):
            list(self._prepared(place))
            assert {path.name: path.read_bytes() for path in place.iterdir()} == self.wanted


class Model:
    """A model's folder, which each writing replaces by another one."""

    is_finished_by_check = False

    def __init__(self) -> None:
        self.models = [tiny_model(seed) for seed in (0, 1)]
        self.known = {self._mark(model) for model in self.models}

    def _mark(self, model: Any) -> float:
        return float(model.unet.conv_in.weight.detach().flatten()[0].half())

    def write(self, folder: Path, number: int) -> Iterator[str]:
        save_model(self.models[number % 2], folder / "model")
        yield str(number)

    def check(self, folder: Path, told: list[str]) -> None:
        assert not told or (folder / "model").is_dir()
        if (folder / "model").exists():
            assert self._mark(load_model(folder / "model")) in self.known


class Net:
    """A control net's folder."""

    is_finished_by_check = False

    def __init__(self) -> None:
        self.net = tiny_controlnet()

    def write(self, folder: Path, number: int) -> Iterator[str]:
        save_control(self.net, folder / "net")
        yield str(number)

    def check(self, folder: Path, told: list[str]) -> None:
        assert not told or len(list((folder / "net").iterdir())) == 2


class Training:
    """A training's state."""

    is_finished_by_check = False

    def _parts(self) -> tuple[list[str], torch.optim.AdamW, list[torch.Tensor]]:
        weights = [nn.Parameter(torch.ones(64, 64)) for _ in range(4)]
        optimizer = torch.optim.AdamW(weights, lr=0.1, fused=True)
        sum(weight.sum() for weight in weights).backward()  # type: ignore[union-attr]
        optimizer.step()
        return [str(place) for place in range(4)], optimizer, [weight.detach().clone() for weight in weights]

    def write(self, folder: Path, number: int) -> Iterator[str]:
        save_state(RunFolder(folder), *self._parts(), number + 1, ALONE)
        yield str(number + 1)

    def check(self, folder: Path, told: list[str]) -> None:
        step = resume_step(RunFolder(folder))
        assert step >= max([0, *map(int, told)])
        if step:
            load_state(RunFolder(folder), *self._parts(), step)


class Matrix:
    """Looks in structures; each time another folder, and a killed one is finished by the check."""

    is_finished_by_check = True

    def __init__(self, folder: Path) -> None:
        save_control(tiny_controlnet(), folder / "net")
        self.studio = Studio(tiny_model())
        control = ControlSettings(control=str(folder / "net"), preprocessor="tile")
        self.request = StylizeRequest(category="dog", steps=1, count=1, scheduler="ddim", controls=(control,))
        list(self._drawn(folder / "wanted"))
        self.wanted = {path.name: path.read_bytes() for path in (folder / "wanted").iterdir()}

    def _drawn(self, folder: Path) -> Iterator[Cell]:
        looks, places = [SubjectPhoto(photo(0), "dog")], [Structure(photo(n, (32, 32)), "sofa") for n in (4, 5)]
        for event in matrix(self.studio, self.request, looks, places, folder):
            if isinstance(event, Cell):
                yield event

    def write(self, folder: Path, number: int) -> Iterator[str]:
        for cell in self._drawn(folder / str(number)):
            yield f"{number}/{cell.path.name}"

    def check(self, folder: Path, told: list[str]) -> None:
        for place in list(folder.iterdir()):
            cells = list(self._drawn(place))
            kept = {f"{place.name}/{cell.path.name}" for cell in cells if cell.was_there}
            assert {word for word in told if word.startswith(f"{place.name}/")} <= kept
            assert {path.name: path.read_bytes() for path in place.iterdir()} == self.wanted
        assert {word.split("/")[0] for word in told} <= {path.name for path in folder.iterdir()}


class Film:
    is_finished_by_check = False

    def __init__(self) -> None:
        self.frames = [photo(number, (32, 32)) for number in range(6)]

    def write(self, folder: Path, number: int) -> Iterator[str]:
        yield write_new(folder, "dog", ".webp", lambda part: save_animation(self.frames, part)).name

    def check(self, folder: Path, told: list[str]) -> None:
        there = {path.name for path in folder.glob("*.webp")}
        assert set(told) <= there
        for name in there:
            with Image.open(folder / name) as film:
                assert film.n_frames > 6  # type: ignore[attr-defined]
                film.seek(film.n_frames - 1)  # type: ignore[attr-defined]
                film.load()


class Reports:
    is_finished_by_check = False

    def write(self, folder: Path, number: int) -> Iterator[str]:
        Report({"model": "mini", "number": number}, (), ("note",) * 50, (), ()).write(folder)
        yield str(number)

    def check(self, folder: Path, told: list[str]) -> None:
        if told:
            found = json.loads((folder / "report.json").read_text())
            assert found["about"]["number"] >= int(told[-1])
            assert (folder / "report.html").read_text().endswith("</html>\n")


WRITERS: dict[str, Callable[[Path], Writer]] = {
    "pictures": lambda folder: Pictures(),
    "card": lambda folder: Card(),
    "library": lambda folder: Library(),
    "shards": lambda folder: Shards(folder / "photos"),
    "model": lambda folder: Model(),
    "net": lambda folder: Net(),
    "training": lambda folder: Training(),
    "matrix": Matrix,
    "film": lambda folder: Film(),
    "report": lambda folder: Reports(),
}
