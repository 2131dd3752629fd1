"""Keys of strings and numbers as automata: where this front end meets the regex, format and number machinery.

Length beside a pattern is folded into the pattern where that is exact without unrolling anything: a bound that the
pattern's own width implies is dropped, and ``^[class]*$`` becomes a counted loop. What is left is an intersection,
whose longest length is counted.
"""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from grammar_engine.compiler.automaton import AGAIN, ENTER, EXIT, MATCH, ByteAutomaton
from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.char_states import ACCEPT, Edge, trim
from grammar_engine.compiler.charset import CharSet
from grammar_engine.compiler.errors import (
    GrammarSyntaxError,
    InvalidSchemaError,
    LimitExceededError,
    UnsatisfiableGrammarError,
    UnsupportedGrammarError,
    UnsupportedSchemaError,
)
from grammar_engine.compiler.frontends.json_schema.conjunction import FRACTION, INTEGER
from grammar_engine.compiler.frontends.json_schema.scalars import (
    NumberKey,
    StringKey,
    common_step,
    exact,
    is_range,
    range_is_possible,
    whole_bounds,
)
from grammar_engine.compiler.numbers import integer_automaton, number_automaton
from grammar_engine.compiler.regex_ast import (
    TEXT_END,
    TEXT_START,
    Alternate,
    Chars,
    Concat,
    Empty,
    Node,
    Repeat,
    parse_regex,
)
from grammar_engine.compiler.spelling import any_json_string, to_json_string, to_utf8


class Lexical:
    """Builds automata on demand and keeps the value-level ones that emptiness tests share with terminals."""

    # -- checks at compile time ---------------------------------------------------------------------------------------

    def check_pattern(self, pattern: str, pointer: str) -> None:
        """Raise InvalidSchemaError for a malformed pattern, UnsupportedSchemaError for one that is no automaton."""
        try:
            _node(pattern)
        except GrammarSyntaxError as error:
            raise InvalidSchemaError(
                f"the pattern {pattern!r} is malformed: {error.reason}", pointer=pointer
            ) from error
        except UnsupportedGrammarError as error:
            raise UnsupportedSchemaError(
                f"pattern with {error.construct}", pointer=pointer, advice=error.advice
            ) from error

    def check_multiple(self, multiple: float, pointer: str) -> None:
        """Raise UnsupportedSchemaError for a multiple with too many remainders for an automaton."""
        try:
            self.number_automaton(NumberKey(INTEGER | FRACTION, None, None, (multiple,)))
        except LimitExceededError as error:
            raise UnsupportedSchemaError(f"multipleOf {multiple}", pointer=pointer, advice=str(error)) from error

    # -- strings ------------------------------------------------------------------------------------------------------

    def string_is_possible(self, key: StringKey) -> bool:
        """Does any string satisfy the key?"""
        if key.maximum is not None and key.maximum < key.minimum:
            return False
        formats = _known(key.formats)
        if key.not_patterns or key.not_formats or key.excluded:
            return not self.value_automaton(key).is_empty()
        if not key.patterns and (not formats or (len(formats) == 1 and not key.minimum and key.maximum is None)):
            return True
        if len(key.patterns) == 1 and not formats:
            body, _, _ = _anchored(_node(key.patterns[0]))
            if _is_plain(body):
                low, _ = _width(body)
                if key.minimum <= low and (key.maximum is None or low <= key.maximum):
                    return True
        return not self.value_automaton(key).is_empty()

    def string_satisfies(self, key: StringKey, text: str) -> bool:
        """Does ``text`` satisfy the key?"""
        if len(text) < key.minimum or (key.maximum is not None and len(text) > key.maximum):
            return False
        if text in key.excluded or any(_known((name,)) == [] for name in key.not_formats):
            return False
        parts = [self.pattern_automaton(pattern) for pattern in key.patterns] + _known(key.formats)
        against = [self.pattern_automaton(pattern) for pattern in key.not_patterns] + _known(key.not_formats)
        return all(part.accepts(text) for part in parts) and not any(part.accepts(text) for part in against)

    def string_automaton(self, key: StringKey) -> ByteAutomaton:
        """All spellings, with quotes, of the strings that satisfy the key."""
        if not (key.patterns or key.not_patterns or key.not_formats or key.excluded or _known(key.formats)):
            return any_json_string(key.minimum, key.maximum)
        return _spelled(key)

    def value_automaton(self, key: StringKey) -> CharAutomaton:
        """The strings that satisfy the key, as values."""
        return _intersection(key)

    def pattern_automaton(self, pattern: str) -> CharAutomaton:
        """The strings in which a pattern matches."""
        return _matching(pattern)

    # -- numbers ------------------------------------------------------------------------------------------------------

    def number_is_possible(self, key: NumberKey) -> bool:
        """Does any number satisfy the key?"""
        if is_range(key):
            return range_is_possible(key)
        return not self._plain_numbers(key).is_empty()

    def number_automaton(self, key: NumberKey) -> ByteAutomaton:
        """All spellings of the numbers that satisfy the key. Raises LimitExceededError for too large a multiple.

        Where something is excluded (fractions that are integers, multiples), without exponents.
        """
        if not is_range(key):
            return to_utf8(self._plain_numbers(key))
        found = _range_automaton(key)
        if found is None:
            raise UnsatisfiableGrammarError("no number is in the range", place=str(key))
        return found

    def _plain_numbers(self, key: NumberKey) -> CharAutomaton:
        whole = _range_automaton(key._replace(not_multiples=()))
        if whole is None:
            return CharAutomaton.any_string(1, 0)
        pattern = _FRACTIONS if key.types == FRACTION else _DECIMALS
        numbers = _over_characters(whole).intersect(CharAutomaton.from_regex(pattern))
        for multiple in key.not_multiples:
            multiples = _range_automaton(NumberKey(INTEGER | FRACTION, None, None, (multiple,)))
            if multiples is not None:
                numbers = numbers.difference(_over_characters(multiples))
        return numbers


# Automata are pure functions of patterns and keys, and the same ones come again in other schemas: kept for the process.


@lru_cache(maxsize=2048)
def _node(pattern: str) -> Node:
    return parse_regex(pattern, dialect="ecma")


@lru_cache(maxsize=512)
def _matching(pattern: str) -> CharAutomaton:
    return CharAutomaton.from_node(_node(pattern), search=True)


@lru_cache(maxsize=512)
def _spelled(key: StringKey) -> ByteAutomaton:
    return to_json_string(_intersection(key), key="json-string:" + json.dumps(key))


def _known(formats: tuple[str, ...]) -> list[CharAutomaton]:
    """The automata of the formats that the standard defines; any other name is an annotation."""
    if not formats:
        return []
    from grammar_engine.compiler.formats import format_automaton  # not needed by most schemas

    automata = (format_automaton(name) for name in formats)
    return [automaton for automaton in automata if automaton is not None]


@lru_cache(maxsize=512)
def _intersection(key: StringKey) -> CharAutomaton:
    low, high = key.minimum, key.maximum
    parts: list[CharAutomaton] = []
    for pattern in key.patterns:
        body, at_start, at_end = _anchored(_node(pattern))
        if at_start and at_end and _is_plain(body):
            if isinstance(body, Repeat) and isinstance(body.node, Chars):
                least = max(low, body.min)
                most = min((bound for bound in (body.max, high) if bound is not None), default=None)
                if most is not None and most < least:
                    return CharAutomaton.any_string(1, 0)
                parts.append(CharAutomaton.from_node(Repeat(body.node, least, most)))
                low, high = 0, None
                continue
            shortest, longest = _width(body)
            if low <= shortest:
                low = 0
            if longest is not None and high is not None and longest <= high:
                high = None
        parts.append(_matching(pattern))
    parts += _known(key.formats)
    if low:
        parts.append(CharAutomaton.any_string(low))
    whole = parts[0] if parts else CharAutomaton.any_string()
    for part in parts[1:]:
        whole = whole.intersect(part)
    for pattern in key.not_patterns:
        whole = whole.difference(_matching(pattern))
    for name in key.not_formats:
        # A format that the standard does not define holds of every string.
        whole = whole.difference((_known((name,)) or [CharAutomaton.any_string()])[0])
    if key.excluded:
        whole = whole.difference(CharAutomaton.from_strings(key.excluded))
    return whole if high is None else _at_most(whole, high)


_DECIMALS = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?"
_FRACTIONS = r"-?(?:0|[1-9][0-9]*)\.[0-9]*[1-9][0-9]*"


def _range_automaton(key: NumberKey) -> ByteAutomaton | None:
    step = common_step(key)
    if key.types == INTEGER:
        low, high = whole_bounds(key)
        multiple = None if step is None or step == 1 else int(step)
        return integer_automaton(minimum=low, maximum=high, multiple_of=multiple)
    return number_automaton(
        minimum=None if key.lower is None else _decimal(exact(key.lower[0])),
        maximum=None if key.upper is None else _decimal(exact(key.upper[0])),
        exclusive_minimum=key.lower is not None and key.lower[1],
        exclusive_maximum=key.upper is not None and key.upper[1],
        multiple_of=None if step is None else _decimal(step),
    )


def _over_characters(automaton: ByteAutomaton) -> CharAutomaton:
    """An automaton over ASCII bytes, without counters, as one over characters."""
    states = []
    for state in range(automaton.num_states):
        edges = []
        for index, _, _ in automaton.entries[automaton.offsets[state] : automaton.offsets[state + 1]].tolist():
            if index == MATCH:
                edges.append(ACCEPT)
            else:
                low, high, target = automaton.positions[index].tolist()
                edges.append(Edge(CharSet.from_ranges([(low, high)]), target))
        states.append(tuple(edges))
    return CharAutomaton(tuple(states))


def _at_most(automaton: CharAutomaton, limit: int) -> CharAutomaton:
    """The texts of at most ``limit`` characters, counted instead of unrolled.

    Every edge counts one character. So that no thread is caught in a state which it cannot leave in time, an edge to a
    state d characters away from acceptance asks for a count below ``limit - d``.
    """
    if automaton.has_counters():
        automaton = automaton.determinize()
    states = automaton.states
    distance = [0 if any(edge.target == MATCH for edge in edges) else limit + 1 for edges in states]
    changed = True
    while changed:
        changed = False
        for state, edges in enumerate(states):
            nearest = min((distance[edge.target] + 1 for edge in edges if edge.target != MATCH), default=limit + 1)
            if nearest < distance[state]:
                distance[state] = nearest
                changed = True
    if distance[0] > limit:
        return CharAutomaton.any_string(1, 0)
    counted: list[tuple[Edge, ...]] = []
    for edges in (states[0], *states):  # the start is a state of its own: nothing comes back to it
        first = not counted
        out: list[Edge] = []
        for edge in edges:
            if edge.target == MATCH:
                out.append(edge if first else Edge(edge.label, MATCH, EXIT, 1))
            elif limit - distance[edge.target] >= 1:
                bound = limit - distance[edge.target]
                out.append(Edge(edge.label, edge.target + 1, ENTER if first else AGAIN, 0 if first else bound))
        counted.append(tuple(out))
    return CharAutomaton(trim(tuple(counted)))


def _decimal(value: Fraction) -> Decimal:
    """A fraction with a finite decimal expansion, exactly (every JSON number is one)."""
    digits, denominator = 0, value.denominator
    while denominator % 10 == 0:
        denominator //= 10
        digits += 1
    while denominator % 2 == 0 or denominator % 5 == 0:
        denominator = denominator // 2 if denominator % 2 == 0 else denominator // 5
        digits += 1
    return Decimal(f"{(value * 10**digits).numerator}E-{digits}")


def _anchored(node: Node) -> tuple[Node, bool, bool]:
    """The node without ``^`` at its start and ``$`` at its end, and which of them there were."""
    nodes = node.nodes if isinstance(node, Concat) else (node,)
    at_start = nodes[0] == TEXT_START
    at_end = nodes[-1] == TEXT_END
    nodes = nodes[at_start : len(nodes) - at_end]
    body = Empty() if not nodes else nodes[0] if len(nodes) == 1 else Concat(nodes)
    return body, at_start, at_end


def _is_plain(node: Node) -> bool:
    """No assertion inside and no empty class: the node matches something, and its widths are exact."""
    if isinstance(node, Chars):
        return bool(node.charset)
    if isinstance(node, Concat | Alternate):
        return all(map(_is_plain, node.nodes))
    if isinstance(node, Repeat):
        return _is_plain(node.node)
    return isinstance(node, Empty)


def _width(node: Node) -> tuple[int, int | None]:
    """Least and greatest number of characters of a plain node's matches (None: unbounded)."""
    if isinstance(node, Chars):
        return 1, 1
    if isinstance(node, Concat | Alternate):
        widths = [_width(part) for part in node.nodes]
        lows, highs = [low for low, _ in widths], [high for _, high in widths]
        if isinstance(node, Concat):
            return sum(lows), None if None in highs else sum(h for h in highs if h is not None)
        return min(lows), None if None in highs else max(h for h in highs if h is not None)
    if isinstance(node, Repeat):
        low, high = _width(node.node)
        if high == 0 or node.max == 0:
            return 0, 0
        return low * node.min, None if high is None or node.max is None else high * node.max
    return 0, 0
