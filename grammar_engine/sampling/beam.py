"""Beam search over the texts of a language: the most probable ones, deterministically; in groups, for variety.

    repeat:  every beam may end where its text is complete: it joins the finished ones, the best ``width`` of which stay
             of all tokens that the grammar allows behind the beams, the most probable ``width`` go on (forks of
             matchers, copies of cache rows); the condition is asked in that order, as far as is needed
    until no beam can reach the worst finished one any more

Scores are the model's own log-probabilities, not those behind the mask: a mask that leaves one token does not make its
text more probable. So with ``length_penalty=0`` and beams enough for all prefixes the first text is the most probable
one of the language. Diverse groups (Vijayakumar et al. 2018): each group chooses behind the others, and a token that
they have just taken so often ranks lower by ``diversity`` for each time; scores stay the model's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from grammar_engine.errors import InvalidArgumentError
from grammar_engine.progress import Progress
from grammar_engine.sampling.conditions import Condition, Partial, ask
from grammar_engine.sampling.population import CUT, DEAD, FINISHED, WRITING, Particle, Population
from grammar_engine.sampling.weighted import PopulationSampler, Work, check_count, optional_condition

if TYPE_CHECKING:
    from grammar_engine.protocols import MatcherLike

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Beam(PopulationSampler):
    """Constrained beam search, for ``generate``. Nothing is random: seeds do not matter.

    width:          beams of a prompt, over all groups.
    length_penalty: a finished text scores logprob / tokens ** length_penalty (its stop token counted). 0: the
                    log-probability itself; above, long texts gain.
    groups:         groups of ``width / groups`` beams each.
    diversity:      0 or more: how much a token loses in rank for each time that an earlier group has taken it in the
                    same step.
    condition:      a monotone predicate of the text so far, or a ``Condition``; None: the grammar alone.

    ``Generation.population`` holds up to ``width`` finished texts, the best first. Their weights make
    ``population.log_evidence`` the log of the mass that was found, a lower bound of the evidence, and
    ``population.posterior()`` the model's distribution on what was found.
    """

    width: int = 4
    length_penalty: float = 0.0
    groups: int = 1
    diversity: float = 0.0
    condition: Condition | Callable[[str], bool] | None = None

    def check(self, max_tokens: int) -> None:
        """See ``PopulationSampler``."""
        check_count(max_tokens, "max_tokens")
        check_count(self.width, "width")
        check_count(self.groups, "groups")
        if self.width % self.groups:
            raise InvalidArgumentError(f"{self.width} beams make no {self.groups} equal groups", argument="groups")
        if not math.isfinite(self.length_penalty):
            raise InvalidArgumentError(f"must be a number, not {self.length_penalty}", argument="length_penalty")
        if not (math.isfinite(self.diversity) and self.diversity >= 0):
            raise InvalidArgumentError(f"must be 0 or more, not {self.diversity}", argument="diversity")
        if self.diversity and self.groups == 1:
            raise InvalidArgumentError(
                "only groups differ from each other; give groups=2 or more", argument="diversity"
            )
        if self.groups > 1 and not self.diversity:
            raise InvalidArgumentError("groups without it would be copies of each other", argument="diversity")
        optional_condition(self.condition)

    def begin(self, work: Work) -> BeamRun:
        """See ``PopulationSampler``."""
        self.check(max(work.max_tokens))
        return BeamRun(work, self)

    def chosen(self, population: Population, rng: np.random.Generator) -> Particle:  # noqa: ARG002
        """The best one."""
        return population.particles[0]


@dataclass(kw_only=True)
class _Text:
    """A text and its log-probability. row: of the batch."""

    matcher: MatcherLike
    token_ids: tuple[int, ...] = ()
    data: bytes = b""
    logprob: float = 0.0
    row: int = 0


@dataclass(kw_only=True)
class _Search:
    """The beams of a prompt, by group, and what is finished: score, tokens, text."""

    groups: list[list[_Text]]
    max_tokens: int
    finished: dict[tuple[int, ...], tuple[float, _Text]] = field(default_factory=dict)
    last: list[_Text] = field(default_factory=list)
    state: str = DEAD
    num_checks: int = 0


class BeamRun:
    """Prompts to populations of finished texts."""

    def __init__(self, work: Work, beam: Beam) -> None:
        self._work = work
        self._beam = beam
        self._each = beam.width // beam.groups
        self._condition = optional_condition(beam.condition)
        self._searches = [
            _Search(groups=[[_Text(matcher=matcher.fork(), row=i)] for _ in range(beam.groups)], max_tokens=most)
            for i, (matcher, most) in enumerate(zip(work.matchers, work.max_tokens, strict=True))
        ]
        self._passes = 0
        self._number = 0

    def steps(self) -> Iterator[int]:
        """See ``weighted.PopulationRun``."""
        forward = self._work.forward(range(len(self._searches)))
        logits = forward.prefill()
        number = 0
        while True:
            number += 1
            self._passes = forward.passes
            logps: FloatArray = logits.double().log_softmax(-1).cpu().numpy()
            for search in self._searches:
                self._advance(search, logps)
            self._number = number
            yield number
            beams = [text for search in self._searches for group in search.groups for text in group]
            if not beams:
                return
            forward.keep([text.row for text in beams])
            for row, text in enumerate(beams):
                text.row = row
            logits = forward.step([text.token_ids[-1] for text in beams])

    def last_tokens(self) -> list[int]:
        """None: which beam is the answer shows at the end."""
        return [-1] * len(self._searches)

    def populations(self) -> list[Population]:
        """See ``weighted.PopulationRun``; without a finished text the beams as they were last, best first."""
        return [self._population(search) for search in self._searches]

    def progress(self) -> Progress:
        """See ``weighted.PopulationRun``."""
        return Progress(
            done=self._number,
            total=max(search.max_tokens for search in self._searches),
            unit="tokens",
            note=f"{sum(len(search.finished) for search in self._searches)} texts are complete",
        )

    def _advance(self, search: _Search, logps: FloatArray) -> None:
        """One step of all groups of a prompt."""
        taken = np.zeros(logps.shape[1])
        for number, group in enumerate(search.groups):
            if not group:
                continue
            search.last = sorted([*search.last, *group], key=_by_length_and_logprob)[: self._beam.width]
            scores = np.stack([text.logprob + logps[text.row] for text in group])
            scores[~self._allowed(group, logps.shape[1])] = -math.inf
            self._finish(search, group, scores)
            search.groups[number] = self._best(search, group, scores, scores - self._beam.diversity * taken)
            np.add.at(taken, [text.token_ids[-1] for text in search.groups[number]], 1)
        self._stop_where_possible(search)

    def _allowed(self, group: list[_Text], size: int) -> npt.NDArray[np.bool_]:
        bitmask = np.zeros((len(group), (size + 31) // 32), np.int32)
        for i, text in enumerate(group):
            text.matcher.fill_next_token_bitmask(bitmask, i)
        return np.unpackbits(bitmask.view(np.uint8), axis=1, bitorder="little", count=size).view(np.bool_)

    def _finish(self, search: _Search, group: list[_Text], scores: FloatArray) -> None:
        """Let every beam end that may; ending tokens are taken out of ``scores``."""
        for i, text in enumerate(group):
            for token in self._work.vocabulary.stop_token_ids:
                if scores[i, token] == -math.inf:
                    continue
                matcher = text.matcher.fork()
                matcher.accept_token(token)
                if not matcher.is_terminated():
                    continue  # a token of the grammar, at a place where the text goes on
                logprob, scores[i, token] = float(scores[i, token]), -math.inf
                score = self._score(logprob, len(text.token_ids) + 1)
                tokens = (*text.token_ids, token)
                if tokens in search.finished or score <= self._worst(search):
                    continue
                if self._accepts(search, Partial(text.data, complete=True, token_ids=text.token_ids)):
                    ended = _Text(matcher=matcher, token_ids=text.token_ids, data=text.data, logprob=logprob)
                    search.finished[tokens] = (score, ended)
                    if len(search.finished) > self._beam.width:
                        del search.finished[min(search.finished, key=lambda key: search.finished[key][0])]

    def _best(self, search: _Search, group: list[_Text], scores: FloatArray, ranks: FloatArray) -> list[_Text]:
        """The beams that go on: best rank first, of equals the first beam, then the lowest token."""
        chosen: list[_Text] = []
        if len(group[0].token_ids) + 1 >= search.max_tokens:
            search.state = CUT
            return chosen
        for place in _best_first(ranks.ravel()):
            beam, token = divmod(place, ranks.shape[1])
            text = group[beam]
            longer = _Text(
                matcher=text.matcher,
                token_ids=(*text.token_ids, token),
                data=text.data + (self._work.vocabulary.tokens[token] or b""),
                logprob=float(scores[beam, token]),
                row=text.row,
            )
            if not self._accepts(search, Partial(longer.data, token_ids=longer.token_ids)):
                continue
            longer.matcher = text.matcher.fork()
            longer.matcher.accept_token(token)
            chosen.append(longer)
            if len(chosen) == self._each:
                break
        return chosen

    def _accepts(self, search: _Search, partial: Partial) -> bool:
        if self._condition is None:
            return True
        search.num_checks += 1
        state, search.state = search.state, WRITING  # it may raise
        verdict = ask(self._condition, [partial])[0]
        search.state = state
        return verdict

    def _stop_where_possible(self, search: _Search) -> None:
        """End the search if no beam can reach the worst of ``width`` finished texts: log-probabilities only fall."""
        worst = self._worst(search)
        for number, group in enumerate(search.groups):
            if not any(self._reach(text, search.max_tokens) > worst for text in group):
                search.groups[number] = []

    def _reach(self, text: _Text, max_tokens: int) -> float:
        """The best score that a continuation may have."""
        lengths = (len(text.token_ids) + 1, max_tokens)
        return max(self._score(text.logprob, length) for length in lengths)

    def _worst(self, search: _Search) -> float:
        """The score to beat."""
        if len(search.finished) < self._beam.width:
            return -math.inf
        return min(score for score, _ in search.finished.values())

    def _score(self, logprob: float, length: int) -> float:
        return logprob if not self._beam.length_penalty else logprob / length**self._beam.length_penalty

    def _population(self, search: _Search) -> Population:
        ordered = sorted(search.finished.items(), key=lambda item: (-item[1][0], item[0]))
        texts = [text for _, (_, text) in ordered]
        found = [self._particle(text, FINISHED, i, text.logprob + math.log(len(texts))) for i, text in enumerate(texts)]
        if not found:
            found = [self._particle(text, search.state, i, -math.inf) for i, text in enumerate(search.last)]
        return Population(particles=tuple(found), history=(), num_checks=search.num_checks, passes=self._passes)

    def _particle(self, text: _Text, state: str, number: int, log_weight: float) -> Particle:
        return Particle(
            text=text.data.decode("utf-8", "replace"),
            token_ids=text.token_ids,
            log_weight=log_weight,
            logprob=text.logprob,
            state=state,
            eve=number,
        )


def _by_length_and_logprob(text: _Text) -> tuple[int, float]:
    return -len(text.token_ids), -text.logprob


def _best_first(ranks: FloatArray) -> Iterator[int]:
    """Places of the finite entries, largest first, of equals the lowest; sorted as far as is asked."""
    left = np.flatnonzero(ranks > -math.inf)
    size = 64
    while len(left):
        if size < len(left):
            edge = np.partition(ranks[left], len(left) - size)[len(left) - size]
            now = ranks[left] >= edge
        else:
            now = np.ones(len(left), np.bool_)
        first = left[now]
        yield from first[np.argsort(-ranks[first], kind="stable")].tolist()
        left = left[~now]
        size *= 8
