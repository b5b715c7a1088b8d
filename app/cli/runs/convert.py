"""A checkpoint gets another layout or precision."""

from pathlib import Path

from app.cli.progress import waiting
from app.cli.terminal import say
from blipdiff.checkpoints import convert
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
