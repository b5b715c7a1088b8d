"""Jobs: a task with its request and its inputs, which can be written down, run anywhere and repeated."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import ConfigError, SubjectError
from pipelines.added import Added, added_from, check_added
from pipelines.inputs import Input, check_pixels
from pipelines.learned import lacking, with_weights
from pipelines.parameters import parameters, plain, request_from
from pipelines.task import Event, InputKind, Notice, Task, task_named, task_of

JOB_VERSION = 1

Inputs: TypeAlias = Mapping[str, tuple[Input, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """What is to be done, with everything that it takes but the model.

    index: of the one result that is wanted, all if None; detail: what that one needs beside request and inputs;
    model: the identity of the model that it was done by, and shall be done by again; added: what it is drawn with
    beside the model
    """

    task: str
    request: Any
    inputs: Inputs = field(default_factory=dict)
    index: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] | None = None
    added: tuple[Added, ...] = ()

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
        job: Job = task.filled(self)
        found = {}
        for name, kind in task.inputs.items():
            given = job.given(name)
            _check_number(kind, len(given))
            word = getattr(job.request, "subject_word", "") if kind.kind == "subject" else ""
            found[name] = tuple(replace(one, word=one.word or word).opened(kind.kind) for one in given)
        if task.check is not None:
            task.check(job.request, found)
        return replace(job, inputs=found)

    def completed(self, **inputs: Any) -> "Job":
        """The job with pictures that it does not keep, which are given again.

        Raises: ConfigError for one that is still missing, for others than those, and for one that is none of them.
        """
        found, task = dict(self.inputs), task_named(self.task)
        _check_names(task, inputs)
        for name, kind in task.inputs.items():
            given = [Input.of(one) for one in inputs.get(name) or ()]
            if kind.kind == "subject":
                found[name] = _with_cards(self.given(name), given)
                continue
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
            given = [one.opened(kind.kind) for one in given]
            for one, again in zip(wanted, given, strict=True):
                check_pixels(kind.kind, one, again)
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
        if self.added:
            found["added"] = [one.as_mapping() for one in self.added]
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
        added = added_from(told.get("added", ()))
        return cls(task.name, request_from(task.request, dict(request or {})), read, index, dict(detail), model, added)

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
    from pipelines.batches import draw  # which loads torch: jobs are read and asked for without

    job = job.opened()
    if job.added:
        check_added(job.added, studio.model.identity.parts)
    yield from (Notice(text) for text in studio.check_maker(job.model))
    job = replace(job, request=studio.resolved(job.request))
    yield from draw(studio, task_named(job.task).prepare(studio, job), preview_every=preview_every)


def told_by_cards(task: Task, values: Mapping[str, Any], inputs: Mapping[str, Sequence[Input]]) -> dict[str, Any]:
    """The category of the first card among a task's subjects, for a request that has a category and was given none."""
    if "category" not in parameters(task.request) or str(values.get("category") or "").strip():
        return {}
    given = [one for name, kind in task.inputs.items() if kind.kind == "subject" for one in inputs.get(name, ())]
    found = next((one.content.category for one in given if isinstance(one.content, SubjectEmbedding)), None)
    return {} if found is None else {"category": found}


def _with_cards(inputs: Sequence[Input], cards: Sequence[Input]) -> tuple[Input, ...]:
    """Subjects with what was learned of them, which pictures do not keep, out of cards that are given again.

    Raises: ConfigError for a card that is missing, and where none is wanted.
    """
    if not any(lacking(one.content) for one in inputs):
        if cards:
            raise ConfigError("The picture keeps its subject; leave out --subject.")
        return tuple(inputs)
    opened = [one.opened("subject").content for one in cards]
    found = [one for one in opened if isinstance(one, SubjectEmbedding)]
    return tuple(
        replace(one, content=with_weights(one.content, found)) if isinstance(one.content, SubjectEmbedding) else one
        for one in inputs
    )


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
