"""vLLM's interface of a structured output backend, on this engine's matchers.

What vLLM does with a grammar, in this order, for each step of a request (0.32, ``StructuredOutputManager``):

    validate_tokens(drafts)                  the drafts are cut to what it returns
    fill_bitmask, accept_tokens([draft])     once for each draft, and a last mask behind them
    rollback(number of drafts)
    accept_tokens(sampled tokens)            False ends the request with an error

Masks are filled on the scheduler's thread or, for large batches without drafts, on several. Requests are compiled on
threads of their own. A terminated grammar is not asked any more: vLLM leaves its row unconstrained, so the stop tokens
here must be those at which it ends the request. They are: it names them for each request.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from vllm.v1.structured_output.backend_types import (
    StructuredOutputBackend,
    StructuredOutputGrammar,
    StructuredOutputOptions,
)

from grammar_engine.bitmask import Bitmask
from grammar_engine.integrations.compilers import shared_compilers
from grammar_engine.integrations.constraints import COMPACT, KINDS, Kind, Layout, compile_constraint
from grammar_engine.integrations.served_matcher import ServedMatcher

if TYPE_CHECKING:
    from grammar_engine.compiler.compiled import CompiledGrammar

_LOG = logging.getLogger("vllm.plugins.grammar_engine")


def kind_of(request_type: StructuredOutputOptions) -> Kind:
    """VLLM's name for a kind of constraint → ours. ValueError for one that it has and we do not know."""
    name = request_type.name.lower()
    if name not in KINDS:
        raise ValueError(f"structured outputs of type {request_type.name} are not known to grammar-engine")
    return cast("Kind", name)


def layout_of(structured_outputs_config: Any) -> Layout | None:
    """How JSON is laid out under vLLM's configuration."""
    return COMPACT if structured_outputs_config.disable_any_whitespace else None


@dataclass
class GrammarEngineBackend(StructuredOutputBackend):
    """Compiles requests for one model. Its fields are vLLM's: ``vllm_config``, ``tokenizer``, ``vocab_size``."""

    def __post_init__(self) -> None:
        """Read the tokenizer.

        Raises:
            TokenizerError: its tokens have no bytes.
        """
        self._compiler = shared_compilers().get(self.tokenizer, self.vocab_size)
        self._layout = layout_of(self.vllm_config.structured_outputs_config)

    def compile_grammar(
        self, request_type: StructuredOutputOptions, grammar_spec: str, stop_token_ids: set[int] | None = None
    ) -> GrammarEngineGrammar:
        """The grammar of one request. GrammarEngineError if it is refused (the front end has checked it before)."""
        compiled = compile_constraint(self._compiler, kind_of(request_type), grammar_spec, layout=self._layout)
        return GrammarEngineGrammar(compiled, stop_token_ids)

    def allocate_token_bitmask(self, max_num_seqs: int) -> torch.Tensor:
        """int32 ``(max_num_seqs, ceil(V/32))``, all ones."""
        return torch.from_numpy(np.full((max_num_seqs, (self._compiler.vocabulary.size + 31) // 32), -1, np.int32))

    def destroy(self) -> None:
        """Keep the mask rows found so far for the next start, where the disk lets us."""
        with contextlib.suppress(OSError):
            self._compiler.save_cache()


class GrammarEngineGrammar(StructuredOutputGrammar):
    """One request's text."""

    def __init__(self, compiled: CompiledGrammar, stop_token_ids: set[int] | None = None) -> None:
        self._text = ServedMatcher(compiled, stop_token_ids)

    def accept_tokens(self, request_id: str, tokens: list[int]) -> bool:
        """Append tokens, all of them or none; False if one is refused."""
        accepted = self._text.accept_all(tokens)
        if not accepted:
            why = self._text.failure or "the grammar does not allow them here"
            _LOG.error("request %s: tokens %s are refused: %s", request_id, tokens, why)
        return accepted

    def validate_tokens(self, tokens: list[int]) -> list[int]:
        """The longest prefix that could be accepted; nothing changes."""
        return tokens[: self._text.validate(tokens)]

    def rollback(self, num_tokens: int) -> None:
        """Take back the last tokens."""
        self._text.rollback(num_tokens)

    def fill_bitmask(self, bitmask: Bitmask, batch_index: int) -> None:
        """Row ``batch_index`` := what may come next."""
        self._text.fill(bitmask, batch_index)

    def is_terminated(self) -> bool:
        """Whether a stop token has been accepted."""
        return self._text.is_terminated()

    def reset(self) -> None:
        """Back to the empty text."""
        self._text.reset()
