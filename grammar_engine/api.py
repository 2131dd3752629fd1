"""One call from prompt to value: ``generate``, ``stream`` and their async forms.

    constraint → compiled grammar → one matcher per prompt → DecodingRun → text → value

Every call needs exactly one constraint: a text of the model's own choosing is what this package exists to avoid.
The constraint steers the model but is not shown to it: put what the answer should contain into the prompt.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grammar_engine.errors import (
    IncompleteGenerationError,
    InvalidArgumentError,
    LimitExceededError,
)
from grammar_engine.generation import Generation, TokenEvent
from grammar_engine.integrations.openai import ChatConstraint, constraint_for
from grammar_engine.models import Message, Model, ModelLike, Prompt, shared_models
from grammar_engine.sampling.samplers import Greedy, Sampler

if TYPE_CHECKING:
    from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
    from grammar_engine.runtime import DecodingRun, Outcome

DRAFTS = 8
"""Tokens guessed ahead unless asked otherwise: as many as small models verify at little more than the price of one."""

OnToken = Callable[[TokenEvent], None]
Prompts = Prompt | Sequence[Prompt]
Tools = Sequence[Mapping[str, Any]] | ChatConstraint
_CONSTRAINTS = ("schema", "regex", "grammar", "choices", "structural_tag", "tools")


def generate(
    prompt: Prompts,
    *,
    schema: Any = None,
    regex: str | None = None,
    grammar: str | os.PathLike[str] | None = None,
    choices: Sequence[str] | None = None,
    structural_tag: Mapping[str, Any] | str | None = None,
    tools: Tools | None = None,
    model: ModelLike = "smollm2",
    sampler: Sampler | None = None,
    max_tokens: int = 512,
    seed: int | None = None,
    steer: bool = True,
    drafts: int = DRAFTS,
    details: bool = False,
    on_token: OnToken | None = None,
) -> Any:
    """Answer a prompt with a value of the language asked for.

    Args:
        prompt: a string (for a chat model: the user's message), chat messages, or a list of either for a batch.
        schema: a type that pydantic's TypeAdapter takes, or a JSON Schema (dict, JSON text, path of a .json file).
        regex: a pattern in Python's syntax that the whole text matches.
        grammar: the name of a shipped grammar, Lark or GBNF source, or the path of a .lark or .gbnf file.
        choices: the texts to choose from.
        structural_tag: free text with constrained regions, as for ``GrammarCompiler.compile_structural_tag``.
        tools: functions that the answer may call, as in OpenAI's Chat Completions, or a ``ChatConstraint`` (of
            ``grammar_engine.integrations.openai.chat_constraint``), which says more. The chat template shows them.
        model: "smollm2", a Hugging Face id or path, ``(hf_model, hf_tokenizer)``, or a ``Model``.
        sampler: default ``Greedy()``; ``Sample(...)`` draws.
        max_tokens: most tokens to generate, the stop token included; less where the model's context ends before.
        seed: for ``Sample``: row i of a batch draws with ``seed + i``. Default: different every time.
        drafts: most tokens that are guessed from the grammar at a time and verified in one pass of the model; 0: none.
            They change how long it takes, not what comes out (see ``grammar_engine.drafts``).
        steer: when tokens run short, choose only what can still be completed (see ``grammar_engine.budget``).
        details: return ``Generation`` objects instead of values.
        on_token: called with a ``TokenEvent`` for each token.

    Returns:
        For a type: a validated instance; for a JSON Schema: plain Python data; for tools: a ``ChatMessage``; else the
        text. A list for a batch.

    Raises:
        InvalidArgumentError: no constraint or several, an empty batch, a malformed prompt or model.
        LimitExceededError: ``max_tokens`` below 1, or a prompt that fills the model's context.
        IncompleteGenerationError: the tokens ran out before the text was complete.
        InvalidSchemaError, UnsupportedSchemaError, GrammarSyntaxError, UnsupportedGrammarError,
        UnsatisfiableGrammarError: the constraint cannot be compiled.
    """
    call = _prepare(
        prompt,
        constraint=Constraint(
            schema=schema, regex=regex, grammar=grammar, choices=choices, structural_tag=structural_tag, tools=tools
        ),
        model=model,
        sampler=sampler,
        max_tokens=max_tokens,
        seed=seed,
        steer=steer,
        drafts=drafts,
    )
    for event in call.run:
        if on_token is not None:
            on_token(event)
    call.keep_rows()
    results = [call.finish(outcome, details=details) for outcome in call.run.outcomes]
    return results if call.batch else results[0]


def stream(
    prompt: Prompt,
    *,
    schema: Any = None,
    regex: str | None = None,
    grammar: str | os.PathLike[str] | None = None,
    choices: Sequence[str] | None = None,
    structural_tag: Mapping[str, Any] | str | None = None,
    tools: Tools | None = None,
    model: ModelLike = "smollm2",
    sampler: Sampler | None = None,
    max_tokens: int = 512,
    seed: int | None = None,
    steer: bool = True,
    drafts: int = DRAFTS,
    details: bool = False,
    on_token: OnToken | None = None,
) -> Iterator[Any]:
    """Yield the text piece by piece, then the value (or the ``Generation``): the last item is never a piece.

    The pieces join to the text; none is empty, none ends inside a character. Arguments are checked and the constraint
    is compiled before the iterator is returned. Arguments and errors as in ``generate``, for one prompt.
    """
    call = _prepare(
        prompt,
        constraint=Constraint(
            schema=schema, regex=regex, grammar=grammar, choices=choices, structural_tag=structural_tag, tools=tools
        ),
        model=model,
        sampler=sampler,
        max_tokens=max_tokens,
        seed=seed,
        steer=steer,
        drafts=drafts,
    )
    if call.batch:
        raise InvalidArgumentError("a stream has one prompt; for several use generate", argument="prompt")

    def pieces() -> Iterator[Any]:
        for event in call.run:
            if on_token is not None:
                on_token(event)
            if event.text:
                yield event.text
        call.keep_rows()
        yield call.finish(call.run.outcomes[0], details=details)

    return pieces()


async def agenerate(
    prompt: Prompts,
    *,
    schema: Any = None,
    regex: str | None = None,
    grammar: str | os.PathLike[str] | None = None,
    choices: Sequence[str] | None = None,
    structural_tag: Mapping[str, Any] | str | None = None,
    tools: Tools | None = None,
    model: ModelLike = "smollm2",
    sampler: Sampler | None = None,
    max_tokens: int = 512,
    seed: int | None = None,
    steer: bool = True,
    drafts: int = DRAFTS,
    details: bool = False,
    on_token: OnToken | None = None,
) -> Any:
    """``generate`` in a thread of its own; ``on_token`` is called from that thread."""
    return await asyncio.to_thread(
        generate,
        prompt,
        schema=schema,
        regex=regex,
        grammar=grammar,
        choices=choices,
        structural_tag=structural_tag,
        tools=tools,
        model=model,
        sampler=sampler,
        max_tokens=max_tokens,
        seed=seed,
        steer=steer,
        drafts=drafts,
        details=details,
        on_token=on_token,
    )


async def astream(
    prompt: Prompt,
    *,
    schema: Any = None,
    regex: str | None = None,
    grammar: str | os.PathLike[str] | None = None,
    choices: Sequence[str] | None = None,
    structural_tag: Mapping[str, Any] | str | None = None,
    tools: Tools | None = None,
    model: ModelLike = "smollm2",
    sampler: Sampler | None = None,
    max_tokens: int = 512,
    seed: int | None = None,
    steer: bool = True,
    drafts: int = DRAFTS,
    details: bool = False,
    on_token: OnToken | None = None,
) -> AsyncIterator[Any]:
    """``stream`` in a thread of its own. Leaving the loop early stops the model after the token it is at."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[_Item] = asyncio.Queue()
    cancelled = threading.Event()

    def put(item: _Item) -> None:
        loop.call_soon_threadsafe(queue.put_nowait, item)

    def work() -> None:
        try:
            items = stream(
                prompt,
                schema=schema,
                regex=regex,
                grammar=grammar,
                choices=choices,
                structural_tag=structural_tag,
                tools=tools,
                model=model,
                sampler=sampler,
                max_tokens=max_tokens,
                seed=seed,
                steer=steer,
                drafts=drafts,
                details=details,
                on_token=on_token,
            )
            for item in items:
                put(_Item(value=item))
                if cancelled.is_set():
                    return
        finally:
            put(_Item(value=None, last=True))

    task = asyncio.create_task(asyncio.to_thread(work))
    try:
        while not (item := await queue.get()).last:
            yield item.value
        await task
    finally:
        cancelled.set()


@dataclass(frozen=True, kw_only=True)
class _Item:
    value: Any
    last: bool = False


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """The language of the answer: exactly one field is given."""

    schema: Any = None
    regex: str | None = None
    grammar: str | os.PathLike[str] | None = None
    choices: Sequence[str] | None = None
    structural_tag: Mapping[str, Any] | str | None = None
    tools: Tools | None = None

    def __post_init__(self) -> None:
        """Refuse none and several."""
        given = [name for name in _CONSTRAINTS if getattr(self, name) is not None]
        if not given:
            known = ", ".join(_CONSTRAINTS)
            raise InvalidArgumentError(f"a constraint is needed: give one of {known}", argument="schema")
        if len(given) > 1:
            raise InvalidArgumentError(f"one constraint at a time, not {' and '.join(given)}", argument=given[1])

    @property
    def shown_tools(self) -> Sequence[Mapping[str, Any]] | None:
        """The tools that the chat template shows."""
        return self.tools.tools if isinstance(self.tools, ChatConstraint) else self.tools

    def compile(
        self, compiler: GrammarCompiler, tokenizer: object = None
    ) -> tuple[CompiledGrammar, Callable[[str], Any]]:
        """The compiled grammar, and the function from a complete text to its value. tokenizer: whose chat template says
        how tools are called.
        """
        if self.tools is not None:
            constraint = constraint_for(self.tools, tokenizer)
            return constraint.compile(compiler), constraint.read
        if self.structural_tag is not None:
            return compiler.compile_structural_tag(_checked(self.structural_tag, (Mapping, str), "structural_tag")), str
        if self.schema is not None:
            from grammar_engine.types import schema_of

            json_schema, validate = schema_of(self.schema)
            return compiler.compile_json_schema(json_schema), validate
        if self.regex is not None:
            return compiler.compile_regex(_checked(self.regex, str, "regex")), str
        if self.choices is not None:
            choices = list(_checked(self.choices, (list, tuple), "choices"))
            return compiler.compile_choices([_checked(choice, str, "choices") for choice in choices]), str
        grammar = _checked(self.grammar, (str, os.PathLike), "grammar")
        from grammar_engine.compiler.frontends.gbnf.grammar import is_gbnf

        return compiler.compile_gbnf(grammar) if is_gbnf(grammar) else compiler.compile_lark(grammar), str


@dataclass(frozen=True, kw_only=True)
class _Call:
    """A call that has been checked and compiled."""

    run: DecodingRun
    validate: Callable[[str], Any]
    batch: bool
    compiler: GrammarCompiler

    def keep_rows(self) -> None:
        """Write new mask rows to the disk cache. Where that cannot be written, later calls only take longer."""
        with contextlib.suppress(OSError):
            self.compiler.save_cache()

    def finish(self, outcome: Outcome, *, details: bool) -> Any:
        if not outcome.complete:
            raise IncompleteGenerationError(
                f"the text is not complete after {outcome.stats.tokens} tokens; raise max_tokens",
                partial_text=outcome.text,
            )
        value = self.validate(outcome.text)
        if not details:
            return value
        return Generation(
            value=value,
            text=outcome.text,
            token_ids=outcome.token_ids,
            logprob=outcome.logprob,
            log_weight=outcome.log_weight,
            finish_reason=outcome.finish_reason,
            stats=outcome.stats,
        )


def _prepare(
    prompt: Prompts,
    *,
    constraint: Constraint,
    model: ModelLike,
    sampler: Sampler | None,
    max_tokens: int,
    seed: int | None,
    steer: bool,
    drafts: int,
) -> _Call:
    """Check everything that can be checked before the first token; cheap checks before the model is loaded."""
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int):
        raise InvalidArgumentError(f"must be an integer, not {max_tokens!r}", argument="max_tokens")
    if max_tokens < 1:
        raise LimitExceededError("at least one token is needed", limit="max_tokens >= 1", given=max_tokens)
    if isinstance(drafts, bool) or not isinstance(drafts, int) or drafts < 0:
        raise InvalidArgumentError(f"must be a number of tokens, 0 or more, not {drafts!r}", argument="drafts")
    if sampler is not None and not hasattr(sampler, "choose"):
        raise InvalidArgumentError(f"expected Greedy() or Sample(...), not {sampler!r}", argument="sampler")
    prompts, batch = _as_batch(prompt)
    loaded = shared_models().get(model)
    compiled, validate = constraint.compile(loaded.compiler, loaded.tokenizer)
    return _Call(
        run=_start(
            loaded,
            [loaded.encode(one, constraint.shown_tools) for one in prompts],
            compiled,
            sampler or Greedy(),
            max_tokens=max_tokens,
            seed=seed,
            steer=steer,
            drafts=drafts,
        ),
        validate=validate,
        batch=batch,
        compiler=loaded.compiler,
    )


def _start(
    model: Model,
    prompts: Sequence[list[int]],
    compiled: CompiledGrammar,
    sampler: Sampler,
    *,
    max_tokens: int,
    seed: int | None,
    steer: bool,
    drafts: int,
) -> DecodingRun:
    from grammar_engine.completion import SpellingTable
    from grammar_engine.matcher import Matcher
    from grammar_engine.runtime import DecodingRun, Request

    requests = []
    for i, prompt_ids in enumerate(prompts):
        room = max_tokens if model.context_length is None else model.context_length - len(prompt_ids)
        requests.append(
            Request(
                prompt_ids=prompt_ids,
                matcher=Matcher(compiled),
                max_tokens=min(max_tokens, room),
                seed=None if seed is None else seed + i,
                steer=steer,
            )
        )
    spelling = None
    if steer or drafts:
        own = compiled.vocabulary is not model.vocabulary  # some special tokens take part in the grammar
        spelling = SpellingTable(compiled.vocabulary) if own else model.spelling
    return DecodingRun(
        model.network,
        compiled.shown,
        requests,
        sampler,
        pad_token_id=model.pad_token_id,
        spelling=spelling,
        drafts=drafts,
    )


def _as_batch(prompt: Prompts) -> tuple[list[Prompt], bool]:
    """The prompts, and whether a list of them was given: a list of dicts is one chat, any other list is a batch."""
    if isinstance(prompt, str):
        return [prompt], False
    if not isinstance(prompt, Sequence) or not prompt:
        raise InvalidArgumentError("expected a string, chat messages, or a non-empty list of either", argument="prompt")
    if all(isinstance(item, Mapping) for item in prompt):
        messages: list[Message] = [item for item in prompt if isinstance(item, Mapping)]
        return [messages], False
    batch: list[Prompt] = []
    for item in prompt:
        row, nested = _as_batch(item) if not isinstance(item, Mapping) else ([], True)
        if nested:
            raise InvalidArgumentError(
                "a batch holds strings and lists of chat messages, nothing else", argument="prompt"
            )
        batch += row
    return batch, True


def _checked(value: Any, kind: type | tuple[type, ...], argument: str) -> Any:
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        names = " or ".join(k.__name__ for k in kinds)
        raise InvalidArgumentError(f"expected {names}, not {type(value).__name__}", argument=argument)
    return value
