"""One step of learning a subject at the published size, with random weights in bfloat16: its memory beside what is
told before, and its seconds.

    python benchmarks/personalize_full.py [--method lora] [--batch 1] [--checkpointing]
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from full_size import filled

from blipdiff.checkpoints import configs
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.images import PhotoSettings
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.context_text_encoder import ContextTextEncoder
from blipdiff.models.sizes import SubjectEncoderSizes, TextSizes
from blipdiff.models.subject_encoder import SubjectEncoder
from blipdiff.training.loop import RunFolder, train
from blipdiff.training.memory import GIGABYTE, checkpoint_blocks
from blipdiff.training.personal_views import Views
from blipdiff.training.personalize import PersonalBatches, PersonalObjective, SubjectRows, twin_of
from blipdiff.training.sections import PersonalRecipe
from pipelines.personalize.memory import memory_plan
from pipelines.personalize.request import PersonalizeRequest


def main() -> None:
    """Prints both figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", default="lora")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--checkpointing", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    model = full_size()
    request = PersonalizeRequest(category="dog", method=options.method, batch=options.batch)
    plan = memory_plan(model, request, checkpointing=options.checkpointing)
    print("\n".join(plan.lines()), flush=True)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here on
    seconds = step(model, options)
    after = resident("VmHWM")
    own = sum(one.nbytes for net in (model.unet, model.text_encoder) for one in net.parameters())
    libraries = before - sum(
        one.nbytes
        for net in (model.unet, model.text_encoder, model.subject_encoder, model.vae)
        for one in net.parameters()
    )
    print(f"{seconds:.1f} s a step, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"planned {plan.total / GIGABYTE:.2f} GB, peak {(after - libraries) / GIGABYTE:.2f} GB")
    print(f"beside that, libraries {libraries / GIGABYTE:.2f} GB; the networks that learn have {own / GIGABYTE:.2f} GB")


def step(model: BlipDiffusion, options: argparse.Namespace) -> float:
    """Seconds of one step."""
    recipe = PersonalRecipe(
        steps=options.steps, batch=options.batch, learning_rate=1e-4, warmup_steps=1, cooldown_fraction=0.0,
        weight_decay=0.0, ema_decay=0.0, prior=0.0, silent=0.0,
    )  # fmt: skip
    twin = twin_of(model, options.method, recipe, seed=0)
    if options.checkpointing:
        checkpoint_blocks(twin.unet)
    subject = SubjectEmbedding(torch.randn(16, 768), "dog")
    views = Views(torch.randn(4, 4, 64, 64), torch.ones(4, 64, 64), torch.zeros(4, 61, dtype=torch.long))
    objective = PersonalObjective(model, SubjectRows(subject.tokens), twin, recipe)
    batches = PersonalBatches(views, None, recipe, seed=0).stream(0, options.steps)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        for _ in train(objective, batches, recipe, RunFolder(Path(place)), seed=0, log_every=1):
            pass
    return (time.monotonic() - begun) / options.steps


def full_size() -> BlipDiffusion:
    """Random weights of Stable Diffusion 1.5's sizes in bfloat16."""
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(dict(configs.SD15_UNET))
        text, encoder = ContextTextEncoder(TextSizes()), SubjectEncoder(SubjectEncoderSizes())
        vae = AutoencoderKL(**configs.SD15_VAE)
    made = [filled(net, torch.bfloat16).requires_grad_(False) for net in (unet, text, encoder, vae)]
    return BlipDiffusion(
        subject_encoder=made[2], text_encoder=made[1], prompt_tokenizer=None, category_tokenizer=None,
        unet=made[0], vae=made[3], scheduler_config=configs.PNDM, photo=PhotoSettings(), subject_fingerprint="0" * 16,
    )  # fmt: skip


def resident(name: str) -> int:
    """Bytes of this process's memory: VmRSS now, VmHWM at its peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"This system tells no {name}.")


if __name__ == "__main__":
    main()
