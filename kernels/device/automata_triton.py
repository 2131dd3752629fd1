"""``automata.advance`` in Triton: one thread per text."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

_BLOCK = 128


@triton.jit
def _advance_kernel(
    states, tokens, token_stride, transitions, num_classes, token_classes, vocabulary, mask_rows, rows, accepted,
    count, BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < count
    state = tl.load(states + i, mask=inside, other=0)
    token = tl.load(tokens + i.to(tl.int64) * token_stride, mask=inside, other=-1)
    known = (token >= 0) & (token < vocabulary)
    column = tl.load(token_classes + token, mask=known, other=0)
    after = tl.load(transitions + state.to(tl.int64) * num_classes + column, mask=known, other=-1).to(tl.int32)
    state = tl.where(after >= 0, after, state)
    tl.store(states + i, state, mask=inside)
    tl.store(rows + i, tl.load(mask_rows + state, mask=inside, other=0), mask=inside)
    tl.store(accepted + i, (after >= 0).to(tl.int8), mask=inside)


def advance(
    states: torch.Tensor,
    tokens: torch.Tensor,
    transitions: torch.Tensor,
    token_classes: torch.Tensor,
    mask_rows: torch.Tensor,
    rows: torch.Tensor,
    accepted: torch.Tensor,
) -> None:
    """See ``automata.advance``; the arguments are checked."""
    count = states.shape[0]
    _advance_kernel[(triton.cdiv(count, _BLOCK),)](
        states, tokens, tokens.stride(0), transitions, transitions.shape[1], token_classes, token_classes.shape[0],
        mask_rows, rows, accepted.view(torch.int8), count, BLOCK=_BLOCK,
    )  # fmt: skip
