"""The door for files of other makers: one error of ours, which names the file; our own mistakes pass as they are."""

from pathlib import Path

import pytest

from blipdiff.data.matting import load_segmenter
from blipdiff.errors import BlipdiffError, CheckpointError, ConfigError, ImageError
from blipdiff.foreign import foreign
from blipdiff.language.captioners import load_captioner, load_matcher


class PanicException(BaseException):
    """As libraries written in Rust fail."""


@pytest.mark.parametrize(
    "error", [KeyError("a"), RecursionError(), MemoryError(), PanicException("index 3"), ValueError("x\ny")]
)
def test_whatever_a_library_raises_becomes_one_sentence_that_names_the_file(error: BaseException) -> None:
    with pytest.raises(ImageError) as caught, foreign(Path("a/b.png"), "a picture", ImageError):
        raise error
    assert str(caught.value).startswith("a/b.png is damaged, or it is not a picture: ")
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), ConfigError("ours")])
def test_what_is_not_a_librarys_error_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, foreign("b.png", "a picture"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("config", ["[]", "{", '{"model_type": 3}', '{"text_config": 7, "vision_config": []}'])
@pytest.mark.parametrize("load", [load_segmenter, load_captioner, load_matcher])
def test_a_damaged_network_of_transformers_is_named(load, config: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        load(tmp_path)
    assert issubclass(CheckpointError, BlipdiffError)
