"""Where vLLM chooses a structured output backend, and how ours gets there.

vLLM 0.32 has no registry of backends: their names are a literal type of its configuration, requests are validated by a
chain of ifs over them, and so is the backend made. Each of these places is wrapped, and the wrapper hands on whatever
is not for us:

    StructuredOutputsConfig.backend                    takes one more name
    SamplingParams._validate_structured_outputs        compiles the request: what is refused becomes a 400
    StructuredOutputManager.__init__                   makes our backend at once; it looks for one only where none is
    InputProcessor.__init__                            is ready before the first request; settings for our logits
                                                       processor where it does not run become a 400; the server's
                                                       first look at structural tags, which is xgrammar's whatever
                                                       the backend, is left to the check above
"""

from __future__ import annotations

import functools
import sys
import typing
from collections.abc import Callable
from typing import Any, Literal

from grammar_engine.errors import GrammarEngineError
from grammar_engine.integrations.constraints import compile_constraint, refused
from grammar_engine.integrations.vllm import BACKEND, IncompatibleVllmError, replaced_backends

_MARK = "_grammar_engine_hook"
_FRONT_END = "vllm.entrypoints.generate.base.protocol"


def serves(structured_outputs_config: Any) -> bool:
    """Whether requests under this configuration are ours."""
    backend = getattr(structured_outputs_config, "backend", None)
    return backend == BACKEND or backend in replaced_backends()


def install() -> None:
    """Wrap the four places, all or none; once per process.

    Raises:
        IncompatibleVllmError: one of them is not there.
    """
    config, params, manager, processor = _places()
    if hasattr(manager, _MARK):
        return
    _extend_config(config)
    _wrap(params, "_validate_structured_outputs", _checked_request)
    _wrap(manager, "__init__", _with_our_backend)
    _wrap(processor, "__init__", _with_our_settings)
    setattr(manager, _MARK, True)


def _places() -> tuple[Any, Any, Any, Any]:
    try:
        from vllm.config.structured_outputs import StructuredOutputsConfig
        from vllm.sampling_params import SamplingParams
        from vllm.v1.engine.input_processor import InputProcessor
        from vllm.v1.structured_output import StructuredOutputManager
        from vllm.v1.structured_output.backend_types import StructuredOutputOptions
        from vllm.v1.structured_output.request import get_structured_output_key
    except ImportError as error:
        raise IncompatibleVllmError(str(error.name)) from error
    needed = (
        (StructuredOutputsConfig, "__pydantic_decorators__"),
        (SamplingParams, "_validate_structured_outputs"),
        (StructuredOutputManager, "grammar_init"),
        (InputProcessor, "_validate_params"),
        (StructuredOutputOptions, "STRUCTURAL_TAG"),
    )
    for holder, name in needed:
        if not hasattr(holder, name):
            raise IncompatibleVllmError(f"{holder.__name__}.{name}")
    if not callable(get_structured_output_key) or "auto" not in _backend_names(StructuredOutputsConfig):
        raise IncompatibleVllmError("StructuredOutputsConfig.backend")
    return StructuredOutputsConfig, SamplingParams, StructuredOutputManager, InputProcessor


def _wrap(holder: Any, name: str, wrapper: Callable[..., Any]) -> None:
    original = getattr(holder, name)

    @functools.wraps(original)
    def wrapped(self: Any, *arguments: Any, **named: Any) -> Any:
        return wrapper(self, original, *arguments, **named)

    setattr(holder, name, wrapped)


def _backend_names(config: Any) -> tuple[Any, ...]:
    """The names that vLLM's configuration takes; none if that is no list of names."""
    field = getattr(config, "__pydantic_fields__", {}).get("backend")
    return typing.get_args(getattr(field, "annotation", None))


def _extend_config(config: Any) -> None:
    """One more name for the backend; its white space option is ours too, the other one is refused."""
    from pydantic.dataclasses import rebuild_dataclass
    from vllm.config import VllmConfig

    names = (*_backend_names(config), BACKEND)
    widened = Literal[names]  # type: ignore[valid-type]
    config.__dataclass_fields__["backend"].type = config.__annotations__["backend"] = widened
    for decorator in config.__pydantic_decorators__.model_validators.values():
        original = decorator.func

        def validate(self: Any, original: Callable[[Any], Any] = original) -> Any:
            if self.backend != BACKEND:
                return original(self)
            if self.disable_additional_properties:
                raise ValueError(
                    'disable_additional_properties is not supported by grammar-engine; write "additionalProperties": '
                    "false into the schemas that mean it"
                )
            return self

        decorator.func = validate
    rebuild_dataclass(config, force=True)
    rebuild_dataclass(VllmConfig, force=True)  # checks what it contains by a schema of its own


def _checked_request(
    params: Any, original: Callable[..., None], model_config: Any, structured_outputs_config: Any, tokenizer: Any
) -> None:
    """Refuse in the front end what cannot be served, by compiling it."""
    asked = params.structured_outputs
    if asked is None or structured_outputs_config is None or not serves(structured_outputs_config):
        original(params, model_config, structured_outputs_config, tokenizer)
        return
    from vllm.exceptions import VLLMValidationError
    from vllm.v1.structured_output.request import get_structured_output_key

    from grammar_engine.integrations.compilers import shared_compilers
    from grammar_engine.integrations.served_matcher import ServedMatcher
    from grammar_engine.integrations.vllm_backend import kind_of, layout_of

    why = _unservable(params, model_config, tokenizer)
    if why:
        raise VLLMValidationError(why)
    try:
        request_type, spec = get_structured_output_key(asked)
        compiler = shared_compilers().get(tokenizer, model_config.get_vocab_size())
        layout = layout_of(structured_outputs_config)
        compiled = compile_constraint(compiler, kind_of(request_type), spec, layout=layout)
        failure = _first_mask(ServedMatcher(compiled), compiler.vocabulary.size)
    except (GrammarEngineError, ValueError, TypeError) as error:
        raise VLLMValidationError(refused(error)) from error
    if failure is not None:
        raise VLLMValidationError(str(failure)) from failure
    asked._backend = structured_outputs_config.backend  # noqa: SLF001 - vLLM's own note of who serves the request


def _first_mask(text: Any, vocab_size: int) -> GrammarEngineError | None:
    from grammar_engine.bitmask import allocate_token_bitmask

    text.fill(allocate_token_bitmask(1, vocab_size), 0)
    failure: GrammarEngineError | None = text.failure
    return failure


def _unservable(params: Any, model_config: Any, tokenizer: Any) -> str | None:
    """What in a request would be dropped or undone, in words for the client."""
    asked = params.structured_outputs
    if tokenizer is None:
        return "structured outputs need a tokenizer; start vLLM without skip_tokenizer_init"
    if getattr(model_config, "is_diffusion", False):
        return "structured outputs are not supported for diffusion models, which do not write from left to right"
    if params.ignore_eos:
        return "structured outputs end with the text: ignore_eos would let it go on, unconstrained"
    if asked.json_object is False:
        return "json_object is true or left out"
    if asked.whitespace_pattern is not None:
        return (
            "whitespace_pattern is not supported by grammar-engine; see disable_any_whitespace in vLLM's configuration"
        )
    for name in ("disable_any_whitespace", "disable_additional_properties"):
        if getattr(asked, name, False):
            return f"{name} is not read from requests; set it in vLLM's structured_outputs_config"
    return None


def _with_our_backend(manager: Any, original: Callable[..., None], vllm_config: Any) -> None:
    """Make the backend with the manager, so that what is wrong with the tokenizer is said when vLLM starts."""
    original(manager, vllm_config)
    if serves(vllm_config.structured_outputs_config) and not vllm_config.model_config.skip_tokenizer_init:
        from grammar_engine.integrations.vllm_backend import GrammarEngineBackend

        vocab_size = vllm_config.model_config.get_vocab_size()
        manager.backend = GrammarEngineBackend(vllm_config, tokenizer=manager.tokenizer, vocab_size=vocab_size)


def _with_our_settings(processor: Any, original: Callable[..., None], *arguments: Any, **named: Any) -> None:
    """Have the compiler ready, and refuse settings for our logits processor where they would be dropped in silence."""
    original(processor, *arguments, **named)
    import vllm.envs as settings

    config = processor.vllm_config
    # In a process that also runs the model, the manager makes the compiler, later: numba must not be loaded before
    # vLLM's CPU worker is, which looks at all attributes of all modules and stumbles over llvmlite's.
    apart = settings.VLLM_ENABLE_V1_MULTIPROCESSING
    if apart and serves(config.structured_outputs_config) and processor.tokenizer is not None:
        from grammar_engine.integrations.compilers import shared_compilers

        shared_compilers().get(processor.tokenizer, config.model_config.get_vocab_size())
    if serves(config.structured_outputs_config):
        _check_tags_once()
    from grammar_engine.integrations.vllm_settings import EXTRA_ARGS, why_dropped

    dropped = why_dropped(config)
    if dropped is None:
        return
    validate = processor.validate_logits_processors_params

    def validate_ours_too(params: Any) -> None:
        if EXTRA_ARGS in (params.extra_args or {}):
            from vllm.exceptions import VLLMValidationError

            raise VLLMValidationError(dropped)
        validate(params)

    processor.validate_logits_processors_params = validate_ours_too


def _check_tags_once() -> None:
    """Take the server's own check of structural tags away: it says that one is invalid, and not why.

    Nothing goes unchecked: whichever backend serves a request, its own check comes next. Where no server is loaded, or
    one without such a check, there is nothing to do.
    """
    front_end = sys.modules.get(_FRONT_END)
    if hasattr(front_end, "validate_structural_tag_payload"):
        front_end.validate_structural_tag_payload = _leave_to_backend  # type: ignore[union-attr]


def _leave_to_backend(payload: Any, *, parameter: str) -> None:
    """What stands in for vLLM's check of structural tags."""
