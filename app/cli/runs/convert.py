"""A checkpoint gets another layout or precision, or another base."""

from pathlib import Path

from app.cli.progress import waiting
from app.cli.terminal import say, warn
from blipdiff.checkpoints import convert
from blipdiff.checkpoints.base_swap import Base, Strengths
from blipdiff.checkpoints.merge import merge
from blipdiff.devices import DTYPES
from blipdiff.errors import ConfigError


def convert_checkpoint(
    source: str,
    target: Path,
    to: str,
    dtype: str,
    vocabulary: Path | None,
    configs_from: Path | None,
    base: str | None,
    download: bool,
) -> None:
    """Runs the command."""
    if to not in ("diffusers", "lavis"):
        raise ConfigError(f"The layout '{to}' is not known; choose diffusers or lavis.")
    if dtype != "stored" and dtype not in DTYPES:
        raise ConfigError(f"The dtype '{dtype}' is not known; choose {', '.join(DTYPES)}.")
    with waiting(f"Converting {source}", quiet=download):
        folder = convert(
            source,
            target,
            layout="lavis" if to == "lavis" else "diffusers",
            dtype=DTYPES.get(dtype),
            qformer_tokenizer=vocabulary,
            configs_from=configs_from,
            base=base,
            download=download,
        )
    say(folder)


def merge_checkpoint(
    base: str, target: Path, model: str, original: str | None, strength: list[str] | None, download: bool
) -> None:
    """Runs the command."""
    parents = Base(base, original, Strengths.of(strength or 1.0))
    with waiting(f"Merging {base}", quiet=download):
        note = merge(model, parents, target, download=download)
    for name in ("subject_model", "base"):
        warn(f"{note[name]['name']} came under this licence: {note[name]['licence']}.")
    say(target)
