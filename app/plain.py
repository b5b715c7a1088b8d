"""Foreign text made plain: file names, prompts of pictures, names of cards and messages of libraries may hold letters
that move a terminal's cursor, colour it, reverse the direction of what follows, or break a line."""

import unicodedata

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # controls, formats (bidi, zero width), halves, separators of lines
_JOINER = "\u200d"  # a zero-width joiner, which emoji are made with


def plain(text: object, *, lines: bool = False) -> str:
    """The text with every letter that is not seen as itself written out: \\x1b, \\n, \\u202e.

    lines: line breaks and tabs stay, for text of our own that has several lines
    """
    kept = "\n\t" + _JOINER if lines else _JOINER
    return "".join(
        letter if letter in kept or unicodedata.category(letter) not in _UNSEEN else _written(letter)
        for letter in str(text)
    )


def has_halves(text: str) -> bool:
    """Whether a text holds halves of letters, as JSON can say them ("\\ud800") and no file or table can hold them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _written(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
