"""Masks over drafts, for servers that let a model verify several guessed tokens in one pass.

    chain    t1 t2 t3        rows: before t1, behind t1, behind t2, behind t3
    tree     parents[i]      row 0: before everything; row i + 1: behind node i

and what a forced continuation looks like in tokens (``jump_forward_tokens``). The matcher is where it was afterwards:
positions are persistent, so a branch costs no more than the tokens on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from grammar_engine.bitmask import Bitmask
from grammar_engine.compiler.vocabulary import FIRST_PRIVATE_BYTE
from grammar_engine.errors import InvalidArgumentError

if TYPE_CHECKING:
    from grammar_engine.matcher import Matcher


def fill_next_token_bitmask_chain(
    matcher: Matcher, token_ids: Sequence[int], bitmask: Bitmask, first_row: int = 0
) -> int:
    """Masks for a chain of drafted tokens: row ``first_row + j`` is what may follow the first j of them.

    Args:
        matcher: where the chain begins; unchanged.
        token_ids: the drafted tokens.
        bitmask: int32 ``(rows, ceil(V / 32))``, with room for ``len(token_ids) + 1`` rows from ``first_row`` on.
        first_row: where to write.

    Returns:
        How many of the tokens are allowed one after the other. Rows behind the first refused token are left as they
        are: nothing follows it.

    Raises:
        InvalidArgumentError: the bitmask has too few rows.
        IndexError: an id that is not one of the vocabulary's.
    """
    if first_row < 0 or first_row + len(token_ids) + 1 > len(bitmask):
        raise InvalidArgumentError(
            f"{len(token_ids)} drafted tokens need {len(token_ids) + 1} rows from {first_row} on, not {len(bitmask)}",
            argument="bitmask",
        )
    accepted = 0
    try:
        matcher.fill_next_token_bitmask(bitmask, first_row)
        for token_id in token_ids:
            if not matcher.accept_token(token_id):
                break
            accepted += 1
            matcher.fill_next_token_bitmask(bitmask, first_row + accepted)
    finally:
        matcher.rollback(accepted)
    return accepted


def fill_next_token_bitmask_tree(
    matcher: Matcher, token_ids: Sequence[int], parents: Sequence[int], bitmask: Bitmask, first_row: int = 0
) -> list[bool]:
    """Masks for a tree of drafted tokens: row ``first_row`` before all, row ``first_row + 1 + i`` behind node i.

    Args:
        matcher: where the tree begins; unchanged.
        token_ids: the token of each node.
        parents: the node before each node, listed before it; -1 at the beginning.
        bitmask: int32 ``(rows, ceil(V / 32))``, with room for ``len(token_ids) + 1`` rows from ``first_row`` on.
        first_row: where to write.

    Returns:
        Of each node whether the grammar allows it and everything before it. Rows of others are left as they are.

    Raises:
        InvalidArgumentError: lengths differ, a parent comes after its child, or the bitmask has too few rows.
        IndexError: an id that is not one of the vocabulary's.
    """
    if len(parents) != len(token_ids):
        raise InvalidArgumentError(f"{len(token_ids)} tokens, but {len(parents)} parents", argument="parents")
    for node, parent in enumerate(parents):
        if not -1 <= parent < node:
            raise InvalidArgumentError(f"node {node} cannot have parent {parent}", argument="parents")
    if first_row < 0 or first_row + len(token_ids) + 1 > len(bitmask):
        raise InvalidArgumentError(
            f"{len(token_ids)} nodes need {len(token_ids) + 1} rows from {first_row} on, not {len(bitmask)}",
            argument="bitmask",
        )
    matcher.fill_next_token_bitmask(bitmask, first_row)
    behind: list[Matcher | None] = []
    for node, (token_id, parent) in enumerate(zip(token_ids, parents, strict=True)):
        before = matcher if parent < 0 else behind[parent]
        branch = None if before is None else before.fork()
        if branch is not None and branch.accept_token(token_id):
            branch.fill_next_token_bitmask(bitmask, first_row + 1 + node)
            behind.append(branch)
        else:
            behind.append(None)
    return [branch is not None for branch in behind]


def jump_forward_tokens(
    matcher: Matcher, token_ids: Sequence[int], encode: Callable[[str], Sequence[int]]
) -> tuple[int, list[int]]:
    """The forced continuation as the tokenizer would write it together with the text before it.

    A tokenizer may join the end of the text with what is forced behind it (``"na`` and ``me"`` make ``"name"``), so the
    text is tokenized anew, and what of the old tokens stays is compared.

    Args:
        matcher: has accepted ``token_ids`` since its beginning, none of them a stop token; unchanged.
        token_ids: the tokens of the text so far.
        encode: a text to tokens, without special tokens added.

    Returns:
        ``(kept, new)``: the first ``kept`` tokens stay, ``new`` replaces the others; both together spell the text and
        what is forced behind it. ``(len(token_ids), [])`` if nothing is forced, if the forced bytes end inside a
        character and nothing whole comes before it, or if the tokenizer's tokens do not spell this text.
    """
    vocabulary = matcher.compiled.vocabulary
    unchanged = (len(token_ids), list[int]())
    # What stands before a special token of the grammar stays: no tokenizer joins it with what follows.
    fixed = 1 + max((i for i, token in enumerate(token_ids) if _is_private(vocabulary[token])), default=-1)
    token_ids = token_ids[fixed:]
    forced = matcher.jump_forward_bytes()
    if not forced:
        return unchanged
    before = vocabulary.decode(token_ids)
    whole = (before + forced).decode("utf-8", "ignore").encode()
    if len(whole) <= len(before) or not (before + forced).startswith(whole):
        return unchanged
    encoded = list(encode(whole.decode()))
    if vocabulary.decode(encoded) != whole:
        return unchanged
    kept = next(
        (i for i, (old, new) in enumerate(zip(token_ids, encoded, strict=False)) if old != new),
        min(len(token_ids), len(encoded)),
    )
    return fixed + kept, encoded[kept:]


def _is_private(token: bytes | None) -> bool:
    return token is not None and token[0] >= FIRST_PRIVATE_BYTE
