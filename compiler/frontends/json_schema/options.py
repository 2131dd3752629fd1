"""What a caller may choose about the texts of a schema; the language of values never depends on it."""

from __future__ import annotations

from dataclasses import dataclass

from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.compiler.limits import DEADLINE

_MAX_GAP = 100_000


@dataclass(frozen=True, kw_only=True)
class JsonSchemaOptions:
    """How values are laid out as text.

    any_whitespace: JSON whitespace may stand between tokens (never before or after the whole text). It only applies
        when neither ``indent`` nor ``separators`` asks for one exact layout.
    max_whitespace: at most so many whitespace characters in one gap, so that a model cannot loop on them.
    indent, separators: exact layout, as ``json.dumps`` has it with the same arguments.
    property_order: "declared": properties stand in the order of ``properties``, then names that only ``required``
        mentions, then additional ones. "any": in any order, additional ones among them, each declared name once.
    deadline: seconds of processor time to compile; each part that is expanded later may take five times as long.
        None: no limit.
    on_unsupported: "error", or "warn": what cannot be enforced is left out (``relaxing.py``), and the grammar lists it.
    plain_integers: integers are written with digits only, not as ``1.0`` or ``1e2``, which denote integers too. For
        readers that are strict about it. Numbers that may have a fraction keep all their spellings.
    """

    any_whitespace: bool = True
    max_whitespace: int = 64
    indent: int | str | None = None
    separators: tuple[str, str] | None = None
    property_order: str = "declared"
    deadline: float | None = DEADLINE
    on_unsupported: str = "error"
    plain_integers: bool = False

    def __post_init__(self) -> None:
        if self.property_order not in ("declared", "any"):
            raise ValueError(f"property_order is 'declared' or 'any', not {self.property_order!r}")
        if not 0 <= self.max_whitespace <= _MAX_GAP:
            raise LimitExceededError(
                "max_whitespace is out of range", limit=f"0..{_MAX_GAP}", given=self.max_whitespace
            )
        if self.on_unsupported not in ("error", "warn"):
            raise ValueError(f"on_unsupported is 'error' or 'warn', not {self.on_unsupported!r}")
        if self.deadline is not None and not self.deadline > 0:
            raise ValueError(f"deadline is a number of seconds above 0, or None, not {self.deadline!r}")
        if isinstance(self.indent, str) and self.indent.strip(" \t\n\r"):
            raise ValueError("indent may hold JSON whitespace only")
        if isinstance(self.indent, int) and self.indent < 0:
            raise ValueError("indent is not negative")
        if self.separators is not None:
            item, key = self.separators
            if item.strip(" \t\n\r") != "," or key.strip(" \t\n\r") != ":":
                raise ValueError("separators are a comma and a colon, each with JSON whitespace around it at most")

    @property
    def exact(self) -> bool:
        """Is the layout fixed (no free whitespace)?"""
        return not self.any_whitespace or self.indent is not None or self.separators is not None
