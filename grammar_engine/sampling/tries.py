"""Texts that are tried one after the other until enough are accepted: what rejection samplers share.

    repeat, while a prompt lacks acceptances and has tries left:
        begin some tries for each of them, in one batch of rows
        while a row is writing: draw a token for each; rows whose try is over leave the batch

A try draws from a generator of its own, and tries count in their order, not in the order in which they end: texts that
end early must not be preferred. So neither the batch nor how many are tried side by side changes a result.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from grammar_engine.progress import Progress
from grammar_engine.sampling.conditions import Condition, Partial, ask
from grammar_engine.sampling.population import CUT, DEAD, FINISHED, WRITING, Particle, Population
from grammar_engine.sampling.weighted import Forward, Work

if TYPE_CHECKING:
    from grammar_engine.compiler.vocabulary import Vocabulary
    from grammar_engine.protocols import MatcherLike

FloatArray = npt.NDArray[np.float64]


@dataclass(kw_only=True)
class Try(ABC):
    """One text in the making. log_weight: what it weighs if it is accepted."""

    matcher: MatcherLike
    vocabulary: Vocabulary
    condition: Condition | None
    rng: np.random.Generator
    max_tokens: int
    token_ids: list[int] = field(default_factory=list)
    data: bytes = b""
    logprob: float = 0.0
    log_weight: float = 0.0
    state: str = ""
    num_checks: int = 0

    @abstractmethod
    def take(self, logps: FloatArray) -> None:
        """Draw a token and append it, or end. ``logps``: ``(V,)``, the model's, normalized."""

    def accepts(self, *, complete: bool) -> bool:
        """Ask the condition about the text as it stands."""
        if self.condition is None:
            return True
        self.num_checks += 1
        return ask(self.condition, [Partial(self.data, complete=complete, token_ids=tuple(self.token_ids))])[0]

    def particle(self, number: int) -> Particle:
        """The text as it stands; ``eve``: the number of the try."""
        return Particle(
            text=self.data.decode("utf-8", "replace"),
            token_ids=tuple(self.token_ids),
            log_weight=self.log_weight if self.state == FINISHED else -math.inf,
            logprob=self.logprob,
            state=self.state or WRITING,
            eve=number,
        )


Begin = Callable[[int, np.random.Generator], Try]
Weigh = Callable[[Sequence[Particle]], tuple[Particle, ...]]


def draw(masses: FloatArray, rng: np.random.Generator) -> int:
    """A token in proportion to its mass; one number is drawn. Some mass must be there."""
    cumulative = np.cumsum(masses)
    index = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
    # u · total can round up to total: then the last token that has mass is meant.
    return index if index < len(masses) else int(np.searchsorted(cumulative, cumulative[-1]))


class TryRun:
    """Prompts to populations of tries."""

    def __init__(
        self,
        work: Work,
        begin: Begin,
        *,
        temperature: float,
        max_tries: int,
        accepts: int,
        at_once: int,
        weigh: Weigh = tuple,
    ) -> None:
        """Prepare a run.

        Args:
            work: the prompts.
            begin: makes a try for a prompt, by number, with the generator that it draws from.
            temperature: of the distribution that is drawn from.
            max_tries: most tries for a prompt.
            accepts: how many acceptances end a prompt's tries.
            at_once: how many tries of a prompt are in the batch together.
            weigh: what becomes of the tries of a prompt when they are over.
        """
        self._work = work
        self._begin = begin
        self._temperature = temperature
        self._max_tries = max_tries
        self._accepts = accepts
        self._at_once = at_once
        self._weigh = weigh
        self._tries: list[list[Try]] = [[] for _ in work.matchers]
        self._passes = 0

    def steps(self) -> Iterator[int]:
        """See ``weighted.PopulationRun``."""
        number = 0
        while open_prompts := [prompt for prompt in range(len(self._tries)) if not self._is_over(prompt)]:
            for _ in self._round(open_prompts):
                number += 1
                yield number

    def last_tokens(self) -> list[int]:
        """None: which try is the answer shows at the end."""
        return [-1] * len(self._tries)

    def populations(self) -> list[Population]:
        """See ``weighted.PopulationRun``; the particles are the tries that count, in their order."""
        found = []
        for prompt, tries in enumerate(self._tries):
            counted = tries[: self._counted(prompt)]
            particles = self._weigh([one.particle(number) for number, one in enumerate(counted)])
            num_checks = sum(one.num_checks for one in tries)
            found.append(Population(particles=particles, history=(), num_checks=num_checks, passes=self._passes))
        return found

    def progress(self) -> Progress:
        """See ``weighted.PopulationRun``."""
        over = sum(self._is_over(prompt) for prompt in range(len(self._tries)))
        return Progress(
            done=sum(bool(one.state) for tries in self._tries for one in tries),
            total=self._max_tries * len(self._tries),
            unit="tries",
            note=f"{over} of {len(self._tries)} prompts are done",
        )

    def _counted(self, prompt: int) -> int | None:
        """How many tries it took; None if there is more to try. Tries behind one that is still writing do not count."""
        accepted = 0
        for number, one in enumerate(self._tries[prompt]):
            if not one.state:
                return None
            accepted += one.state == FINISHED
            if accepted == self._accepts:
                return number + 1
        return self._max_tries if len(self._tries[prompt]) == self._max_tries else None

    def _is_over(self, prompt: int) -> bool:
        return self._counted(prompt) is not None

    def _round(self, prompts: Sequence[int]) -> Iterator[None]:
        """Some tries for each of the prompts, to their ends."""
        rows: list[tuple[int, Try]] = []
        copies: list[int] = []
        for i, prompt in enumerate(prompts):
            begun = self._tries[prompt]
            for _ in range(min(self._at_once, self._max_tries - len(begun))):
                one = self._begin(prompt, self._work.rngs[prompt].spawn(1)[0])
                begun.append(one)
                rows.append((prompt, one))
                copies.append(i)
        forward: Forward = self._work.forward(prompts)
        logits = forward.prefill()
        before = self._passes
        forward.keep(copies)
        logits = logits[copies]
        while True:
            self._passes = before + forward.passes
            logps = (logits.double() / self._temperature).log_softmax(-1).cpu().numpy()
            for i, (_, one) in enumerate(rows):
                one.take(logps[i])
            yield
            over = {prompt for prompt in prompts if self._is_over(prompt)}
            staying = [i for i, (prompt, one) in enumerate(rows) if not one.state and prompt not in over]
            if not staying:
                return
            rows = [rows[i] for i in staying]
            forward.keep(staying)
            logits = forward.step([one.token_ids[-1] for _, one in rows])


def append(one: Try, token: int) -> None:
    """Append a token that the grammar has accepted; notes whether the text is finished or too long."""
    if one.matcher.is_terminated():
        one.state = FINISHED if one.accepts(complete=True) else DEAD
        return
    one.token_ids.append(token)
    one.data += one.vocabulary.tokens[token] or b""
    if len(one.token_ids) >= one.max_tokens:
        one.state = CUT
