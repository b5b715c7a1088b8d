"""What a person asked for on the command line, as a job."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.cli.controls import CONTROL, control_flags
from app.cli.draw import GIVEN, input_flags, needs_controls, takes_controls
from app.cli.options import ADDED, OLD, was_given
from app.cli.runs.files import parse_bound, read_card
from app.cli.runs.given import Asked
from blipdiff.control.net_names import BUNDLED_CONTROLS, control_for_map, map_of_control
from blipdiff.errors import ConfigError, PromptError, SubjectError
from pipelines.controls.settings import ControlSettings
from pipelines.inputs import Box, Input
from pipelines.job import Job, told_by_cards
from pipelines.learned import lacking
from pipelines.metadata import job_of, without_place
from pipelines.parameters import Parameter, parameters
from pipelines.requests import random_seed
from pipelines.task import InputKind

_DEFAULT = ControlSettings()


def new_job(asked: Asked, notices: list[str]) -> Job:
    """The job of a command, everything in it read and checked; what there is to say of its options goes to `notices`.

    Raises: BlipdiffError for what cannot be drawn by any model.
    """
    task, values = asked.task, request_values(asked.task.request, asked.values, notices)
    inputs = {name: _inputs(asked, name, kind) for name, kind in task.inputs.items() if kind.is_asked}
    for name, kind in task.inputs.items():
        if kind.is_asked and len(inputs[name]) < kind.least:
            raise SubjectError(f"No {kind.label.lower()} was given; add --{name}. {kind.help}")
    is_preset = asked.preset is not None and "seed" in asked.preset.values
    if not was_given(asked.context, "seed") and not is_preset and "seed" in parameters(task.request):
        is_given = any(kind.has_noise and inputs.get(name) for name, kind in task.inputs.items())
        values["seed"] = 0 if is_given else random_seed()
    _name_subjects(asked, values, inputs)
    if takes_controls(task):
        values["controls"] = _controls(asked, notices)
    return Job(task.name, task.request(**values), inputs).opened()


def job_like(asked: Asked, metadata: Mapping[str, Any], like: Path) -> Job:
    """The job that draws a picture again, with the pictures that its metadata do not keep.

    Raises: ConfigError for a picture of another task, and for options that the picture tells itself.
    """
    kinds = {name: kind for name, kind in asked.task.inputs.items() if kind.is_asked}
    job = job_of(metadata)
    tuned = any(lacking(one.content) for given in job.inputs.values() for one in given)
    again = [name for name, kind in kinds.items() if (tuned or kind.kind != "subject") and name != "structure"]
    taken = {"like", CONTROL + "control", *(GIVEN + name for name in again)}
    taken |= {"model", "device", "dtype", "engine", "download", "output", "no_metadata", "as_json"}
    names = [str(param.name) for param in asked.context.command.params if param.name]
    told = [name for name in names if name not in taken and not name.startswith(ADDED)]
    given = [asked.flag(name) for name in told if was_given(asked.context, name)]
    if given:
        raise ConfigError(f"--like draws a picture as it was; leave out {', '.join(given)}.")
    if job.task != asked.task.name:
        raise ConfigError(f"{like.name} was made by {job.task}; repeat it with: blipdiff {job.task} --like {like}")
    return job.completed(**{name: asked.inputs(name) for name in again}).opened()


def request_values(kind: type, options: Mapping[str, Any], notices: list[str]) -> dict[str, Any]:
    """A request's fields from its options, old names and old choices under their new ones, with a sentence for each."""
    values = dict[str, Any]()
    for name, one in parameters(kind).items():
        value, flag = options.get(name), one.flag or name.replace("_", "-")
        for old in one.aliases:
            if options.get(OLD + old) is not None:
                value = options[OLD + old]
                notices.append(f"--{old.replace('_', '-')} is called --{flag} now; both are taken.")
        if value is not None:
            value = _renamed(value, one, notices)
            values[name] = tuple(value) if isinstance(value, list) else value
    if options.get("size") is not None:
        values["width"], values["height"] = parse_size(options["size"])
    return values


def parse_size(size: str | None) -> tuple[int | None, int | None]:
    """(width, height) of "512x768", or of "512" for a square.

    Raises: ConfigError for any other text.
    """
    if size is None:
        return None, None
    sides = size.lower().split("x")
    if len(sides) not in (1, 2) or not all(side.isdecimal() and len(side) < 10 for side in sides):
        raise ConfigError(f"The size is '{size}'; write it as WIDTHxHEIGHT, for example 512x768.")
    return int(sides[0]), int(sides[-1])


def parse_map(text: str) -> dict[str, float]:
    """Settings written as "low=50,high=120".

    Raises: ConfigError for any other text.
    """
    found = {}
    for part in (part for part in text.split(",") if part.strip()):
        name, equals, number = part.partition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            equals = ""
        if not equals or not name.strip():
            raise ConfigError(f"A map's settings are '{text}'; write them as low=50,high=120.")
    return found


def control_settings(
    values: Mapping[str, Any], structures: int, *, prefixed: bool = False, notices: list[str] | None = None
) -> tuple[ControlSettings, ...]:
    """One control for each structure or each --control, whichever are more; an option is given once for all, or each.

    values: of the options that `control_options` makes, by their parameters' names; notices: what is said of guesses

    Raises: ConfigError for another number of values.
    """
    flags = control_flags(prefixed=prefixed)
    given = {name: values.get(CONTROL + name) for name in flags}
    listed: dict[str, Sequence[Any]] = {
        name: value if isinstance(value, list | tuple) else [value]
        for name, value in given.items()
        if value is not None
    }
    if "map_settings" in listed:
        listed["map_settings"] = [parse_map(text) for text in listed["map_settings"]]
    count = max(structures, len(listed.get("control", ())))
    for name, found in listed.items():
        if len(found) not in (1, count):
            raise ConfigError(
                f"{flags[name]} was given {len(found)} times for {count} controls; give it once, or once each."
            )
    return tuple(
        _control(
            {name: found[place % len(found)] for name, found in listed.items()}, [] if notices is None else notices
        )
        for place in range(count)
    )


def _control(chosen: dict[str, Any], notices: list[str]) -> ControlSettings:
    """A control, with the bundled net for its map, or the map for its net, where one of them was not said."""
    if "control" not in chosen:
        chosen["control"] = control_for_map(str(chosen.get("preprocessor"))) or _DEFAULT.control
    elif "preprocessor" not in chosen:
        guessed = map_of_control(chosen["control"])
        chosen["preprocessor"] = guessed or _DEFAULT.preprocessor
        if chosen["control"] not in BUNDLED_CONTROLS:
            name, why = (
                without_place(chosen["control"]),
                "as its name says" if guessed else "for its name does not tell",
            )
            sentence = f"{name} is given maps of '{chosen['preprocessor']}', {why}; --preprocessor chooses others."
            notices += [] if sentence in notices else [sentence]
    return ControlSettings(**chosen)


def _controls(asked: Asked, notices: list[str]) -> tuple[ControlSettings, ...]:
    """The controls that were asked for; none where a task can do without and no option of theirs was given."""
    needed = needs_controls(asked.task)
    structures = len(asked.inputs("structure"))
    options = [param.name for param in asked.context.command.params if str(param.name).startswith(CONTROL)]
    is_said = any(was_given(asked.context, str(name)) for name in options)
    if asked.preset is not None and "controls" in asked.preset.values and not is_said:
        return tuple(asked.preset.values["controls"])
    if not (needed or structures or is_said):
        return ()
    others = any(asked.inputs(name) for name, kind in asked.task.inputs.items() if kind.has_noise)
    if not structures and not others:
        raise ConfigError("No structure was given; add --structure with a picture to follow.")
    is_prefixed = asked.flag(CONTROL + "strength") != "--strength"
    return control_settings(asked.values, structures or 1, prefixed=is_prefixed, notices=notices)


def _renamed(value: Any, declared: Parameter, notices: list[str]) -> Any:
    new = dict(declared.old_choices).get(value) if isinstance(value, str) else None
    if new is not None:
        notices.append(f"{declared.label}: '{value}' is called '{new}' now; both are taken.")
    return value if new is None else new


def _inputs(asked: Asked, name: str, kind: InputKind) -> tuple[Input, ...]:
    if kind.kind != "subject":
        return tuple(Input(path) for path in asked.inputs(name))
    flags = input_flags(asked.task)
    if kind.is_bound:
        bound = [parse_bound(text, flags[GIVEN + name]) for text in asked.inputs(name)]
        read = [_subject(path, word) for word, path in bound]
    else:
        read = [_subject(path) for path in asked.inputs(name)]
    weights = asked.values.get(f"weight_{name}")
    if weights:
        if len(weights) != len(read):
            raise SubjectError(f"{len(read)} subjects were given with {len(weights)} weights; give one each.")
        read = [replace(one, weight=weight) for one, weight in zip(read, weights, strict=True)]
    read = _outlined(read, asked.values.get(f"cut_out_{name}") or (), is_bound=kind.is_bound)
    return tuple(_placed(read, *(asked.values.get(f"{trait}_{name}") or () for trait in ("box", "mask"))))


def _subject(path: Path, word: str = "") -> Input:
    """A card is read at once: it tells what it shows."""
    card = read_card(path)
    return Input(path, word) if card is None else Input(card, word or card.category)


def _name_subjects(asked: Asked, values: dict[str, Any], inputs: Mapping[str, Sequence[Input]]) -> None:
    """Puts the first card's category into a request that has one and was given none.

    Raises: PromptError where only photos are there, which do not say what they show.
    """
    values |= told_by_cards(asked.task, values, inputs)
    given = [one for name, kind in asked.task.inputs.items() if kind.kind == "subject" for one in inputs.get(name, ())]
    if given and "category" in values and not str(values["category"] or "").strip():
        name = given[0].content.name if isinstance(given[0].content, Path) else "the photo"
        raise PromptError(f"Say what {name} shows with --category: dog, teapot, jacket.")


def _outlined(subjects: list[Input], masks: Sequence[str], *, is_bound: bool) -> list[Input]:
    """The subjects, each with its cut-out's mask. Raises: SubjectError for a mask that is no subject's."""
    if not masks:
        return subjects
    if not is_bound:
        if len(masks) != len(subjects):
            raise SubjectError(f"{len(subjects)} subjects were given with {len(masks)} cut-outs; give one each.")
        found = zip(subjects, masks, strict=True)
        return [replace(one, cut_out_mask=Input(Path(mask))) for one, mask in found]
    given = dict[str, str]()
    for text in masks:
        word, sign, path = text.partition("=")
        if not sign or not word.strip():
            raise SubjectError(f"--cut-out {text}: write it as WORD=MASK.")
        given[word.strip().lower()] = path
    words = [one.word.lower() for one in subjects]
    if unknown := next((word for word in given if word not in words), None):
        raise SubjectError(f"There is a cut-out for {unknown!r}, but no subject is bound to that word.")
    return [
        replace(one, cut_out_mask=Input(Path(given[word]))) if word in given else one
        for one, word in zip(subjects, words, strict=True)
    ]


def _placed(subjects: list[Input], boxes: Iterable[str], masks: Iterable[str]) -> list[Input]:
    """The subjects, each with its region. Raises: ConfigError for a region of no subject, and for two of one."""
    regions: dict[str, dict[str, Any]] = {}
    for kind, texts in (("box", boxes), ("mask", masks)):
        for text in texts:
            word, sign, value = text.partition("=")
            key = word.strip().lower()
            if not sign or not key:
                raise ConfigError(f"--{kind} {text}: write it as WORD={'PICTURE' if kind == 'mask' else 'l,t,r,b'}.")
            if key in regions:
                raise ConfigError(f"{word.strip()!r} has two regions; give it one box or one mask.")
            regions[key] = {kind: Input(Path(value)) if kind == "mask" else _box(value)}
    found = [replace(one, **regions.pop(one.word.lower(), {})) for one in subjects]
    if regions:
        raise ConfigError(f"There is a region for {next(iter(regions))!r}, but no subject is bound to that word.")
    return found


def _box(text: str) -> Box:
    try:
        left, top, right, bottom = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"The box is '{text}'; write it as left,top,right,bottom: 0,0.2,0.5,1.") from error
    return left, top, right, bottom
