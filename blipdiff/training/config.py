"""Training recipes: TOML files read into frozen dataclasses; an unknown key is refused."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from blipdiff.errors import ConfigError
from blipdiff.foreign import foreign
from blipdiff.training.old_names import with_new_keys
from blipdiff.training.sections import (
    AutoencoderRecipe,
    ControlRecipe,
    DetailRecipe,
    ModelRecipe,
    OptimizerRecipe,
    RepresentationRecipe,
    SubjectRecipe,
)

Section = TypeVar("Section")


@dataclass(frozen=True, slots=True)
class Recipe:
    """One training file of a small model; without [representation] its stage 1 is the reconstruction alone."""

    name: str
    seed: int
    model: ModelRecipe
    reconstruction: OptimizerRecipe
    subject: SubjectRecipe
    autoencoder: AutoencoderRecipe
    representation: RepresentationRecipe | None = None


@dataclass(frozen=True, slots=True)
class DescriberRecipe:
    """One training file of a describer, which begins with another model's subject encoder."""

    name: str
    seed: int
    start: str
    representation: RepresentationRecipe


@dataclass(frozen=True, slots=True)
class ControlNetRecipe:
    """One training file of a ControlNet."""

    name: str
    map: str  # which of `training.maps.MAPS` is drawn from a pair
    seed: int
    control: ControlRecipe


@dataclass(frozen=True, slots=True)
class DetailAdapterRecipe:
    """One training file of a detail adapter."""

    name: str
    seed: int
    detail: DetailRecipe


_SECTIONS = {
    "model": ModelRecipe,
    "reconstruction": OptimizerRecipe,
    "subject": SubjectRecipe,
    "autoencoder": AutoencoderRecipe,
}


def load_recipe(source: str | Path) -> Recipe:
    """The recipe of a small model in a TOML file, or the one of this name that comes with the package.

    Raises: ConfigError when there is no such recipe, or a key is missing, unknown or of another type.
    """
    return recipe_from(read_table(source), str(source))


def load_describer_recipe(source: str | Path = "describe") -> DescriberRecipe:
    """The recipe of a describer in a TOML file, or the one that comes with the package. Raises: ConfigError."""
    table = read_table(source)
    _check_keys(table, DescriberRecipe, source)
    return DescriberRecipe(
        name=str(table["name"]),
        seed=value_of(int, table["seed"], f"{source}: seed"),
        start=str(table["start"]),
        representation=section_of(RepresentationRecipe, table["representation"], f"{source} [representation]"),
    )


def load_control_recipe(source: str | Path) -> ControlNetRecipe:
    """The recipe of a ControlNet in a TOML file, or the one of this name that comes with it. Raises: ConfigError."""
    return control_recipe_from(read_table(source), str(source))


def control_recipe_from(table: Mapping[str, Any], source: str) -> ControlNetRecipe:
    """A ControlNet's recipe from a parsed table, every key checked."""
    _check_keys(table, ControlNetRecipe, source)
    return ControlNetRecipe(
        name=str(table["name"]),
        map=str(table["map"]),
        seed=value_of(int, table["seed"], f"{source}: seed"),
        control=section_of(ControlRecipe, table["control"], f"{source} [control]"),
    )


def load_detail_recipe(source: str | Path) -> DetailAdapterRecipe:
    """The recipe of a detail adapter in a TOML file, or the bundled one of this name. Raises: ConfigError."""
    table = read_table(source)
    _check_keys(table, DetailAdapterRecipe, source)
    return DetailAdapterRecipe(
        name=str(table["name"]),
        seed=value_of(int, table["seed"], f"{source}: seed"),
        detail=section_of(DetailRecipe, table["detail"], f"{source} [detail]"),
    )


def _check_keys(table: Mapping[str, Any], kind: type, source: str | Path) -> None:
    names = {item.name for item in fields(kind)}
    unknown, absent = sorted(set(table) - names), sorted(names - set(table))
    if unknown or absent:
        raise ConfigError(f"The recipe {source} has unknown keys {unknown} and lacks {absent}.")


def bundled_recipes() -> list[str]:
    """The names of the recipes that come with the package, those of full size as full/NAME."""
    folder = files("blipdiff.training") / "recipes"
    found = [(prefix, one) for prefix in ("", "full/") for one in folder.joinpath(prefix).iterdir()]
    return sorted(prefix + one.name.removesuffix(".toml") for prefix, one in found if one.name.endswith(".toml"))


def read_table(source: str | Path) -> dict[str, Any]:
    """The keys and values of a recipe, by its path or the name under which it comes with the package.

    Raises: ConfigError when there is no such recipe, or it is not valid TOML.
    """
    bundled = files("blipdiff.training") / "recipes" / f"{source}.toml"
    path = Path(source)
    try:
        text = (bundled if bundled.is_file() else path).read_text("utf-8")
    except (OSError, ValueError) as error:  # a path with a zero byte is a ValueError, as is what is no text
        names = ", ".join(bundled_recipes())
        raise ConfigError(f"No training recipe at {source}: give a TOML file, or one of: {names}.") from error
    with foreign(source, "valid TOML", ConfigError):
        return tomllib.loads(text)


def recipe_from(table: Mapping[str, Any], source: str) -> Recipe:
    """A recipe from a parsed table, every key checked."""
    table = with_new_keys(table, _SECTIONS, source)
    unknown = sorted(set(table) - set(_SECTIONS) - {"name", "seed", "representation"})
    absent = sorted((set(_SECTIONS) | {"name", "seed"}) - set(table))
    if unknown or absent:
        raise ConfigError(f"The recipe {source} has unknown keys {unknown} and lacks {absent}.")
    return Recipe(
        name=str(table["name"]),
        seed=value_of(int, table["seed"], f"{source}: seed"),
        model=section_of(ModelRecipe, table["model"], f"{source} [model]"),
        reconstruction=section_of(OptimizerRecipe, table["reconstruction"], f"{source} [reconstruction]"),
        subject=section_of(SubjectRecipe, table["subject"], f"{source} [subject]"),
        autoencoder=section_of(AutoencoderRecipe, table["autoencoder"], f"{source} [autoencoder]"),
        representation=section_of(RepresentationRecipe, table["representation"], f"{source} [representation]")
        if "representation" in table
        else None,
    )


def section_of(kind: type[Section], table: Any, where: str) -> Section:
    """A recipe's section as its dataclass, every key checked. Raises: ConfigError."""
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where} must be a section of keys and values, not {table!r}.")
    known = {item.name: item for item in fields(kind)}  # type: ignore[arg-type]
    table = with_new_keys(table, known, where)
    unknown = sorted(set(table) - set(known))
    absent = sorted(name for name, item in known.items() if name not in table and item.default is MISSING)
    if unknown or absent:
        raise ConfigError(f"{where} has unknown keys {unknown} and lacks {absent}.")
    return kind(**{name: value_of(known[name].type, value, f"{where}: {name}") for name, value in table.items()})


def value_of(kind: Any, value: Any, where: str) -> Any:
    """A value of a recipe: a text, true or false, a number of 0 or more, or whole numbers in a list."""
    if kind is str:
        if not isinstance(value, str):
            raise ConfigError(f"{where} must be a text, not {value!r}.")
        return value
    if kind is bool:
        if not isinstance(value, bool):
            raise ConfigError(f"{where} must be true or false, not {value!r}.")
        return value
    if kind in (int, float):
        fits = isinstance(value, int | kind) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
        if not fits:
            raise ConfigError(f"{where} must be a {'whole ' if kind is int else ''}number of 0 or more, not {value!r}.")
        return kind(value)
    if not isinstance(value, list) or not all(isinstance(one, int) and not isinstance(one, bool) for one in value):
        raise ConfigError(f"{where} must be a list of whole numbers, not {value!r}.")
    return tuple(value)
