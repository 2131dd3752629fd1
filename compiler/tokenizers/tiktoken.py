"""tiktoken vocabularies: rank files (``base64 rank`` lines), Mistral's tekken.json, and ``tiktoken.Encoding`` objects.

Tokens are bytes here to begin with, and ids are ranks, so there is nothing to decode. A rank file does not know its
special tokens; whoever wrote the model lists them in code, which is why they are an argument. A tekken file does:
its first ``default_num_special_tokens`` ids are control tokens, and text ids are ranks shifted behind them.
"""

from __future__ import annotations

import os
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from typing import Any

from grammar_engine.compiler.errors import TokenizerError
from grammar_engine.compiler.tokenizers.table import TokenTable, end_of_turn_ids, expect, parse_json, place, read_file

# Files of tekken's first version leave their special tokens to the reader; only these three matter for decoding.
_TEKKEN_V3_SPECIAL_TOKENS = {"<unk>": 0, "<s>": 1, "</s>": 2}


def read(source: object, special_tokens: Mapping[str, int] | None = None) -> TokenTable:
    """Read a rank file (plain or gzip), a tekken.json, or a ``tiktoken.Encoding``.

    Args:
        source: a path, or an object with tiktoken's ``_mergeable_ranks``.
        special_tokens: name → id; joins those that the source itself knows.

    Raises:
        TokenizerError: the source is none of these, or contradicts itself.
    """
    own: dict[str, int] = {}
    if isinstance(source, (str, os.PathLike)):
        data = read_file(source)
        name = os.fspath(source)
        if data.lstrip()[:1] == b"{":
            tokens, own = _tekken(parse_json(data, name), name)
        else:
            tokens = place((rank, token) for token, rank in _ranks(data, name).items())
    elif isinstance(getattr(source, "_mergeable_ranks", None), dict):
        ranks: Any = getattr(source, "_mergeable_ranks")  # noqa: B009 (private: tiktoken offers no public way)
        own = dict(getattr(source, "_special_tokens", {}))
        tokens = place((rank, token) for token, rank in ranks.items())
    else:
        raise TokenizerError(f"{type(source).__name__} is neither a path nor a tiktoken encoding")
    return with_special_tokens(tokens, {**own, **(special_tokens or {})})


def with_special_tokens(tokens: list[bytes | None], names: Mapping[str, int]) -> TokenTable:
    """Add special tokens to a table of text tokens; they may lie behind its end.

    Raises:
        TokenizerError: a special id is taken by a text token, or is not an id.
    """
    for name, token_id in names.items():
        if expect(int, token_id, f"the id of special token {name!r}") < 0:
            raise TokenizerError(f"special token {name!r} has the negative id {token_id}")
        if token_id < len(tokens) and tokens[token_id] is not None:
            raise TokenizerError(f"special token {name!r} has the id {token_id} of the text token {tokens[token_id]!r}")
    extended = place([(token_id, None) for token_id in names.values()], len(tokens))
    extended[: len(tokens)] = tokens
    return TokenTable(
        tokens=extended,
        special_tokens=dict(names),
        special_token_ids=frozenset(names.values()),
        stop_token_ids=end_of_turn_ids(names),
    )


def _ranks(data: bytes, name: str) -> dict[bytes, int]:
    """Parse ``base64 rank`` lines."""
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            encoded, rank = line.split()
            token = a2b_base64(encoded)
            ranks[token] = int(rank)
        except (ValueError, Base64Error) as error:
            raise TokenizerError(f"{name}, line {number}: expected a base64 token and its rank ({error})") from error
        # a2b_base64 skips characters that are not base64; only the way back shows that there were none
        if b2a_base64(token, newline=False) != encoded:
            raise TokenizerError(f"{name}, line {number}: {encoded[:40]!r} is not base64")
    if not ranks:
        raise TokenizerError(f"{name} holds no tokens")
    if len(set(ranks.values())) != len(ranks):
        raise TokenizerError(f"{name} gives one rank to two tokens")
    return ranks


def _tekken(document: dict[str, Any], name: str) -> tuple[list[bytes | None], dict[str, int]]:
    """Parse a tekken.json into text tokens and special tokens."""
    if "config" not in document or "vocab" not in document:
        raise TokenizerError(f"{name} is JSON, but not a tekken file: it has no 'config' and 'vocab'")
    config = expect(dict, document["config"], f"'config' of {name}")
    shift = expect(int, config.get("default_num_special_tokens"), f"'default_num_special_tokens' of {name}")
    size = expect(int, config.get("default_vocab_size"), f"'default_vocab_size' of {name}")
    entries = expect(list, document["vocab"], f"'vocab' of {name}")
    if not 0 <= shift <= size <= len(entries) + shift:
        raise TokenizerError(f"{name}: {len(entries)} tokens and {shift} special ones cannot fill {size} ids")
    try:
        # The file may hold more tokens than the model has rows: only the first ones exist.
        pairs = [(entry["rank"] + shift, a2b_base64(entry["token_bytes"])) for entry in entries[: size - shift]]
    except (KeyError, TypeError, ValueError) as error:
        raise TokenizerError(f"{name}: an entry of 'vocab' is malformed ({error!r})") from error
    if len({token_id for token_id, _ in pairs}) != len(pairs) or any(not 0 <= i - shift < len(pairs) for i, _ in pairs):
        raise TokenizerError(f"{name}: the ranks of 'vocab' are not 0 to {len(pairs) - 1}")
    listed = document.get("special_tokens")
    if listed is None:
        return place(pairs, size), {s: i for s, i in _TEKKEN_V3_SPECIAL_TOKENS.items() if i < shift}
    try:
        special = {str(entry["token_str"]): int(entry["rank"]) for entry in listed}
    except (KeyError, TypeError, ValueError) as error:
        raise TokenizerError(f"{name}: an entry of 'special_tokens' is malformed ({error})") from error
    return place(pairs, size), special
