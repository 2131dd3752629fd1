"""SGLang: constrained requests served by this engine. Importing this loads nothing of SGLang; see docs/serving.md.

SGLang calls ``load_plugin`` in its processes (entry point ``sglang.srt.plugins``); then

    python -m sglang.launch_server --model-path MODEL --grammar-backend grammar-engine
"""

from __future__ import annotations

import importlib.util
from typing import Any

from grammar_engine.errors import MissingDependencyError

BACKEND = "grammar-engine"
"""The backend's name on SGLang's command line."""


def register() -> None:
    """Make the backend known to SGLang in this process. Doing it again changes nothing.

    Raises:
        MissingDependencyError: SGLang is not installed.
        ImportError: it is of a version without a registry of grammar backends.
    """
    if importlib.util.find_spec("sglang") is None:
        raise MissingDependencyError("sglang", extra="sglang")
    from sglang.srt import server_args
    from sglang.srt.constrained.base_grammar_backend import GRAMMAR_BACKEND_REGISTRY, register_grammar_backend

    if BACKEND in GRAMMAR_BACKEND_REGISTRY:
        return
    server_args.add_grammar_backend_choices([BACKEND])
    register_grammar_backend(BACKEND, _make)


def load_plugin() -> None:
    """What SGLang calls; it logs what this raises, and then does not know the backend."""
    register()


def _make(server_args: Any, tokenizer: Any, vocab_size: int, eos_token_ids: Any) -> Any:
    from grammar_engine.integrations.sglang_backend import make_backend

    return make_backend(server_args, tokenizer, vocab_size, eos_token_ids)
