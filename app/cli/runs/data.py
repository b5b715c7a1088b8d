"""A folder of photos becomes shards to train on."""

from pathlib import Path
from typing import Any

from tqdm import tqdm

from app.cli.terminal import say
from app.outputs import check_writable
from blipdiff.checkpoints.describer import load_describer
from blipdiff.checkpoints.detect import folder_of
from blipdiff.cut_out import closed_form_matte
from blipdiff.data.folders import photo_folder
from blipdiff.data.matting import load_segmenter
from blipdiff.devices import placement
from blipdiff.errors import listed
from blipdiff.language.captioners import DescriberCaptions, load_captioner, load_matcher
from pipelines.prepare_data import PrepareRequest, Tools, prepare_photos


def prepare(
    photos: Path, output: Path, segmenter: str, captioner: str, matcher: str, device: str, download: bool, **asked: Any
) -> None:
    """Runs the command."""
    request = PrepareRequest(**asked)
    total = len(photo_folder(photos).photos)
    check_writable(output)
    place = placement(device).device
    if request.captions and captioner == "mini-describe":
        both = DescriberCaptions(load_describer(device=place))
        speaking, matching = both, both
    elif request.captions:
        speaking = load_captioner(folder_of(captioner, download=download), place)  # type: ignore[assignment]
        matching = load_matcher(folder_of(matcher, download=download), place)  # type: ignore[assignment]
    else:
        speaking = matching = None  # type: ignore[assignment]
    tools = Tools(load_segmenter(folder_of(segmenter, download=download), place), closed_form_matte, speaking, matching)
    with tqdm(total=total, unit=" photos", leave=False) as bar:
        for state in prepare_photos(photos, output, tools, request):
            bar.update(state.done - bar.n)
    for one in state.skipped:
        say(f"left out {one.photo}: {one.reason}")
    if state.others:
        say(f"left out {len(state.others)} files that are no photos: {listed([one.photo for one in state.others])}")
    say(
        f"{state.samples} samples with {state.captions} captions, {len(state.skipped)} photos left out: "
        f"{output / 'report.html'}"
    )
