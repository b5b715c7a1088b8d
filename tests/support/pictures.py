"""Pictures with metadata, as if a model had drawn them."""

from typing import Any

import numpy as np
from PIL import Image

from pipelines.pictures import Picture

REQUEST = {
    "prompt": 'on a "table", at night',
    "negative": "blurry",
    "category": "dog",
    "steps": 20,
    "guidance": 7.5,
    "scheduler": "dpm++ 2m",
}


def job(request: dict[str, Any]) -> dict[str, Any]:
    return {"version": 1, "task": "generate", "request": request, "inputs": {}, "index": 1}


def picture(**changes: Any) -> Picture:
    noise = np.random.default_rng(0).integers(0, 255, (16, 24, 3), dtype=np.uint8)
    values: dict[str, Any] = {
        "image": Image.fromarray(noise),
        "seed": 7,
        "job": job(REQUEST),
        "model": {"name": "mini", "fingerprint": "0123456789abcdef"},
    }
    return Picture(**values | changes)
