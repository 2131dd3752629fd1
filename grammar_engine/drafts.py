r"""Drafts: tokens that the grammar lets us guess, to be verified by the model in one pass instead of one by one.

    text so far   {"name          the grammar: only `":` can follow, then perhaps blanks, then a string's quote
    draft         `":` ` "`       one pass of the model over both; each is kept if the model, masked, chooses it too

So a draft never changes what is generated, only in how many passes (speculative decoding, Leviathan et al. 2023, with a
draft that costs no model). Guessed is what the grammar forces, byte by byte; where beside one forced byte only blanks
could stand, the blanks that this text had behind the same byte the last time, at first those that JSON usually has.
The tokens are the fewest that spell the guess: models mostly write them so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from grammar_engine.completion import SpellingTable
from grammar_engine.matcher import Matcher

if TYPE_CHECKING:
    from grammar_engine.compiler.engine import Engine

_BLANKS = frozenset(b" \t\r\n")
_MOST_CANDIDATES = 6  # a forced byte, the blanks, and one that a guard or a look-ahead forbids
_MOST_BYTES = 64
_MOST_KNOWN = 1 << 16


@dataclass
class Style:
    """The blanks that a text puts behind a byte: learned while it is written."""

    last: int = -1  # the last byte that is not blank; -1 if there is none
    run: bytearray = field(default_factory=bytearray)  # the blanks behind it
    blanks: dict[int, bytes] = field(default_factory=lambda: {ord(":"): b" ", ord(","): b" "})

    def read(self, text: bytes) -> None:
        """Learn from text that was written."""
        for byte in text:
            if byte in _BLANKS:
                self.run.append(byte)
                continue
            if self.last >= 0:
                self.blanks[self.last] = bytes(self.run)
            self.last = byte
            self.run.clear()


class Drafter:
    """Guesses for the texts of one grammar; what it knows of positions is shared by them."""

    def __init__(self, spelling: SpellingTable, *, most_tokens: int) -> None:
        """Guess at most ``most_tokens`` tokens at a time, with the tokens of ``spelling``."""
        self._spelling = spelling
        self._most_tokens = most_tokens
        self._known: WeakKeyDictionary[Engine, dict[int, tuple[int, int] | None]] = WeakKeyDictionary()

    def draft(self, matcher: Matcher, style: Style) -> list[int]:
        """Tokens that may well follow, each of them allowed behind those before; often none.

        The matcher stays as it is. ``style`` has read the whole text.
        """
        if matcher.is_terminated():
            return []
        text = self._guess(matcher, style)
        if not text:
            return []
        tokens = self._spelling.split(text)
        if tokens is None:
            return []
        del tokens[self._most_tokens :]
        return tokens[: matcher.validate_tokens(tokens)]

    def _guess(self, matcher: Matcher, style: Style) -> bytes:
        engine, position = matcher.engine, matcher.engine_position
        guess = bytearray()
        last, blank = style.last, bool(style.run)
        while len(guess) < _MOST_BYTES and not engine.is_accepting(position):
            expected = b"" if blank else style.blanks.get(last, b"")
            behind = _walk(engine, position, expected)
            if expected and behind and self._forced(engine, behind) is not None:
                guess += expected
                position = behind
            step = self._forced(engine, position)
            if step is None:
                break
            last, position = step
            blank = False
            guess.append(last)
        return bytes(guess)

    def _forced(self, engine: Engine, position: int) -> tuple[int, int] | None:
        """The only byte but blanks that may follow a position, and the position behind it; None if there are more."""
        known = self._known.setdefault(engine, {})
        if position in known:
            return known[position]
        found: tuple[int, int] | None = None
        candidates = engine.candidate_bytes(position)
        if len(candidates) <= _MOST_CANDIDATES:
            for byte in candidates:
                behind = 0 if byte in _BLANKS else engine.step_byte(position, byte)
                if behind:
                    if found is not None:
                        found = None
                        break
                    found = byte, behind
        if len(known) >= _MOST_KNOWN:
            known.clear()
        known[position] = found
        return found


def _walk(engine: Engine, position: int, data: bytes) -> int:
    for byte in data:
        position = engine.step_byte(position, byte)
        if not position:
            break
    return position
