"""Where a mask holds no token: the one dead end that a grammar cannot rule out, because the vocabulary makes it.

Grammars know bytes, models know tokens. Some vocabularies have no token for some bytes (SmolLM2's lacks U+0004 and the
unassigned planes of Unicode), so what a grammar demands next may be impossible to spell. That is said, not papered
over: a row of −inf would make greedy decoding take token 0, whatever it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from grammar_engine.compiler.vocabulary import Vocabulary
from grammar_engine.errors import UnsatisfiableGrammarError


def dead_end(vocabulary: Vocabulary, token_ids: Sequence[int]) -> UnsatisfiableGrammarError:
    """The error for an empty mask behind ``token_ids``: names the text so far and the bytes that no token holds."""
    held = set().union(*filter(None, vocabulary.tokens))
    missing = " ".join(f"{byte:02x}" for byte in range(256) if byte not in held)
    why = "no token of the vocabulary spells any byte that may follow"
    if missing:
        why += f"; bytes that are in no token: {missing}"
    text = vocabulary.decode(token_ids)
    return UnsatisfiableGrammarError(why, place=f"the grammar behind {text[-60:]!r}" if text else "the grammar")
