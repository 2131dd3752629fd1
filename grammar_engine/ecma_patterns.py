r"""Patterns in the syntax of pydantic's engines as patterns of ECMA-262, which a schema has.

Rust's ``regex`` reads classes as Unicode has them: ``\d`` is any decimal digit, ``\w`` any letter, ``\s`` white space
with U+0085 and without U+FEFF. ECMA-262's classes are narrower, so they may stay as they are; their complements are
wider and are narrowed. Where a word boundary or a negated class depends on which letters there are, only ASCII texts
are offered: on those all engines agree.

Constructs that only the other syntaxes have (``\A``, ``\z``, ``(?P<name>…)``) are rewritten; what cannot be (``(?x)``,
``[a&&b]``) stays, and the schema's own reader refuses it by name.
"""

from __future__ import annotations

import re

from grammar_engine.type_patterns import ASCII

_REWRITTEN = {r"\A": "^", r"\z": "$", r"\Z": "$", r"\a": r"\x07", r"\D": r"\P{Nd}", r"\S": r"[^\s\x85]"}
_PARTS = re.compile(r"\\(?:[pP]\{\w+\}|[\s\S])|\(\?P<|\[\^?|\]|[\s\S]")


def ecma_pattern(pattern: str, *, python: bool) -> list[str]:
    """Patterns that must all match; together they admit only texts that ``pattern`` admits.

    python: the pattern is for Python's ``re`` (``regex_engine="python-re"``), else for Rust's ``regex``.
    """
    written: list[str] = []
    inside = negated = ascii_only = False
    for part in _PARTS.findall(pattern):
        if inside:
            if part == "]" and written[-1] not in ("[", "[^"):
                inside = False
            elif part[0] == "[":
                part = "\\["
            if part in (r"\W", r"\S", r"\D") or (negated and part in (r"\w", r"\s", r"\d")):
                ascii_only = True
            written.append(part)
            continue
        if part in ("[", "[^"):
            inside, negated = True, part == "[^"
        elif part in (r"\b", r"\B", r"\W"):
            ascii_only = True
        elif part == "(?P<":
            part = "(?<"
        written.append(_REWRITTEN.get(part, part))
    found = ["".join(written)]
    if ascii_only or (python and "(?i" in pattern):
        found.append(ASCII)
    return found
