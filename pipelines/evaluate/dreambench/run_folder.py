"""The folder of a run: what it was asked for, its pictures, masks, scores and report."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from blipdiff.errors import ConfigError, listed
from blipdiff.evaluation.dreambench.benchmark import Benchmark, BenchPicture
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.outputs import written_file
from pipelines.evaluate.requests import DreamBenchRequest

VERSION = 1
_SETTINGS = "run.json"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where a run is. `settings` are all that its pictures depend on."""

    place: Path
    settings: Mapping[str, Any]

    @classmethod
    def begin(cls, place: Path, benchmark: Benchmark, model: BlipDiffusion, request: DreamBenchRequest) -> "RunFolder":
        """A new run, or the one that is there, gone on with.

        Raises: ConfigError where the folder holds a run of other settings, OutputError where it cannot be written.
        """
        settings = {
            "version": VERSION,
            "benchmark": benchmark.name,
            "data": benchmark.fingerprint(),
            "model": model.name,
            "identity": {"subject": model.subject_fingerprint, "drawing": model.identity.model},
            "dtype": str(model.unet.dtype).removeprefix("torch."),
            "request": asdict(request),
        }
        path = place / _SETTINGS
        if not path.is_file():
            with written_file(path) as part:
                part.write_text(json.dumps(settings, indent=1), "utf-8")
        run = cls.read(place)
        if others := _differences(run.settings, settings):
            raise ConfigError(
                f"{place} holds a run of other settings: {listed(others)}. Give those, or another folder with --output."
            )
        return run

    @classmethod
    def read(cls, place: Path) -> "RunFolder":
        """The run in a folder. Raises: ConfigError where there is none, or its settings are damaged."""
        try:
            settings = json.loads((place / _SETTINGS).read_text("utf-8"))
            whole = isinstance(settings, dict) and isinstance(settings.get("request"), dict)
        except FileNotFoundError as reason:
            raise ConfigError(f"{place} holds no run of a benchmark: there is no {_SETTINGS} in it.") from reason
        except (OSError, ValueError) as reason:
            raise ConfigError(f"{place / _SETTINGS} cannot be read; it says what the run was asked for.") from reason
        if not whole or settings.get("version") != VERSION:
            raise ConfigError(f"{place / _SETTINGS} is damaged, or of another version; this one reads {VERSION}.")
        return cls(place, settings)

    def picture(self, picture: BenchPicture) -> Path:
        """The file of a picture."""
        return self.place / "pictures" / picture.name

    def mask(self, photo: Path, subject: str) -> Path:
        """The file of a photo's mask."""
        return self.place / "masks" / subject / f"{photo.stem}.png"

    def scores(self, key: str, subject: str) -> Path:
        """The file of a subject's scores by the encoders of this key."""
        return self.place / "scores" / key / f"{subject}.json"


def given_photos(condition: str, count: int, place: int) -> tuple[int, ...]:
    """The places of the photos that a model is given for the picture at this place, of `count` photos."""
    return {"first": (0,), "each": (place % count,), "all": tuple(range(count))}[condition]


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Which settings differ, in words."""
    flat_there, flat_here = _flat(there), _flat(here)
    names = dict.fromkeys([*flat_here, *flat_there])
    words = {"data": "other photos or prompts", "identity": "another model"}
    return [
        words.get(name, f"{name} {flat_there.get(name)!r} there and {flat_here.get(name)!r} here")
        for name in names
        if flat_there.get(name) != flat_here.get(name)
    ]


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {**{name: value for name, value in settings.items() if name != "request"}, **dict(settings["request"])}
