"""A regular grammar on the device: many decoding steps without the CPU.

    automaton = DeviceAutomaton(compiled, batch_size=32, device="cuda")
    sampler = FusedSampler([Sample()] * 32, seeds=range(32), device="cuda")
    with torch.cuda.graph(graph):
        logits = model(tokens)
        tokens.copy_(sampler.draw(logits, automaton.masks, mask_rows=automaton.rows).token_ids)
        automaton.advance(tokens)

Each text is the number of a state. Applying masks and advancing are kernels over fixed buffers: nothing is allocated by
them that the CPU must know of, nothing waits. A text that has ended allows its stop ids and stays as it is, so finished
rows need no attention until the graph is left. For which grammars this is possible: ``compiler.token_automaton``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grammar_engine.compiler.token_automaton import START, TokenAutomaton, token_automaton

if TYPE_CHECKING:
    import torch

    from grammar_engine.compiler.compiled import CompiledGrammar


class DeviceAutomaton:
    """The texts of a batch in one grammar. Equal to as many matchers, token for token."""

    def __init__(
        self, grammar: CompiledGrammar | TokenAutomaton, *, batch_size: int, device: torch.device | str = "cpu"
    ) -> None:
        """Write the grammar's automaton out, if that is not done, and send it to the device.

        Raises what ``token_automaton`` raises; call that to set its limits, or to share what it returns.
        """
        import numpy as np
        import torch

        table = grammar if isinstance(grammar, TokenAutomaton) else token_automaton(grammar)
        self.table = table
        self.masks = torch.from_numpy(table.masks.view(np.int32)).to(device)
        """Packed masks, int32 ``(M, W)``; ``rows`` says which belongs to which text."""
        self._transitions = torch.from_numpy(table.transitions).to(device)
        self._classes = torch.from_numpy(table.token_classes).to(device)
        self._mask_rows = torch.from_numpy(table.mask_rows).to(device, torch.int64)
        self._accepting = torch.from_numpy(table.accepting).to(device)
        self.states = torch.zeros(batch_size, dtype=torch.int32, device=device)
        """Where each text is: int32 ``(batch,)``. To move a text elsewhere call ``set_states``."""
        self.rows = torch.zeros(batch_size, dtype=torch.int64, device=device)
        """The row of ``masks`` for each text: int64 ``(batch,)``."""
        self.accepted = torch.zeros(batch_size, dtype=torch.bool, device=device)
        """Whether the last token of each text was allowed: bool ``(batch,)``."""
        self.reset()

    def apply(self, logits: torch.Tensor, indices: torch.Tensor | None = None) -> None:
        """Set the logits of forbidden tokens to −inf, in place.

        logits: ``(rows, V)`` on the device. indices: int64 ``(batch,)`` on the device: the row of the logits for each
        text; None: 0 … batch − 1. Raises ValueError if a shape or device does not fit.
        """
        from grammar_engine.kernels.device.masking import apply_bitmask

        if indices is None and logits.ndim == 2 and logits.shape[0] != self.states.shape[0]:
            raise ValueError(f"logits {tuple(logits.shape)} of {self.states.shape[0]} texts; give indices")
        apply_bitmask(logits, self.masks, indices, self.rows)

    def advance(self, tokens: torch.Tensor) -> torch.Tensor:
        """Move each text over its token.

        tokens: int64 ``(batch,)`` on the device. Where a token is not allowed, the text stays where it is.

        Returns:
            ``accepted``, the same tensor each time: what ``Matcher.accept_token`` would have answered.
        """
        from grammar_engine.kernels.device.automata import advance

        advance(self.states, tokens, self._transitions, self._classes, self._mask_rows, self.rows, self.accepted)
        return self.accepted

    def is_accepting(self) -> torch.Tensor:
        """Whether each text may end here, or has: bool ``(batch,)``."""
        return self._accepting.index_select(0, self.states)

    def is_terminated(self) -> torch.Tensor:
        """Whether a stop token has been accepted: bool ``(batch,)``."""
        return self.states == self.table.end

    def set_states(self, states: torch.Tensor) -> None:
        """Move texts to states that ``states`` had before: int32 ``(batch,)``. Forks and rollbacks are this."""
        self.states.copy_(states)
        self.rows.copy_(self._mask_rows.index_select(0, self.states))

    def reset(self) -> None:
        """Back to empty texts."""
        self.states.fill_(START)
        self.rows.copy_(self._mask_rows.index_select(0, self.states))
        self.accepted.fill_(False)
