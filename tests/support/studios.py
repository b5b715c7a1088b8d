"""A studio on a tiny model, and what tests ask of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import nn

from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.models.blip_diffusion import BlipDiffusion
from pipelines.requests import GenerateRequest
from pipelines.results import Picture
from pipelines.studio import Studio
from tests.support.tiny_models import photo


def dog(seed: int = 0) -> SubjectPhoto:
    return SubjectPhoto(photo(seed), "dog")


def asked(**changes: Any) -> GenerateRequest:
    return GenerateRequest(**{"category": "dog", "prompt": "on a beach", "count": 1, "steps": 3} | changes)


def run(studio: Studio, **changes: Any) -> Iterator[Any]:
    preview_every = changes.pop("preview_every", 0)
    return studio.run(asked(**changes), studio.subject([dog()]), preview_every=preview_every)


def pixels(picture: Picture) -> np.ndarray:
    return np.asarray(picture.image).astype(int)


def drawn(studio: Studio, **changes: Any) -> list[np.ndarray]:
    return [pixels(event) for event in run(studio, **changes) if isinstance(event, Picture)]


@contextmanager
def counted(net: nn.Module) -> Iterator[list[int]]:
    """The rows of each call of a network."""
    calls: list[int] = []
    hook = net.register_forward_pre_hook(lambda _net, inputs: calls.append(len(inputs[0])))
    try:
        yield calls
    finally:
        hook.remove()


def state(model: BlipDiffusion) -> dict[str, Any]:
    """What a run must leave as it was: the tensors themselves and their values, attention processors, modes, hooks."""
    nets = {"encoder": model.subject_encoder, "text": model.text_encoder, "unet": model.unet, "vae": model.vae}
    found: dict[str, Any] = {}
    for name, net in nets.items():
        for key, weight in net.state_dict(keep_vars=True).items():
            found[f"{name}.{key}"] = (id(weight), weight.data_ptr(), weight.dtype, weight.double().sum().item())
        for key, module in net.named_modules():
            found[f"{name}.{key}()"] = (module.training, len(module._forward_hooks), len(module._forward_pre_hooks))
    processors = {name: id(processor) for name, processor in model.unet.attn_processors.items()}
    return found | processors | {"scheduler": dict(model.scheduler_config)}


def picture_of(studio: Studio, place: int = 0, **changes: Any) -> Picture:
    return [event for event in run(studio, **changes) if isinstance(event, Picture)][place]
