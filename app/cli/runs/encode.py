"""Photos of a subject become its subject card."""

from dataclasses import replace
from pathlib import Path

from app.cli.runs.drawing import opened
from app.cli.runs.files import read_reference
from app.cli.terminal import say, say_json, warn
from app.outputs import check_file, check_writable
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.errors import OutputError, SubjectError
from blipdiff.filenames import short_name
from blipdiff.outputs import write_new
from pipelines.inputs import CARD_SUFFIX, Input


def encode(
    photos: list[Path],
    category: str,
    weight: list[float] | None,
    output: Path | None,
    fit: str,
    cut_out: list[Path] | None,
    no_photo: bool,
    model: str,
    device: str,
    dtype: str,
    download: bool,
    as_json: bool,
) -> None:
    """Runs the command."""
    if cut_out and len(cut_out) != len(photos):
        raise SubjectError(f"{len(photos)} photos were given with {len(cut_out)} cut-outs; give one each.")
    if cut_out:
        references = [_outlined(path, mask, category) for path, mask in zip(photos, cut_out, strict=True)]
    else:
        references = [read_reference(path, category) for path in photos]
    if output is not None and output.suffix.lower() != CARD_SUFFIX:
        raise OutputError(f"A subject card is known by its ending {CARD_SUFFIX}; {output.name} has another one.")
    if output is None:
        check_writable(Path())
    else:
        check_file(output)
    studio = opened(model, device=device, dtype=dtype, download=download, quiet=as_json)
    notices: list[str] = []
    if no_photo:
        subject = replace(studio.subject(references, weights=weight, fit=fit), cut_out=None)
    else:
        subject, notices = studio.card(references, weights=weight, fit=fit)
    name = short_name(category or references[0].category)
    card = write_new(Path(), name, CARD_SUFFIX, subject.save) if output is None else subject.save(output)
    if as_json:
        told = {"card": str(card), "category": subject.category, "model": subject.fingerprint}
        say_json(told | {"photo": subject.cut_out is not None, "notices": notices})
        return
    for text in notices:
        warn(text)
    say(card)


def _outlined(photo: Path, mask: Path, category: str) -> SubjectPhoto | SubjectEmbedding:
    """A photo whose subject is where a mask says. Raises: as `Input.opened`."""
    return Input(photo, category, cut_out_mask=Input(mask)).opened("subject").reference
