"""A studio on a tiny model, and what tests ask of it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import nn

from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.models.blip_diffusion import BlipDiffusion
from pipelines.generate.request import GenerateRequest
from pipelines.job import Job
from pipelines.job import run as run_job
from pipelines.pictures import Picture
from pipelines.studio import Studio
from pipelines.task import Event, Result
from tests.support.tiny_models import photo


def dog(seed: int = 0) -> SubjectPhoto:
    return SubjectPhoto(photo(seed), "dog")


def asked(**changes: Any) -> GenerateRequest:
    return GenerateRequest(**{"category": "dog", "prompt": "on a beach", "count": 1, "steps": 3} | changes)


def job(**changes: Any) -> Job:
    return Job.of(asked(**changes), subject=dog())


def run(studio: Studio, **changes: Any) -> Iterator[Event]:
    preview_every = changes.pop("preview_every", 0)
    return run_job(studio, job(**changes), preview_every=preview_every)


def events_of_job(studio: Studio, one: Job) -> Iterator[Event]:
    return run_job(studio, one)


def pictures(events: Iterable[Event]) -> list[Picture]:
    return [event.picture for event in events if isinstance(event, Result)]


def pixels(picture: Picture) -> np.ndarray:
    return np.asarray(picture.image).astype(int)


def drawn(studio: Studio, **changes: Any) -> list[np.ndarray]:
    return [pixels(picture) for picture in pictures(run(studio, **changes))]


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
    return pictures(run(studio, **changes))[place]
