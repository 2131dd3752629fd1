r"""`\w`, `\d`, `\s` and case-insensitive classes, exactly as the running Python's `re` has them.

The tables are asked of `re` itself, once per process and only when a pattern needs them: what counts as a word
character changes with Python's Unicode version, and its case folding has exceptions of its own (`ſ` and `s`, the
Kelvin sign and `k`, three sigmas). Only characters with more than one case can be matched otherwise than literally,
so a class is tried on those (about 2,900), not on all 1.1 million.
"""

from __future__ import annotations

import re
from array import array
from functools import cache, lru_cache

from grammar_engine.compiler.charset import CharSet

_ALL = 0x110000


def _all_characters(low: int, high: int) -> str:
    return array("I", range(low, high)).tobytes().decode("utf-32", "surrogatepass")


@cache
def category(letter: str, *, ascii_only: bool) -> CharSet:
    r"""The members of `\w`, `\d` or `\s` (``letter``), among ASCII or all of Unicode."""
    found = re.finditer(rf"\{letter}+", _all_characters(0, 128 if ascii_only else _ALL))
    return CharSet.from_ranges((match.start(), match.end() - 1) for match in found)


@cache
def _cased() -> tuple[str, CharSet]:
    """Every character with a lower, upper or title case other than itself."""
    found: list[str] = []
    for start in range(0, _ALL, 256):
        block = _all_characters(start, start + 256)
        if block != block.lower() or block != block.upper():
            found.extend(char for char in block if char != char.lower() or char != char.upper())
    return "".join(found), CharSet.from_chars(found)


@lru_cache(maxsize=4096)
def ignoring_case(literal: CharSet, class_source: str, flags: int) -> CharSet:
    """What a class matches under IGNORECASE.

    ``literal``: what it matches with case; ``class_source``: the class in `re` syntax; ``flags``: of the class.
    """
    text, cased = _cased()
    matched = re.findall(class_source, text, flags | re.IGNORECASE)
    return literal.difference(cased).union(CharSet.from_chars(matched))
