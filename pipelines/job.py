"""Jobs: a task with its request and its inputs, which can be written down, run anywhere and repeated."""

import base64
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import torch
from PIL import Image
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors

from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.errors import ConfigError, ImageError, PromptError, SubjectError
from blipdiff.given_pictures import PictureLike
from blipdiff.images import as_rgb, open_picture, picture_from
from blipdiff.masks import as_mask
from blipdiff.picture_files import picture_of as file_pixels
from blipdiff.picture_files import read_picture
from pipelines.batches import draw
from pipelines.parameters import plain, request_from
from pipelines.task import Event, InputKind, Kind, Notice, Task, task_named, task_of

JOB_VERSION = 1
CARD_SUFFIX = ".safetensors"
_MOST_MASK_LETTERS = 2**22

Box: TypeAlias = tuple[float, float, float, float]  # left, top, right, bottom, in fractions of the picture
Content: TypeAlias = SubjectPhoto | SubjectEmbedding | PictureLike | bytes | Path | None


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """One subject or picture.

    content: a photo with its category, a card, a picture, a file's bytes, or its path; None for a picture that must be
    given again, of which `pixels` tells the hash
    """

    content: Content
    word: str = ""  # what a subject is, or its word in the prompt; a picture's name
    weight: float | None = None  # of several subjects
    box: Box | None = None  # where a subject shall be
    mask: "Input | None" = None  # the same, painted
    pixels: str | None = None

    @classmethod
    def of(cls, given: Any) -> "Input":
        """An input of whatever a caller has: itself, content alone, or a path as text."""
        if isinstance(given, Input):
            return given
        return cls(Path(given) if isinstance(given, str) else given)

    def opened(self, kind: Kind) -> "Input":
        """The same with its content read: a subject's photo or card, a picture, or a mask.

        Raises: ImageError, SubjectError, PromptError for what cannot be read, ConfigError for what is not there.
        """
        mask = None if self.mask is None else self.mask.opened("mask")
        content = self.content
        if content is None:
            name = f" {self.word!r}" if self.word else ""
            raise ConfigError(f"The {kind}{name} is not kept in the job; give it again.")
        if kind == "subject":
            content = _subject(content, self.word)
            return replace(self, content=content, word=self.word or content.category, mask=mask)
        word = self.word or content.stem if isinstance(content, Path) else self.word
        return replace(self, content=_pixels_of(content, kind), word=word)

    @property
    def image(self) -> Image.Image:
        """The picture of an opened input."""
        assert isinstance(self.content, Image.Image)
        return self.content

    @property
    def reference(self) -> SubjectPhoto | SubjectEmbedding:
        """The subject of an opened input."""
        assert isinstance(self.content, SubjectPhoto | SubjectEmbedding)
        return self.content

    def as_mapping(self, kind: Kind) -> dict[str, Any]:
        """What JSON can hold of it; a subject's photo keeps its pixels, a card its rows.

        Raises: ImageError for content that is none of its kind.
        """
        found: dict[str, Any] = {}
        if self.word:
            found["word"] = self.word
        for name in ("weight", "pixels"):
            if getattr(self, name) is not None:
                found[name] = getattr(self, name)
        if self.box is not None:
            found["box"] = list(self.box)
        if self.mask is not None:
            found["mask"] = self.mask.as_mapping("mask")
        return found | _content_text(self.content, kind)

    @classmethod
    def from_mapping(cls, told: Any, *, paths: bool = False) -> "Input":
        """What `as_mapping` made of one. Raises: ConfigError for a damaged one, and for a path where none may be."""
        if not isinstance(told, Mapping):
            raise ConfigError(f"The job is damaged: {told!r:.60} is no input.")
        word, weight, box, pixels = (told.get(name) for name in ("word", "weight", "box", "pixels"))
        kinds: tuple[tuple[Any, Any], ...] = ((word, str), (weight, int | float), (box, list), (pixels, str))
        if any(value is not None and not isinstance(value, kind) for value, kind in kinds):
            raise ConfigError("The job is damaged: an input's word, weight, box or hash is of another kind.")
        if box is not None and not (len(box) == 4 and all(isinstance(side, int | float) for side in box)):
            raise ConfigError("The job is damaged: a box has four sides.")
        mask = None if told.get("mask") is None else cls.from_mapping(told["mask"], paths=paths)
        content = _content_from(told, paths=paths)
        return cls(content, word or "", weight, None if box is None else tuple(box), mask, pixels)


Inputs: TypeAlias = Mapping[str, tuple[Input, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """What is to be done, with everything that it takes but the model.

    index: of the one result that is wanted, all if None; detail: what that one needs beside request and inputs;
    model: the identity of the model that it was done by, and shall be done by again
    """

    task: str
    request: Any
    inputs: Inputs = field(default_factory=dict)
    index: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, request: Any, **inputs: Any) -> "Job":
        """The job of a request: `Job.of(GenerateRequest(category="dog"), subject="dog.png")`.

        Each of the inputs is one, or a list of them, as `Input.of` takes it.

        Raises: ConfigError for inputs that the task does not take.
        """
        task = task_of(request)
        _check_names(task, inputs)
        listed = {name: given if isinstance(given, list | tuple) else [given] for name, given in inputs.items()}
        return cls(
            task.name,
            request,
            {name: tuple(Input.of(one) for one in given if one is not None) for name, given in listed.items()},
        )

    def given(self, name: str) -> tuple[Input, ...]:
        """The inputs of this name."""
        return self.inputs.get(name, ())

    def opened(self) -> "Job":
        """The same job with all its inputs read, and what can be wrong with it without a model found.

        Raises: BlipdiffError for inputs that are too few, too many, or cannot be read.
        """
        task = task_named(self.task)
        found = {}
        for name, kind in task.inputs.items():
            given = self.given(name)
            _check_number(kind, len(given))
            word = getattr(self.request, "subject_word", "") if kind.kind == "subject" else ""
            found[name] = tuple(replace(one, word=one.word or word).opened(kind.kind) for one in given)
        if task.check is not None:
            task.check(self.request, found)
        return replace(self, inputs=found)

    def completed(self, **inputs: Any) -> "Job":
        """The job with pictures that it does not keep, which are given again.

        Raises: ConfigError for one that is still missing, for others than those, and for one that is none of them.
        """
        found, task = dict(self.inputs), task_named(self.task)
        _check_names(task, inputs)
        for name, kind in task.inputs.items():
            given = [Input.of(one).opened(kind.kind) for one in inputs.get(name) or ()]
            wanted = [one for one in self.given(name) if one.content is None]
            if not wanted and not given:
                continue
            if len(given) != len(wanted):
                lost = f" {wanted[0].word}" if wanted and wanted[0].word else ""
                raise ConfigError(
                    f"The picture was made of the {kind.label.lower()}{lost}, which is not in its metadata; give that "
                    "one too."
                    if wanted
                    else f"The picture was made without a {kind.label.lower()} of its own; leave that out."
                )
            for one, again in zip(wanted, given, strict=True):
                _check_pixels(kind.kind, one, again)
            filled = iter(given)
            found[name] = tuple(
                replace(one, content=next(filled).content) if one.content is None else one for one in self.given(name)
            )
        return replace(self, inputs=found)

    def as_mapping(self) -> dict[str, Any]:
        """The job as JSON can hold it; there is no code in it. Raises: ImageError for an input that is none."""
        kinds = task_named(self.task).inputs
        found: dict[str, Any] = {
            "version": JOB_VERSION,
            "task": self.task,
            "request": plain(self.request),
            "inputs": {
                name: [one.as_mapping(kinds[name].kind) for one in given]
                for name, given in self.inputs.items()
                if given
            },
        }
        if self.index is not None:
            found["index"] = self.index
        if self.detail:
            found["detail"] = plain(dict(self.detail))
        if self.model is not None:
            found["model"] = dict(self.model)
        return found

    @classmethod
    def from_mapping(cls, told: Any, *, paths: bool = False) -> "Job":
        """What `as_mapping` made of one.

        paths: whether inputs may be files of this machine

        Raises: ConfigError for a job that is damaged, of a newer version or of an unknown task.
        """
        version = told.get("version") if isinstance(told, Mapping) else None
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise ConfigError("This is no job: it has no version.")
        if version > JOB_VERSION:
            raise ConfigError(f"The job is of version {version}; this blipdiff reads up to {JOB_VERSION}.")
        request, inputs, detail = told.get("request"), told.get("inputs", {}), told.get("detail", {})
        index, model = told.get("index"), told.get("model")
        if not all(isinstance(one, Mapping) for one in (request, inputs, detail, {} if model is None else model)):
            raise ConfigError("The job is damaged: its request or its inputs are missing.")
        if index is not None and (isinstance(index, bool) or not isinstance(index, int)):
            raise ConfigError("The job is damaged: its index is no number.")
        task = task_named(str(told.get("task")))
        if set(inputs) - set(task.inputs) or not all(isinstance(given, list) for given in inputs.values()):
            raise ConfigError(f"The job is damaged: {task.name} takes no such inputs.")
        read = {name: tuple(Input.from_mapping(one, paths=paths) for one in given) for name, given in inputs.items()}
        return cls(task.name, request_from(task.request, dict(request or {})), read, index, dict(detail), model)

    def to_json(self) -> str:
        """The job as text."""
        return json.dumps(self.as_mapping(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str, *, paths: bool = False) -> "Job":
        """What `to_json` wrote. Raises: ConfigError, as `from_mapping`."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError("This is no job: it is no JSON.") from error
        return cls.from_mapping(found, paths=paths)


def run(studio: Any, job: Job, *, preview_every: int = 0) -> Iterator[Event]:
    """The job's notices, its progress, and its results as they are finished; closing stops it.

    studio: `pipelines.studio.Studio`, whose model draws; preview_every: steps between previews, 0 for none

    Raises: BlipdiffError for what cannot be done, before anything is drawn.
    """
    job = job.opened()
    yield from (Notice(text) for text in studio.check_maker(job.model))
    job = replace(job, request=studio.resolved(job.request))
    yield from draw(studio, task_named(job.task).prepare(studio, job), preview_every=preview_every)


def pixels_hash(picture: PictureLike) -> str:
    """What tells whether two pictures have the same pixels, whatever their files."""
    rgb = as_rgb(picture)
    return hashlib.sha256(repr(rgb.size).encode() + rgb.tobytes()).hexdigest()


def mask_hash(mask: PictureLike) -> str:
    """The same of a painted mask, whatever its file's mode."""
    grey = as_mask(mask)
    return hashlib.sha256(repr(grey.size).encode() + grey.tobytes()).hexdigest()


def mask_input(mask: PictureLike) -> Input:
    """A painted mask as pictures keep it: its pixels, or where they are too many its hash."""
    grey = as_mask(mask)
    is_kept = len(picture_text(grey)) <= _MOST_MASK_LETTERS
    return Input(grey) if is_kept else Input(None, pixels=mask_hash(mask))


def card_input(subject: SubjectEmbedding, word: str = "", **more: Any) -> Input:
    """A subject's rows alone, as pictures keep them."""
    rows = SubjectEmbedding(subject.tokens, subject.category, fingerprint=subject.fingerprint)
    return Input(rows, word or subject.category, **more)


def rows_from(text: Any, category: str, fingerprint: str | None) -> SubjectEmbedding:
    """A subject's rows from text. Raises: ConfigError for text that is missing or damaged."""
    try:
        tokens = from_safetensors(base64.b64decode(text, validate=True))["tokens"]
    except Exception as error:  # whatever the damage: text, base64, container or key
        raise ConfigError(
            "The metadata lacks the picture's subject, or it is damaged; it cannot be repeated."
        ) from error
    return SubjectEmbedding(tokens.to(torch.float32), category, fingerprint=fingerprint)


def picture_text(picture: Image.Image) -> str:
    """A picture as text, pixel for pixel."""
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()


def picture_of(text: Any, what: str) -> Image.Image:
    """What `picture_text` wrote. Raises: ConfigError for text that is damaged."""
    try:
        return picture_from(base64.b64decode(text, validate=True), what)
    except (ValueError, TypeError, ImageError) as error:
        raise ConfigError(f"The metadata is damaged: {what} cannot be read.") from error


def _subject(content: Any, word: str) -> SubjectPhoto | SubjectEmbedding:
    if isinstance(content, SubjectPhoto | SubjectEmbedding):
        return content
    if isinstance(content, Path):
        if content.suffix.lower() == CARD_SUFFIX:
            return SubjectEmbedding.load(content)
        picture: Any = open_picture(content)
        if not word.strip():
            raise PromptError(f"Say what {content.name} shows with --category: dog, teapot, jacket.")
        return SubjectPhoto(picture, word)
    picture = picture_from(content, "the subject's photo") if isinstance(content, bytes) else content
    return SubjectPhoto(picture, word)


def _check_names(task: Task, inputs: Mapping[str, Any]) -> None:
    unknown = sorted(set(inputs) - set(task.inputs))
    if unknown:
        raise ConfigError(f"{task.name} takes no {unknown[0]}; it takes: {', '.join(task.inputs) or 'nothing'}.")


def _check_number(kind: InputKind, count: int) -> None:
    if count < kind.least:
        if kind.is_bound or not kind.missing:
            raise SubjectError(f"{kind.label}: {count} given, at least {kind.least} needed.")
        raise SubjectError(kind.missing)
    if kind.most is not None and count > kind.most:
        raise ConfigError(f"{kind.label}: {count} given, at most {kind.most} taken.")


def _check_pixels(kind: Kind, wanted: Input, given: Input) -> None:
    seen = mask_hash(given.image) if kind == "mask" else pixels_hash(given.image)
    if wanted.pixels is not None and seen != wanted.pixels:
        name = f" {wanted.word}" if wanted.word else ""
        raise ConfigError(
            f"{given.word or 'This'} is not the {kind}{name} that the picture was made of: its pixels differ. "
            "Or it was edited by an earlier version, which left out a photo's colour profile."
        )


def _pixels_of(content: Any, kind: Kind) -> Image.Image:
    """A picture upright in RGB, a mask in one channel, whatever form it came in: what is written down draws the same.

    Raises: ImageError for what cannot be read, and for what is no mask.
    """
    if isinstance(content, SubjectPhoto | SubjectEmbedding):
        raise ImageError(f"{content.category!r} is a subject; a {kind} was expected.")
    if kind == "mask":  # see-through parts mean something else in it than in a picture
        if isinstance(content, Path):
            return as_mask(read_picture(content))
        return as_mask(file_pixels(content, "the mask") if isinstance(content, bytes) else content)
    if isinstance(content, Path):
        return open_picture(content)
    return picture_from(content, "the picture") if isinstance(content, bytes) else as_rgb(content)


def _content_text(content: Content, kind: Kind) -> dict[str, Any]:
    if isinstance(content, SubjectEmbedding):
        rows = base64.b64encode(to_safetensors({"tokens": content.tokens.contiguous()})).decode()
        return {"rows": rows, "category": content.category, "fingerprint": content.fingerprint}
    if isinstance(content, SubjectPhoto):
        return {"picture": picture_text(as_rgb(content.image)), "category": content.category}
    if isinstance(content, Path):
        return {"path": str(content)}
    if isinstance(content, bytes):
        return {"file": base64.b64encode(content).decode()}
    if content is None:
        return {}
    return {"picture": picture_text(as_rgb(content) if kind == "subject" else _pixels_of(content, kind))}


def _content_from(told: Mapping[str, Any], *, paths: bool) -> Content:
    category = told.get("category")
    if "rows" in told:
        fingerprint = told.get("fingerprint")
        return rows_from(told["rows"], str(category), fingerprint if isinstance(fingerprint, str) else None)
    if "picture" in told:
        picture = picture_of(told["picture"], "a picture")
        return picture if category is None else SubjectPhoto(picture, str(category))
    if "file" in told:
        try:
            return base64.b64decode(told["file"], validate=True)
        except (ValueError, TypeError) as error:
            raise ConfigError("The job is damaged: a file in it cannot be read.") from error
    if "path" in told:
        if not paths:
            raise ConfigError("The job names a file of the machine that it is run on; send the file itself.")
        return Path(str(told["path"]))
    return None


def given_images(inputs: Sequence[Input]) -> list[Image.Image]:
    """The pictures of opened inputs."""
    return [one.image for one in inputs]
