"""The two programs that `against_peer.py` compares, each in a process and an environment of its own.

    python contenders.py ours|port FOLDER DTYPE

Reads one order a line, as JSON, and answers each with one line: {"do": "load"}, {"do": "step", "side": 512},
{"do": "picture", "side": 512, ...}, {"do": "memory"}. The port's Python has none of our packages: they are imported
where they are used.
"""

import json
import resource
import sys
import time
from typing import Any, Protocol

SLOTS, WIDTH = 77, 768


class Contender(Protocol):
    """Something that loads a model, computes one step and draws one picture."""

    def load(self) -> None:
        """Reads the checkpoint, ready to draw."""

    def step(self, side: int) -> None:
        """One guided call of the U-Net: two rows."""

    def picture(self, side: int, **settings: Any) -> str:
        """A picture from photo and words; what there is to say of it."""


class Ours:
    """This project, as its commands run it."""

    def __init__(self, folder: str, dtype: str, engine: str) -> None:
        from app.settings import take_large_pages

        take_large_pages()
        self.folder, self.dtype, self.engine = folder, dtype, engine
        self.studio: Any = None

    def load(self) -> None:
        """As `blipdiff generate` opens a model."""
        from app.settings import read_settings
        from pipelines.studio import Studio

        self.studio = Studio.open(
            self.folder, dtype=self.dtype, engine=self.engine, converted=read_settings().converted
        )

    def step(self, side: int) -> None:
        """The U-Net as the studio left it, by what stands in for it where something does."""
        from blipdiff.stand_ins import computed

        call(self.studio.model.unet, side, computed)

    def picture(self, side: int, **settings: Any) -> str:
        """One job of `generate`; settings are its request's."""
        from blipdiff.conditioning.subject import SubjectPhoto
        from pipelines.generate.request import GenerateRequest
        from pipelines.job import Job, run
        from pipelines.task import Progress

        request = GenerateRequest(
            category="dog", prompt="on a beach", count=1, seed=1, width=side, height=side, **settings
        )
        job = Job.of(request, subject=SubjectPhoto(photo(), "dog"))
        calls = sum(isinstance(event, Progress) for event in run(self.studio, job))
        return f"{calls} calls, {self.studio.engine.name}"


class Port:
    """diffusers' BlipDiffusionPipeline, as its documentation calls it."""

    def __init__(self, folder: str, dtype: str) -> None:
        import torch

        self.folder, self.dtype = folder, getattr(torch, dtype)
        self.pipe: Any = None

    def load(self) -> None:
        """Its own `from_pretrained`. It looks for bert-base-uncased in the folder that it is started in."""
        from diffusers.pipelines import BlipDiffusionPipeline

        self.pipe = BlipDiffusionPipeline.from_pretrained(self.folder, torch_dtype=self.dtype)
        self.pipe.set_progress_bar_config(disable=True)

    def step(self, side: int) -> None:
        """The U-Net as the pipeline left it."""
        call(self.pipe.unet, side)

    def picture(self, side: int, **settings: Any) -> str:
        """One call of the pipeline, by its own defaults but for steps and size."""
        import torch

        calls = []
        hook = self.pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
        self.pipe(
            ["on a beach"],
            photo(),
            ["dog"],
            ["dog"],
            num_inference_steps=settings["steps"],
            height=side,
            width=side,
            generator=torch.Generator().manual_seed(1),
            output_type="np",  # random weights draw what is no number, which PIL's pictures cannot hold
        )
        hook.remove()
        return f"{len(calls)} calls"


def call(unet: Any, side: int, stand_in: Any = None) -> None:
    """One guided call."""
    import torch

    width = int(unet.config.cross_attention_dim)
    latents = torch.zeros(2, unet.config.in_channels, side // 8, side // 8, dtype=unet.dtype)
    given = latents, torch.tensor(500), torch.zeros(2, SLOTS, width, dtype=unet.dtype)
    with torch.no_grad():
        if stand_in is None or stand_in(unet, *given) is None:
            unet(*given)


def photo() -> Any:
    """A photo of nothing."""
    from PIL import Image

    return Image.new("RGB", (640, 480), "orange")


def answer(one: Contender, order: dict[str, Any]) -> dict[str, Any]:
    """What an order comes to: its seconds, and the process's peak memory so far in GiB."""
    do, start, note = order.pop("do"), time.perf_counter(), ""
    if do == "load":
        one.load()
    elif do == "step":
        one.step(**order)
    elif do == "picture":
        note = one.picture(**order)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, "note": note}


def main() -> None:
    """Answers orders until there are no more."""
    kind, folder, dtype, *engine = sys.argv[1:]
    said, sys.stdout = sys.stdout, sys.stderr  # whatever libraries print is no answer
    one: Contender = Ours(folder, dtype, *engine) if kind == "ours" else Port(folder, dtype)
    for line in sys.stdin:
        print(json.dumps(answer(one, json.loads(line))), file=said, flush=True)


if __name__ == "__main__":
    main()
