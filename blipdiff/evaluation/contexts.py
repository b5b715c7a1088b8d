"""A judge of contexts: which scene a picture shows, and in which style. It learns from true composites alone."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.random import Generator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from blipdiff.data.pairs import PairLibrary
from blipdiff.data.records import Pair, Pixels
from blipdiff.data.styles import STYLES
from blipdiff.errors import CheckpointError
from blipdiff.outputs import written_file

NO_STYLE = "none"
SIDE = 128
PLAIN = "plain "  # scenes of one colour begin with this

_FORMAT = "blipdiff-context-judge-2"
_COLOURLESS = frozenset(style.name for style in STYLES if not style.keeps_colours)
_BLURRED_SHARE = 0.5  # of the training pictures: generated pictures are softer than drawn ones
_MOST_BLUR = 1.6  # pixels


@dataclass(frozen=True, slots=True)
class ContextTraining:
    """How far the training is; `judge` is the one being trained."""

    step: int
    steps: int
    loss: float
    judge: "ContextJudge"


class ContextNet(nn.Module):
    """Four convolutions and a linear layer over a 4 x 4 layout: (n, 3, 128, 128) -> (n, scenes), (n, styles)."""

    def __init__(self, scenes: int, styles: int) -> None:
        super().__init__()
        widths = ((12, 32, 2), (32, 64, 2), (64, 96, 2), (96, 128, 1))
        self.blocks = nn.Sequential(*(layer for width in widths for layer in _block(*width)))
        self.scenes = nn.Linear(16 * 128, scenes)
        self.styles = nn.Linear(16 * 128, styles)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the scenes and of the styles."""
        x = F.pixel_unshuffle(pictures, 2)  # (n, 12, 64, 64)
        x = F.adaptive_avg_pool2d(self.blocks(x), 4).flatten(1)  # (n, 2048)
        x = F.dropout(x, 0.2, self.training)
        return self.scenes(x), self.styles(x)


class ContextJudge:
    """Names the scene and the style of pictures. `scenes` and `styles` are what it can tell apart."""

    def __init__(self, net: ContextNet, scenes: Sequence[str], styles: Sequence[str], library: str) -> None:
        self.net, self.scenes, self.styles, self.library = net, tuple(scenes), tuple(styles), library

    @torch.no_grad()
    def classify(self, pictures: Sequence[Pixels]) -> list[tuple[str, str]]:
        """The scene and the style ("none" without one) of each picture (H, W, 3)."""
        self.net.eval()
        named: list[tuple[str, str]] = []
        for first in range(0, len(pictures), 64):
            scenes, styles = self.net(_tensor([_sized(picture) for picture in pictures[first : first + 64]]))
            places = zip(scenes.argmax(1).tolist(), styles.argmax(1).tolist(), strict=True)
            named += [(self.scenes[scene], self.styles[style]) for scene, style in places]
        return named

    def save(self, path: Path) -> None:
        """Writes the judge as one safetensors file, whole or not at all. Raises: OutputError."""
        about = {"format": _FORMAT, "scenes": json.dumps(self.scenes), "styles": json.dumps(self.styles)}
        with written_file(path) as part:
            weights = {name: value.contiguous() for name, value in self.net.state_dict().items()}
            save_file(weights, part, {**about, "library": self.library})

    @classmethod
    def load(cls, path: Path) -> "ContextJudge":
        """Reads what `save` wrote.

        Raises: CheckpointError for a file that is missing, damaged or of another version.
        """
        try:
            with safe_open(path, framework="pt") as file:
                about = file.metadata() or {}
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if about.get("format") != _FORMAT:
                raise CheckpointError(f"{path} is no judge of contexts of this version; delete it to train a new one.")
            scenes, styles = json.loads(about["scenes"]), json.loads(about["styles"])
            net = ContextNet(len(scenes), len(styles))
            net.load_state_dict(weights)
        except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{path} is no judge of contexts, or it is damaged: {error}") from error
        return cls(net, scenes, styles, about.get("library", ""))


def names_scene(scene: str, style: str | None) -> bool:
    """Whether a caption of this scene under this style tells the scene: no style without colours keeps a plain one."""
    return not (scene.startswith(PLAIN) and style in _COLOURLESS)


def library_key(library: PairLibrary) -> str:
    """What the judge was trained on, in sixteen letters: it is trained again for another library."""
    parts = [f"{record.source}/{record.name}" for record in library.records]
    parts += [record.scene for record in library.scene_records]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def train_context_judge(
    library: PairLibrary, *, steps: int = 600, batch: int = 48, seed: int = 0
) -> Iterator[ContextTraining]:
    """Trains a judge on composites of the training subjects; yields after every step, the trained judge last.

    Plain cross-entropy with AdamW under one cycle of the learning rate; half the pictures are softened a little.
    """
    scenes = sorted({record.scene for record in library.scene_records} | {PLAIN + "white"})
    styles = [NO_STYLE, *(style.name for style in STYLES)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = ContextNet(len(scenes), len(styles))
    judge = ContextJudge(net, scenes, styles, library_key(library))
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.15)
    for step in range(steps):
        rng = np.random.default_rng((seed, step))
        pairs = [library.draw(step * batch + place, seed + 1) for place in range(batch)]
        net.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + step)
            outputs = net(_tensor([_softened(_sized(pair.target), rng) for pair in pairs]))
        loss = _loss(outputs, pairs, scenes, styles)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        yield ContextTraining(step + 1, steps, float(loss.detach()), judge)
    net.eval()


def _loss(outputs: tuple[Tensor, Tensor], pairs: Sequence[Pair], scenes: list[str], styles: list[str]) -> Tensor:
    told = [scenes.index(pair.scene) if names_scene(pair.scene, pair.style) else -100 for pair in pairs]
    worn = [styles.index(pair.style or NO_STYLE) for pair in pairs]
    of_scene = F.cross_entropy(outputs[0], torch.tensor(told), label_smoothing=0.05)
    return of_scene + 0.5 * F.cross_entropy(outputs[1], torch.tensor(worn), label_smoothing=0.05)


def _block(before: int, after: int, stride: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()


def _sized(picture: Pixels) -> Pixels:
    if picture.shape[:2] == (SIDE, SIDE):
        return picture
    method = cv2.INTER_AREA if picture.shape[0] > SIDE else cv2.INTER_LINEAR
    resized: Pixels = cv2.resize(picture, (SIDE, SIDE), interpolation=method)
    return resized


def _softened(picture: Pixels, rng: Generator) -> Pixels:
    """The picture, half the time blurred and with a little noise and another exposure."""
    if rng.random() >= _BLURRED_SHARE:
        return picture
    soft = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, _MOST_BLUR)).astype(np.float32)
    soft = soft * rng.uniform(0.93, 1.07) + rng.normal(0, rng.uniform(0, 6), picture.shape)
    softened: Pixels = np.clip(soft, 0, 255).astype(np.uint8)
    return softened


def _tensor(pictures: Sequence[Pixels]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
