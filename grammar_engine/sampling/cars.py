"""Adaptive rejection sampling: a text that was refused is never tried again, nor anything that begins like it.

*Constrained adaptive rejection sampling* (Parys et al. 2025), on the adaptive rejection sampling of prefixes (Gilks and
Wild 1992 for densities; Mansinghka et al. 2009 for sequences). Known prefixes form a tree; each carries an upper bound
of the share of its continuations that may still be accepted:

    live(prefix) = Σ over tokens t that the grammar allows of p(t | prefix) · live(prefix t);   1 where nothing is known
    a try:  at a known prefix draw t with probability p(t | prefix) · live(prefix t) / live(prefix)
            at prefix t the bound is computed anew (its mask is known now): go on with probability new / old
            refused by grammar, condition or budget: live := 0, and all bounds above it are lowered

The probabilities of a try telescope: a text x comes out with p(x) / live(empty text), whatever the tree knows. So every
accepted text is an exact draw from the model's distribution on accepted texts; what is learnt only raises the share of
tries that are accepted, Z / live(empty text). Unlike ASAp (Park et al. 2024), which estimates the same tree but accepts
what its mask allows, no draw is ever off.

A memory may be kept over calls, ``CarsMemory``: then later draws begin with what earlier ones have learnt. One that is
full learns less, and draws stay exact: behind a known prefix a token that is not remembered counts as unknown
(bound 1), with which the probabilities telescope just so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from grammar_engine.errors import InvalidArgumentError
from grammar_engine.sampling.conditions import Condition
from grammar_engine.sampling.population import DEAD, FINISHED, Particle, Population
from grammar_engine.sampling.rejection import require_accepted
from grammar_engine.sampling.tries import FloatArray, Try, TryRun, append, draw
from grammar_engine.sampling.weighted import (
    PopulationSampler,
    Work,
    check_count,
    check_temperature,
    optional_condition,
)


@dataclass(kw_only=True, eq=False)
class Node:
    """A prefix that was visited.

    probability: of its last token.
    unknown:     the mass of allowed tokens that no child stands for; all, while the mask is not known.
    live:        the bound: unknown and what the children have left. (Sums, never differences: where nearly everything
                 was refused, a difference is rounding noise.)
    """

    parent: Node | None = None
    probability: float = 1.0
    unknown: float = 1.0
    live: float = 1.0
    children: dict[int, Node] = field(default_factory=dict)

    def refuse(self) -> int:
        """Nothing that begins like this is accepted; what was known of it is not needed any more. Returns how many
        prefixes that were.
        """
        self.unknown = self.live = 0.0
        forgotten, todo = 0, [self]
        while todo:
            children = todo.pop().children
            forgotten += len(children)
            todo += children.values()
            children.clear()
        return forgotten

    def lower_parents(self) -> None:
        """Compute the bounds of all prefixes of this one anew."""
        node = self.parent
        while node is not None:
            left = math.fsum(child.probability * child.live for child in node.children.values())
            node.live = min(node.live, node.unknown + left)
            node = node.parent


class CarsMemory:
    """What ``CARS`` has learnt, for as long as the caller keeps it; not for several threads at once.

    One tree for each model, prompt, grammar, condition, temperature and ``max_tokens``: a memory may serve many. They
    are told apart by identity (prompts by their tokens), so keep the condition as one object.

    max_nodes: most prefixes that are remembered, over all trees; each takes some 300 bytes. When there are so many
        (``is_full``), what is known is used, and bounds of known prefixes are still lowered, but no further prefix is
        remembered: draws stay exact, refusals get fewer more slowly. ``clear`` begins anew.
    """

    def __init__(self, max_nodes: int = 1_000_000) -> None:
        check_count(max_nodes, "max_nodes")
        self._trees: dict[Hashable, Node] = {}
        self.max_nodes = max_nodes
        self.num_nodes = 0

    def __len__(self) -> int:
        """How many trees there are."""
        return len(self._trees)

    @property
    def is_full(self) -> bool:
        """Whether nothing more is remembered."""
        return self.num_nodes >= self.max_nodes

    def clear(self) -> None:
        """Forget everything. (Not while a call is using it.)"""
        self._trees.clear()
        self.num_nodes = 0

    def tree(self, key: Hashable) -> Node:
        """The tree of a key; a new one where there is none, which is kept unless the memory is full."""
        if key not in self._trees:
            if self.is_full:
                return Node()
            self._trees[key] = Node()
            self.num_nodes += 1
        return self._trees[key]

    def child(self, node: Node, token: int, probability: float) -> Node | None:
        """Remember a prefix: ``node`` and a token. None if the memory is full."""
        if self.is_full:
            return None
        node.children[token] = Node(parent=node, probability=probability)
        self.num_nodes += 1
        return node.children[token]

    def bounds(self) -> list[float]:
        """Of each tree, oldest first, an upper bound of the mass of accepted texts."""
        return [tree.live for tree in self._trees.values()]


@dataclass(frozen=True)
class CARS(PopulationSampler):
    """Constrained adaptive rejection sampling, for ``generate``: exact draws, fewer refusals with each.

    max_tries:   of a prompt, before ``NothingAcceptedError`` is raised with the text that went furthest.
    condition:   a monotone predicate of the text so far, or a ``Condition``; None: the grammar alone.
    temperature: > 0; of the distribution that is aimed at.
    memory:      a ``CarsMemory`` that the caller keeps. Results then depend on what it holds; without it, each prompt
                 of a call begins anew, with a memory of its own of the default size.

    ``Generation.population`` holds all tries in their order. An accepted one weighs live(empty text) as it was when it
    began, others nothing: the mean of a fixed number of tries is an unbiased estimate of the evidence, and that over
    tries until the first acceptance (what there is here) its likeliest value.
    """

    max_tries: int = 100
    condition: Condition | Callable[[str], bool] | None = None
    temperature: float = 1.0
    memory: CarsMemory | None = None

    def check(self, max_tokens: int) -> None:
        """See ``PopulationSampler``."""
        check_count(max_tokens, "max_tokens")
        check_count(self.max_tries, "max_tries")
        check_temperature(self.temperature)
        optional_condition(self.condition)
        if self.memory is not None and not isinstance(self.memory, CarsMemory):
            raise InvalidArgumentError(f"expected a CarsMemory, not {self.memory!r}", argument="memory")

    def begin(self, work: Work) -> TryRun:
        """See ``PopulationSampler``."""
        self.check(max(work.max_tokens))
        condition = optional_condition(self.condition)
        settings = (_Same(self.condition), self.temperature)
        memories: list[CarsMemory] = []
        roots: list[Node] = []
        for prompt, most in enumerate(work.max_tokens):
            memories.append(CarsMemory() if self.memory is None else self.memory)
            key = None if self.memory is None else (work.keys[prompt], settings, most)
            roots.append(memories[-1].tree(key))

        def begin(prompt: int, rng: np.random.Generator) -> Try:
            return _Adaptive(
                matcher=work.matchers[prompt].fork(),
                vocabulary=work.vocabulary,
                condition=condition,
                rng=rng,
                max_tokens=work.max_tokens[prompt],
                node=roots[prompt],
                memory=memories[prompt],
            )

        # One at a time: tries that learn from each other while they are written are exact one by one, but which of them
        # is accepted first would depend on what they write.
        return TryRun(work, begin, temperature=self.temperature, max_tries=self.max_tries, accepts=1, at_once=1)

    def chosen(self, population: Population, rng: np.random.Generator) -> Particle:  # noqa: ARG002
        """The accepted one."""
        return next(particle for particle in population.particles if particle.log_weight > -math.inf)

    def require(self, population: Population) -> None:
        """NothingAcceptedError if no try was accepted."""
        require_accepted(population, "max_tries")


class _Same:
    """An object as part of a key: equal to itself alone, and kept alive, so that no other takes its identity."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


@dataclass(kw_only=True)
class _Adaptive(Try):
    """A walk down the tree. node: the prefix that has been written. believed: its bound when it was drawn."""

    node: Node
    memory: CarsMemory
    believed: float = 1.0

    def take(self, logps: FloatArray) -> None:
        """See ``Try``."""
        node = self.node
        masses: FloatArray = np.where(self._allowed(len(logps)), np.exp(logps), 0.0)
        unknown = masses.copy()
        unknown[list(node.children)] = 0
        for token, known in node.children.items():
            masses[token] *= known.live
        node.live = min(node.live, float(masses.sum()))
        if node.parent is None:  # nothing was drawn with an older bound yet
            self.believed = node.live
            self.log_weight = math.log(node.live) if node.live > 0 else -math.inf
        if node.live <= 0 or self.rng.random() * self.believed >= node.live:
            node.unknown = float(unknown.sum())
            self._end(DEAD)
            return
        token = draw(masses, self.rng)
        self.logprob += float(logps[token])
        child = node.children.get(token)
        if child is None:
            probability = float(masses[token])
            child = self.memory.child(node, token, probability)
            if child is None:  # known to this try alone: it stays part of what is unknown
                child = Node(parent=node, probability=probability)
            else:
                unknown[token] = 0
        node.unknown = float(unknown.sum())
        self.node = child
        self.believed = self.node.live
        self.matcher.accept_token(token)
        append(self, token)
        if not self.state and not self.accepts(complete=False):
            self.state = DEAD
        if self.state:
            if self.state != FINISHED:
                self.memory.num_nodes -= self.node.refuse()
            self._end(self.state)

    def _end(self, state: str) -> None:
        self.state = state
        self.node.lower_parents()

    def _allowed(self, size: int) -> npt.NDArray[np.bool_]:
        bitmask = np.zeros((1, (size + 31) // 32), np.int32)
        self.matcher.fill_next_token_bitmask(bitmask)
        return np.unpackbits(bitmask.view(np.uint8), bitorder="little", count=size).view(np.bool_)
