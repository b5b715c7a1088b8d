"""Stylize: a subject's look in the structure of other pictures. Pictures become maps, a request becomes a plan."""

import base64
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

from diffusers import T2IAdapter
from PIL import Image
from torch import Tensor

from blipdiff.attention.injection import Injection
from blipdiff.checkpoints.controls import load_control
from blipdiff.conditioning.guidance import Conditioning
from blipdiff.conditioning.prompt import amplify, build_prompt
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.control.adapter import AdapterBranch
from blipdiff.control.controlnet import ControlBranch
from blipdiff.control.preprocessors import Preprocessors
from blipdiff.diffusers_types import Adapter, ControlNet
from blipdiff.errors import ConfigError, ImageError
from blipdiff.given_pictures import PictureLike
from blipdiff.images import as_rgb, fitted, picture_from, picture_tensor
from blipdiff.latents import latent_size, size_factor
from blipdiff.models.blip_diffusion import BlipDiffusion
from pipelines.generate import EncodedRequest, at_own_guidance, encode, plan_generate
from pipelines.nets import found_control, told_control, untold_nets
from pipelines.plan import SamplingPlan
from pipelines.requests import GenerateRequest
from pipelines.sizes import check_size
from pipelines.studio import Event, Notice, Progress, Studio, subject_from, subject_text
from pipelines.stylize_request import ControlSettings, StylizeRequest, check_told, told_request

Branch: TypeAlias = ControlBranch | AdapterBranch

_WIDEST = 4.0  # sides of a structure picture against each other; beyond, it is cut
_MOST_MAP_LETTERS = 300_000  # of maps in a picture's metadata, which has room for a million


@dataclass(frozen=True, slots=True, eq=False)
class EncodedStyle:
    """A stylization whose words, subject and maps are ready: what all its pictures share."""

    request: StylizeRequest
    encoded: EncodedRequest
    words: Conditioning | None  # one row without the subject, where the subject is not everywhere
    branches: tuple[Branch, ...]
    maps: tuple[Image.Image, ...]


def structure_size(model: BlipDiffusion, drawing: GenerateRequest, structure: PictureLike) -> tuple[int, int]:
    """(width, height): as asked for; else in the structure's aspect, about as large as the model was trained at."""
    factor = size_factor(model.vae)
    own = int(model.unet.config.sample_size) * factor
    upright = as_rgb(structure)
    aspect = min(max(upright.width / upright.height, 1 / _WIDEST), _WIDEST)
    width, height = drawing.width, drawing.height
    if width is None and height is None:
        width, height = _rounded(own * math.sqrt(aspect), factor), _rounded(own / math.sqrt(aspect), factor)
    elif height is None and width is not None:
        height = _rounded(width / aspect, factor)
    elif width is None and height is not None:
        width = _rounded(height * aspect, factor)
    assert width is not None and height is not None
    return check_size(model, (width, height))


def map_of(
    preprocessors: Preprocessors, settings: ControlSettings, structure: PictureLike, size: tuple[int, int]
) -> Image.Image:
    """The map of a structure picture at `size` = (W, H): cut, laid on black, or stretched, then preprocessed.

    A picture is fitted before its map is made, so that edges stay thin; a margin is added after, so that it has none.
    """
    rgb = as_rgb(structure)
    if settings.structure_fit != "pad":
        return preprocessors.map_of(_resized(rgb, size, settings.structure_fit, settings), settings.map_choice())
    scale = min(size[0] / rgb.width, size[1] / rgb.height)
    inner = (max(1, min(size[0], round(rgb.width * scale))), max(1, min(size[1], round(rgb.height * scale))))
    drawn = preprocessors.map_of(_resized(rgb, inner, "squash", settings), settings.map_choice())
    frame = Image.new("RGB", size)
    frame.paste(drawn, ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    return frame


def _resized(rgb: Image.Image, size: tuple[int, int], fit: str, settings: ControlSettings) -> Image.Image:
    return fitted(rgb, size, fit, settings.structure_resample)  # type: ignore[arg-type]


def plan_stylize(model: BlipDiffusion, style: EncodedStyle, seeds: Sequence[int]) -> SamplingPlan:
    """One row for each seed, every branch checked against the model.

    Raises: ShapeError for a control of another model or size, ConfigError as `plan_generate`.
    """
    plan = plan_generate(model, style.encoded, seeds)
    for branch in style.branches:
        branch.check_unet(model.unet)
        branch.check(plan.latents, plan.guidance.positive.embeddings)
    request, injection = style.request, None
    if style.words is not None:
        rows = style.words.repeat(len(seeds)).embeddings
        injection = Injection(rows, request.subject_strength, request.subject_window(), request.blocks)
    return replace(plan, controls=style.branches, conditioning=injection)


def check_structures(controls: Sequence[ControlSettings], structures: Sequence[PictureLike]) -> None:
    """Passes for one structure, or as many as controls. Raises: ConfigError for another number."""
    if len(structures) not in (1, len(controls)):
        raise ConfigError(
            f"{len(structures)} structures were given for {len(controls)} controls; give one, or one each."
        )


def branch_of(net: ControlNet | Adapter, picture: Tensor, settings: ControlSettings) -> Branch:
    """A net with its map (1 or rows, 3, H, W), as the settings say."""
    asked = (picture, settings.strength, settings.window(), settings.guess)
    return AdapterBranch.of(net, *asked) if isinstance(net, T2IAdapter) else ControlBranch(net, *asked)


class Stylist:
    """A studio with the ControlNets and detectors that it has used; each is loaded once.

    folders: where nets are looked for that metadata name
    """

    def __init__(self, studio: Studio, *, download: bool = False, folders: Sequence[Path] = ()) -> None:
        self.studio = studio
        self._folders = tuple(folders)
        self.preprocessors = Preprocessors(download=download, device=str(studio.model.device))
        self._download = download
        self._nets: dict[str, ControlNet | Adapter] = {}
        self._loading = Lock()

    def net(self, name: str) -> ControlNet | Adapter:
        """The ControlNet or T2I-Adapter of this name, folder or hub id, on the model's device and in its dtype.

        Raises: CheckpointError when there is none.
        """
        with self._loading:
            if name not in self._nets:
                unet = self.studio.model.unet
                loaded = load_control(name, dtype=unet.dtype, device=unet.device, download=self._download)
                self._nets[name] = loaded.eval().requires_grad_(False)
            return self._nets[name]

    def maps(self, request: StylizeRequest, structures: Sequence[PictureLike]) -> tuple[Image.Image, ...]:
        """The map of each control at the size of the pictures to make; `structures` is one for all, or one each.

        Raises: ConfigError for another number of structures or a size that the model cannot make, and what
        preprocessors raise.
        """
        check_structures(request.controls, structures)
        size = structure_size(self.studio.model, request.drawing, structures[0])
        latent_size(self.studio.model.vae, size[1], size[0])
        return self.maps_at(request.controls, structures, size)

    def maps_at(
        self, controls: Sequence[ControlSettings], structures: Sequence[PictureLike], size: tuple[int, int]
    ) -> tuple[Image.Image, ...]:
        """The map of each control at `size` = (W, H); `structures` is one for all, or one each.

        Raises: ConfigError for another number of structures, and what preprocessors raise.
        """
        check_structures(controls, structures)
        pictures = list(structures) * (len(controls) if len(structures) == 1 else 1)
        return tuple(
            map_of(self.preprocessors, settings, picture, size)
            for settings, picture in zip(controls, pictures, strict=True)
        )

    def branches(self, controls: Sequence[ControlSettings], maps: Sequence[Image.Image]) -> tuple[Branch, ...]:
        """A branch of each control on its map. Raises: CheckpointError when a net is missing, or is nowhere found."""
        device = self.studio.model.device
        known = (*self._folders, *(Path(name) for name in self._nets))
        return tuple(
            branch_of(self.net(found_control(one, known)), picture_tensor(drawn)[None].to(device), one)
            for one, drawn in zip(controls, maps, strict=True)
        )

    def encoded(self, request: StylizeRequest, subject: SubjectEmbedding, maps: Sequence[Image.Image]) -> EncodedStyle:
        """The request with its subject and the maps of its controls, checked against the model.

        Raises: BlipdiffError for whatever the model cannot do, before anything is drawn.
        """
        model = self.studio.model
        width, height = maps[0].size
        drawing = at_own_guidance(model, replace(request.drawing, width=width, height=height))
        words = None
        if request.mixes_subject:
            text = build_prompt(drawing.target or drawing.category, drawing.prompt)
            plain = amplify(text, model.prompt_tokenizer, model.positions, drawing.repeats)
            words = model.encode_prompts([plain.text])
        branches = self.branches(request.controls, maps)
        request = replace(request, drawing=drawing)
        style = EncodedStyle(request, encode(model, drawing, subject), words, branches, tuple(maps))
        plan_stylize(model, style, [drawing.seed])
        return style

    def run(
        self, request: StylizeRequest, subject: SubjectEmbedding, maps: Sequence[Image.Image], *, preview_every: int = 0
    ) -> Iterator[Event]:
        """The request's notices, its progress, and its pictures as they are finished; closing stops it.

        maps: of each control, from `maps`

        Raises: BlipdiffError for whatever the model cannot do, before anything is drawn.
        """
        style = self.encoded(request, subject, maps)
        yield from (Notice(text) for text in style.encoded.warnings)
        told = self.told(request, subject, maps)
        batches, done = _batches(style.request.drawing), 0
        plans = ((plan_stylize(self.studio.model, style, batch), 1) for batch in batches)
        yield from self.studio.size_notices(maps[0].size, plans)
        for batch in batches:
            for event in self.studio.draw(
                plan_stylize(self.studio.model, style, batch), batch, preview_every=preview_every
            ):
                if isinstance(event, Progress):
                    done += 1
                    yield replace(event, step=done, steps=event.steps * len(batches))
                else:
                    seed = batch[event[1]]
                    yield self.studio.picture(event[0], seed, seed - request.drawing.seed, told)

    def told(self, request: StylizeRequest, subject: SubjectEmbedding, maps: Sequence[Image.Image]) -> dict[str, Any]:
        """What a picture's metadata say of what it was asked for."""
        width, height = maps[0].size
        drawing = at_own_guidance(self.studio.model, replace(request.drawing, width=width, height=height))
        sized = replace(request, drawing=drawing, controls=tuple(told_control(one) for one in request.controls))
        return {**sized.told(), "subject": subject_text(subject), **told_maps(maps)}

    def repeat(self, metadata: Mapping[str, Any]) -> Iterator[Event]:
        """The picture that this metadata came with, drawn again in the company of its batch.

        Raises: ConfigError when another model made it, or it lacks its subject or its maps.
        """
        yield from self.studio.check_maker(metadata)
        values = dict(metadata["request"])
        check_told(values)
        category = str(values.get("category", ""))
        subject = subject_from(values.pop("subject", None), category, self.studio.model.subject_fingerprint)
        maps = maps_from(values.pop("maps", None))
        request = told_request(values)
        if len(maps) != len(request.controls):
            raise ConfigError("The metadata lacks a map of the picture's structure; stylize from the structure again.")
        batch = next((one for one in _batches(request.drawing) if metadata["seed"] in one), None)
        if batch is None:
            raise ConfigError(f"The metadata is damaged: seed {metadata['seed']} is not among the request's.")
        company = replace(request, drawing=replace(request.drawing, seed=batch[0], count=len(batch)))
        yield from untold_nets(request.controls)
        for event in self.run(company, subject, maps):
            if isinstance(event, Progress | Notice):
                yield event
            elif event.seed == metadata["seed"]:
                yield replace(event, request=metadata["request"], index=metadata["index"])


def _rounded(side: float, factor: int) -> int:
    return max(factor, round(side / factor) * factor)


def _batches(drawing: GenerateRequest) -> list[tuple[int, ...]]:
    seeds = drawing.seeds()
    return [seeds[first : first + drawing.batch] for first in range(0, len(seeds), drawing.batch)]


def told_maps(maps: Sequence[Image.Image]) -> dict[str, Any]:
    """Maps as text, so that a picture can be repeated without its structures; nothing where they are too large."""
    texts = []
    for drawn in maps:
        file = io.BytesIO()
        drawn.save(file, format="PNG", optimize=True)
        texts.append(base64.b64encode(file.getvalue()).decode())
    return {"maps": texts} if sum(map(len, texts)) <= _MOST_MAP_LETTERS else {}


def maps_from(texts: Any) -> tuple[Image.Image, ...]:
    """What `told_maps` wrote. Raises: ConfigError for text that is damaged."""
    try:
        return tuple(picture_from(base64.b64decode(text, validate=True), "a map") for text in texts or ())
    except (ValueError, TypeError, ImageError) as error:
        raise ConfigError("The maps in the metadata are damaged; the picture cannot be repeated.") from error
