"""Token automata over a batch: each text is a number of a state, on the device."""

from __future__ import annotations

import torch
from grammar_engine.kernels.device.backend import TRITON, backend_of, on_device_of


def advance(
    states: torch.Tensor,
    tokens: torch.Tensor,
    transitions: torch.Tensor,
    token_classes: torch.Tensor,
    mask_rows: torch.Tensor,
    rows: torch.Tensor,
    accepted: torch.Tensor,
) -> None:
    """Move texts over a token each, in place, in the order of the current stream.

    Args:
        states: int32 ``(n,)``; where the token is not allowed, or no id of the vocabulary, it stays as it is.
        tokens: int64 ``(n,)``, any strides.
        transitions, token_classes, mask_rows: as in ``compiler.token_automaton``; mask_rows int64.
        rows: int64 ``(n,)``, becomes ``mask_rows[states]``.
        accepted: bool ``(n,)``, becomes whether the token was allowed.

    Raises:
        ValueError: ``tokens`` does not fit.
    """
    if tokens.shape != states.shape or tokens.dtype != torch.int64 or tokens.device != states.device:
        raise ValueError(f"tokens: int64 {tuple(states.shape)} on {states.device}, not {tokens.dtype} {tokens.shape}")
    if not len(states):
        return
    if backend_of(states) == TRITON:
        from grammar_engine.kernels.device import automata_triton

        with on_device_of(states):
            automata_triton.advance(states, tokens, transitions, token_classes, mask_rows, rows, accepted)
    else:
        advance_reference(states, tokens, transitions, token_classes, mask_rows, rows, accepted)


def advance_reference(
    states: torch.Tensor,
    tokens: torch.Tensor,
    transitions: torch.Tensor,
    token_classes: torch.Tensor,
    mask_rows: torch.Tensor,
    rows: torch.Tensor,
    accepted: torch.Tensor,
) -> None:
    """The same in torch, on any device."""
    known = (tokens >= 0) & (tokens < len(token_classes))
    columns = token_classes[torch.where(known, tokens, 0)].long()
    after = transitions[states.long(), columns].to(torch.int32)
    torch.logical_and(known, after >= 0, out=accepted)
    states.copy_(torch.where(accepted, after, states))
    torch.index_select(mask_rows, 0, states, out=rows)
