"""Special tokens in the literal texts of a structural tag.

A model's chat format marks its regions with special tokens (``<|python_tag|>``, ``[TOOL_CALLS]``), which never match by
their spelling (invariant I4): what a user quotes must not open a tool call. So where a literal text of a tag holds the
name of a special token, that very token is meant. It takes part in the grammar, whose automata read bytes, under a
spelling that no text has: bytes which UTF-8 never uses around its id. The vocabulary of such a grammar
(``with_tokens``) gives these spellings to those ids, and takes the same bytes from all others, which lose nothing:
they stand in no text.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Mapping

import numpy as np
from grammar_engine.compiler.vocabulary import FIRST_PRIVATE_BYTE, Vocabulary

OPENING, CLOSING = b"\xff", b"\xfe"

Segments = tuple[str | int, ...]
"""A literal: text, and ids of special tokens."""


def spelled_token(token_id: int) -> bytes:
    """The private spelling of a special token."""
    return OPENING + str(token_id).encode() + CLOSING


class SpecialNames:
    """The special tokens of a vocabulary as literals name them.

    mode: "tokens", a name means the token; "letters", it means its letters; "either", both will do.
    """

    def __init__(self, names: Mapping[str, int], special_ids: Collection[int], *, mode: str) -> None:
        self.mode = mode
        self.ids = frozenset(special_ids)
        self._names = {name: token for name, token in names.items() if name}
        longest_first = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        self.used: set[int] = set()

    def token(self, token: int | str) -> int | None:
        """The id of a special token that a format names; None if it is none."""
        number = self._names.get(token) if isinstance(token, str) else token
        return number if number in self.ids else None

    def spelled(self, token_id: int) -> bytes:
        """The spelling of a token that takes part."""
        self.used.add(token_id)
        return spelled_token(token_id)

    def readings(self, literal: str) -> list[Segments]:
        """What a literal may be, as text and tokens; no segment of text is empty."""
        if self._pattern is None or self.mode == "letters":
            return [(literal,) if literal else ()]
        ways: list[tuple[str | int, ...]] = []
        at = 0
        for match in self._pattern.finditer(literal):
            if match.start() > at:
                ways.append((literal[at : match.start()],))
            token = self._names[match[0]]
            ways.append((token,) if self.mode == "tokens" else (token, match[0]))
            at = match.end()
        if at < len(literal):
            ways.append((literal[at:],))
        return [_joined(chosen) for chosen in itertools.product(*ways)]

    def bytes_of(self, segments: Segments) -> bytes:
        """A reading as the grammar spells it."""
        return b"".join(part.encode() if isinstance(part, str) else self.spelled(part) for part in segments)

    def texts(self, literal: str) -> tuple[bytes, ...]:
        """All readings of a literal."""
        return tuple(dict.fromkeys(self.bytes_of(reading) for reading in self.readings(literal)))


def _joined(parts: tuple[str | int, ...]) -> Segments:
    out: list[str | int] = []
    for part in parts:
        last = out[-1] if out else None
        if isinstance(part, str) and isinstance(last, str):
            out[-1] = last + part
        else:
            out.append(part)
    return tuple(out)


def as_shown(vocabulary: Vocabulary, token_ids: Collection[int], names: Mapping[str, int]) -> Vocabulary:
    """A vocabulary of ``with_tokens`` that shows these tokens by their names: to decode texts with, not to match."""
    tokens = list(vocabulary.tokens)
    for token_id in token_ids:
        tokens[token_id] = None
    for name, token_id in names.items():
        if token_id in token_ids:
            tokens[token_id] = name.encode()
    return Vocabulary(
        tokens,
        stop_token_ids=vocabulary.stop_token_ids,
        special_token_ids=vocabulary.special_token_ids,
        strips_leading_space=vocabulary.strips_leading_space,
    )


def with_tokens(vocabulary: Vocabulary, token_ids: Collection[int]) -> Vocabulary:
    """The vocabulary in which some special tokens have their private spelling. Stop tokens among them are text in it:
    matchers know that they are stop tokens too (``CompiledGrammar.closing_ids``).
    """
    tokens = list(vocabulary.tokens)
    texts = [token or b"" for token in tokens]
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
    private = np.flatnonzero(np.frombuffer(b"".join(texts), np.uint8) >= FIRST_PRIVATE_BYTE)
    for token_id in set(np.searchsorted(ends, private, side="right").tolist()):
        tokens[token_id] = None
    for token_id in token_ids:
        tokens[token_id] = spelled_token(token_id)
    return Vocabulary(
        tokens,
        stop_token_ids=[token for token in vocabulary.stop_token_ids if token not in token_ids],
        special_token_ids=[token for token in vocabulary.special_token_ids if token not in token_ids],
        special_tokens={name: token for name, token in vocabulary.special_tokens.items() if token not in token_ids},
        strips_leading_space=vocabulary.strips_leading_space,
    )
