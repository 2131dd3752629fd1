"""Sentences of terminals written out as texts that the matcher accepts.

A terminal's word may run into the next one (``in`` and ``x`` make ``inx``), be taken for a keyword, or stand where its
column matters. So words are put down one by one, blanks between them where the grammar ignores some, other words tried
where a matcher refuses; the text as a whole is the matcher's to judge.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from grammar_engine.compiler.automaton import ByteAutomaton
from grammar_engine.compiler.automaton_simulator import accepts
from grammar_engine.compiler.ir import Layout, Terminal
from grammar_engine.inspection.words import Words
from grammar_engine.matcher import Matcher

if TYPE_CHECKING:
    from grammar_engine.compiler.compiled import CompiledGrammar

_TRIES = 6
_INDENT = 2
_BLANKS = (b" ", b"\n", b"\t")
_WORDLIKE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$.\"'")


class Speller:
    """Writes sentences of one compiled grammar; terminals by their numbers in it."""

    def __init__(self, compiled: CompiledGrammar) -> None:
        self._compiled = compiled
        self._words: dict[int, Words] = {}
        self._layout: Layout | None = None if compiled.grammar.table is None else compiled.grammar.table.layout
        self._blank = self._find_blank()

    def words(self, terminal: int) -> Words:
        """The words of a terminal."""
        found = self._words.get(terminal)
        if found is None:
            found = self._words[terminal] = Words(self._compiled.grammar.terminal(terminal))
        return found

    def spell(self, sentence: Sequence[int], rng: random.Random, *, length: int = 0) -> bytes | None:
        """A text for a sentence, accepted by the grammar; None if none was found. length: of random words, 0 for the
        shortest ones.
        """
        matcher, text = Matcher(self._compiled), bytearray()
        if not self._write(sentence, matcher, text, rng, length):
            return None
        if matcher.is_accepting():
            return bytes(text)
        if self._layout is not None and matcher.accept_bytes(b"\n") and matcher.is_accepting():
            return bytes(text) + b"\n"
        return None

    def follow(self, sentence: Sequence[int], rng: random.Random) -> Matcher | None:
        """A matcher behind a text for the beginning of a sentence; None if none was found."""
        matcher = Matcher(self._compiled)
        return matcher if self._write(sentence, matcher, bytearray(), rng, 0) else None

    def _write(
        self, sentence: Sequence[int], matcher: Matcher, text: bytearray, rng: random.Random, length: int
    ) -> bool:
        """Append words for all terminals, to the text and to the matcher."""
        columns = [0]
        for place, terminal in enumerate(sentence):
            if self._layout is not None:
                if terminal in (self._layout.indent, self._layout.dedent):
                    continue  # said by the column of the newline before
                if terminal == self._layout.newline:
                    self._turn(columns, sentence[place + 1 :], self._layout)
                    line = b"\n" + b" " * columns[-1]
                    if not matcher.accept_bytes(line):
                        return False
                    text += line
                    continue
            piece = self._put(matcher, terminal, bytes(text[-1:]), rng, length)
            if piece is None:
                return False
            text += piece
        return True

    @staticmethod
    def _turn(columns: list[int], behind: Sequence[int], layout: Layout) -> None:
        """Indent or dedent, as the terminals behind a newline say."""
        for terminal in behind:
            if terminal == layout.indent:
                columns.append(columns[-1] + _INDENT)
            elif terminal == layout.dedent and len(columns) > 1:
                columns.pop()
            else:
                return

    def _put(self, matcher: Matcher, terminal: int, last: bytes, rng: random.Random, length: int) -> bytes | None:
        """Append a word of a terminal, perhaps behind a blank; what was appended, or None."""
        words = self.words(terminal)
        if not words.shortest:
            return None
        for attempt in range(_TRIES):
            if length and attempt < _TRIES - 1:
                word = words.random(rng, rng.randint(1, length))
            else:
                word = words.shortest if attempt == 0 or attempt == _TRIES - 1 else words.random(rng, attempt + 1)
            for before in self._separators(last, word):
                if matcher.accept_bytes(before + word):
                    return before + word
        return None

    def _separators(self, last: bytes, word: bytes) -> tuple[bytes, ...]:
        """What to try between two words, what seems best first."""
        if not last or self._blank is None:
            return (b"",) if self._blank is None else (b"", self._blank)
        alike = (last[0] in _WORDLIKE) == (word[0] in _WORDLIKE)
        return (self._blank, b"") if alike else (b"", self._blank)

    def _find_blank(self) -> bytes | None:
        """The shortest text that the grammar ignores, a blank if possible."""
        grammar = self._compiled.grammar
        ignored = [grammar.terminal(terminal) for terminal in grammar.ignored]
        for blank in _BLANKS:
            if any(_matches(terminal, blank) for terminal in ignored):
                return blank
        shortest = [Words(terminal).shortest for terminal in ignored]
        return min((word for word in shortest if word), key=len, default=None)


def _matches(terminal: Terminal, text: bytes) -> bool:
    if isinstance(terminal.automaton, bytes):
        return terminal.automaton == text
    return isinstance(terminal.automaton, ByteAutomaton) and accepts(terminal.automaton, text)
