r"""Patterns in the syntax of pydantic's engines as patterns of ECMA-262, which a schema has.

Rust's ``regex`` reads classes as Unicode has them: ``\d`` is any decimal digit, ``\w`` any letter, ``\s`` white space
with U+0085 and without U+FEFF. ECMA-262's classes are narrower, so they may stay as they are; their complements are
wider and are narrowed. Where a word boundary or a negated class depends on which letters there are, only ASCII texts
are offered: on those all engines agree.

Constructs that only the other syntaxes have (``\A``, ``\z``, ``(?P<name>…)``) are rewritten. What cannot be is refused:
here if ECMA-262 reads it as something else (``[[:alpha:]]``, ``[a&&b]``, ``\<``), else (``(?x)``) by the schema's own
reader.
"""

from __future__ import annotations

import re

from grammar_engine.type_parts import refused
from grammar_engine.type_patterns import ASCII

_REWRITTEN = {r"\A": "^", r"\z": "$", r"\Z": "$", r"\a": r"\x07", r"\D": r"[^\p{Nd}\p{Cn}]", r"\S": r"[^\s\x85]"}
_SETS = ("&&", "--", "~~")
_WORD_ENDS = (r"\<", r"\>", r"\b{")
_PARTS = re.compile(r"\\(?:[pP]\{\w+\}|b\{|[\s\S])|&&|--|~~|\(\?P<|\[\^?|\]|[\s\S]")


def ecma_pattern(pattern: str, *, python: bool) -> list[str]:
    """Patterns that must all match; together they admit only texts that ``pattern`` admits.

    python: the pattern is for Python's ``re`` (``regex_engine="python-re"``), else for Rust's ``regex``.
    """
    written: list[str] = []
    inside = negated = False
    ascii_only = python and any(group in pattern for group in ("(?!", "(?<!"))
    for part in _PARTS.findall(pattern):
        if inside:
            if part == "]" and written[-1] not in ("[", "[^"):
                inside = False
            elif part[0] == "[":
                if not python:
                    raise refused(f"a class inside a class, in the pattern {pattern!r}", "Write it as one class.")
                part = "\\" + part
            elif part in _SETS and not python:
                raise refused(f"the class operator {part}, in the pattern {pattern!r}", "Write it as one class.")
            ascii_only |= _depends_on_letters(part, negated=negated)
            written.append(part)
            continue
        if part in ("[", "[^"):
            inside, negated = True, part == "[^"
        elif part == "(?P<":
            part = "(?<"
        elif part in _WORD_ENDS:
            raise refused(f"{part} in the pattern {pattern!r}", r"Use \b.")
        ascii_only |= part in (r"\b", r"\B", r"\W") or part.startswith(r"\P")
        written.append(_REWRITTEN.get(part, part))
    return ["".join(written), *([ASCII] if ascii_only else [])]


def _depends_on_letters(part: str, *, negated: bool) -> bool:
    """In a class: is this wider in ECMA-262, or in another version of Unicode?"""
    complement = part in (r"\W", r"\S", r"\D") or part.startswith(r"\P")
    return complement or (negated and (part in (r"\w", r"\s", r"\d") or part.startswith(r"\p")))
