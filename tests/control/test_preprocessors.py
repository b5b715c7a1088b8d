"""Maps: drawn ones by what they show, detectors from small random checkpoints in their real layout."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file, save_file

from blipdiff.control.choices import DRAWN, PREPROCESSORS, MapChoice
from blipdiff.control.preprocessors import Preprocessors
from blipdiff.errors import CheckpointError, ConfigError, MissingDependencyError


@pytest.fixture(scope="module")
def house() -> Image.Image:
    """A red house with a small window, on white."""
    picture = Image.new("RGB", (96, 64), "white")
    pen = ImageDraw.Draw(picture)
    pen.rectangle((24, 20, 72, 56), fill=(200, 30, 30))
    pen.rectangle((60, 40, 63, 43), fill=(180, 60, 60))
    return picture


def drawn(picture, name, **settings) -> np.ndarray:
    made = Preprocessors().map_of(picture, MapChoice(name, settings))
    assert made.mode == "RGB" and made.size == picture.size
    return np.asarray(made)


def test_every_drawn_map_has_the_pictures_size_and_needs_no_weights(house):
    for name in set(DRAWN) - {"inpaint"}:
        drawn(house, name)


def test_none_is_the_picture_itself(house):
    assert np.array_equal(drawn(house, "none"), np.asarray(house))


def test_canny_finds_the_outline_and_lower_thresholds_find_more(house):
    few, many = drawn(house, "canny"), drawn(house, "canny", low=10, high=20)
    assert set(np.unique(few)) == {0, 255}
    assert few[38, 22:27].any() and not few[30, 40:50].any()
    assert many.sum() > few.sum()


def test_soft_edges_see_colours_of_one_lightness():
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:, :16], picture[:, 16:] = (255, 0, 0), (0, 130, 0)
    found = drawn(Image.fromarray(picture), "soft-edge")
    assert found[:, 15:17].min() > 200 and found[:, :8].max() < 20


def test_a_scribble_is_thicker_and_leaves_small_things_out(house):
    thin, thick = (drawn(house, "scribble", thickness=width, detail=0) for width in (1, 6))
    assert thick.sum() > 2 * thin.sum() > 0
    assert not thin[38:45, 58:66].any()


def test_a_tile_keeps_colours_and_loses_small_things(house):
    washed = drawn(house, "tile", factor=16)
    assert np.abs(washed[36, 40].astype(int) - (200, 30, 30)).max() < 40
    assert washed.astype(int).std() < np.asarray(house).astype(int).std()


def test_a_relief_is_brightest_at_the_subjects_middle_and_the_floor_comes_nearer(house):
    found = drawn(house, "relief", floor=0.6)[..., 0]
    assert found[38, 48] > found[22, 26] > found[60, 5] > found[42, 5] > found[5, 5]


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "x-ray"},
        {"name": "canny", "settings": {"radius": 3}},
        {"name": "canny", "settings": {"low": 500}},
        {"name": "scribble", "settings": {"detail": float("nan")}},
        {"name": "tile", "weights": "somewhere"},
    ],
)
def test_what_cannot_be_chosen_is_refused(wrong):
    with pytest.raises(ConfigError):
        MapChoice(**wrong)


def test_thresholds_in_the_wrong_order_are_refused(house):
    with pytest.raises(ConfigError, match="above its high one"):
        drawn(house, "canny", low=200, high=100)


@pytest.mark.parametrize("name", ["depth", "segmentation"])
def test_missing_weights_are_named(house, name, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CheckpointError, match=r"no weights for the preprocessor '"):
        Preprocessors().map_of(house, MapChoice(name, weights=str(tmp_path)))
    with pytest.raises(CheckpointError, match="nothing is fetched unless asked"):
        Preprocessors().map_of(house, MapChoice(name, weights="nobody/no-such-detector"))


def test_a_missing_package_is_named(house, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "controlnet_aux", None)
    with pytest.raises(MissingDependencyError, match=r"blipdiff\[control\]"):
        Preprocessors().map_of(house, MapChoice("hed"))


@pytest.fixture
def depth_folder(tmp_path):
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessor

    backbone = Dinov2Config(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=56,
        patch_size=14,
        out_indices=[1, 2, 3, 4],
        apply_layernorm=True,
        reshape_hidden_states=False,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=14,
        reassemble_hidden_size=16,
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        head_hidden_size=8,
    )
    torch.manual_seed(0)
    DepthAnythingForDepthEstimation(config).save_pretrained(tmp_path)
    DPTImageProcessor(size={"height": 56, "width": 56}, ensure_multiple_of=14).save_pretrained(tmp_path)
    return tmp_path


def test_depth_comes_from_a_folder_in_transformers_layout_and_is_loaded_once(house, depth_folder):
    made = Preprocessors()
    choice = MapChoice("depth", weights=str(depth_folder))
    depth = np.asarray(made.map_of(house, choice))
    assert depth.shape == (64, 96, 3) and depth.min() == 0 and depth.max() == 255
    (depth_folder / "model.safetensors").unlink()
    assert np.array_equal(np.asarray(made.map_of(house, choice)), depth)


def test_a_depth_model_that_lacks_a_tensor_is_refused_by_its_name(house, depth_folder):
    path = depth_folder / "model.safetensors"
    stored = load_file(path)
    unused = [name for name in stored if "fusion_stage.layers.0.residual_layer1" in name]
    before = Preprocessors().map_of(house, MapChoice("depth", weights=str(depth_folder)))
    save_file({name: value for name, value in stored.items() if name not in unused}, path, {"format": "pt"})
    without = Preprocessors().map_of(house, MapChoice("depth", weights=str(depth_folder)))
    assert unused and np.array_equal(np.asarray(without), np.asarray(before)), "files of DPT lack what is not used"
    del stored["head.conv3.weight"]
    save_file(stored, path, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"preprocessor 'depth'.* 1 missing: head\.conv3\.weight"):
        Preprocessors().map_of(house, MapChoice("depth", weights=str(depth_folder)))


def test_segmentation_speaks_in_the_colours_of_ade20k(house, tmp_path):
    from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

    from blipdiff.control.ade20k import PALETTE

    torch.manual_seed(0)
    config = SegformerConfig(
        hidden_sizes=[8, 8, 16, 16], depths=[1] * 4, num_attention_heads=[1, 1, 2, 2], decoder_hidden_size=16,
        num_labels=150,
    )  # fmt: skip
    SegformerForSemanticSegmentation(config).save_pretrained(tmp_path)
    SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(tmp_path)
    made = np.asarray(Preprocessors().map_of(house, MapChoice("segmentation", weights=str(tmp_path))))
    known = {tuple(bytes.fromhex(PALETTE[i : i + 6])) for i in range(0, len(PALETTE), 6)}
    assert len(PALETTE) == 150 * 6 and {tuple(colour) for colour in made.reshape(-1, 3)} <= known


def test_a_detector_of_controlnet_aux_comes_from_its_folder(house, tmp_path):
    pytest.importorskip("controlnet_aux", exc_type=ImportError)
    from controlnet_aux.pidi.model import pidinet

    torch.manual_seed(0)
    torch.save({"state_dict": {f"module.{k}": v for k, v in pidinet().state_dict().items()}},
               tmp_path / "table5_pidinet.pth")  # fmt: skip
    assert Preprocessors().map_of(house, MapChoice("pidinet", weights=str(tmp_path))).size == house.size
    with pytest.raises(CheckpointError, match="no weights for the preprocessor 'hed'"):
        Preprocessors().map_of(house, MapChoice("hed", weights=str(tmp_path)))


def test_detectors_and_drawn_maps_are_told_apart():
    assert set(DRAWN) == {"none", "canny", "soft-edge", "scribble", "tile", "inpaint", "relief"}
    assert all(one.weights for name, one in PREPROCESSORS.items() if name not in DRAWN)
