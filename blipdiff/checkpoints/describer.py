"""Describers on disk: one small folder of sizes, weights, words and categories."""

import json
from importlib.resources import files
from pathlib import Path

import torch
from safetensors.torch import save_file

from blipdiff.checkpoints import configs
from blipdiff.checkpoints.agreements import check_words
from blipdiff.checkpoints.configs import read_json, write_json
from blipdiff.checkpoints.detect import is_file
from blipdiff.checkpoints.fields import check, shown
from blipdiff.checkpoints.part_fields import DESCRIBER
from blipdiff.checkpoints.vocabularies import save_category_tokenizer
from blipdiff.checkpoints.weights import filled, weight_paths
from blipdiff.errors import CheckpointError
from blipdiff.foreign import foreign
from blipdiff.models.describer import Describer, category_features
from blipdiff.models.representation import Representation
from blipdiff.models.tokenizers import load_category_tokenizer
from blipdiff.outputs import written_folder

BUNDLED_DESCRIBER = "mini-describe"
_KIND = "blipdiff-describer"


def save_describer(describer: Describer, folder: Path) -> None:
    """The describer as a folder that `load_describer` reads: whole, or not at all.

    Raises: OutputError when the place cannot be written or holds something else.
    """
    network = describer.network
    with written_folder(folder) as place:
        sizes = configs.subject_encoder_config(network.sizes)
        write_json(place / "config.json", sizes | {"model_type": _KIND, "shared": network.shared_width})
        write_json(place / "preprocessor_config.json", configs.photo_config(describer.photo))
        (place / "categories.json").write_text(json.dumps(describer.categories, ensure_ascii=False, indent=0) + "\n")
        save_category_tokenizer(describer.tokenizer, place / "tokenizer")
        save_file(
            {name: tensor.contiguous() for name, tensor in network.state_dict().items()},
            place / "model.safetensors",
            metadata={"format": "pt"},
        )
        configs.forget_places(place)


def is_describer(source: str | Path) -> bool:
    """Whether this is the bundled describer's name, or a folder with one."""
    config = Path(source) / "config.json"
    if str(source) == BUNDLED_DESCRIBER:
        return True
    return is_file(config) and read_json(config).get("model_type") == _KIND


def load_describer(
    source: str | Path = BUNDLED_DESCRIBER,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Describer:
    """The describer in a folder, or the bundled one by its name.

    Raises: CheckpointError when there is none or it is damaged.
    """
    bundled = Path(str(files("blipdiff"))) / "assets" / BUNDLED_DESCRIBER
    folder = bundled if str(source) == BUNDLED_DESCRIBER else Path(source)
    if not is_file(folder / "config.json"):
        raise CheckpointError(
            f"There is no describer at {str(source)[:200]}; give '{BUNDLED_DESCRIBER}' or a folder that "
            "'blipdiff train describe' wrote."
        )
    config = read_json(folder / "config.json")
    if config.get("model_type") != _KIND or "shared" not in config:
        raise CheckpointError(f"{folder} holds no describer but {shown(config.get('model_type', 'something else'))}.")
    check(config, DESCRIBER, "the describer's config.json")
    sizes = configs.subject_encoder_sizes(config)
    network = filled(
        lambda: Representation(sizes, config["shared"]),
        weight_paths(folder, ("model",)),
        "describer",
        dtype=dtype,
        device=device,
        least=sizes.vision.depth + sizes.qformer.depth,
    )
    tokenizer = load_category_tokenizer(folder / "tokenizer")
    check_words(tokenizer, sizes.qformer.vocabulary, "categories")
    categories = _categories(folder / "categories.json")
    return Describer(
        network,
        tokenizer,
        configs.photo_settings(read_json(folder / "preprocessor_config.json"), {}),
        categories,
        category_features(network, tokenizer, categories),
        name=folder.absolute().name,
    )


def _categories(path: Path) -> tuple[str, ...]:
    with foreign(path, "a list of the categories that are known"):
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(found, list) or not found or not all(isinstance(name, str) and name.strip() for name in found):
        raise CheckpointError(f"{path} should list the names of categories.")
    return tuple(found)
