"""A folder of photos becomes shards to train on."""

from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from app.cli.runs.cluster import absolute, handing
from app.cli.terminal import say
from app.outputs import check_writable
from blipdiff.checkpoints.describer import BUNDLED_DESCRIBER, load_describer
from blipdiff.checkpoints.detect import folder_of
from blipdiff.cut_out import closed_form_matte
from blipdiff.data.folders import photo_folder
from blipdiff.data.matting import load_segmenter
from blipdiff.devices import Placement, placement
from blipdiff.errors import listed
from blipdiff.language.captioners import Captioner, DescriberCaptions, Matcher
from blipdiff.language.describing import captioner_in, matcher_in
from pipelines.prepare_data import PrepareRequest, Tools, prepare_photos


def prepare(
    photos: Path,
    output: Path,
    segmenter: str,
    captioner: str,
    matcher: str,
    device: str,
    download: bool,
    ray: str | None,
    workers: str | None,
    **asked: Any,
) -> None:
    """Runs the command."""
    request = PrepareRequest(**asked)
    total = len(photo_folder(photos).photos)
    check_writable(output)
    make = partial(
        _tools, absolute(segmenter), (absolute(captioner), absolute(matcher)), request.captions, device, download
    )
    with handing(ray, workers, make, device=device) as hand_out, tqdm(total=total, unit=" photos", leave=False) as bar:
        tools = make() if hand_out is None else hand_out
        for state in prepare_photos(photos.absolute(), output.absolute(), tools, request):
            bar.update(state.done - bar.n)
    for one in state.skipped:
        say(f"left out {one.photo}: {one.reason}")
    if state.others:
        say(f"left out {len(state.others)} files that are no photos: {listed([one.photo for one in state.others])}")
    say(
        f"{state.samples} samples with {state.captions} captions, {len(state.skipped)} photos left out: "
        f"{output / 'report.html'}"
    )


def _tools(segmenter: str, speaking: tuple[str, str], captions: int, device: str, download: bool) -> Tools:
    """The networks, where they run; captioner and matcher where captions are asked for."""
    place = placement(device)
    both = (None, None) if not captions else _speaking(*speaking, place, download=download)
    return Tools(load_segmenter(folder_of(segmenter, download=download), place.device), closed_form_matte, *both)


def _speaking(captioner: str, matcher: str, place: Placement, *, download: bool) -> tuple[Captioner, Matcher]:
    """The captioner and the matcher; one network serves as both where both names are its own."""
    if captioner == BUNDLED_DESCRIBER:
        both = DescriberCaptions(load_describer(device=place.device))
        return both, both
    speaking: Any = captioner_in(folder_of(captioner, download=download), place)
    if matcher == captioner and hasattr(speaking, "matches"):
        return speaking, speaking
    return speaking, matcher_in(folder_of(matcher, download=download), place)
