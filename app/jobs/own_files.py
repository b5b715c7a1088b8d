"""The files that people bring for their pictures: LoRAs, embeddings, VAEs, ControlNets, checkpoints.

They lie in folders: the first takes what is uploaded, all are looked through. Jobs name them, and never their places.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

from app.libraries import load_libraries
from blipdiff.errors import BlipdiffError, ConfigError
from blipdiff.filenames import file_stem
from blipdiff.outputs import written_file
from pipelines.added import EMBEDDING, LORA, Added
from pipelines.job import Job

SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")
MODELS = "models.json"  # models that were made of one and a file
CONTROL, VAE, CHECKPOINT = "ControlNet", "VAE", "checkpoint"
AND = " + "  # between a model and the file that it is drawn with, in the name of both together
MOST_BYTES = 20_000_000_000  # of uploads
_MOST_FILES, _DEEPEST = 1000, 3
_TEXTS = ("prompt", "target_prompt", "negative", "source", "target", "category")


@dataclass(frozen=True, slots=True)
class OwnFile:
    """One file: what it is called, what it is, and the words that call it up."""

    name: str  # its file's
    kind: str
    size: int
    words: tuple[str, ...]
    place: Path
    is_uploaded: bool

    @property
    def called(self) -> str:
        """As jobs name it: an embedding by its word."""
        if self.kind == EMBEDDING:
            return self.words[0].strip().lower()
        return self.place.stem if self.kind == LORA else self.name


class OwnFiles:
    """The files of some folders, of which the first takes uploads; what was seen of each is remembered."""

    def __init__(self, folders: Sequence[Path], most: int = MOST_BYTES) -> None:
        self.folders, self._most = tuple(folders), most
        self._seen: dict[tuple[Any, ...], Any] = {}
        self._keeping = Lock()

    def all(self) -> list[OwnFile]:
        """Those that fit Stable Diffusion 1.5, by kind and name; of two that are called the same the first one."""
        found = dict[tuple[str, str], OwnFile]()
        for path in self._paths():
            one = self._file(path)
            if one is not None:
                found.setdefault((one.kind, one.called.lower()), one)
        return sorted(found.values(), key=lambda one: (one.kind.lower(), one.name.lower()))

    def named(self, kind: str, name: str) -> OwnFile:
        """The file of a kind that jobs call so. Raises: ConfigError where there is none."""
        known = [one for one in self.all() if one.kind == kind]
        for one in known:
            if name in (one.called, one.name) or (kind == EMBEDDING and name.lower() == one.called):
                return one
        listed = ", ".join(one.called for one in known[:20]) or "none"
        raise ConfigError(f"There is no {kind} {name!r:.80} here; there are: {listed}.")

    def keep(self, path: Path, name: str = "") -> OwnFile:
        """Keeps a copy of a file that somebody brought, once it is seen to fit.

        Raises: CheckpointError for what fits nowhere, ConfigError where there is no room, OutputError where it cannot
        be written.
        """
        load_libraries()
        from blipdiff.checkpoints.seen_file import seen_file  # which loads torch

        seen_file(path)
        title = Path(name or path.name)
        with self._keeping:
            place = self._place_for(path, file_stem(title.stem) or "file", title.suffix.lower())
        found = self._file(place)
        if found is None:  # it was taken away meanwhile
            raise ConfigError(f"{place.name} is not there any more; bring it again.")
        return found

    def remove(self, name: str) -> None:
        """Removes a file that was uploaded. Raises: ConfigError for any other."""
        for one in self.all():
            if one.name == name and one.is_uploaded:
                one.place.unlink(missing_ok=True)
                return
        raise ConfigError(f"{name!r:.80} was not uploaded here; whoever runs the page has put it there.")

    def completed(self, job: Job) -> Job:
        """A job as the queue keeps it: with the embeddings that its words name, each file by what is in it.

        Raises: ConfigError for a file that is not here.
        """
        if not job.added and not any(self._paths()):
            return job
        words = [one for one in self._named_in(job) if one.called not in {had.name for had in job.added}]
        named = (*job.added, *(Added(EMBEDDING, one.called) for one in words))
        return replace(job, added=tuple(replace(one, place=None) for one in map(self._found, named)))

    def placed(self, job: Job) -> Job:
        """The job with the places of its files, for whoever draws it. Raises: ConfigError for one that is not here."""
        controls = getattr(job.request, "controls", ())
        request = job.request
        if controls:
            request = replace(request, controls=tuple(map(self._placed_control, controls)))
        return replace(job, request=request, added=tuple(map(self._found, job.added)))

    def parts(self, name: str) -> tuple[str, OwnFile] | None:
        """The model and the file that a model's name stands for: "mini + kl-f8.safetensors"; None for a plain one."""
        model, sign, file = name.rpartition(AND)
        if not sign:
            return None
        for kind in (VAE, CHECKPOINT):
            try:
                return model, self.named(kind, file)
            except ConfigError:
                continue
        raise ConfigError(f"The model {name!r:.120} takes the file {file!r:.80}, which is not here any more.")

    def models(self) -> list[str]:
        """Models with one of these files, which somebody has made."""
        try:
            told = json.loads((self.folders[0] / MODELS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return []
        return [one for one in told if isinstance(one, str) and AND in one] if isinstance(told, list) else []

    def add_model(self, name: str) -> None:
        """One more, for the next start, too. Raises: ConfigError for a file that is not here."""
        self.parts(name)
        known = list(dict.fromkeys([*self.models(), name]))
        with written_file(self.folders[0] / MODELS) as part:
            part.write_text(json.dumps(known, ensure_ascii=False, indent=1), encoding="utf-8")

    def _found(self, one: Added) -> Added:
        """The same with its place and its fingerprint, looked for by what is in it, then by its name."""
        if not one.fingerprint:
            found = self.named(one.kind, one.name)
            return replace(one, name=found.called, fingerprint=self._fingerprint(found), place=found.place)
        known = [file for file in self.all() if file.kind == one.kind]
        for file in sorted(known, key=lambda file: file.called != one.name):
            if self._fingerprint(file) == one.fingerprint:
                return replace(one, place=file.place)
        raise ConfigError(
            f"The {one.kind} {one.name} ({one.fingerprint}) is not among the files here; bring it again under Your "
            "files."
        )

    def _placed_control(self, control: Any) -> Any:
        """The net that a name means, where it is one of these files."""
        if "/" in control.control or "\\" in control.control:
            return control
        for one in self.all():
            if one.kind == CONTROL and control.control in (one.name, one.place.stem):
                return replace(control, control=str(one.place))
        return control

    def _named_in(self, job: Job) -> Iterator[OwnFile]:
        texts = [str(getattr(job.request, name, None) or "") for name in _TEXTS]
        text = "\n".join(texts).lower()
        for one in self.all():
            if one.kind == EMBEDDING and re.search(rf"(?<!\w){re.escape(one.called)}(?!\w)", text):
                yield one

    def _place_for(self, path: Path, stem: str, suffix: str) -> Path:
        """Where the file is kept: where the same content lies already, or under a name that nothing has."""
        folder, size = self.folders[0], path.stat().st_size
        folder.mkdir(parents=True, exist_ok=True)
        held = [one for one in folder.iterdir() if one.is_file()]
        for one in held:
            if one.stat().st_size == size and one.suffix == suffix and one.read_bytes() == path.read_bytes():
                return one
        if sum(one.stat().st_size for one in held) + size > self._most or len(held) >= _MOST_FILES:
            raise ConfigError(
                f"There is no room for {path.name}: uploads of {self._most / 1e9:.0f} GB are kept, in up to "
                f"{_MOST_FILES} files. Remove one, or put it into a folder of yours."
            )
        names = {one.name.lower() for one in held}
        free = next(
            name
            for number in range(1, _MOST_FILES + 2)
            if (name := f"{stem}{'' if number == 1 else f'-{number}'}{suffix}").lower() not in names
        )
        with written_file(folder / free, replace=False) as part:
            part.write_bytes(path.read_bytes())
        return folder / free

    def _paths(self) -> Iterator[Path]:
        """The weights files of all folders, at most so many and so deep."""
        count = 0
        for folder in self.folders:
            for path in _below(folder, _DEEPEST):
                if path.suffix.lower() in SUFFIXES and count < _MOST_FILES:
                    count += 1
                    yield path

    def _file(self, path: Path) -> OwnFile | None:
        """What a file is; None for one that fits nowhere, or is gone."""
        load_libraries()
        from blipdiff.checkpoints.seen_file import seen_file  # which loads torch

        try:
            size = path.stat().st_size
            seen = self._remembered(path, "kind", lambda: _or_none(seen_file, path))
        except OSError:
            return None
        if seen is None:
            return None
        return OwnFile(path.name, seen.kind, size, seen.words, path, path.parent == self.folders[0])

    def _fingerprint(self, one: OwnFile) -> str:
        load_libraries()
        from blipdiff.checkpoints.seen_file import file_fingerprint  # which loads torch

        return str(self._remembered(one.place, "fingerprint", lambda: file_fingerprint(one.place, one.kind)))

    def _remembered(self, path: Path, what: str, look: Any) -> Any:
        """What was found in a file, looked for again where it has changed."""
        about = path.stat()
        key = (what, str(path), about.st_size, about.st_mtime_ns)
        if key not in self._seen:
            self._seen[key] = look()
        return self._seen[key]


def _or_none(seen_file: Any, path: Path) -> Any:
    try:
        return seen_file(path)
    except BlipdiffError:
        return None


def _below(folder: Path, depth: int) -> Iterator[Path]:
    """The files in a folder and in those inside of it, without hidden ones."""
    try:
        entries = sorted(one for one in folder.iterdir() if not one.name.startswith("."))
    except OSError:
        return
    for one in entries:
        if one.is_file():
            yield one
        elif depth > 1 and one.is_dir() and not one.is_symlink():
            yield from _below(one, depth - 1)
