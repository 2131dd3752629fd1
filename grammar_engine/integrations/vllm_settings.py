"""Settings of one request for our logits processor in vLLM: ``SamplingParams(extra_args={"grammar_engine": {…}})``.

    {"json_schema": {…} or text, "any_whitespace": true, "indent": null, "separators": null,
     "property_order": "declared", "max_whitespace": null, "plain_integers": false, "on_unsupported": "error"}
    {"regex": "…"}
    {"choices": ["…", …]}
    {"grammar": "Lark or GBNF text, or a shipped grammar's name", "start"/"parser"/"lexer" (Lark), "root" (GBNF)}
    {"structural_tag": {…}}

Exactly one of the five, with options of its own kind. Servers take only flat values in a request's ``vllm_xargs``, so
the whole may be a JSON text too.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from grammar_engine.errors import GrammarEngineError, InvalidArgumentError
from grammar_engine.integrations.constraints import compile_constraint, compile_grammar_text, refused
from grammar_engine.integrations.vllm import PROCESSOR

if TYPE_CHECKING:
    from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler

EXTRA_ARGS = "grammar_engine"
"""The key in ``extra_args``."""

_JSON_OPTIONS = (
    "any_whitespace",
    "indent",
    "separators",
    "property_order",
    "max_whitespace",
    "plain_integers",
    "on_unsupported",
)
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "json_schema": _JSON_OPTIONS,
    "regex": (),
    "choices": (),
    "grammar": ("start", "parser", "lexer", "root"),
    "structural_tag": (),
}


def read_settings(params: Any) -> dict[str, Any] | None:
    """The settings in a request's ``extra_args``, checked for their form; None if there are none.

    Raises:
        InvalidArgumentError: they are not of the form above.
    """
    given = (params.extra_args or {}).get(EXTRA_ARGS)
    if given is None:
        return None
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError) as error:
            raise InvalidArgumentError(f"not a JSON object: {error}", argument=EXTRA_ARGS) from error
    if not isinstance(given, Mapping):
        raise InvalidArgumentError("expected an object", argument=EXTRA_ARGS)
    kinds = [name for name in _OPTIONS if name in given]
    if len(kinds) != 1:
        raise InvalidArgumentError(f"expected exactly one of {', '.join(_OPTIONS)}", argument=EXTRA_ARGS)
    allowed = {kinds[0], *_OPTIONS[kinds[0]]}
    unknown = sorted(set(given) - allowed)
    if unknown:
        raise InvalidArgumentError(f"{unknown[0]!r} is no option beside {kinds[0]!r}", argument=EXTRA_ARGS)
    return dict(given)


def compile_settings(compiler: GrammarCompiler, settings: Mapping[str, Any]) -> CompiledGrammar:
    """The grammar of checked settings.

    Raises:
        GrammarEngineError: what the compiler raises.
    """
    options = dict(settings)
    kind = next(name for name in _OPTIONS if name in options)
    value = options.pop(kind)
    if kind == "json_schema":
        if isinstance(options.get("separators"), list):
            options["separators"] = tuple(options["separators"])
        try:
            return compiler.compile_json_schema(value, **options)
        except (ValueError, TypeError) as error:
            if isinstance(error, GrammarEngineError):
                raise
            raise InvalidArgumentError(str(error), argument=EXTRA_ARGS) from error
    if kind == "structural_tag":
        return compile_constraint(compiler, "structural_tag", value if isinstance(value, str) else json.dumps(value))
    if kind == "choices":
        return compile_constraint(compiler, "choice", json.dumps(value))
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{kind} is a text", argument=EXTRA_ARGS)
    if kind == "regex":
        return compiler.compile_regex(value)
    return compile_grammar_text(compiler, value, **options)


def check_settings(params: Any) -> None:
    """Refuse a request whose settings cannot be served. No tokenizer is at hand, so single bytes stand in for tokens.

    Raises:
        ValueError: with our message; vLLM answers 400.
    """
    from grammar_engine.bitmask import allocate_token_bitmask
    from grammar_engine.integrations.served_matcher import ServedMatcher

    settings = read_settings(params)
    if settings is None:
        return
    if params.structured_outputs is not None:
        raise InvalidArgumentError("give either structured_outputs or extra_args, not both", argument=EXTRA_ARGS)
    compiler = _byte_compiler()
    try:
        text = ServedMatcher(compile_settings(compiler, settings))
    except GrammarEngineError as error:
        raise ValueError(refused(error)) from error
    text.fill(allocate_token_bitmask(1, compiler.vocabulary.size), 0)
    if text.failure is not None:
        raise ValueError(str(text.failure)) from text.failure


def why_dropped(vllm_config: Any) -> str | None:
    """Why settings would be ignored under this configuration; None if they are not."""
    listed = vllm_config.model_config.logits_processors or ()
    names = {item if isinstance(item, str) else f"{item.__module__}:{item.__qualname__}" for item in listed}
    if PROCESSOR not in names:
        return f"extra_args[{EXTRA_ARGS!r}] is ignored by this server; start vLLM with --logits-processors {PROCESSOR}"
    if vllm_config.speculative_config is not None and not vllm_config.use_v2_model_runner:
        return (
            f"extra_args[{EXTRA_ARGS!r}] is ignored under speculative decoding, where vLLM's V1 model runner leaves "
            "logits processors out; use structured_outputs"
        )
    return None


@functools.cache
def _byte_compiler() -> GrammarCompiler:
    from grammar_engine.compiler.compiled import GrammarCompiler
    from grammar_engine.compiler.vocabulary import Vocabulary

    return GrammarCompiler(Vocabulary([*(bytes([byte]) for byte in range(256)), None], stop_token_ids=[256]))
