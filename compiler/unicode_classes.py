r"""`\w`, `\d`, `\s` and case-insensitive classes, exactly as the running Python's `re` has them.

The tables are asked of `re` itself, once per process and only when a pattern needs them: what counts as a word
character changes with Python's Unicode version, and its case folding has exceptions of its own (`ſ` and `s`, the
Kelvin sign and `k`, three sigmas). Only characters with more than one case can be matched otherwise than literally,
so a class is tried on those (about 2,900), not on all 1.1 million.
"""

from __future__ import annotations

import unicodedata
from array import array
from functools import cache, lru_cache
from importlib import import_module
from itertools import groupby

from grammar_engine.compiler.charset import CharSet
from grammar_engine.compiler.format_store import stored_categories

_ALL = 0x110000


def _all_characters(low: int, high: int) -> str:
    return array("I", range(low, high)).tobytes().decode("utf-32", "surrogatepass")


@cache
def category(letter: str, *, ascii_only: bool, module: str = "re") -> CharSet:
    r"""The members of `\w`, `\d` or `\s` (``letter``), among ASCII or all of Unicode, as a module has them."""
    engine = import_module(module)
    flags = engine.ASCII if ascii_only else engine.UNICODE
    found = engine.finditer(rf"\{letter}+", _all_characters(0, 128 if ascii_only else _ALL), flags)
    return CharSet.from_ranges((match.start(), match.end() - 1) for match in found)


@cache
def _cased(module: str) -> tuple[str, CharSet]:
    """Every character with a lower, upper or title case other than itself, and what the package regex folds beside."""
    found: list[str] = []
    for start in range(0, _ALL, 256):
        block = _all_characters(start, start + 256)
        if block != block.lower() or block != block.upper():
            found.extend(char for char in block if char != char.lower() or char != char.upper())
    if module != "re":
        cased = r"[\p{Cased}\p{Changes_When_Casemapped}\p{Changes_When_Casefolded}]"
        found = sorted({*found, *import_module(module).findall(cased, _all_characters(0, _ALL))})
    return "".join(found), CharSet.from_chars(found)


@lru_cache(maxsize=4096)
def ignoring_case(literal: CharSet, class_source: str, *, ascii_only: bool, module: str = "re") -> CharSet:
    """What a class matches under IGNORECASE.

    ``literal``: what it matches with case; ``class_source``: the class in `re` syntax.
    """
    text, cased = _cased(module)
    engine = import_module(module)
    matched = engine.findall(class_source, text, engine.IGNORECASE | (engine.ASCII if ascii_only else engine.UNICODE))
    return literal.difference(cased).union(CharSet.from_chars(matched))


#: Long names of general categories (UAX 44, table 12), with the short ones that unicodedata uses.
_LONG_NAMES = {
    "Letter": "L", "Cased_Letter": "LC", "Uppercase_Letter": "Lu", "Lowercase_Letter": "Ll", "Titlecase_Letter": "Lt",
    "Modifier_Letter": "Lm", "Other_Letter": "Lo", "Mark": "M", "Combining_Mark": "M", "Nonspacing_Mark": "Mn",
    "Spacing_Mark": "Mc", "Enclosing_Mark": "Me", "Number": "N", "Decimal_Number": "Nd", "digit": "Nd",
    "Letter_Number": "Nl", "Other_Number": "No", "Punctuation": "P", "punct": "P", "Connector_Punctuation": "Pc",
    "Dash_Punctuation": "Pd", "Open_Punctuation": "Ps", "Close_Punctuation": "Pe", "Initial_Punctuation": "Pi",
    "Final_Punctuation": "Pf", "Other_Punctuation": "Po", "Symbol": "S", "Math_Symbol": "Sm", "Currency_Symbol": "Sc",
    "Modifier_Symbol": "Sk", "Other_Symbol": "So", "Separator": "Z", "Space_Separator": "Zs", "Line_Separator": "Zl",
    "Paragraph_Separator": "Zp", "Other": "C", "Control": "Cc", "cntrl": "Cc", "Format": "Cf", "Private_Use": "Co",
    "Unassigned": "Cn",
}  # fmt: skip


#: Planes in which single characters are assigned. The others have none, or (15 and 16) are private but for their last
#: two code points.
_PLANES = (0, 1, 2, 3, 14)
_PLANE = 0x10000


def category_runs() -> list[tuple[str, int]]:
    """The general categories of all code points, one after the other: (name, how many)."""
    category = unicodedata.category
    found: list[tuple[str, int]] = []
    for plane in range(_ALL // _PLANE):
        first = plane * _PLANE
        if plane not in _PLANES:
            found += [(category(chr(first)), _PLANE - 2), ("Cn", 2)]
        else:
            runs = groupby(map(category, map(chr, range(first, first + _PLANE))))
            found += [(name, sum(1 for _ in run)) for name, run in runs]
    return found


@cache
def _categories() -> dict[str, CharSet]:
    stored = stored_categories(unicodedata.unidata_version)
    if stored is not None:
        return stored
    found: dict[str, list[tuple[int, int]]] = {}
    start = 0
    for name, length in category_runs():
        found.setdefault(name, []).append((start, start + length - 1))
        start += length
    return {name: CharSet.from_ranges(ranges) for name, ranges in found.items()}


@cache
def general_category(name: str) -> CharSet | None:
    """The members of a general category of Unicode by its short or long name (`L`, `Lu`, `Uppercase_Letter`), in the
    Unicode version of the running Python; None for a name that is none.
    """
    short = _LONG_NAMES.get(name, name)
    table = _categories()
    if short == "LC":
        return table["Lu"].union(table["Ll"], table["Lt"])
    if short in table:
        return table[short]
    members = [members for key, members in table.items() if len(short) == 1 and key.startswith(short)]
    return members[0].union(*members[1:]) if members else None
