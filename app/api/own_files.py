"""/api/v1/files: the LoRAs, embeddings, VAEs, ControlNets and checkpoints that jobs may be drawn with."""

from typing import Any

from fastapi import APIRouter

from app.api.callers import Reader
from app.api.views import API

router = APIRouter(prefix=f"{API}/files", tags=["files"])


@router.get("")
def listed(caller: Reader) -> dict[str, Any]:
    """Each with its kind, its size, and its words; "name" is what jobs call it by."""
    return {
        "files": [
            {"kind": one.kind, "name": one.called, "file": one.name, "bytes": one.size, "words": list(one.words)}
            for one in caller.workshop.files.all()
        ]
    }
