"""The tokenizers that transformers provides: those of its fifth version, which the fourth has under longer names."""

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import BertTokenizerFast as BertTokenizer
from transformers import CLIPTokenizerFast as CLIPTokenizer
from transformers.utils import logging

__all__ = ["BertTokenizer", "CLIPTokenizer", "unwarned"]


@contextmanager
def unwarned() -> Iterator[None]:
    """Keeps what transformers would warn of, and its bars, off the console."""
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
