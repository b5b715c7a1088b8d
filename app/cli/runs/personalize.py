"""Photos become the card of a learned subject, one subject after the other; a card becomes a file for others."""

import shutil
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from app.cli.options import take_additions
from app.cli.runs.asked import request_values
from app.cli.runs.drawing import followed, opened
from app.cli.terminal import say, say_json, warn
from app.outputs import check_file, check_writable, save_result
from blipdiff.checkpoints.export_lora import Format, export_lora
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import BlipdiffError, ConfigError, ImageError, OutputError, SubjectError
from blipdiff.filenames import short_name
from blipdiff.images import open_layers
from blipdiff.training.workers import workers_of_this_run
from pipelines.batches import draw
from pipelines.inputs import CARD_SUFFIX
from pipelines.job import Job
from pipelines.personalize.learning import CHECKED_EVERY
from pipelines.personalize.request import MOST_PHOTOS, PersonalizeRequest
from pipelines.personalize.run import prepare_in
from pipelines.studio import Studio
from pipelines.task import Event, Progress, Result, Sheet

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif", ".avif")


@dataclass(frozen=True, slots=True)
class _Subject:
    """One subject that is asked for."""

    photos: tuple[Path, ...]
    card: Path
    run: Path


def personalize(
    photos: list[Path],
    output: Path | None,
    run: Path | None,
    samples: Path | None,
    model: str,
    device: str,
    dtype: str,
    download: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Runs the command."""
    notices: list[str] = []
    additions = take_additions(asked)
    request = PersonalizeRequest(**request_values(PersonalizeRequest, asked, notices))
    subjects, workers = _subjects(photos, request, output, run), workers_of_this_run()
    for subject in subjects:
        check_file(subject.card)
    if samples is not None:
        check_writable(samples)
    several, subjects = len(subjects) > 1, subjects[workers.rank :: workers.count]
    if not subjects:
        warn(f"Process {workers.rank + 1} of {workers.count} has no subject to learn: each learns whole ones.")
        return
    if workers.count > 1 and device == "auto":
        device = str(workers.device)
    studio = opened(model, device=device, dtype=dtype, download=download, additions=additions, quiet=as_json)
    cards = []
    for subject in subjects:
        if several and subject.card.is_file() and not subject.run.exists():
            notices.append(f"{subject.card} is there already; it is left as it is.")
            continue
        _learn(studio, request, subject, samples, notices, quiet=as_json)
        cards.append(subject.card)
        if not as_json:
            say(subject.card)
    if as_json:
        say_json({"cards": [_about(card) for card in cards], "notices": notices})


def export(card: Path, format: str, output: Path | None) -> None:
    """Runs the command."""
    path = output or card.with_name(f"{card.stem}-{short_name(format)}{CARD_SUFFIX}")
    say(export_lora(SubjectEmbedding.load(card), path, cast("Format", format)))


def _learn(
    studio: Studio,
    request: PersonalizeRequest,
    subject: _Subject,
    samples: Path | None,
    notices: list[str],
    *,
    quiet: bool,
) -> None:
    images = list(_read(subject.photos, notices, quiet=quiet))
    with interrupted_once() as is_stopping:
        prepared = prepare_in(studio, Job.of(request, photo=images).opened(), subject.run, is_stopping)
        events = _sampled(draw(studio, prepared, preview_every=CHECKED_EVERY), subject, samples)
        for event in followed(events, notices, quiet=quiet):
            if isinstance(event, Result) and samples is not None:
                save_result(event, samples)
            elif isinstance(event, Sheet):
                event.write(subject.card)
        if not is_stopping():
            shutil.rmtree(subject.run, ignore_errors=True)  # the card is whole: nothing of it is needed any more


def _sampled(events: Iterable[Event], subject: _Subject, samples: Path | None) -> Iterator[Event]:
    """The events, with samples that are drawn while it learns kept as pictures where there is a folder for them."""
    for event in events:
        if isinstance(event, Progress) and samples is not None and event.previews:
            event.previews[0].save(samples / f"{subject.card.stem}-{event.step:04d}.png")
        yield event


@contextmanager
def interrupted_once() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed, which for once only asks to come to an end; the second time it interrupts."""
    asked = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def ask(_number: int, _frame: object) -> None:
        asked.set()
        warn("It stops after this step, and keeps the best state so far. Once more breaks off.")
        signal.signal(signal.SIGINT, before)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, ask)
    try:
        yield asked.is_set
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


def _read(photos: Sequence[Path], notices: list[str], *, quiet: bool) -> Iterator[Any]:
    """The photos that can be read; the others are named and left out. Raises: ImageError where none can."""
    count = 0
    for path in photos:
        try:
            image = open_layers(path)
        except BlipdiffError as error:
            notices.append(f"{error} It is left out.")
            if not quiet:
                warn(notices[-1])
            continue
        count += 1
        yield image
    if not count:
        raise ImageError(f"None of the {len(photos)} photos can be read: {notices[-1] if notices else 'there is none'}")


def _subjects(
    given: Sequence[Path], request: PersonalizeRequest, output: Path | None, run: Path | None
) -> list[_Subject]:
    """What is to be learned: one subject, or each folder of a folder."""
    if len(given) == 1 and given[0].is_dir():
        folders = sorted(one for one in given[0].iterdir() if one.is_dir() and not one.name.startswith("."))
        if folders:
            place = output or given[0]
            if place.suffix.lower() == CARD_SUFFIX:
                raise OutputError(f"{len(folders)} subjects make as many cards; give a folder with --output.")
            found = [_Subject(_photos(one), place / f"{one.name}{CARD_SUFFIX}", Path()) for one in folders]
            runs = run or place
            return [_Subject(one.photos, one.card, runs / f"{one.card.stem}.run") for one in found]
        given = _photos(given[0])
    if len(given) > MOST_PHOTOS:
        raise ConfigError(f"{len(given)} photos were given, at most {MOST_PHOTOS} are taken; three to five are enough.")
    card = output or Path(f"{short_name(request.category)}{CARD_SUFFIX}")
    if card.suffix.lower() != CARD_SUFFIX:
        raise OutputError(f"A subject card is known by its ending {CARD_SUFFIX}; {card.name} has another one.")
    return [_Subject(tuple(given), card, run or card.with_suffix(".run"))]


def _photos(folder: Path) -> tuple[Path, ...]:
    found = tuple(sorted(one for one in folder.iterdir() if one.suffix.lower() in _PICTURES))
    if not found:
        raise SubjectError(f"{folder} holds no photos.")
    return found


def _about(path: Path) -> Mapping[str, Any]:
    card = SubjectEmbedding.load(path)
    told = card.weights[0].weights.told if card.weights else {}
    return {"card": str(path), "category": card.category, "bytes": path.stat().st_size, **told}
