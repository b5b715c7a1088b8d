"""The peer's runs, from its text embeddings and noise to its pictures, and the original's mixtures and latents.

Recorded with diffusers 0.33.1 (its last working BlipDiffusionPipeline and BlipDiffusionControlNetPipeline), torch 2.13
on a CPU, one thread, float32, PNDM. Predictions agree to 1e-5 and latents to 1e-4, relative to the largest value where
that is above 1: guidance multiplies the rounding of each of five steps by 7.5. Pictures agree to 1e-4.

The original is LAVIS 506965b on diffusers 0.16.0, the same machine and dtype: 1e-4 for subjects, U-Net and VAE.
"""

import json
from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file

from blipdiff.conditioning.guidance import Conditioning, Guidance
from blipdiff.conditioning.layout import TokenLayout
from blipdiff.conditioning.mixing import mix
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.control.controlnet import ControlBranch
from blipdiff.latents import decode_latents, encode_picture, noise
from blipdiff.moment import Moment
from blipdiff.sampling.loop import denoise
from blipdiff.sampling.predictor import GuidedPredictor
from blipdiff.sampling.schedulers import build_scheduler, set_timesteps

PLAIN = ["reps20", "reps1", "strength", "no_cfg", "neg_default", "batch2", "one_ref_two_prompts"]
CONTROLLED = ["reps20", "reps1", "no_cfg"]


@pytest.fixture(scope="module")
def peer(shared, tiny, tiny_unet, tiny_vae, tiny_controlnet):
    folder = shared / "parity"
    return SimpleNamespace(
        settings=json.loads((folder / "meta.json").read_text()),
        plain=load_file(folder / "golden_base.safetensors"),
        controlnet=load_file(folder / "golden_controlnet.safetensors"),
        scheduler=json.loads((tiny / "scheduler" / "scheduler_config.json").read_text()),
        unets={
            "plain": UNet2DConditionModel.from_pretrained(folder / "blipdiffusion-tiny" / "unet").eval(),
            "controlnet": tiny_unet,
        },
        net=tiny_controlnet,
        vae=tiny_vae,
    )


@pytest.fixture(scope="module")
def original(shared):
    return shared / "editing"


def close(got: torch.Tensor, expected: torch.Tensor, tolerance: float) -> bool:
    return float((got - expected).abs().max()) <= tolerance * max(1.0, float(expected.abs().max()))


def case_of(peer, kind: str, name: str) -> dict[str, torch.Tensor]:
    return {
        key.removeprefix(f"{name}."): value for key, value in getattr(peer, kind).items() if key.startswith(f"{name}.")
    }


def guidance_of(case: dict[str, torch.Tensor], scale: float) -> Guidance:
    rows = case["in.latents"].shape[0]
    context = case["encoder_hidden_states"]
    layouts = (TokenLayout(("?</w>",) * 77),) * rows
    positive = Conditioning(context[-rows:], layouts)
    negative = Conditioning(context[:rows], layouts) if len(context) > rows else None
    return Guidance.even(positive, negative, scale)


CASES = [("plain", name) for name in ("reps20", "reps1", "strength", "no_cfg", "neg_default", "batch2")]
CASES += [("plain", "one_ref_two_prompts")]
CASES += [("controlnet", name) for name in ("reps20", "reps1", "no_cfg")]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_the_peers_runs_are_repeated(peer, kind, name):
    case, settings = case_of(peer, kind, name), peer.settings[kind][name]
    scheduler = build_scheduler(None, peer.scheduler)
    set_timesteps(scheduler, settings["num_inference_steps"])
    controls = [ControlBranch(peer.net, case["control_cond"][:1])] if kind == "controlnet" else []
    guidance = guidance_of(case, settings["guidance_scale"])
    steps = list(denoise(GuidedPredictor(peer.unets[kind], guidance, controls), scheduler, case["in.latents"]))
    assert [int(step.timestep) for step in steps] == case["timesteps"].tolist()
    for step in steps:
        assert close(step.latents, case["latents_per_step"][step.index], 1e-4)
        halves = case["unet_eps_all"][step.index].split(guidance.rows)
        expected = halves[-1]
        if len(halves) == 2:
            expected = halves[0] + guidance.scale.view(-1, 1, 1, 1) * (halves[1] - halves[0])
        assert close(step.prediction, expected, 1e-4)
    assert close(decode_latents(peer.vae, steps[-1].latents), case["image"], 1e-4)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_the_peers_predictions_from_its_own_latents_are_repeated(peer, kind, name):
    case = case_of(peer, kind, name)
    rows, count = case["in.latents"].shape[0], len(case["timesteps"])
    controls = [ControlBranch(peer.net, case["control_cond"][:1])] if kind == "controlnet" else []
    layouts = (TokenLayout(("?</w>",) * 77),) * rows
    inputs = [case["in.latents"], *case["latents_per_step"][:-1]]
    for index, latents in enumerate(inputs):
        moment = Moment(index, count, case["timesteps"][index])
        for half, context in enumerate(case["encoder_hidden_states"].split(rows)):
            guidance = Guidance.even(Conditioning(context, layouts), None, 1.0)
            with torch.no_grad():
                got = GuidedPredictor(peer.unets[kind], guidance, controls)(latents, moment)
            assert close(got, case["unet_eps_all"][index].split(rows)[half], 1e-5)


@pytest.mark.parametrize("name", ["reps20", "reps1", "no_cfg"])
def test_the_peers_control_residuals_are_repeated(peer, name):
    case = case_of(peer, "controlnet", name)
    context = case["encoder_hidden_states"]
    latents = torch.cat([case["in.latents"]] * len(context))
    branch = ControlBranch(peer.net, case["control_cond"][:1])
    down, middle = branch.residuals(latents, context, Moment(0, len(case["timesteps"]), case["timesteps"][0]))
    for place, residual in enumerate(down):
        assert close(residual, case[f"control_down_step0_{place}"], 1e-5)
    assert close(middle, case["control_mid_step0"], 1e-5)


@pytest.mark.parametrize(("name", "weights"), [("mix_equal", (1, 1)), ("mix_30_70", (3, 7)), ("mix_100_0", (1, 0))])
def test_the_originals_mixtures_are_repeated(original, name, weights):
    recorded = load_file(original / "subject.safetensors")
    parts = [
        (SubjectEmbedding(recorded[f"{key}.ctx"][0], key[2:]), weight)
        for key, weight in zip(("a_dog", "b_cat"), weights, strict=True)
    ]
    assert close(mix(parts).tokens, recorded[name][0], 1e-6)


def test_the_originals_autoencoder_is_repeated(original):
    recorded = load_file(original / "unet_vae.safetensors")
    vae = AutoencoderKL.from_pretrained(original / "model" / "vae").eval()
    scene = torch.tensor(bytearray(Image.open(original / "inputs" / "scene.png").convert("RGB").tobytes()))
    scene = scene.view(1, 512, 512, 3).permute(0, 3, 1, 2) / 255
    assert close(encode_picture(vae, scene) / 0.18215, recorded["vae.mean"], 1e-4)
    decoded = decode_latents(vae, recorded["vae.mean"] * 0.18215)[..., 224:288, 224:288]
    assert close(decoded, (recorded["vae.decode_crop"] / 2 + 0.5).clamp(0, 1), 1e-4)


@pytest.mark.parametrize("seed", [42, 43, 88888])
def test_a_seed_means_the_originals_noise(original, seed):
    recorded = load_file(original / "inputs.safetensors")[f"noise_seed{seed}"]
    assert torch.equal(noise(seed, (4, 64, 64)), recorded)


def test_the_originals_unet_prediction_is_repeated(original):
    recorded = load_file(original / "unet_vae.safetensors")
    unet = UNet2DConditionModel.from_pretrained(original / "model" / "unet").eval()
    layouts = (TokenLayout(("?</w>",) * 77),) * 2
    guidance = Guidance.even(Conditioning(recorded["unet.states"], layouts), None, 1.0)
    with torch.no_grad():
        got = GuidedPredictor(unet, guidance)(recorded["unet.sample"], Moment(0, 1, torch.tensor(501)))
    assert close(got, recorded["unet.out_t501"], 1e-4)
