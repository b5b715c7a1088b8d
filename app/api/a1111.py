"""The interface of A1111's web UI, as far as programs that were made for it use it to draw.

A subject is named in the prompt, <subject:NAME>, or given as "subject" and "category", at the top or in
alwayson_scripts.blipdiff.args; in img2img the first picture is the subject, or with a mask the one to edit.
"""

import base64
import json
import re
import time
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from app.api.callers import Caller, Drawer, Reader
from app.api.problems import Refused, parsed
from app.api.reading import decoded
from app.api.wishes import Wish, done, result_files, submitted, whole
from app.jobs.tickets import Ticket
from blipdiff.ranges import LARGEST_SEED, SCHEDULER_NAMES

_SOURCE = "a1111"
_MOST = 64

router = APIRouter(prefix="/sdapi/v1", tags=["a1111"])


@router.post("/txt2img")
async def txt2img(request: Request, caller: Drawer) -> dict[str, Any]:
    """Pictures of a subject."""
    return await _drawn(request, caller, parsed(await request.body()), [], None)


@router.post("/img2img")
async def img2img(request: Request, caller: Drawer) -> dict[str, Any]:
    """Pictures of the subject that the first picture shows; with a mask, that picture edited."""
    told = parsed(await request.body())
    pictures = told.get("init_images")
    if not isinstance(pictures, list) or not pictures:
        raise Refused(404, "Init image not found", "init_images")
    mask = None if told.get("mask") in (None, "") else decoded(told["mask"])
    return await _drawn(request, caller, told, [decoded(one) for one in pictures], mask)


@router.get("/progress")
def progress(caller: Reader) -> dict[str, Any]:
    """How far the caller's picture is."""
    found = next(iter(_drawing(caller)), None)
    state: dict[str, Any] = {"skipped": False, "interrupted": False, "job": "", "job_count": 0, "job_no": 0}
    if found is None:
        return {"progress": 0.0, "eta_relative": 0.0, "state": state, "current_image": None, "textinfo": None}
    event = caller.workshop.broadcast.running(found.id)
    step, steps = (found.step, found.steps) if event is None else (event.step, event.steps)
    preview = None if event is None or not event.previews else next(iter(event.previews.values()))
    state |= {"interrupted": found.is_stopping, "job": found.id, "job_count": 1, "sampling_step": step}
    return {
        "progress": step / steps if steps else 0.0,
        "eta_relative": (event.seconds_left if event is not None else None) or 0.0,
        "state": state | {"sampling_steps": steps},
        "current_image": None if preview is None else base64.b64encode(preview).decode(),
        "textinfo": None,
    }


@router.post("/interrupt")
@router.post("/skip")
def interrupt(caller: Drawer) -> dict[str, Any]:
    """Stops the caller's picture."""
    for ticket in _drawing(caller):
        caller.workshop.cancel(ticket.id)
    return {}


@router.get("/sd-models")
def models(caller: Reader) -> list[dict[str, Any]]:
    """The models that may be asked for."""
    return [
        {"title": name, "model_name": name, "hash": None, "sha256": None, "filename": name, "config": None}
        for name in caller.workshop.models.names
    ]


@router.get("/samplers")
def samplers(_caller: Reader) -> list[dict[str, Any]]:
    """The sampling methods."""
    return [{"name": name, "aliases": [], "options": {}} for name in SCHEDULER_NAMES]


@router.get("/options")
def options(caller: Reader) -> dict[str, Any]:
    """The model that draws where nothing else is said."""
    return {"sd_model_checkpoint": caller.workshop.models.names[0]}


@router.post("/options")
def set_options(_caller: Drawer) -> dict[str, Any]:
    """Nothing is changed for others: a request says itself what it wants (override_settings)."""
    return {}


@router.get("/scripts")
def scripts(_caller: Reader) -> dict[str, Any]:
    """What alwayson_scripts may hold."""
    return {"txt2img": ["blipdiff"], "img2img": ["blipdiff"]}


async def _drawn(
    request: Request, caller: Caller, told: dict[str, Any], pictures: list[bytes], mask: bytes | None
) -> dict[str, Any]:
    wish = _wish(caller, told, pictures, mask)
    ticket = await run_in_threadpool(submitted, caller, wish, _SOURCE)
    ticket = await done(request, caller, ticket, stopped=True)
    files = await run_in_threadpool(result_files, caller, ticket)
    info = await run_in_threadpool(_info, caller, ticket, told)
    sent = {name: value for name, value in told.items() if name not in ("init_images", "mask", "subject")}
    return {
        "images": [base64.b64encode(content).decode() for content in files],
        "parameters": sent,
        "info": json.dumps(info),
    }


def _wish(caller: Caller, told: dict[str, Any], pictures: list[bytes], mask: bytes | None) -> Wish:
    batch = whole(told.get("batch_size"), "batch_size", 1, 1, _MOST)
    seed = whole(told.get("seed"), "seed", -1, -1, LARGEST_SEED)
    values: dict[str, Any] = {
        "negative": told.get("negative_prompt"),
        "count": batch * whole(told.get("n_iter"), "n_iter", 1, 1, _MOST),
        "batch": batch,
        "seed": None if seed < 0 else seed,
        "steps": told.get("steps"),
        "guidance": told.get("cfg_scale"),
        "width": told.get("width"),
        "height": told.get("height"),
        "scheduler": _sampler(told.get("sampler_name") or told.get("sampler_index")),
    }
    if mask is not None:
        values = {name: values[name] for name in ("negative", "seed", "steps", "guidance")}
        values |= {"strength": told.get("denoising_strength"), "count": 1}
    values = {name: value for name, value in values.items() if value is not None}
    return Wish(str(told.get("prompt") or ""), values, _fields(caller, told), pictures, mask)


def _fields(caller: Caller, told: dict[str, Any]) -> dict[str, Any]:
    """Our own fields, wherever they stand. Raises: Refused for a model that there is not."""
    ours = ("subject", "category", "target", "task", "request", "from", "to", "fit")
    found = {name: told[name] for name in ours if name in told}
    scripts = told.get("alwayson_scripts")
    ran = scripts.get("blipdiff") if isinstance(scripts, dict) else None
    args = ran.get("args") if isinstance(ran, dict) else None
    for one in args if isinstance(args, list) else ():
        found |= one if isinstance(one, dict) else {}
    settings = told.get("override_settings")
    model = settings.get("sd_model_checkpoint") if isinstance(settings, dict) else None
    if model not in (None, "", *caller.workshop.models.names):
        raise Refused(404, f"The model {model!r:.80} does not exist.", "override_settings")
    return found | {"model": model or ""}


def _sampler(name: Any) -> str | None:
    """Our name of a sampling method, however it is written. Raises: Refused for one that there is not."""
    if name in (None, "", "Automatic"):
        return None
    known = {one.replace("-", ""): one for one in SCHEDULER_NAMES}
    found = known.get(re.sub(r"[\s_-]", "", str(name).lower()))  # "DPM++ 2M Karras"
    if found is None:
        raise Refused(404, f"Sampler not found: {str(name)[:40]}; there are: {', '.join(SCHEDULER_NAMES)}")
    return found


def _drawing(caller: Caller) -> list[Ticket]:
    found = caller.workshop.queue.tickets(owner=caller.holder.name, states=("drawing",), source=_SOURCE)
    return [one for one in found if one.client == caller.client]


def _info(caller: Caller, ticket: Ticket, told: dict[str, Any]) -> dict[str, Any]:
    """What A1111's programs read of the pictures."""
    entries = [caller.workshop.history.entry(name) for name in caller.workshop.results(ticket)]
    request = caller.workshop.queue.job(ticket.id).request
    seeds = [one.seed for one in entries]
    return {
        "prompt": told.get("prompt", ""),
        "negative_prompt": told.get("negative_prompt", ""),
        "all_prompts": [told.get("prompt", "")] * len(entries),
        "seed": seeds[0] if seeds else -1,
        "all_seeds": seeds,
        "width": entries[0].width if entries else 0,
        "height": entries[0].height if entries else 0,
        "steps": getattr(request, "steps", 0) or 0,
        "cfg_scale": getattr(request, "guidance", None),
        "sampler_name": getattr(request, "scheduler", "") or "",
        "sd_model_name": ticket.model,
        "job_timestamp": time.strftime("%Y%m%d%H%M%S", time.localtime(ticket.created)),
    }
