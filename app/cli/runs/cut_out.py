"""A photo's subject is written without its ground."""

from pathlib import Path

from app.cli.terminal import say, say_json, warn
from blipdiff.checkpoints.detect import folder_of
from blipdiff.cut_out import Segment, cut_out
from blipdiff.devices import placement
from blipdiff.errors import OutputError, PromptError
from blipdiff.filenames import short_name
from blipdiff.images import open_layers
from blipdiff.outputs import write_new, written_file


def cut_out_photo(
    photo: Path,
    output: Path | None,
    category: str,
    segmenter: str | None,
    device: str,
    download: bool,
    as_json: bool,
) -> None:
    """Runs the command."""
    if output is not None and output.suffix.lower() != ".png":
        raise OutputError(f"A cut-out is written as .png, which keeps transparency; {output.name} has another ending.")
    picture = open_layers(photo)
    found = cut_out(picture, segment=_segment(segmenter, category, device, download=download))

    def write(part: Path) -> None:
        found.image.save(part, format="PNG")

    if output is None:
        written = write_new(Path(), f"{short_name(photo.stem)}-cut-out", ".png", write)
    else:
        written = output
        with written_file(output) as part:
            write(part)
    if as_json:
        say_json({"cut_out": str(written), "way": found.way, "sure": found.sure, "size": list(found.image.size)})
        return
    if found.note is not None:
        warn(found.note)
    say(written)


def _segment(name: str | None, category: str, device: str, *, download: bool) -> Segment | None:
    if name is None:
        return None
    if not category.strip():
        raise PromptError("Say what the segmenter shall look for with --category: dog, teapot, jacket.")
    from blipdiff.data.matting import load_segmenter

    loaded = load_segmenter(folder_of(name, download=download), placement(device).device)
    return lambda rgb: loaded.chances(rgb, category)
