"""The tokenizers that transformers provides: those of its fifth version, which the fourth has under longer names."""

from transformers import BertTokenizerFast as BertTokenizer
from transformers import CLIPTokenizerFast as CLIPTokenizer

__all__ = ["BertTokenizer", "CLIPTokenizer"]
