"""Project files (.blipdiff): a zip of pictures with their jobs, of waiting jobs and of subject cards; no code in it.

project.json says what it is; pictures/*.png, jobs/*.json, cards/*.safetensors are what is in it. A job that is called
as its pictures are is what they were asked for with: photos that pictures themselves do not keep.
"""

import json
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.jobs import kept_jobs
from app.jobs.entries import Entry
from app.jobs.history import History
from app.jobs.tickets import is_name
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import ConfigError, OutputError
from blipdiff.filenames import file_stem
from blipdiff.outputs import written_file
from pipelines.inputs import CARD_SUFFIX
from pipelines.job import Job
from pipelines.subject_library import SubjectLibrary

SUFFIX = ".blipdiff"
_ABOUT, _FORMAT, _VERSION = "project.json", "blipdiff-project", 1
_MOST_FILES, _LARGEST_FILE, _LARGEST_TEXT = 20_000, 2**28, 2**24
_LARGEST = 2**33  # bytes, unpacked
_MOST_RATIO, _SMALL = 200, 2**20  # how far a file of more than so many bytes may be packed
_NAME = re.compile(r"(pictures|jobs|cards)/([^/\\\x00:]{1,240})")
_ENDINGS = {"pictures": ".png", "jobs": ".json", "cards": CARD_SUFFIX}


@dataclass(frozen=True, slots=True)
class Project:
    """What a project file holds: pictures by their names, each a file; jobs; cards by their subjects' names.

    asked: the jobs that pictures came of, by the names of those
    """

    name: str
    pictures: Mapping[str, Path]
    jobs: Sequence[Job]
    cards: Mapping[str, SubjectEmbedding]
    asked: Mapping[str, Job] = field(default_factory=dict)


def save_project(
    path: Path,
    history: History,
    entries: Sequence[Entry],
    *,
    jobs: Sequence[Job] = (),
    library: SubjectLibrary | None = None,
    cards: Sequence[str] = (),
    asked: Mapping[str, Job] | None = None,
) -> Path:
    """Writes a project file, whole or not at all; asked: the jobs that the pictures came of, by their names.

    Raises: OutputError when it cannot be written, SubjectError for a card that the library has not.
    """
    if path.suffix.lower() != SUFFIX:
        raise OutputError(f"Project files are known by their ending {SUFFIX}; {path.name} has another one.")
    about = {"format": _FORMAT, "version": _VERSION, "name": path.stem}
    with written_file(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as made:
        made.writestr(_ABOUT, json.dumps(about))
        for entry in entries:
            main = history.file(entry)
            for file in (main, *history.beside(entry).values()):
                made.write(file, f"pictures/{file.name}")
        named = {f"{number:05d}": job for number, job in enumerate(jobs, 1)} | dict(asked or {})
        for name, job in named.items():
            made.writestr(f"jobs/{name}.json", json.dumps(job.as_mapping()), zipfile.ZIP_DEFLATED)
        for name in cards:
            assert library is not None
            made.writestr(f"cards/{file_stem(name)}{CARD_SUFFIX}", _card(library.load(name)))
    return path


@contextmanager
def opened_project(path: Path) -> Iterator[Project]:
    """What a project file holds, unpacked as long as the block lasts, each part checked.

    Raises: ConfigError for a file that is no project, is damaged, or could not be unpacked safely.
    """
    with tempfile.TemporaryDirectory(prefix="blipdiff-project-") as place:
        yield _read(path, Path(place))


def bring_in(project: Project, history: History, library: SubjectLibrary, owner: str) -> tuple[int, int]:
    """Puts a project's pictures into the history and its cards into the library; gives how many of each are new."""
    before = len(history)
    for file in project.pictures.values():
        history.bring_in(file, owner)
    for name, job in project.asked.items():
        kept_jobs.keep(history, name, job)
    history.reconcile()
    cards = 0
    known = {one.name for one in library.entries()}
    for name, card in project.cards.items():
        if name not in known:
            library.save(card, name)
            cards += 1
    return len(history) - before, cards


def _read(path: Path, place: Path) -> Project:
    try:
        with zipfile.ZipFile(path) as packed:
            members = _checked(packed, path)
            about = _about(packed, path)
            pictures, jobs, cards = dict[str, Path](), list[Job](), dict[str, SubjectEmbedding]()
            asked = dict[str, Job]()
            budget = _LARGEST
            for member, kind, name in members:
                data = _content(packed, member, min(budget, _LARGEST_FILE))
                budget -= len(data)
                if kind == "jobs":
                    job = Job.from_json(data.decode())
                    if is_name(Path(name).stem):
                        asked[Path(name).stem] = job
                    else:
                        jobs.append(job)
                    continue
                file = place / kind / name
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(data)
                if kind == "cards":
                    cards[Path(name).stem] = SubjectEmbedding.load(file)
                else:
                    pictures[name] = file
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeError) as error:
        # NotImplementedError is zipfile's own, for a compression that it does not know
        raise ConfigError(f"{path} is no project file, or it is damaged.") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from error
    return Project(str(about.get("name", path.stem)), pictures, jobs, cards, asked)


def _checked(packed: zipfile.ZipFile, path: Path) -> list[tuple[zipfile.ZipInfo, str, str]]:
    """The members, of names that lead nowhere else, and of sizes that a project can have."""
    members = packed.infolist()
    if len(members) > _MOST_FILES or sum(one.file_size for one in members) > _LARGEST:
        raise ConfigError(f"{path} is too large for a project: more than {_MOST_FILES} files, or 8 GB.")
    found, seen = [], set()
    for one in members:
        if one.filename == _ABOUT:
            continue
        name = _NAME.fullmatch(one.filename)
        is_link = (one.external_attr >> 16) & 0o170000 == 0o120000
        if name is None or is_link or one.flag_bits & 1 or not name[2].endswith(_ENDINGS[name[1]]):
            raise ConfigError(f"{path} holds {one.filename!r:.80}, which no project has; nothing of it is used.")
        if name[2].startswith(".") or one.filename.casefold() in seen:
            raise ConfigError(f"{path} holds {one.filename!r:.80} twice, or hidden; nothing of it is used.")
        if one.file_size > max(_SMALL, _MOST_RATIO * one.compress_size):
            raise ConfigError(f"{path} is packed so tightly that it is not safe to unpack.")
        seen.add(one.filename.casefold())
        found.append((one, name[1], name[2]))
    return found


def _about(packed: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    try:
        told = json.loads(_content(packed, packed.getinfo(_ABOUT), _LARGEST_TEXT))
    except (KeyError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is no project file.") from error
    if not isinstance(told, dict) or told.get("format") != _FORMAT:
        raise ConfigError(f"{path} is no project file.")
    if told.get("version") != _VERSION:
        raise ConfigError(f"{path} is a project of version {told.get('version')!r:.20}; this program reads {_VERSION}.")
    return told


def _content(packed: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    """A member's bytes, counted as they come: what its head says of them is not believed."""
    with packed.open(member) as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise ConfigError(f"{member.filename!r:.80} is larger than a project's files are.")
    return data


def _card(subject: SubjectEmbedding) -> bytes:
    with tempfile.TemporaryDirectory() as place:
        return subject.save(Path(place) / f"card{CARD_SUFFIX}").read_bytes()
