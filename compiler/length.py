"""A longest or least length for any language of texts, kept by a counter instead of a product.

``maxLength: 1024`` beside ``format: email`` would multiply 170 states by 1024. A counter on every edge says the same
with no state more. So that no text runs into a dead end, an edge is barred as soon as the characters that are left
would not reach a place where the text may end: its bound is the limit less the distance from there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from grammar_engine.compiler.automaton import AGAIN, ENTER, EXIT, KEEP, MATCH
from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.char_states import EMPTY_LANGUAGE, Edge, States
from grammar_engine.compiler.charset import NOTHING
from grammar_engine.compiler.limits import MAX_COUNT

_EMPTY_TEXT: States = ((Edge(NOTHING, MATCH),),)


def limit_length(automaton: CharAutomaton, longest: int) -> CharAutomaton:
    """The texts of at most ``longest`` characters. Deterministic; counts unless no text is longer anyway.

    An automaton with counters of another kind is unfolded first (LimitExceededError if that grows too large); limits
    set here before are only tightened.
    """
    states = automaton.states
    if _is_limited(states):
        return CharAutomaton(_tightened(states, longest), deterministic=True)
    if automaton.has_counters() or not automaton.deterministic:
        states = automaton.determinize().states
    if longest < 0:
        return CharAutomaton(EMPTY_LANGUAGE, deterministic=True)
    if longest == 0:
        return CharAutomaton(_EMPTY_TEXT if _ends(states[0]) else EMPTY_LANGUAGE, deterministic=True)
    distances = _distances(states)
    if distances[0] is None or distances[0] > longest:
        return CharAutomaton(EMPTY_LANGUAGE, deterministic=True)
    finite = _longest(states)
    if finite is not None and finite <= longest:
        return CharAutomaton(states, deterministic=True)
    return CharAutomaton(_counted(states, distances, longest, 0), deterministic=True)


def limit_lengths(automaton: CharAutomaton, limits: Sequence[int]) -> CharAutomaton:
    """The texts of a deterministic automaton without counters that read each character within the limit of the state
    behind it: a longest length that depends on what the text holds. From each state a shortest way to a match must
    lead through states whose limits are no lower.
    """
    states = automaton.states
    return CharAutomaton(_counted(states, _distances(states), limits, 0), deterministic=True)


def require_length(automaton: CharAutomaton, least: int, longest: int | None = None) -> CharAutomaton | None:
    """The texts of at least ``least`` and at most ``longest`` characters, counted; None where a counter cannot say it.

    The counter is asked at the end of the text, so it must be possible to go on from everywhere: without an upper
    bound each state needs some successor. With one, each state that may end the text needs a successor that may end
    it too: then a text can be completed to every length from its least one on (by induction on the length).
    """
    states = automaton.states
    if least <= 0 and longest is None:
        return automaton
    if automaton.has_counters():
        return None
    distances = _distances(states)
    if distances[0] is None or (longest is not None and max(distances[0], least) > longest):
        return CharAutomaton(EMPTY_LANGUAGE, deterministic=True)
    ends = [_ends(edges) for edges in states]
    if longest is None:
        if distances[0] >= least:
            return automaton
        if any(all(edge.target == MATCH for edge in edges) for edges in states):
            return None
    else:
        if longest == 0:
            return None
        for state, edges in enumerate(states):
            if ends[state] and not any(edge.target != MATCH and ends[edge.target] for edge in edges):
                return None
    counted = _counted(states, distances, longest, least)
    return CharAutomaton(counted, deterministic=automaton.deterministic)


def _ends(edges: tuple[Edge, ...]) -> bool:
    return any(edge.target == MATCH for edge in edges)


def _counted(states: States, distances: list[int | None], longest: int | Sequence[int] | None, least: int) -> States:
    """The counter says how many characters were read when the one before an edge's end is: c < bound leaves room.

    The start has states of its own: a text's first character begins the count. Without a longest length the counter
    need not grow beyond the least one.
    """
    start: list[Edge] = []
    inner: list[tuple[Edge, ...]] = []
    rooms: list[int | None] = []  # behind each state: what a counter may have reached before
    for state, distance in enumerate(distances):
        limit = longest if longest is None or isinstance(longest, int) else longest[state]
        rooms.append(None if limit is None else -1 if distance is None else limit - distance)
    for edge in states[0]:
        if edge.target == MATCH:
            if least <= 0:
                start.append(edge)
        elif (room := rooms[edge.target]) is None or room > 0:
            start.append(Edge(edge.label, edge.target + 1, ENTER))
    for edges in states:
        counted: list[Edge] = []
        for edge in edges:
            if edge.target == MATCH:
                counted.append(Edge(NOTHING, MATCH, EXIT, max(least, 1)))
            elif (room := rooms[edge.target]) is None:
                counted.append(Edge(edge.label, edge.target + 1, AGAIN, -max(least, 1)))
            elif room > 1:
                counted.append(Edge(edge.label, edge.target + 1, AGAIN, room))
        inner.append(tuple(counted))
    return _reachable((tuple(start), *inner))


def _is_limited(states: States) -> bool:
    """Has ``_counted`` put limits on an automaton, or can its counters be taken for that?"""
    if not any(edge.op == ENTER for edge in states[0]):
        return False
    for state, edges in enumerate(states):
        for edge in edges:
            if edge.target == MATCH:
                expected = edge.op == EXIT and edge.bound == 1 if state else edge.op == KEEP
            else:
                expected = edge.op == AGAIN and edge.bound > 1 and edge.target > 0 if state else edge.op == ENTER
            if not expected:
                return False
    # Some shortest way goes on within the limit of whatever led to a state.
    distances = _distances(states)
    entered = [0] * len(states)
    leaving = [0] * len(states)
    for state, edges in enumerate(states[1:], start=1):
        for edge in edges:
            if edge.target == MATCH:
                leaving[state] = MAX_COUNT
                continue
            here, there = distances[state], distances[edge.target]
            if here is None or there is None:
                return False
            entered[edge.target] = max(entered[edge.target], edge.bound + there)
            if there == here - 1:
                leaving[state] = max(leaving[state], edge.bound + there)
    return all(least <= most for least, most in zip(entered, leaving, strict=True))


def _tightened(states: States, longest: int) -> States:
    """The limits of ``_is_limited`` lowered to ``longest``."""
    distances = _distances(states)
    if distances[0] is None or distances[0] > longest:
        return EMPTY_LANGUAGE
    found: list[tuple[Edge, ...]] = []
    for edges in states:
        kept: list[Edge] = []
        for edge in edges:
            if edge.target == MATCH:
                kept.append(edge)
                continue
            distance = distances[edge.target]
            room = -1 if distance is None else longest - distance
            if edge.op == ENTER and room > 0:
                kept.append(edge)
            elif edge.op == AGAIN and room > 1:
                kept.append(edge._replace(bound=min(edge.bound, room)))
        found.append(tuple(kept))
    return _reachable(tuple(found))


def _reachable(states: States) -> States:
    order, number = [0], {0: 0}
    for state in order:
        for edge in states[state]:
            if edge.target != MATCH and edge.target not in number:
                number[edge.target] = len(order)
                order.append(edge.target)
    return tuple(
        tuple(edge if edge.target == MATCH else edge._replace(target=number[edge.target]) for edge in states[state])
        for state in order
    )


def _distances(states: States) -> list[int | None]:
    """For each state the fewest characters to a match, None if there is none; backwards, breadth first."""
    sources: list[list[int]] = [[] for _ in states]
    distances: list[int | None] = [None] * len(states)
    todo: deque[tuple[int, int]] = deque()
    for state, edges in enumerate(states):
        for edge in edges:
            if edge.target == MATCH:
                todo.append((state, 0))
            elif edge.label:
                sources[edge.target].append(state)
    while todo:
        state, distance = todo.popleft()
        if distances[state] is None:
            distances[state] = distance
            todo.extend((source, distance + 1) for source in sources[state])
    return distances


def _longest(states: States) -> int | None:
    """The length of the longest text; None if a cycle makes texts of any length (every state is live).

    Kahn's topological order: on a cycle, some state keeps a predecessor forever.
    """
    waiting = [0] * len(states)
    for edges in states:
        for edge in edges:
            if edge.target != MATCH:
                waiting[edge.target] += 1
    depth = [0] * len(states)
    todo = [state for state, count in enumerate(waiting) if count == 0]
    done = 0
    longest = 0
    while todo:
        state = todo.pop()
        done += 1
        for edge in states[state]:
            if edge.target == MATCH:
                longest = max(longest, depth[state])
                continue
            depth[edge.target] = max(depth[edge.target], depth[state] + 1)
            waiting[edge.target] -= 1
            if waiting[edge.target] == 0:
                todo.append(edge.target)
    return longest if done == len(states) else None
