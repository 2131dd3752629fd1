"""What every tokenizer reader returns, and what they share: reading files, checking shapes, default stop tokens."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from grammar_engine.compiler.errors import TokenizerError

T = TypeVar("T")
FilePath: TypeAlias = "str | os.PathLike[str]"

MAX_TOKEN_ID = (1 << 24) - 1
"""Larger ids are taken for a damaged file; tables are allocated up to the largest id."""

END_OF_TURN = frozenset(
    {
        "</s>",
        "<eos>",
        "<end_of_turn>",
        "<|im_end|>",
        "<|endoftext|>",
        "<|end_of_text|>",
        "<|eot_id|>",
        "<|eom_id|>",
        "<|eot|>",
        "<|eom|>",
        "<|end|>",
        "<|return|>",
        "<|end_of_turn|>",
        "<|END_OF_TURN_TOKEN|>",
        "[|endofturn|]",
        "<EOT>",
        "<｜end▁of▁sentence｜>",
    }
)
"""Names under which chat models end a turn or a text. A special token of such a name stops generation by default."""


@dataclass(frozen=True, kw_only=True)
class TokenTable:
    """A tokenizer file, read.

    tokens: bytes of each id, None where it has none. special_tokens: name → id. special_token_ids: ids that never match
    text (those of ``special_tokens`` included). stop_token_ids: the end of text and the usual end-of-turn tokens.
    strips_leading_space: the tokenizer's decoder drops one space at the start of a text.
    """

    tokens: list[bytes | None]
    special_tokens: Mapping[str, int]
    special_token_ids: frozenset[int]
    stop_token_ids: frozenset[int]
    strips_leading_space: bool = False


def read_file(path: FilePath) -> bytes:
    """The content of a file, decompressed if it is gzip (whatever its name says).

    Raises:
        TokenizerError: the file cannot be read.
    """
    try:
        data = Path(path).read_bytes()
        return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    except (OSError, EOFError, zlib.error) as error:
        raise TokenizerError(f"cannot read the tokenizer file {os.fspath(path)}: {error}") from error


def parse_json(data: bytes | str, name: str) -> dict[str, Any]:
    """A JSON object. ``name`` says where it came from, for the error.

    Raises:
        TokenizerError: not JSON, or not an object.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise TokenizerError(f"{name} is not JSON: {error}") from error
    return expect(dict, value, name)


def expect(kind: type[T], value: object, what: str) -> T:
    """``value``, if it is a ``kind`` (a bool is not an int).

    Raises:
        TokenizerError: it is something else.
    """
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TokenizerError(f"{what} should be {kind.__name__}, but is {type(value).__name__}")
    return value


def place(entries: Iterable[tuple[int, bytes | None]], size: int = 0) -> list[bytes | None]:
    """A table of at least ``size`` ids from (id, bytes) pairs; later pairs win, ids that no pair names get None.

    Raises:
        TokenizerError: an id is negative or absurdly large.
    """
    pairs = dict(entries)
    if pairs:
        low, high = min(pairs), max(pairs)
        if low < 0 or high > MAX_TOKEN_ID:
            raise TokenizerError(f"token id {low if low < 0 else high} is out of range (0 to {MAX_TOKEN_ID})")
        size = max(size, high + 1)
    tokens: list[bytes | None] = [None] * size
    for token_id, data in pairs.items():
        tokens[token_id] = data
    return tokens


def end_of_turn_ids(special_tokens: Mapping[str, int]) -> frozenset[int]:
    """Ids of those special tokens that end a turn by their name."""
    return frozenset(token_id for name, token_id in special_tokens.items() if name in END_OF_TURN)
