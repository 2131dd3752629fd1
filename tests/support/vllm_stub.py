"""As much of vLLM 0.32 as the integration touches: its names, its types, and the order in which it calls.

Written after reading vLLM; `make test-vllm` runs the same code in the real one. Here it is small enough to be driven by
a test into corners that a language model does not find.
"""

from __future__ import annotations

import enum
import json
import types
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from pydantic import ConfigDict, model_validator
from pydantic.dataclasses import dataclass as validated

VOCABULARY_SIZE = 512
"""Logits of the tiny model; its tokenizer has fewer tokens."""


class VLLMValidationError(ValueError):
    """A request that is answered with 400."""


@validated(config=ConfigDict(extra="forbid"))
class StructuredOutputsConfig:
    backend: Literal["auto", "xgrammar", "guidance"] = "auto"
    disable_any_whitespace: bool = False
    disable_additional_properties: bool = False

    @model_validator(mode="after")
    def _check(self) -> Any:
        if self.disable_any_whitespace and self.backend not in {"xgrammar", "guidance"}:
            raise ValueError("disable_any_whitespace is only supported for xgrammar and guidance")
        return self


@dataclass
class ModelConfig:
    tokenizer: Any
    logits_processors: Any = None
    skip_tokenizer_init: bool = False
    is_diffusion: bool = False

    def get_vocab_size(self) -> int:
        return VOCABULARY_SIZE


@validated(config=ConfigDict(arbitrary_types_allowed=True))
class VllmConfig:
    structured_outputs_config: StructuredOutputsConfig
    model_config: Any = None
    speculative_config: Any = None
    use_v2_model_runner: bool = False
    num_speculative_tokens: int = 0


@dataclass
class StructuredOutputsParams:
    json: Any = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None
    structural_tag: str | None = None
    disable_any_whitespace: bool = False
    disable_additional_properties: bool = False
    whitespace_pattern: str | None = None
    _backend: str | None = None


@dataclass
class SamplingParams:
    structured_outputs: StructuredOutputsParams | None = None
    extra_args: dict[str, Any] | None = None
    ignore_eos: bool = False
    min_tokens: int = 0
    bad_words: list[str] = field(default_factory=list)
    logit_bias: dict[int, float] | None = None
    allowed_token_ids: list[int] | None = None
    all_stop_token_ids: set[int] = field(default_factory=set)

    def verify(self, config: VllmConfig, tokenizer: Any) -> None:
        self._validate_structured_outputs(config.model_config, config.structured_outputs_config, tokenizer)

    def _validate_structured_outputs(self, model_config: Any, structured_outputs_config: Any, tokenizer: Any) -> None:  # noqa: ARG002
        if self.structured_outputs is not None:
            self.structured_outputs._backend = "vLLM's own"


class StructuredOutputOptions(enum.Enum):
    JSON = enum.auto()
    JSON_OBJECT = enum.auto()
    REGEX = enum.auto()
    GRAMMAR = enum.auto()
    CHOICE = enum.auto()
    STRUCTURAL_TAG = enum.auto()


def get_structured_output_key(params: StructuredOutputsParams) -> tuple[StructuredOutputOptions, str]:
    for name in ("json", "json_object", "regex", "choice", "grammar", "structural_tag"):
        value = getattr(params, name)
        if value is not None:
            text = "" if name == "json_object" else value if isinstance(value, str) else json.dumps(value)
            return StructuredOutputOptions[name.upper()], text
    raise ValueError("no constraint")


class StructuredOutputGrammar(ABC):
    @abstractmethod
    def accept_tokens(self, request_id: str, tokens: list[int]) -> bool: ...
    @abstractmethod
    def validate_tokens(self, tokens: list[int]) -> list[int]: ...
    @abstractmethod
    def rollback(self, num_tokens: int) -> None: ...
    @abstractmethod
    def fill_bitmask(self, bitmask: Any, batch_index: int) -> None: ...
    @abstractmethod
    def is_terminated(self) -> bool: ...
    @abstractmethod
    def reset(self) -> None: ...


@dataclass
class StructuredOutputBackend(ABC):
    vllm_config: Any
    tokenizer: Any
    vocab_size: int

    @abstractmethod
    def compile_grammar(self, request_type: Any, grammar_spec: str, stop_token_ids: Any = None) -> Any: ...
    @abstractmethod
    def allocate_token_bitmask(self, max_num_seqs: int) -> Any: ...
    @abstractmethod
    def destroy(self) -> None: ...


class StructuredOutputManager:
    """One request at a time, with drafts."""

    def __init__(self, vllm_config: VllmConfig) -> None:
        self.backend: Any = None
        self.vllm_config = vllm_config
        self.tokenizer = vllm_config.model_config.tokenizer
        self._bitmask: Any = None

    def grammar_init(self, request: Any) -> None:
        if self.backend is None:
            raise ValueError(f"no backend named {request.sampling_params.structured_outputs._backend}")
        kind, spec = get_structured_output_key(request.sampling_params.structured_outputs)
        stops = request.sampling_params.all_stop_token_ids
        request.grammar = self.backend.compile_grammar(kind, spec, stop_token_ids=stops)

    def validate_tokens(self, grammar: Any, drafts: list[int]) -> list[int]:
        until = next((i for i, token in enumerate(drafts) if token < 0), len(drafts))
        kept: list[int] = grammar.validate_tokens(drafts[:until])
        return kept

    def grammar_bitmask(self, grammar: Any, drafts: list[int]) -> Any:
        """A row before each draft and one behind the last; the grammar is as before afterwards."""
        if self._bitmask is None:
            self._bitmask = self.backend.allocate_token_bitmask(2 * (1 + self.vllm_config.num_speculative_tokens))
        advanced = 0
        for row, token in enumerate([*drafts, None]):
            if grammar.is_terminated():
                self._bitmask[row].fill_(-1)
            else:
                grammar.fill_bitmask(self._bitmask, row)
            if token is not None and not grammar.is_terminated() and grammar.accept_tokens("r", [token]):
                advanced += 1
        if advanced:
            grammar.rollback(advanced)
        return self._bitmask[: len(drafts) + 1].numpy()


class InputProcessor:
    def __init__(self, vllm_config: VllmConfig, renderer: Any = None) -> None:
        self.vllm_config = vllm_config
        self.tokenizer = vllm_config.model_config.tokenizer
        self.renderer = renderer
        self.validate_logits_processors_params = lambda _params: None

    def _validate_params(self, params: SamplingParams) -> None:
        params.verify(self.vllm_config, self.tokenizer)
        self.validate_logits_processors_params(params)


class MoveDirectionality(enum.Enum):
    UNIDIRECTIONAL = enum.auto()
    SWAP = enum.auto()


@dataclass(frozen=True)
class BatchUpdate:
    batch_size: int
    removed: Any = ()
    added: Any = ()
    moved: Any = ()


class LogitsProcessor(ABC):
    @abstractmethod
    def apply(self, logits: Any) -> Any: ...
    @abstractmethod
    def is_argmax_invariant(self) -> bool: ...
    @abstractmethod
    def update_state(self, batch_update: Any) -> None: ...


class LogitsProcessorV2(ABC):
    @abstractmethod
    def apply(self, logits: Any, ctx: Any) -> Any: ...


class Requests:
    """The V2 runner's buffers, one slot per request."""

    def __init__(self, slots: int, length: int) -> None:
        host = torch.zeros(slots, dtype=torch.int32)
        self.prompt_len = types.SimpleNamespace(np=host.numpy(), gpu=host)
        self.total_len = types.SimpleNamespace(gpu=torch.zeros(slots, dtype=torch.int32))
        self.all_token_ids = types.SimpleNamespace(gpu=torch.full((slots, length), 77, dtype=torch.int32))

    def put(self, slot: int, prompt: list[int], output: list[int]) -> None:
        tokens = [*prompt, *output]
        self.prompt_len.np[slot] = len(prompt)
        self.total_len.gpu[slot] = len(tokens)
        self.all_token_ids.gpu[slot, : len(tokens)] = torch.tensor(tokens, dtype=torch.int32)


def layout(rows: list[tuple[int, list[int], list[int], list[int]]]) -> Any:
    """V2's context for requests (slot, prompt, output, drafts), with a row per position."""
    expanded, local, inputs = [], [], []
    for slot, prompt, output, drafts in rows:
        for number, token in enumerate([(prompt + output)[-1], *drafts]):
            expanded.append(slot)
            local.append(number)
            inputs.append(token)
    slots = torch.tensor([row[0] for row in rows])
    return types.SimpleNamespace(
        expanded_idx_mapping=torch.tensor(expanded),
        expanded_local_pos=torch.tensor(local),
        input_ids=torch.tensor(inputs),
        idx_mapping=slots,
        idx_mapping_np=slots.numpy(),
        seq_lens_upper_bound_np=torch.tensor([len(p) + len(o) + len(d) for _, p, o, d in rows]).numpy(),
    )


def modules() -> dict[str, types.ModuleType]:
    """The stub by module name, with classes that no other test has wrapped."""
    fresh = type("StructuredOutputManager", (StructuredOutputManager,), {})
    inputs = type("InputProcessor", (InputProcessor,), {})
    params = type("SamplingParams", (SamplingParams,), {})
    content: dict[str, dict[str, Any]] = {
        "vllm": {"SamplingParams": params},
        "vllm.envs": {"VLLM_ENABLE_V1_MULTIPROCESSING": True},
        "vllm.exceptions": {"VLLMValidationError": VLLMValidationError},
        "vllm.config": {"VllmConfig": VllmConfig},
        "vllm.config.structured_outputs": {"StructuredOutputsConfig": StructuredOutputsConfig},
        "vllm.sampling_params": {"SamplingParams": params},
        "vllm.tokenizers": {"cached_tokenizer_from_config": lambda model_config: model_config.tokenizer},
        "vllm.v1": {},
        "vllm.v1.engine": {},
        "vllm.v1.engine.input_processor": {"InputProcessor": inputs},
        "vllm.v1.structured_output": {"StructuredOutputManager": fresh},
        "vllm.v1.structured_output.backend_types": {
            "StructuredOutputBackend": StructuredOutputBackend,
            "StructuredOutputGrammar": StructuredOutputGrammar,
            "StructuredOutputOptions": StructuredOutputOptions,
        },
        "vllm.v1.structured_output.request": {"get_structured_output_key": get_structured_output_key},
        "vllm.v1.sample": {},
        "vllm.v1.sample.logits_processor": {
            "LogitsProcessor": LogitsProcessor,
            "BatchUpdate": BatchUpdate,
            "MoveDirectionality": MoveDirectionality,
        },
        "vllm.v1.worker": {},
        "vllm.v1.worker.gpu": {},
        "vllm.v1.worker.gpu.sample": {},
        "vllm.v1.worker.gpu.sample.logits_processor": {"LogitsProcessor": LogitsProcessorV2},
    }
    made: dict[str, types.ModuleType] = {}
    for name, names in content.items():
        module = types.ModuleType(name)
        module.__path__ = []
        vars(module).update(names)
        made[name] = module
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(made[parent], last, module)
    return made
