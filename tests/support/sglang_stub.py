"""As much of SGLang 0.5.23 as the integration touches; `make test-sglang` uses SGLang's own modules."""

from __future__ import annotations

import types
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any


@dataclass
class GrammarStats:
    compilation_time: float | None = None
    dispatch_type: str | None = None


class BaseGrammarObject:
    def __init__(self) -> None:
        self._finished = False
        self.grammar_stats: Any = None
        self.current_token: int | None = None

    def maybe_init_reasoning(self, reasoning: bool) -> None:
        """Nothing, unless a subclass has reasoning."""

    def copy(self) -> BaseGrammarObject:
        return self


class InvalidGrammarObject(BaseGrammarObject):
    def __init__(self, error_message: str = "unknown") -> None:
        super().__init__()
        self.error_message = error_message


class BaseGrammarBackend:
    def __init__(self) -> None:
        self.executor = ThreadPoolExecutor(max_workers=1)
        self.cache: dict[tuple[str, str], Any] = {}

    def _init_value_dispatch(self, key: tuple[str, str]) -> Any:
        kind, spec = key
        return getattr(self, f"dispatch_{kind}")(spec)

    def get_cached_or_future_value(self, key: tuple[str, str], require_reasoning: bool) -> tuple[Any, bool]:
        value = self.cache.get(key)
        if value is not None:
            copied = value.copy()
            copied.maybe_init_reasoning(require_reasoning)
            return copied, True
        return self.executor.submit(self._init_value_dispatch, key), False


class ReasonerGrammarBackend(BaseGrammarBackend):
    def __init__(self, grammar_backend: Any, parser: Any, tokenizer: Any, *, enable_strict_thinking: bool) -> None:
        super().__init__()
        self.grammar_backend = grammar_backend
        self.parser = parser
        self.tokenizer = tokenizer
        self.enable_strict_thinking = enable_strict_thinking


def ready(backend: BaseGrammarBackend, key: tuple[str, str]) -> Any:
    """What the scheduler does for a request: wait for the first, cache a copy, copy that for the others."""
    value, cached = backend.get_cached_or_future_value(key, False)
    if isinstance(value, Future):
        value = value.result(timeout=60)
        backend.cache[key] = value.copy()
    else:
        assert cached
    return value


def tree_masks(grammar: Any, tokens: list[int], parents: list[int], mask: Any) -> None:
    """Rows for a tree of drafts, depth first: accept, fill, children, roll back one."""

    def visit(node: int) -> None:
        if node:
            word = int(mask[parents[node], tokens[node] // 32])
            if not word >> (tokens[node] % 32) & 1:
                return
            grammar.accept_token(tokens[node])
        if not grammar.is_terminated():
            grammar.fill_vocab_mask(mask, node)
            for child in range(node + 1, len(tokens)):
                if parents[child] == node:
                    visit(child)
        if node:
            grammar.rollback(1)

    visit(0)


def modules(serving: Any) -> dict[str, types.ModuleType]:
    """The stub by module name; ``serving``: the server's options."""
    choices: list[str] = ["xgrammar", "none"]
    registry: dict[str, Any] = {}
    content: dict[str, dict[str, Any]] = {
        "sglang": {},
        "sglang.srt": {},
        "sglang.srt.server_args": {"add_grammar_backend_choices": choices.extend, "CHOICES": choices},
        "sglang.srt.runtime_context": {"get_serving": lambda: serving},
        "sglang.srt.parser": {},
        "sglang.srt.parser.reasoning_parser": {"ReasoningParser": types.SimpleNamespace},
        "sglang.srt.constrained": {},
        "sglang.srt.constrained.base_grammar_backend": {
            "BaseGrammarBackend": BaseGrammarBackend,
            "BaseGrammarObject": BaseGrammarObject,
            "GrammarStats": GrammarStats,
            "InvalidGrammarObject": InvalidGrammarObject,
            "GRAMMAR_BACKEND_REGISTRY": registry,
            "register_grammar_backend": registry.__setitem__,
        },
        "sglang.srt.constrained.reasoner_grammar_backend": {"ReasonerGrammarBackend": ReasonerGrammarBackend},
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
