"""What a lint finds: data with a place, for people and programs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(str, Enum):
    """What is odd. None of these keeps a grammar from compiling but EMPTY_LANGUAGE."""

    EMPTY_LANGUAGE = "empty-language"
    UNREACHABLE = "unreachable-rule"
    UNUSED_TERMINAL = "unused-terminal"
    UNPRODUCTIVE = "unproductive-rule"
    CYCLIC = "cyclic-rule"
    AMBIGUOUS = "ambiguous"
    SHADOWED = "shadowed-terminal"
    COLLISION = "terminal-collision"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """kind: what it is. subject: the rule or terminal, as it is called in the grammar. line, column: where that is
    defined, from 1; 0 where it has no place in the source. witness: a text (or, if ``sentence`` only is known, none)
    that shows it. sentence: the witness as terminals.
    """

    kind: Kind
    subject: str
    message: str
    line: int = 0
    column: int = 0
    witness: str | None = None
    sentence: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Report:
    """findings: in the order of the source. notes: what was looked for and how far, where nothing was found."""

    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
