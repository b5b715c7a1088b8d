"""A photo gets a caption, its likeliest categories, and how well a text fits."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from app.cli.terminal import say, say_json
from blipdiff.checkpoints.describer import BUNDLED_DESCRIBER, load_describer
from blipdiff.devices import placement
from blipdiff.errors import ConfigError
from blipdiff.images import open_picture
from blipdiff.language.describing import load_describing
from blipdiff.models.describer import Description
from blipdiff.ranges import KNOWN_THINGS
from pipelines.describe import DescribeRequest, describe, describe_by


def describe_photo(
    photo: Path,
    text: str | None,
    count: int,
    fit: str,
    engine: str,
    describer: str,
    device: str,
    dtype: str,
    download: bool,
    as_json: bool,
    **parts: str | None,
) -> None:
    """Runs the command."""
    request = DescribeRequest(text=text, count=count, fit=fit)
    picture, place = open_picture(photo), placement(device, dtype)
    given = {name: source for name, source in parts.items() if source}
    if engine == BUNDLED_DESCRIBER:
        _check_unused(engine, given)
        found = describe(load_describer(describer, device=place.device), picture, request)
    else:
        found = describe_by(load_describing(engine, weights=given, place=place, download=download), picture, request)
    if as_json:
        say_json(asdict(found) | {"categories": [list(one) for one in found.categories], "sure": found.is_sure})
        return
    _say(found, is_bundled=engine == BUNDLED_DESCRIBER)


def _check_unused(engine: str, given: Mapping[str, str]) -> None:
    """Raises: ConfigError for a network that would not be looked at."""
    if given:
        raise ConfigError(f"{engine} has no {' and no '.join(given)}; --engine names what these belong to.")


def _say(found: Description, *, is_bundled: bool) -> None:
    say(found.caption)
    for name, chance in found.categories:
        say(f"{100 * chance:5.1f} %  {name}")
    if is_bundled and not found.is_sure:
        say(f"It is not sure of these: {KNOWN_THINGS}")
    say(f"match of '{found.text}': {found.match:.2f}")
