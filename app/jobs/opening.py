"""What opens the models of a workshop: with what is on all of them, and with what a job or a model's name asks for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.jobs.own_files import AND, CHECKPOINT, VAE, OwnFiles
from app.libraries import load_libraries
from pipelines.added import LORA, Added

if TYPE_CHECKING:  # which load torch
    from blipdiff.checkpoints.additions import Additions
    from pipelines.studio import Studio


def opener(
    *,
    dtype: str = "auto",
    engine: str = "auto",
    converted: Path | None = None,
    download: bool = False,
    additions: "Additions | None" = None,
    files: OwnFiles | None = None,
) -> "Callable[..., Studio]":
    """What opens a model by its name on a device, with LoRAs and embeddings on it.

    engine: that computes the networks; converted: where those are kept that OpenVINO computes;
    additions: that are on every model; files: among which a name finds another VAE or base: "mini + kl-f8.safetensors"
    """

    def opened(name: str, device: str, added: Sequence[Added] = ()) -> "Studio":
        load_libraries()
        from pipelines.studio import Studio

        found = None if files is None else files.parts(name)
        model, kinds = (name, {}) if found is None else (found[0], {found[1].kind: str(found[1].place)})
        whole = _together(additions, added, kinds)
        studio = Studio.open(
            model,
            device=device,
            dtype=dtype,
            download=download,
            additions=whole,
            engine=engine,
            converted=converted,
        )
        if found is not None:
            studio.model = replace(studio.model, name=f"{studio.model.name}{AND}{found[1].name}")  # no place in it
        return studio

    return opened


def _together(own: "Additions | None", added: Sequence[Added], kinds: Mapping[str, str]) -> "Additions | None":
    """What goes on every model, with what a job and a model's name ask for besides."""
    if not added and not kinds:
        return own
    load_libraries()
    from blipdiff.checkpoints.additions import Additions
    from blipdiff.checkpoints.base_swap import Base
    from blipdiff.checkpoints.embeddings import Embedding
    from blipdiff.checkpoints.lora import Lora

    own = own or Additions()
    loras = [Lora(str(one.place), one.weight or 0.0) for one in added if one.kind == LORA]
    words = [Embedding(str(one.place), one.name) for one in added if one.kind != LORA]
    had = {*(_resolved(one.source) for one in own.loras), *(_resolved(one.source) for one in own.embeddings)}
    own = replace(own, loras=(*own.loras, *(one for one in loras if _resolved(one.source) not in had)))
    own = replace(own, embeddings=(*own.embeddings, *(one for one in words if _resolved(one.source) not in had)))
    if CHECKPOINT in kinds:
        own = replace(own, base=Base(kinds[CHECKPOINT], None if own.base is None else own.base.original))
    return replace(own, vae=kinds.get(VAE, own.vae))


def _resolved(source: Any) -> Any:
    return Path(source).resolve() if isinstance(source, str) else id(source)


def shortages(*, dtype: str = "auto") -> Callable[[str, str], str | None]:
    """What says of a model that it will hardly fit into a device's free memory."""

    def told(name: str, device: str) -> str | None:
        load_libraries()
        from blipdiff.checkpoints.inventory import shortage
        from blipdiff.devices import placement

        return shortage(name, placement(device, dtype))

    return told
