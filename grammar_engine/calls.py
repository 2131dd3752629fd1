"""From arguments to a run: what ``generate`` and its forms share."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grammar_engine.constraint import Constraint
from grammar_engine.diffusion.fill import Fill
from grammar_engine.diffusion.interface import DiffusionModel
from grammar_engine.errors import (
    GrammarEngineError,
    IncompleteGenerationError,
    InvalidArgumentError,
    LimitExceededError,
)
from grammar_engine.generation import Generation, TokenEvent
from grammar_engine.models import Model, ModelLike, shared_models
from grammar_engine.progress import Progress, progress_bar
from grammar_engine.prompts import Message, Prompt
from grammar_engine.sampling.samplers import Greedy, Sampler
from grammar_engine.sampling.weighted import PopulationSampler
from grammar_engine.weighted_run import WeightedRun

if TYPE_CHECKING:
    from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
    from grammar_engine.diffusion.call import FillingRun
    from grammar_engine.requests import Outcome
    from grammar_engine.runtime import DecodingRun

Prompts = Prompt | Sequence[Prompt]

DRAFTS = 8
"""Tokens guessed ahead unless asked otherwise: as many as small models verify at little more than the price of one."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call that has been checked and compiled."""

    run: DecodingRun | WeightedRun | FillingRun
    validate: Callable[[str], Any]
    batch: bool
    max_tokens: int
    compiler: GrammarCompiler

    def keep_rows(self) -> None:
        """Write new mask rows to the disk cache. Where that cannot be written, later calls only take longer."""
        with contextlib.suppress(OSError):
            self.compiler.save_cache()

    def events(self, *, progress: bool) -> Iterator[TokenEvent]:
        """The run's tokens as they come; progress is shown beside, where there is a terminal."""
        with progress_bar(shown=progress) as show:
            if isinstance(self.run, WeightedRun):
                self.run.on_progress = show
                yield from self.run
                return
            counts: Counter[int] = Counter()
            longest = 0
            for number, event in enumerate(self.run, 1):
                counts[event.row] += 1
                if counts[event.row] > longest:
                    longest = counts[event.row]
                    note = f"{number} in {len(counts)} texts"
                    show(Progress(done=longest, total=self.max_tokens, unit="tokens", note=note))
                yield event

    def finish_all(self, *, details: bool) -> list[Any]:
        """``finish`` for each row. An error is raised when all are done, and carries what became of the others."""
        results: list[Any] = []
        failed: list[int] = []
        for row, outcome in enumerate(self.run.outcomes):
            try:
                results.append(self.finish(outcome, details=details))
            except (GrammarEngineError, ValueError) as error:  # (pydantic's, where a type's own check refuses)
                failed.append(row)
                results.append(error)
        if failed:
            first = results[failed[0]]
            first.row, first.results = failed[0], tuple(results)
            raise first
        return results

    def finish(self, outcome: Outcome, *, details: bool) -> Any:
        """The value of an outcome, or its ``Generation``. Raises where there is none."""
        if outcome.error is not None:
            raise outcome.error
        if outcome.population is not None and isinstance(self.run, WeightedRun):
            self.run.sampler.require(outcome.population)
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
            population=outcome.population,
        )


def prepare(
    prompt: Prompts,
    *,
    constraint: Constraint,
    model: ModelLike,
    sampler: Sampler | PopulationSampler | Fill | None,
    max_tokens: int,
    seed: int | None,
    steer: bool,
    drafts: int | None,
) -> Call:
    """Check everything that can be checked before the first token; cheap checks before the model is loaded."""
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int):
        raise InvalidArgumentError(f"must be an integer, not {max_tokens!r}", argument="max_tokens")
    if max_tokens < 1:
        raise LimitExceededError("at least one token is needed", limit="max_tokens >= 1", given=max_tokens)
    if drafts is not None and (isinstance(drafts, bool) or not isinstance(drafts, int) or drafts < 0):
        raise InvalidArgumentError(f"must be a number of tokens, 0 or more, not {drafts!r}", argument="drafts")
    if isinstance(sampler, PopulationSampler):
        sampler.check(max_tokens)
    elif sampler is not None and not hasattr(sampler, "choose") and not isinstance(sampler, Fill):
        raise InvalidArgumentError(
            f"expected a sampler: Greedy(), Sample(...), AWRS(...), SMC(...), not {sampler!r}",
            argument="sampler",
        )
    prompts, batch = as_batch(prompt)
    loaded = shared_models().get(model)
    compiled, validate = constraint.compile(loaded.compiler, loaded.tokenizer)
    if isinstance(loaded, DiffusionModel):
        from grammar_engine.diffusion.call import FillingRun

        if drafts:
            raise InvalidArgumentError("diffusion models are not shown drafts; leave it out", argument="drafts")
        if not steer:
            raise InvalidArgumentError(
                "a canvas is always filled so that it can be completed; ge.diffusion.generate has method='none'",
                argument="steer",
            )
        filling = FillingRun(
            loaded, prompts, compiled, sampler, max_tokens=max_tokens, seed=seed, tools=constraint.shown_tools
        )
        return Call(run=filling, validate=validate, batch=batch, max_tokens=filling.slots, compiler=loaded.compiler)
    if isinstance(sampler, Fill):
        raise InvalidArgumentError(
            f"Fill(...) is for diffusion models, which {loaded.name!r} is not", argument="sampler"
        )
    return Call(
        run=_start(
            loaded,
            [loaded.encode(one, constraint.shown_tools) for one in prompts],
            compiled,
            sampler or Greedy(),
            max_tokens=max_tokens,
            seed=seed,
            steer=steer,
            drafts=DRAFTS if drafts is None else drafts,
        ),
        validate=validate,
        batch=batch,
        max_tokens=max_tokens,
        compiler=loaded.compiler,
    )


def _start(
    model: Model,
    prompts: Sequence[list[int]],
    compiled: CompiledGrammar,
    sampler: Sampler | PopulationSampler,
    *,
    max_tokens: int,
    seed: int | None,
    steer: bool,
    drafts: int,
) -> DecodingRun | WeightedRun:
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
    if isinstance(sampler, PopulationSampler):
        return WeightedRun(model.network, compiled.shown, requests, sampler, pad_token_id=model.pad_token_id)
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


def as_batch(prompt: Prompts) -> tuple[list[Prompt], bool]:
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
        row, nested = as_batch(item) if not isinstance(item, Mapping) else ([], True)
        if nested:
            raise InvalidArgumentError(
                "a batch holds strings and lists of chat messages, nothing else", argument="prompt"
            )
        batch += row
    return batch, True
