"""The tokenizers that transformers provides: those of its fifth version, which the fourth has under longer names."""

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import BertTokenizerFast as BertTokenizer
from transformers import CLIPTokenizerFast as CLIPTokenizer
from transformers.utils import logging

__all__ = ["BertTokenizer", "CLIPTokenizer", "unwarned"]


@contextmanager
def unwarned() -> Iterator[None]:
    """Keeps what transformers would warn of off the console."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
