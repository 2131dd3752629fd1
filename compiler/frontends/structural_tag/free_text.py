"""Free text: the automata of all texts in which some strings do not stand, and of those that end where one first does.

The states are those of Aho and Corasick (Efficient string matching, 1975): each stands for the longest suffix of what
has been read that begins one of the strings; there are at most as many as the strings have characters. A state in which
a string is complete has no way on, so the automaton is deterministic and needs no complement.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from grammar_engine.compiler.automaton import ByteAutomaton
from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.char_states import ACCEPT, Edge, States, trim
from grammar_engine.compiler.charset import CharSet
from grammar_engine.compiler.frontends.structural_tag.formats import Dispatch
from grammar_engine.compiler.length import limit_length
from grammar_engine.compiler.spelling import to_utf8


@dataclass(frozen=True, kw_only=True)
class FreeText:
    """The texts that hold none of ``excludes`` and none of ``triggers``, and those that end with a trigger.

    watched: strings that texts may hold, but ``ending`` may ask for. No string is empty.
    """

    excludes: frozenset[str] = frozenset()
    triggers: frozenset[str] = frozenset()
    watched: frozenset[str] = frozenset()

    def texts(self, *, max_chars: int | None = None) -> ByteAutomaton | None:
        """The non-empty texts that hold none of the strings; None if there are none."""
        return _written(self, "texts", "", max_chars)

    def ending(self, text: str) -> ByteAutomaton | None:
        """Those of them that end with a watched text."""
        return _written(self, "ending", text, None)

    def up_to(self, trigger: str) -> ByteAutomaton | None:
        """The texts that end where a trigger first does, of those that end there the longest being this one."""
        return _written(self, "up to", trigger, None)


def free_text_of(tag: Dispatch) -> FreeText:
    """The free text of a format with triggers."""
    triggers = [rule.trigger for rule in tag.rules]
    return FreeText(
        excludes=frozenset(tag.excludes),
        triggers=frozenset(trigger.text for trigger in triggers if trigger.token is None),
        watched=frozenset(trigger.text for trigger in triggers if trigger.token is not None and trigger.text),
    )


@lru_cache(maxsize=256)
def _written(free: FreeText, which: str, text: str, max_chars: int | None) -> ByteAutomaton | None:
    """The automaton that a method of ``FreeText`` answers."""
    states = _States(free)
    if which == "texts":
        return states.automaton([not ended for ended in states.ended], max_chars)
    if which == "up to":
        return states.automaton([complete == text for complete in states.complete], None)
    pairs = zip(states.prefixes, states.ended, strict=True)
    return states.automaton([not ended and prefix.endswith(text) for prefix, ended in pairs], None)


class _States:
    """The automaton of Aho and Corasick, by state: its text, the longest trigger that ends there unless an exclude
    does, whether either does, and its edges.
    """

    def __init__(self, free: FreeText) -> None:
        prefixes = [""]
        number = {"": 0}
        strings = sorted(free.excludes | free.triggers | free.watched)
        for string in strings:
            for end in range(1, len(string) + 1):
                if string[:end] not in number:
                    number[string[:end]] = len(prefixes)
                    prefixes.append(string[:end])
        alphabet = sorted({char for string in strings for char in string})
        rest = CharSet.from_chars(alphabet).complement()
        self.prefixes = prefixes
        self.complete: list[str] = []
        self.ended: list[bool] = []
        self._moves: list[tuple[Edge, ...]] = []
        for prefix in prefixes:
            suffixes = [prefix[i:] for i in range(len(prefix))]
            barred = any(suffix in free.excludes for suffix in suffixes)
            found = next((suffix for suffix in suffixes if suffix in free.triggers), "")
            self.complete.append("" if barred else found)
            self.ended.append(barred or bool(found))
            if self.ended[-1]:
                self._moves.append(())
                continue
            behind: dict[int, list[str]] = {}
            for char in alphabet:
                read = prefix + char
                while read not in number:
                    read = read[1:]
                behind.setdefault(number[read], []).append(char)
            edges = []
            root = rest.union(CharSet.from_chars(behind.pop(0, [])))
            if root:
                edges.append(Edge(root, 0))
            edges += [Edge(CharSet.from_chars(chars), target) for target, chars in behind.items()]
            self._moves.append(tuple(edges))

    def automaton(self, accepting: Sequence[bool], max_chars: int | None) -> ByteAutomaton | None:
        states: States = trim(
            tuple((ACCEPT, *edges) if end else edges for edges, end in zip(self._moves, accepting, strict=True))
        )
        automaton = CharAutomaton(states, deterministic=True)
        if max_chars is not None:
            automaton = limit_length(automaton, max_chars)
        if not any(edge.label for edge in automaton.states[0]):
            return None
        written = to_utf8(automaton)
        digest = hashlib.sha256()
        for array in (written.positions, written.offsets, written.entries):
            digest.update(array.tobytes() + b"|")
        return replace(written, key=f"free text:{digest.hexdigest()}")
