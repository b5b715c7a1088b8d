"""What we take from the libraries beside what they export: each name is written down here with its reason, and exists.

Whoever widens a bound of pyproject.toml reads this list first.
"""

import ast
from collections.abc import Iterator
from functools import reduce
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [path for package in ("blipdiff", "pipelines", "app") for path in sorted((ROOT / package).rglob("*.py"))]
LIBRARIES = {
    "diffusers",
    "transformers",
    "tokenizers",
    "accelerate",
    "peft",
    "huggingface_hub",
    "gradio",
    "gradio_client",
}

# Imported from inside of a library, not from its top.
INSIDE = {
    "diffusers.loaders.IPAdapterMixin": "IP-Adapters of the pipeline are loaded as diffusers loads them",
    "diffusers.loaders.StableDiffusionLoraLoaderMixin": "LoRAs of the pipeline are called as diffusers calls them",
    "diffusers.loaders.lora_base": "the steps of that mixin, for a text encoder that is none of transformers' models",
    "diffusers.loaders.single_file_utils.convert_ldm_clip_checkpoint": "names of single files",
    "diffusers.loaders.single_file_utils.convert_ldm_unet_checkpoint": "names of single files",
    "diffusers.loaders.single_file_utils.convert_ldm_vae_checkpoint": "names of single files",
    "diffusers.models.attention_processor.Attention": "the layers that are tapped",
    "diffusers.models.attention_processor.AttnProcessor": "processors that compute the same attention",
    "diffusers.models.attention_processor.AttnProcessor2_0": "processors that compute the same attention",
    "diffusers.models.attention_processor.FusedAttnProcessor2_0": "processors that compute the same attention",
    "diffusers.models.attention_processor.SlicedAttnProcessor": "processors that compute the same attention",
    "diffusers.models.attention_processor.XFormersAttnProcessor": "processors that compute the same attention",
    "diffusers.models.embeddings.ImageProjection": "the pictures of an IP-Adapter",
    "diffusers.models.controlnets.multicontrolnet.MultiControlNetModel": "several nets given as diffusers' users do",
    "diffusers.pipelines.stable_diffusion.safety_checker.StableDiffusionSafetyChecker": "the safety score",
    "diffusers.utils.torch_utils.randn_tensor": "the pipeline's noise is diffusers' own",
    "gradio.data_classes.DataWithFiles": "what a painted canvas sends",
    "gradio.processing_utils.save_bytes_to_cache": "files of the page lie where Gradio serves them",
    "gradio.processing_utils.save_file_to_cache": "files of the page lie where Gradio serves them",
    "gradio.route_utils.FileUploadProgress": "progress of uploads",
    "gradio.route_utils.GradioMultiPartParser": "uploads are read within limits",
    "gradio.route_utils.GradioUploadFile": "uploads are read within limits",
    "gradio.routes.file_upload_statuses": "progress of uploads",
    "gradio.utils.get_upload_folder": "files of the page lie where Gradio serves them",
    "gradio_client.utils.strip_invalid_filename_characters": "names of uploads as the browser's part expects them",
    "huggingface_hub.file_download.http_get": "a fetch that goes on where it was cut off, with the library's retries",
    "huggingface_hub.utils.WeakFileLock": "two processes fetch a file once",
    "huggingface_hub.utils.are_progress_bars_disabled": "the library's own switch",
    "huggingface_hub.utils.build_hf_headers": "the user's token",
    "transformers.modeling_outputs.BaseModelOutput": "what a T5 reads instead of its encoder's words",
    "transformers.models.clip.image_processing_pil_clip.CLIPImageProcessorPil": "pictures as the measures had them",
    "transformers.models.vit.image_processing_pil_vit.ViTImageProcessorPil": "pictures as the measures had them",
    "transformers.utils.logging": "what the library says of tokenizers",
    "tokenizers.implementations.BertWordPieceTokenizer": "the vocabulary of a model that is trained here",
}
# Names with an underscore, of objects that are not ours: where one is found.
UNDERSCORED = {
    "_cdata": "torch.UntypedStorage",
    "_current_part": "gradio.route_utils.GradioMultiPartParser, an attribute of its instances",
    "_execution_device": "diffusers.DiffusionPipeline",
    "_files_to_close_on_error": "gradio.route_utils.GradioMultiPartParser, an attribute of its instances",
    "_forward_hooks": "torch.nn.Module, an attribute of its instances: what somebody has put on a layer",
    "_hf_hook": "accelerate's mark on modules that are offloaded",
    "_hf_peft_config_loaded": "diffusers' mark on networks with adapters",
    "_signals": "gradio.route_utils.FileUploadProgress, an attribute of its instances",
    "_statuses": "gradio.route_utils.FileUploadProgress, an attribute of its instances",
    "_flatten_dense_tensors": "torch._utils",
    "_unflatten_dense_tensors": "torch._utils",
    "_foreach_lerp_": "torch",
    "_base": "torch.Tensor",
    "_private": "ray, for a cluster that listens to its own machine alone",
    "_version": "torch.Tensor",
    "_bn0": "efficientnet_lite_pytorch's network",
    "_conv_stem": "efficientnet_lite_pytorch's network",
    "_swish": "efficientnet_lite_pytorch's network",
}


def trees() -> Iterator[ast.Module]:
    return (ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES)


def imported_inside() -> set[str]:
    """What is imported from a module below a library's top."""
    found = set()
    for tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                library, _, below = node.module.partition(".")
                if library in LIBRARIES and below:
                    found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def is_underscored(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def underscored_of_others() -> set[str]:
    """Underscored names that the sources read and nowhere define."""
    read: set[str] = set()
    own: set[str] = set()
    for tree in trees():
        for node in ast.walk(tree):
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    own.add(name)
                case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                    own.add(name)
                case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                    own.add(name)
                case ast.Attribute(attr=name):
                    read.add(name)
                case ast.ImportFrom(names=names, level=0, module=str(module)):
                    ours = module.split(".")[0] in ("blipdiff", "pipelines", "app")
                    (own if ours else read).update(alias.name for alias in names)
                case ast.Call(
                    func=ast.Name(id="getattr" | "hasattr" | "setattr"), args=[_, ast.Constant(value=str(name)), *_]
                ):
                    read.add(name)
    return {name for name in read - own if is_underscored(name)}


def found_at(path: str) -> Any:
    """The object of a dotted path, its longest importable part imported."""
    parts = path.split(".")
    for count in range(len(parts), 0, -1):
        try:
            module = import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        return reduce(getattr, parts[count:], module)
    raise ModuleNotFoundError(path)


def test_every_name_from_inside_of_a_library_is_written_down() -> None:
    assert imported_inside() == set(INSIDE)


def test_every_underscored_name_of_others_is_written_down() -> None:
    assert underscored_of_others() == set(UNDERSCORED)


@pytest.mark.parametrize("path", INSIDE)
def test_a_name_from_inside_is_there(path: str) -> None:
    assert found_at(path) is not None


LORA_STEPS = (
    "delete_adapter_layers",
    "disable_lora_for_text_encoder",
    "enable_lora_for_text_encoder",
    "fuse_text_encoder_lora",
    "recurse_remove_peft_layers",
    "scale_lora_layers",
    "set_adapters_for_text_encoder",
    "unfuse_text_encoder_lora",
)


def test_the_steps_of_the_lora_mixin_are_there_and_no_others_are_used() -> None:
    source = (ROOT / "pipelines" / "diffusers_pipeline" / "loras.py").read_text(encoding="utf-8")
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)]
    used = {node.attr for node in nodes if isinstance(node.value, ast.Name) and node.value.id == "diffusers_loras"}
    assert used == set(LORA_STEPS)
    home = import_module("diffusers.loaders.lora_base")
    assert all(callable(getattr(home, name)) for name in LORA_STEPS)


def test_what_has_an_underscore_is_where_we_look_for_it() -> None:
    import torch
    from gradio.route_utils import FileUploadProgress

    progress = FileUploadProgress()
    assert isinstance(progress._statuses, dict)
    assert isinstance(progress._signals, dict)
    assert hasattr(torch, "_foreach_lerp_")
    assert torch.zeros(2).view(1, 2)._base is not None
    assert torch.nn.Linear(1, 1)._forward_hooks == {}
    for path in (
        "diffusers.DiffusionPipeline._execution_device",
        "torch.UntypedStorage._cdata",
        "ray._private.ray_constants.ENABLE_RAY_CLUSTER",
        "torch._utils._flatten_dense_tensors",
        "torch._utils._unflatten_dense_tensors",
    ):
        assert found_at(path) is not None


def test_a_fetch_moves_the_bar_that_it_is_given() -> None:
    assert "_tqdm_bar" in signature(found_at("huggingface_hub.file_download.http_get")).parameters


def test_gradios_parser_keeps_its_parts_where_ours_looks() -> None:
    from gradio.route_utils import GradioMultiPartParser
    from starlette.datastructures import Headers

    parser = GradioMultiPartParser(Headers({"content-type": "multipart/form-data; boundary=x"}), None, max_file_size=1)
    parser.on_part_begin()
    assert parser._current_part.data in (b"", bytearray())
    assert parser._files_to_close_on_error == []
