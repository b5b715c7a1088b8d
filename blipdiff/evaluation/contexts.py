"""A classifier of contexts: which scene a picture shows, and in which style. It learns from true composites alone."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.random import Generator
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from blipdiff.data.drawn.styles import STYLES
from blipdiff.data.pairs import PairLibrary
from blipdiff.data.records import Pixels
from blipdiff.errors import CheckpointError
from blipdiff.evaluation.imagenet import ImageNetTrunk
from blipdiff.foreign import foreign
from blipdiff.outputs import written_file

NO_STYLE = "none"
PLAIN = "plain "  # scenes of one colour begin with this

_FORMAT = "blipdiff-context-judge-3"
_SIDE = 128
_BLOCKS = (0, 2, 4, 10)  # 16, 24, 40 and 112 channels
_LAID_OUT = (4, 10)  # blocks of which it also matters where something is
_HIDDEN = 256
_AT_ONCE = 48  # pictures
_COLOURLESS = frozenset(style.name for style in STYLES if not style.keeps_colours)
_SOFTENED_SHARE = 0.5  # of the training pictures: generated pictures are softer than drawn ones
_MOST_BLUR = 1.6  # pixels


class ContextHead(nn.Module):
    """Two small layers on the trunk's features: (n, features) -> (n, scenes), (n, styles)."""

    mean: Tensor
    spread: Tensor

    def __init__(self, features: int, scenes: int, styles: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("spread", torch.ones(features))
        self.hidden = nn.Linear(features, _HIDDEN)
        self.scenes = nn.Linear(_HIDDEN, scenes)
        self.styles = nn.Linear(_HIDDEN, styles)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the scenes and of the styles."""
        x = ((features - self.mean) / self.spread).clamp(-6, 6)
        x = F.relu(self.hidden(F.dropout(x, 0.3, self.training)))
        x = F.dropout(x, 0.3, self.training)
        return self.scenes(x), self.styles(x)


class ContextClassifier:
    """Names the scene and the style of pictures. `scenes` and `styles` are what it can tell apart.

    Raises: MissingDependencyError when the ImageNet network's packages are not installed.
    """

    def __init__(self, head: ContextHead, scenes: Sequence[str], styles: Sequence[str], library: str) -> None:
        self.head, self.scenes, self.styles, self.library = head.eval(), tuple(scenes), tuple(styles), library
        self._trunk = ImageNetTrunk(_SIDE)

    @torch.no_grad()
    def classify(self, pictures: Sequence[Pixels]) -> list[tuple[str, str]]:
        """The scene and the style ("none" without one) of each picture (H, W, 3)."""
        named: list[tuple[str, str]] = []
        for first in range(0, len(pictures), _AT_ONCE):
            scenes, styles = self.head(context_features(self._trunk, pictures[first : first + _AT_ONCE]))
            indices = zip(scenes.argmax(1).tolist(), styles.argmax(1).tolist(), strict=True)
            named += [(self.scenes[scene], self.styles[style]) for scene, style in indices]
        return named

    def save(self, path: Path) -> None:
        """Writes what was learned as one safetensors file, whole or not at all. Raises: OutputError."""
        about = {"format": _FORMAT, "scenes": json.dumps(self.scenes), "styles": json.dumps(self.styles)}
        with written_file(path) as part:
            weights = {name: value.contiguous() for name, value in self.head.state_dict().items()}
            save_file(weights, part, {**about, "library": self.library})

    @classmethod
    def load(cls, path: Path) -> "ContextClassifier":
        """Reads what `save` wrote.

        Raises: CheckpointError for a file that is missing, damaged or of another version.
        """
        with foreign(path, "a classifier of contexts"):
            with safe_open(path, framework="pt") as file:
                about = file.metadata() or {}
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if about.get("format") != _FORMAT:
                raise CheckpointError(
                    f"{path} is no classifier of contexts of this version; delete it to train a new one."
                )
            scenes, styles = json.loads(about["scenes"]), json.loads(about["styles"])
            head = ContextHead(len(weights["mean"]), len(scenes), len(styles))
            head.load_state_dict(weights)
        return cls(head, scenes, styles, about.get("library", ""))


@dataclass(frozen=True, slots=True)
class ContextTraining:
    """How many of the pictures have been seen; the classifier is there when all have."""

    done: int
    total: int
    classifier: ContextClassifier | None = None


def train_context_classifier(library: PairLibrary, *, pictures: int = 6000, seed: int = 0) -> Iterator[ContextTraining]:
    """Trains a classifier on composites of the training subjects, half of them softened; the last value holds it."""
    trunk, rng = ImageNetTrunk(_SIDE), np.random.default_rng(seed)
    features: list[Tensor] = []
    truth: list[tuple[str, str | None]] = []
    for first in range(0, pictures, _AT_ONCE):
        drawn = [library.draw(place, seed + 1) for place in range(first, min(first + _AT_ONCE, pictures))]
        features.append(context_features(trunk, [_softened(pair.target, rng) for pair in drawn]))
        truth += [(pair.scene, pair.style) for pair in drawn]
        yield ContextTraining(len(truth), pictures)
    scenes = sorted({record.scene for record in library.scene_records} | {PLAIN + "white"})
    styles = [NO_STYLE, *(style.name for style in STYLES)]
    told = [scenes.index(scene) if names_scene(scene, style) else -100 for scene, style in truth]
    worn = [styles.index(style or NO_STYLE) for _, style in truth]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        everything = torch.cat(features)
        head = ContextHead(everything.shape[1], len(scenes), len(styles))
        _fit(head, everything, torch.tensor(told), torch.tensor(worn))
    yield ContextTraining(pictures, pictures, ContextClassifier(head, scenes, styles, library_key(library)))


def names_scene(scene: str, style: str | None) -> bool:
    """Whether a caption of this scene under this style tells the scene: no style without colours keeps a plain one."""
    return not (scene.startswith(PLAIN) and style in _COLOURLESS)


def library_key(library: PairLibrary) -> str:
    """What the classifier was trained on, in sixteen letters: it is trained again for another library."""
    parts = [f"{record.source}/{record.name}" for record in library.records]
    parts += [record.scene for record in library.scene_records]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def context_features(trunk: ImageNetTrunk, pictures: Sequence[Pixels]) -> Tensor:
    """Mean and spread of every channel over the picture, and means over a 4 x 4 layout: (pictures, 2816)."""
    found = trunk.features(pictures, _BLOCKS)
    parts = [part for x in found.values() for part in (x.mean((2, 3)), x.std((2, 3)))]
    parts += [F.adaptive_avg_pool2d(found[block], 4).flatten(1) for block in _LAID_OUT]
    return torch.cat(parts, 1)


def _fit(head: ContextHead, features: Tensor, scenes: Tensor, styles: Tensor) -> None:
    """Cross-entropy of both, AdamW, one cycle of the learning rate; each picture is seen a dozen times or more."""
    steps = max(60, len(features) // 10)
    head.mean.copy_(features.mean(0))
    head.spread.copy_(features.std(0) + 1e-3)
    optimizer = torch.optim.AdamW(head.parameters(), lr=2e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.1)
    head.train()
    for _ in range(steps):
        rows = torch.randint(len(features), (128,))
        of_scene, of_style = head(features[rows])
        loss = F.cross_entropy(of_scene, scenes[rows], label_smoothing=0.05)
        loss = loss + F.cross_entropy(of_style, styles[rows], label_smoothing=0.05)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    head.eval()


def _softened(picture: Pixels, rng: Generator) -> Pixels:
    """The picture, half the time blurred and with a little noise and another exposure."""
    if rng.random() >= _SOFTENED_SHARE:
        return picture
    soft = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, _MOST_BLUR)).astype(np.float32)
    soft = soft * rng.uniform(0.93, 1.07) + rng.normal(0, rng.uniform(0, 6), picture.shape)
    softened: Pixels = np.clip(soft, 0, 255).astype(np.uint8)
    return softened
