"""What the hub listed of a model, kept beside its files: so that a later run knows what is missing without asking."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import huggingface_hub

from blipdiff.checkpoints.needed import ANY, Wanted
from blipdiff.errors import OutputError
from blipdiff.outputs import written_file

_FOLDER = "blipdiff_listings"  # in a model's folder of the hub's cache


def keep_listing(home: Path, commit: str, names: Sequence[str]) -> None:
    """Writes down what a commit holds; a cache that cannot be written keeps none."""
    if not commit.isalnum():  # it becomes a name of a file
        return
    with suppress(OSError, OutputError):
        (home / _FOLDER).mkdir(parents=True, exist_ok=True)
        with written_file(home / _FOLDER / f"{commit}.json") as part:
            part.write_text(json.dumps(sorted(names)), encoding="utf-8")


def kept_listing(home: Path, name: str, wanted: Wanted = ANY) -> list[str] | None:
    """The files of the commit that is in the cache; None where nobody has written down what it holds."""
    with suppress(OSError, ValueError):
        revision = wanted.revision or "main"
        ref = home / "refs" / revision
        commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else revision
        names = json.loads((home / _FOLDER / f"{commit}.json").read_text(encoding="utf-8"))
        if isinstance(names, list) and all(isinstance(one, str) for one in names):
            return names
    return _of_the_library(name, wanted)


def _of_the_library(name: str, wanted: Wanted) -> list[str] | None:
    """Newer versions of huggingface_hub keep listings too, also of what other programs have fetched."""
    ask = getattr(huggingface_hub, "get_cached_repo_tree", None)
    if ask is None:
        return None
    try:
        return [file.path for file in ask(name, revision=wanted.revision, cache_dir=wanted.cache_dir)]
    except huggingface_hub.errors.CachedRepoTreeNotFoundError:  # type: ignore[attr-defined, unused-ignore]
        return None
