"""A logits processor for vLLM, for both of its model runners. Settings of a request: ``vllm_settings``.

    LLM(MODEL, logits_processors=["grammar_engine.integrations.vllm_processor:GrammarLogitsProcessor"])
    SamplingParams(extra_args={"grammar_engine": {"json_schema": {…}, "indent": 2}})

Structured outputs (``vllm_backend``) are the better way where they suffice: they run beside the forward pass, while a
processor runs after it. This one is for the options that vLLM's requests have no place for.

The runners tell of tokens differently, so a row's state is a text that is led up to where it stands:

    V1   rows are requests; ``output_token_ids`` lists are live; requests are removed, added and moved between rows
    V2   rows come in any order, with a row for each draft; tokens are on the device, and are fetched once per step

The class must be given to vLLM as an argument. As an entry point (group ``vllm.logits_processors``) it would be left
out in silence under V1 speculative decoding, and under V1 asynchronous scheduling it would see placeholders for tokens;
as an argument vLLM itself refuses the first, and provides for the second.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from vllm.tokenizers import cached_tokenizer_from_config
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor, MoveDirectionality
from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor as LogitsProcessorV2

from grammar_engine.bitmask import allocate_token_bitmask, apply_token_bitmask_inplace
from grammar_engine.errors import GrammarEngineError
from grammar_engine.integrations.compilers import shared_compilers
from grammar_engine.integrations.led_text import LedText
from grammar_engine.integrations.served_matcher import ServedMatcher
from grammar_engine.integrations.vllm_settings import check_settings, compile_settings, read_settings

_LOG = logging.getLogger("vllm.plugins.grammar_engine")


class GrammarLogitsProcessor(LogitsProcessor, LogitsProcessorV2):
    """Masks the logits of requests that have settings for it; others are left alone."""

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Refuse settings that cannot be served: ValueError, which vLLM answers with 400."""
        check_settings(sampling_params)

    def __init__(self, vllm_config: Any, device_or_requests: Any, is_pin_memory: bool = False) -> None:  # noqa: ARG002 - V1 gives it
        """V1 gives a device and whether to pin memory, V2 the state of its requests. Neither costs anything yet."""
        self._vllm_config = vllm_config
        self._requests: Any = None if isinstance(device_or_requests, (torch.device, str)) else device_or_requests
        self._texts: dict[int, LedText] = {}
        self._outputs: dict[int, list[int]] = {}  # V1: live lists

    def is_argmax_invariant(self) -> bool:
        """No: greedy decoding changes too."""
        return False

    # -- V1 -------------------------------------------------------------------------------------------------------

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follow requests from row to row: removed, added, moved, in this order."""
        if batch_update is None:
            return
        for row in batch_update.removed:
            self._forget(row)
        for row, params, _prompt, output in batch_update.added:
            self._forget(row)
            text = self._text_of(params)
            if text is not None:
                self._texts[row], self._outputs[row] = text, output
        for source, target, direction in batch_update.moved:
            for states in (self._texts, self._outputs):
                moved: Any = states.pop(source, None)
                swapped: Any = states.pop(target, None)
                if moved is not None:
                    states[target] = moved
                if swapped is not None and direction == MoveDirectionality.SWAP:
                    states[source] = swapped

    # -- V2 -------------------------------------------------------------------------------------------------------

    def add_request(self, req_idx: int, sampling_params: Any) -> bool:
        """A request enters a slot, whoever was there before. Whether it has settings for us."""
        self._forget(req_idx)
        text = self._text_of(sampling_params)
        if text is not None:
            self._texts[req_idx] = text
        return text is not None

    def apply_staged_writes(self) -> None:
        """Nothing is staged."""

    # -- both -----------------------------------------------------------------------------------------------------

    def apply(self, logits: torch.Tensor, ctx: Any = None) -> torch.Tensor:
        """Mask rows in place.

        Args:
            logits: float32 ``(rows, V)``.
            ctx: V2's layout of the batch.
        """
        if not self._texts:
            return logits
        rows = self._rows_v1() if ctx is None else self._rows_v2(ctx)
        if not rows:
            return logits
        width = next(iter(self._texts.values())).vocab_size
        bitmask = allocate_token_bitmask(len(logits), width)
        for row, (slot, tokens) in rows.items():
            self._texts[slot].fill(tokens, bitmask, row)
        apply_token_bitmask_inplace(logits, bitmask, list(rows))
        self._restore(logits, bitmask, [row for row, (slot, _) in rows.items() if self._texts[slot].contested])
        return logits

    def _rows_v1(self) -> dict[int, tuple[int, Sequence[int]]]:
        return {row: (row, self._outputs[row]) for row in self._texts}

    def _rows_v2(self, ctx: Any) -> dict[int, tuple[int, Sequence[int]]]:
        """Row → its slot, and its text's tokens with the drafts before the row."""
        slots = ctx.idx_mapping_np.tolist()
        places = [place for place, slot in enumerate(slots) if slot in self._texts]
        if not places:
            return {}
        written = self._written([slots[place] for place in places], ctx.seq_lens_upper_bound_np[places])
        if len(ctx.expanded_idx_mapping) == len(slots):  # no drafts: a row for each request, in the batch's order
            return {place: (slots[place], written[slots[place]]) for place in places}
        layout = torch.stack((ctx.expanded_idx_mapping.long(), ctx.expanded_local_pos.long(), ctx.input_ids.long()))
        rows: dict[int, tuple[int, Sequence[int]]] = {}
        for row, (slot, local, token) in enumerate(zip(*layout.tolist(), strict=True)):
            if slot not in written:
                continue
            # Position 0 is fed the newest token of the text, position k the k-th draft.
            before = written[slot] if local == 0 else [*rows[row - 1][1], token]
            rows[row] = (slot, before)
        return rows

    def _written(self, slots: list[int], upper: np.ndarray[Any, Any]) -> dict[int, list[int]]:
        """The tokens behind the prompt of each slot, with one transfer from the device."""
        requests = self._requests
        device = requests.total_len.gpu.device
        prompts = [int(requests.prompt_len.np[slot]) for slot in slots]
        width = max(1, *(int(bound) - prompt for bound, prompt in zip(upper, prompts, strict=True)))
        index = torch.tensor(slots, device=device)
        columns = torch.tensor(prompts, device=device).unsqueeze(1) + torch.arange(width, device=device)
        columns.clamp_(max=requests.all_token_ids.gpu.shape[1] - 1)
        tokens = requests.all_token_ids.gpu[index.unsqueeze(1), columns].long()
        totals = requests.total_len.gpu[index].long().unsqueeze(1)
        fetched = torch.cat((totals, tokens), dim=1).tolist()
        return {slot: row[1 : 1 + row[0] - prompt] for slot, prompt, row in zip(slots, prompts, fetched, strict=True)}

    def _restore(self, logits: torch.Tensor, bitmask: np.ndarray[Any, Any], rows: list[int]) -> None:
        """Where another setting of the request has forbidden all that the grammar allows, the grammar wins."""
        silent = [row for row in rows if not bool((logits[row] > float("-inf")).any())]
        if silent:
            logits[silent] = 0.0
            apply_token_bitmask_inplace(logits, bitmask, silent)

    def _forget(self, row: int) -> None:
        self._texts.pop(row, None)
        self._outputs.pop(row, None)

    def _text_of(self, params: Any) -> LedText | None:
        """A new request's text. One that fails here (it has been checked before) may only stop."""
        settings = read_settings(params)
        if settings is None:
            return None
        config = self._vllm_config.model_config
        compiler = shared_compilers().get(cached_tokenizer_from_config(model_config=config), config.get_vocab_size())
        contested = bool(
            params.min_tokens or params.bad_words or params.logit_bias or params.allowed_token_ids is not None
        )
        stops = params.all_stop_token_ids or compiler.vocabulary.stop_token_ids
        try:
            text: ServedMatcher | None = ServedMatcher(compile_settings(compiler, settings), stops)
        except GrammarEngineError as error:
            _LOG.error("a request cannot be constrained and is ended: %s", error)
            text = None
        return LedText(text, stops=stops, vocab_size=compiler.vocabulary.size, contested=contested)
