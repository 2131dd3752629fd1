"""vLLM: structured outputs served by this engine. Importing this loads nothing of vLLM; see docs/serving.md.

vLLM calls ``load_plugin`` in each of its processes (entry point ``vllm.general_plugins``). From then on it knows the
backend "grammar-engine":

    vllm serve MODEL --structured-outputs-config.backend grammar-engine

    from grammar_engine.integrations.vllm import register
    register()          # before LLM(...), which reads its configuration before it loads plugins
    LLM(MODEL, structured_outputs_config={"backend": "grammar-engine"})

    GRAMMAR_ENGINE_VLLM_REPLACES=auto,xgrammar      in the environment: these backends' requests are served too

Which modules do what: ``vllm_backend`` compiles and follows requests, ``vllm_hooks`` puts it where vLLM chooses a
backend (it has no registry for them), ``vllm_processor`` is the other way, a logits processor with its own settings.
"""

from __future__ import annotations

import importlib.util
import logging
import os

from grammar_engine.errors import GrammarEngineError, MissingDependencyError

BACKEND = "grammar-engine"
"""The backend's name in vLLM's configuration."""

REPLACES = "GRAMMAR_ENGINE_VLLM_REPLACES"
"""Environment variable: names of further backends whose requests this engine serves, separated by commas."""

PROCESSOR = "grammar_engine.integrations.vllm_processor:GrammarLogitsProcessor"
"""The logits processor, as ``--logits-processors`` and ``LLM(logits_processors=[…])`` take it."""


class IncompatibleVllmError(GrammarEngineError):
    """This vLLM lacks what the backend hooks into; ``missing`` names it."""

    def __init__(self, missing: str) -> None:
        super().__init__(
            f"this version of vLLM is not supported as it has no {missing}; structured outputs are not served by "
            "grammar-engine (tried: vLLM 0.32)"
        )
        self.missing = missing


def replaced_backends() -> frozenset[str]:
    """The backends that $GRAMMAR_ENGINE_VLLM_REPLACES names."""
    return frozenset(name.strip() for name in os.environ.get(REPLACES, "").split(",") if name.strip())


def register() -> None:
    """Make the backend "grammar-engine" known to vLLM in this process. Doing it again changes nothing.

    Raises:
        MissingDependencyError: vLLM is not installed.
        IncompatibleVllmError: it is of a version that this cannot be added to; nothing is changed then.
    """
    if importlib.util.find_spec("vllm") is None:
        raise MissingDependencyError("vllm", extra="vllm")
    from grammar_engine.integrations.vllm_hooks import install

    install()


def load_plugin() -> None:
    """What vLLM calls. A vLLM that cannot be served is left as it is, with a word in its log.

    Raises:
        IncompatibleVllmError: the environment asks for this engine, so that starting without it would be wrong.
    """
    try:
        register()
    except IncompatibleVllmError as error:
        if replaced_backends():
            raise
        logging.getLogger("vllm.plugins.grammar_engine").warning("%s", error)
