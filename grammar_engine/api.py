"""One call from prompt to value: ``generate``, ``stream`` and their async forms.

    constraint → compiled grammar → one matcher per prompt → DecodingRun → text → value

Every call needs exactly one constraint: a text of the model's own choosing is what this package exists to avoid.
The constraint steers the model but is not shown to it: put what the answer should contain into the prompt.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grammar_engine.calls import Prompts, prepare
from grammar_engine.constraint import Constraint, Tools
from grammar_engine.diffusion.fill import Fill
from grammar_engine.errors import InvalidArgumentError
from grammar_engine.generation import TokenEvent
from grammar_engine.models import ModelLike
from grammar_engine.prompts import Prompt
from grammar_engine.sampling.samplers import Sampler
from grammar_engine.sampling.weighted import PopulationSampler

OnToken = Callable[[TokenEvent], None]
AnySampler = Sampler | PopulationSampler | Fill


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
    sampler: AnySampler | None = None,
    max_tokens: int = 512,
    seed: int | None = None,
    steer: bool = True,
    drafts: int | None = None,
    details: bool = False,
    on_token: OnToken | None = None,
    progress: bool = True,
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
        model: "smollm2", a Hugging Face id or path, ``(hf_model, hf_tokenizer)``, or a ``Model``; a diffusion model
            goes the same way (docs/diffusion.md).
        sampler: default ``Greedy()``; ``Sample(...)`` draws; ``AWRS(...)``, ``SMC(...)`` and others draw without
            distortion, and under conditions; ``Beam(...)`` searches (docs/sampling.md). Nothing is steered or drafted
            then: a text that does not end in time has no weight. For diffusion models: the first two, or
            ``diffusion.Fill(...)``.
        max_tokens: most tokens to generate, the stop token included; less where the model's context ends before. For
            diffusion models the slots of the canvas.
        seed: for ``Sample``: row i of a batch draws with ``seed + i``. Default: different every time.
        drafts: most tokens that are guessed from the grammar at a time and verified in one pass of the model; 0: none.
            They change how long it takes, not what comes out (see ``grammar_engine.drafts``). Default: 8; diffusion
            models have none.
        steer: when tokens run short, choose only what can still be completed (see ``grammar_engine.budget``).
        details: return ``Generation`` objects instead of values.
        on_token: called with a ``TokenEvent`` for each token.
        progress: show how far a call has come, from its third second on, by a bar on stderr that is gone when it ends;
            only where stderr is a terminal.

    Returns:
        For a type: a validated instance; for a JSON Schema: plain Python data; for tools: a ``ChatMessage``; else the
        text. A list for a batch.

    Raises:
        InvalidArgumentError: no constraint or several, an empty batch, a malformed prompt or model.
        LimitExceededError: ``max_tokens`` below 1, or a prompt that fills the model's context.
        IncompleteGenerationError: the tokens ran out before the text was complete.
        InvalidSchemaError, UnsupportedSchemaError, GrammarSyntaxError, UnsupportedGrammarError,
        UnsatisfiableGrammarError: the constraint cannot be compiled.
        In a batch, an error of one row is raised when all rows are done: ``error.row`` is its number and
        ``error.results`` holds each row's result in order, or its error. (``row`` and ``results`` are there on
        pydantic's ``ValidationError`` too, which is raised where a type's own validator refuses a value.)
    """
    call = prepare(
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
    for event in call.events(progress=progress):
        if on_token is not None:
            on_token(event)
    call.keep_rows()
    if call.batch:
        return call.finish_all(details=details)
    return call.finish(call.run.outcomes[0], details=details)


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
    sampler: AnySampler | None = None,
    max_tokens: int = 512,
    seed: int | None = None,
    steer: bool = True,
    drafts: int | None = None,
    details: bool = False,
    on_token: OnToken | None = None,
) -> Iterator[Any]:
    """Yield the text piece by piece, then the value (or the ``Generation``): the last item is never a piece.

    The pieces join to the text; none is empty, none ends inside a character. Arguments are checked and the constraint
    is compiled before the iterator is returned. Arguments and errors as in ``generate``, for one prompt.
    """
    call = prepare(
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
    if isinstance(sampler, PopulationSampler) and not sampler.shows_tokens:
        raise InvalidArgumentError(
            "the texts of particles are not known before the end; use generate", argument="sampler"
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
    sampler: AnySampler | None = None,
    max_tokens: int = 512,
    seed: int | None = None,
    steer: bool = True,
    drafts: int | None = None,
    details: bool = False,
    on_token: OnToken | None = None,
    progress: bool = False,
) -> Any:
    """``generate`` in a thread of its own; ``on_token`` is called from that thread.

    ``progress`` is off unless asked for: several calls at once would draw over each other's bars.
    """
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
        progress=progress,
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
    sampler: AnySampler | None = None,
    max_tokens: int = 512,
    seed: int | None = None,
    steer: bool = True,
    drafts: int | None = None,
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
