"""A photo gets a caption, its likeliest categories, and how well a text fits."""

from dataclasses import asdict
from pathlib import Path

from app.cli.terminal import say, say_json
from blipdiff.checkpoints.describer import load_describer
from blipdiff.devices import placement
from blipdiff.images import open_picture
from blipdiff.ranges import KNOWN_THINGS
from pipelines.describe import DescribeRequest, describe


def describe_photo(
    photo: Path, text: str | None, count: int, fit: str, describer: str, device: str, as_json: bool
) -> None:
    """Runs the command."""
    request = DescribeRequest(text=text, count=count, fit=fit)
    picture = open_picture(photo)
    found = describe(load_describer(describer, device=placement(device).device), picture, request)
    if as_json:
        say_json(asdict(found) | {"categories": [list(one) for one in found.categories], "sure": found.is_sure})
        return
    say(found.caption)
    for name, chance in found.categories:
        say(f"{100 * chance:5.1f} %  {name}")
    if not found.is_sure:
        say(f"It is not sure of these: {KNOWN_THINGS}")
    say(f"match of '{found.text}': {found.match:.2f}")
