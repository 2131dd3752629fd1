"""A list of texts as a grammar: one terminal, the minimal acyclic automaton of their UTF-8 encodings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from grammar_engine.compiler.automaton import KEEP, MATCH, ByteAutomaton
from grammar_engine.compiler.errors import GrammarSyntaxError, UnsatisfiableGrammarError
from grammar_engine.compiler.ir import EagerGrammar, Lexing, Terminal
from grammar_engine.compiler.string_set import minimal_trie


def choices_grammar(choices: Sequence[str]) -> EagerGrammar:
    """Exactly these texts; duplicates are harmless, the empty text is allowed.

    Raises UnsatisfiableGrammarError for an empty list, TypeError for a member that is no str, GrammarSyntaxError for
    one that has no UTF-8 encoding (a lone surrogate).
    """
    if isinstance(choices, str):
        raise TypeError("choices is a list of texts, not one text")
    if not choices:
        raise UnsatisfiableGrammarError("the list of choices is empty", place="choices")
    encoded: list[bytes] = []
    for index, choice in enumerate(choices):
        if not isinstance(choice, str):
            raise TypeError(f"choice {index} is a {type(choice).__name__}, not a str")
        try:
            encoded.append(choice.encode())
        except UnicodeEncodeError as error:
            raise GrammarSyntaxError(
                f"choice {index} holds a lone surrogate", source=ascii(choice), column=1
            ) from error
    texts = [data for data in encoded if data]
    accepts_empty = len(texts) < len(encoded)
    if not texts:
        return EagerGrammar(start=0, rules=((),), terminals=(), lexing=Lexing.UNORDERED, accepts_empty=True)
    terminal = Terminal(name="CHOICE", automaton=_byte_automaton(texts))
    return EagerGrammar(
        start=0, rules=(((0,),),), terminals=(terminal,), lexing=Lexing.UNORDERED, accepts_empty=accepts_empty
    )


def _byte_automaton(texts: list[bytes]) -> ByteAutomaton:
    positions: dict[tuple[int, int, int], int] = {}
    offsets = [0]
    entries: list[tuple[int, int, int]] = []
    for accepting, children in minimal_trie(texts):
        for byte, target in children:
            entries.append((positions.setdefault((byte, byte, target), len(positions)), KEEP, 0))
        if accepting:
            entries.append((MATCH, KEEP, 0))
        offsets.append(len(entries))
    return ByteAutomaton(
        positions=np.array(list(positions), np.int32).reshape(-1, 3),
        offsets=np.array(offsets, np.int32),
        entries=np.array(entries, np.int32).reshape(-1, 3),
    )
