"""``model.generate(…, schema=…)``: Hugging Face's own generate, with the arguments of ours.

    constrained = ConstrainedGenerate(tokenizer)
    model.generate(**inputs, custom_generate=constrained, schema=Person, max_new_tokens=200)

Hugging Face calls such a function in place of its decoding loop, once everything else is prepared, and hands it the
arguments that its signature names. So it only has to compile, put the processor where it belongs (behind the penalties,
before temperature and top-k: truncating first could leave nothing that is allowed), and go on with the loop that
``generate`` would have run: greedy or sampling, beams, prompt lookup; ids come back as they do from ``generate``.

What Hugging Face does not hand over to such a function cannot be honoured: a ``streamer`` and an ``assistant_model``
stay behind. Use ``GrammarLogitsProcessor`` with them.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from grammar_engine.constraint import Constraint
from grammar_engine.errors import InvalidArgumentError
from grammar_engine.integrations.hf import GrammarLogitsProcessor
from grammar_engine.models import Model

if TYPE_CHECKING:
    import os

    from torch import Tensor

    from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler

_LOOPS = {
    "greedy_search": "_sample",
    "sample": "_sample",
    "beam_search": "_beam_search",
    "beam_sample": "_beam_search",
    "assisted_generation": "_assisted_decoding",
}


class ConstrainedGenerate:
    """To be given as ``custom_generate``; remembers compiled grammars. One may serve many calls and threads."""

    def __init__(self, tokenizer: Any) -> None:
        """``tokenizer``: the model's own, from which token bytes are read."""
        self._tokenizer = tokenizer
        self._compilers: weakref.WeakKeyDictionary[Any, GrammarCompiler] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def __call__(
        self,
        model: Any,
        input_ids: Tensor,
        logits_processor: Any,
        stopping_criteria: Any,
        generation_config: Any,
        inputs_tensor: Tensor | None = None,
        *,
        schema: Any = None,
        regex: str | None = None,
        grammar: str | os.PathLike[str] | None = None,
        choices: Sequence[str] | None = None,
        compiled: CompiledGrammar | Sequence[CompiledGrammar | None] | None = None,
        **model_kwargs: Any,
    ) -> Any:
        """The decoding loop, called by ``generate``.

        Args:
            model, input_ids, logits_processor, stopping_criteria, generation_config, inputs_tensor, model_kwargs: what
                ``generate`` has prepared.
            schema, regex, grammar, choices: exactly one, as in ``grammar_engine.generate``.
            compiled: instead of those a compiled grammar, or one for each prompt (None: not constrained).

        Returns:
            What ``generate`` returns.

        Raises:
            InvalidArgumentError: no constraint or several, or a mode of generation that has no loop in transformers.
        """
        mode = generation_config.get_generation_mode(None)
        loop = _LOOPS.get(str(getattr(mode, "value", mode)))
        if loop is None:
            raise InvalidArgumentError(
                f"{mode} has no decoding loop in transformers; sample, search with beams, or look up prompts",
                argument="custom_generate",
            )
        if compiled is None:
            constraint = Constraint(schema=schema, regex=regex, grammar=grammar, choices=choices)
            compiled, _ = constraint.compile(self.compiler(model))
        elif any(value is not None for value in (schema, regex, grammar, choices)):
            raise InvalidArgumentError("one constraint at a time: a compiled grammar is one", argument="compiled")
        processor = GrammarLogitsProcessor(compiled)
        warpers = [i for i, other in enumerate(logits_processor) if type(other).__name__.endswith("Warper")]
        logits_processor.insert(min(warpers, default=len(logits_processor)), processor)
        stopping_criteria.append(processor.ahead())
        if loop == "_assisted_decoding":
            model_kwargs["inputs_tensor"] = inputs_tensor
        return getattr(model, loop)(
            input_ids,
            logits_processor=logits_processor,
            stopping_criteria=stopping_criteria,
            generation_config=generation_config,
            **model_kwargs,
        )

    def compiler(self, model: Any) -> GrammarCompiler:
        """The compiler for a model's logits, made when first asked for."""
        with self._lock:
            if model not in self._compilers:
                self._compilers[model] = Model(model, self._tokenizer).compiler
            return self._compilers[model]
