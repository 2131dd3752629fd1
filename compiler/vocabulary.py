"""A model's vocabulary as bytes: what each token id appends to the text, and which ids end it.

The engine never sees a tokenizer, only this table. An id has one of three roles:

    text      its bytes are what decoding it in the *middle* of a text appends (UTF-8, possibly half a character)
    special   ``None``: a control token; it never matches text that happens to be spelled like it
    absent    ``None``: padding rows of the model's logits, holes, tokens that append nothing

Only text ids can be allowed by a grammar, and stop ids where the grammar accepts. Several ids may carry equal bytes;
all of them are allowed alike. A token of zero bytes is absent: it would let a model spend its budget without progress.
A stop id is never text, even if bytes are given for it, because it ends the text instead of lengthening it.

Some decoders drop one leading space at the start of a text (SentencePiece with a dummy prefix, WordPiece's first word).
Bytes here are as in mid-text, which is where generation happens: behind a prompt. ``strips_leading_space`` says that
the tokenizer's own decoder, called on the generated ids alone, would show one space less than ``decode`` does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from grammar_engine.compiler.errors import TokenizerError
from grammar_engine.compiler.tokenizers import huggingface, sentencepiece, tiktoken
from grammar_engine.compiler.tokenizers.table import TokenTable

FIRST_PRIVATE_BYTE = 0xF8
"""No text in UTF-8 holds this byte or a higher one: special tokens that take part in a grammar are spelled with them
(``frontends/structural_tag/special_names.py``)."""
MAX_VOCABULARY_SIZE = 1 << 24
"""Ids at or above this are taken for a damaged file: real vocabularies stay below a million."""


def _checked_ids(name: str, ids: Iterable[int], size: int) -> tuple[int, ...]:
    unique = set()
    for token_id in ids:
        if isinstance(token_id, bool) or not isinstance(token_id, (int, np.integer)):
            raise TokenizerError(f"{name} holds {token_id!r}, which is not an integer id")
        if not 0 <= token_id < size:
            raise TokenizerError(f"{name} holds {token_id}, but the vocabulary has the ids 0 to {size - 1}")
        unique.add(int(token_id))
    return tuple(sorted(unique))


class Vocabulary:
    """Token id → bytes, immutable.

    Args:
        tokens: for each id 0 … V-1 the bytes that it appends to a text, or None if it appends none.
        stop_token_ids: ids that end a text; allowed exactly where the text so far is complete.
        special_token_ids: ids that never match text; bytes given for them are dropped.
        special_tokens: name → id of special tokens, for those who refer to them by name; joins ``special_token_ids``.
        strips_leading_space: see the module's docstring.

    Raises:
        TokenizerError: an entry is neither bytes nor None, or an id is out of range.
    """

    __slots__ = ("_fingerprint", "_special_ids", "_special_tokens", "_stop_ids", "_strips_leading_space", "_tokens")

    def __init__(
        self,
        tokens: Sequence[bytes | None],
        *,
        stop_token_ids: Sequence[int] = (),
        special_token_ids: Sequence[int] = (),
        special_tokens: Mapping[str, int] | None = None,
        strips_leading_space: bool = False,
    ) -> None:
        if isinstance(tokens, (bytes, bytearray, str)):
            raise TokenizerError("tokens must be a sequence of bytes objects, not one string")
        table: list[bytes | None] = list(tokens)
        size = len(table)
        if size == 0:
            raise TokenizerError("a vocabulary needs at least one id")
        if size > MAX_VOCABULARY_SIZE:
            raise TokenizerError(f"{size} tokens; no vocabulary has more than {MAX_VOCABULARY_SIZE}")
        if not set(map(type, table)) <= {bytes, type(None)}:
            index = next(i for i, token in enumerate(table) if type(token) not in (bytes, type(None)))
            raise TokenizerError(f"token {index} is {table[index]!r}: expected bytes, or None for an id without text")
        names = dict(special_tokens or {})
        self._stop_ids = _checked_ids("stop_token_ids", stop_token_ids, size)
        self._special_ids = _checked_ids("special_token_ids", [*special_token_ids, *names.values()], size)
        for token_id in (*self._stop_ids, *self._special_ids):
            table[token_id] = None
        self._tokens: tuple[bytes | None, ...] = tuple([token or None for token in table])
        self._special_tokens = names
        self._strips_leading_space = strips_leading_space
        self._fingerprint: str | None = None

    @classmethod
    def from_huggingface(
        cls, tokenizer: object, stop_token_ids: Sequence[int] | None = None, vocab_size: int | None = None
    ) -> Vocabulary:
        """Read a Hugging Face tokenizer; neither `transformers` nor `tokenizers` is needed for files.

        Args:
            tokenizer: path of a tokenizer.json (or .json.gz) or of a model's folder, a ``tokenizers.Tokenizer``, or a
                transformers tokenizer or processor.
            stop_token_ids: default: the tokenizer's end of text and the usual end-of-turn tokens it has as special.
            vocab_size: width of the model's logits, if it differs from the tokenizer's: ids behind the tokenizer's are
                absent; ids at or above it are dropped, since the model cannot produce them.

        Raises:
            TokenizerError: not a tokenizer, damaged, or of a kind whose tokens have no bytes of their own.
        """
        return cls._from_table(huggingface.read(tokenizer), stop_token_ids, vocab_size)

    @classmethod
    def from_tiktoken(
        cls,
        encoding: object,
        special_tokens: Mapping[str, int] | None = None,
        stop_token_ids: Sequence[int] | None = None,
        vocab_size: int | None = None,
    ) -> Vocabulary:
        """Read a tiktoken rank file, Mistral's tekken.json, or a ``tiktoken.Encoding``.

        Args:
            encoding: path (gzip or plain) or encoding.
            special_tokens: name → id; rank files do not hold them.
            stop_token_ids: as in ``from_huggingface``.
            vocab_size: as in ``from_huggingface``.

        Raises:
            TokenizerError: not such a file, damaged, or a special token has the id of a text token.
        """
        return cls._from_table(tiktoken.read(encoding, special_tokens), stop_token_ids, vocab_size)

    @classmethod
    def from_sentencepiece(
        cls, processor: object, stop_token_ids: Sequence[int] | None = None, vocab_size: int | None = None
    ) -> Vocabulary:
        """Read a SentencePiece .model file or a ``SentencePieceProcessor``; the rest as in ``from_huggingface``."""
        return cls._from_table(sentencepiece.read(processor), stop_token_ids, vocab_size)

    @classmethod
    def _from_table(cls, table: TokenTable, stop_token_ids: Sequence[int] | None, vocab_size: int | None) -> Vocabulary:
        size = len(table.tokens) if vocab_size is None else vocab_size
        if not 0 < size <= MAX_VOCABULARY_SIZE:
            raise TokenizerError(f"a vocabulary of {size} ids is out of range (1 to {MAX_VOCABULARY_SIZE})")
        tokens = table.tokens[:size] + [None] * (size - len(table.tokens))
        stops = sorted(i for i in table.stop_token_ids if i < size) if stop_token_ids is None else stop_token_ids
        return cls(
            tokens,
            stop_token_ids=stops,
            special_token_ids=sorted(i for i in table.special_token_ids if i < size),
            special_tokens={name: i for name, i in table.special_tokens.items() if i < size},
            strips_leading_space=table.strips_leading_space,
        )

    @property
    def tokens(self) -> tuple[bytes | None, ...]:
        """Bytes of each id, None for special, stop and absent ids."""
        return self._tokens

    @property
    def size(self) -> int:
        """V, the number of ids, text or not: the width of the model's logits."""
        return len(self._tokens)

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """Ids that end a text, sorted."""
        return self._stop_ids

    @property
    def special_token_ids(self) -> tuple[int, ...]:
        """Ids that never match text, sorted."""
        return self._special_ids

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """Name → id of the special tokens whose names are known (read-only)."""
        return MappingProxyType(self._special_tokens)

    @property
    def strips_leading_space(self) -> bool:
        """Whether the tokenizer's own decoder drops one space at the start of a text (this class never does)."""
        return self._strips_leading_space

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the token bytes: equal exactly when ``tokens`` are. Stop ids are not part of it."""
        if self._fingerprint is None:
            lengths = np.fromiter((-1 if t is None else len(t) for t in self._tokens), np.dtype("<i4"), self.size)
            digest = hashlib.sha256(lengths.tobytes())
            digest.update(b"".join(filter(None, self._tokens)))
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def decode(self, token_ids: Iterable[int]) -> bytes:
        """The text of ``token_ids`` as bytes; special and absent ids append nothing.

        Raises:
            TokenizerError: an id is out of range.
        """
        tokens, size, parts = self._tokens, len(self._tokens), []
        for token_id in token_ids:
            if not 0 <= token_id < size:
                raise TokenizerError(f"{token_id} is not an id of this vocabulary of {size}")
            parts.append(tokens[token_id] or b"")
        return b"".join(parts)

    def __len__(self) -> int:
        return len(self._tokens)

    def __getitem__(self, token_id: int) -> bytes | None:
        return self._tokens[token_id]

    def _key(self) -> tuple[Any, ...]:
        return (self.fingerprint, self._stop_ids, self._special_ids, self._strips_leading_space)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Vocabulary) and self._key() == other._key())

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        text = sum(token is not None for token in self._tokens)
        return f"Vocabulary(size={self.size}, text={text}, stop_token_ids={list(self._stop_ids)})"
