"""A list of texts as a grammar: one terminal, the minimal acyclic automaton of their UTF-8 encodings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from grammar_engine.compiler.automaton import KEEP, MATCH, ByteAutomaton
from grammar_engine.compiler.errors import GrammarSyntaxError, UnsatisfiableGrammarError
from grammar_engine.compiler.ir import EagerGrammar, Lexing, Terminal
from grammar_engine.compiler.string_set import string_set


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
    terminal = Terminal(name="CHOICE", automaton=strings_automaton(texts))
    return EagerGrammar(
        start=0, rules=(((0,),),), terminals=(terminal,), lexing=Lexing.UNORDERED, accepts_empty=accepts_empty
    )


def strings_automaton(texts: list[bytes]) -> ByteAutomaton:
    """The minimal acyclic automaton of non-empty byte strings, at least one; duplicates are harmless."""
    shape = string_set(texts)
    edges = np.stack([shape.symbols, shape.symbols, shape.targets], axis=1)
    _, first, position = np.unique(
        shape.targets.astype(np.int64) << 8 | shape.symbols, return_index=True, return_inverse=True
    )
    # A match is a state's last entry: one more place per accepting state.
    sizes = np.diff(shape.offsets) + shape.accepting
    offsets = np.zeros(len(sizes) + 1, np.int32)
    np.cumsum(sizes, out=offsets[1:])
    entries = np.full((offsets[-1], 3), (MATCH, KEEP, 0), np.int32)
    matches = offsets[1:][shape.accepting] - 1
    is_edge = np.ones(len(entries), np.bool_)
    is_edge[matches] = False
    entries[is_edge, 0] = position
    return ByteAutomaton(positions=edges[first].astype(np.int32), offsets=offsets, entries=entries)
