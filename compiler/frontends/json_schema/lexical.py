"""Keys of strings and numbers as automata: where this front end meets the regex, format and number machinery.

Length beside a pattern is folded into the pattern where that is exact without unrolling anything: a bound that the
pattern's own width implies is dropped, and ``^[class]*$`` becomes a counted loop. What is left is an intersection,
whose longest length is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from itertools import combinations
from typing import Any, cast

from grammar_engine.compiler.automaton import ByteAutomaton
from grammar_engine.compiler.automaton_algebra import combine, is_possible
from grammar_engine.compiler.automaton_product import FALSE, TRUE, All, Formula, Is, Not, operands_of, settle
from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.char_states import States
from grammar_engine.compiler.digit_limit import limit_digits
from grammar_engine.compiler.ecma_regex import parse_ecma_regex
from grammar_engine.compiler.errors import (
    GrammarSyntaxError,
    InvalidSchemaError,
    LimitExceededError,
    UnsatisfiableGrammarError,
    UnsupportedGrammarError,
    UnsupportedSchemaError,
)
from grammar_engine.compiler.formats import FORMAT_STATUS, format_automaton, format_json_strings
from grammar_engine.compiler.frontends.json_schema.json_types import INTEGER
from grammar_engine.compiler.frontends.json_schema.scalars import (
    NumberKey,
    StringKey,
    common_step,
    decimal_of,
    exact,
    range_is_possible,
    whole_bounds,
)
from grammar_engine.compiler.length import limit_length, require_length
from grammar_engine.compiler.limits import Deadline
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
)
from grammar_engine.compiler.spelling import any_json_string, to_json_string

MAX_STRING_WORK = 50_000
"""States of the product of what is asked of one string, times the number of its operands (about half a second)."""
MAX_SEARCHED_LENGTH = 32
"""Texts that must be longer than this are counted (``length.py``) rather than searched for."""
MAX_COMPARED_STATES = 300
"""States looked at to see that patterns exclude each other, so that branches of ``oneOf`` need not be negated."""
MAX_PATTERN_STATES = 20_000
"""States of the automaton of one pattern (about half a second)."""
MAX_PATTERN_LENGTH = 50_000
"""Characters of one pattern."""
MAX_MINIMIZED_STATES = 500
"""States up to which an automaton is minimized before it goes into a product."""


class Lexical:
    """Builds automata on demand and keeps the value-level ones that emptiness tests share with terminals."""

    def __init__(self, *, plain_integers: bool = False, deadline: Deadline | None = None) -> None:
        """plain_integers: see ``JsonSchemaOptions``. deadline: looked at before each piece of work."""
        self.deadline = deadline or Deadline(None)
        self.plain_integers = plain_integers

    # -- checks at compile time ---------------------------------------------------------------------------------------

    def check_pattern(self, pattern: str, pointer: Callable[[], str]) -> None:
        """Raise InvalidSchemaError for a malformed pattern, UnsupportedSchemaError for one that is no automaton."""
        if len(pattern) > MAX_PATTERN_LENGTH:
            raise LimitExceededError(
                f"a pattern is too long (at {pointer()})", limit=f"{MAX_PATTERN_LENGTH} characters", given=len(pattern)
            )
        try:
            _node(pattern)
        except GrammarSyntaxError as error:
            raise InvalidSchemaError(
                f"the pattern {pattern!r} is malformed: {error.reason}", pointer=pointer()
            ) from error
        except UnsupportedGrammarError as error:
            raise UnsupportedSchemaError(
                f"pattern with {error.construct}", pointer=pointer(), advice=error.advice
            ) from error

    # -- strings ------------------------------------------------------------------------------------------------------

    def string_is_possible(self, key: StringKey) -> bool:
        """Does any string satisfy the key?"""
        if key.maximum is not None and key.maximum < key.minimum:
            return False
        if not (key.not_patterns or key.not_formats or key.excluded or key.choices):
            formats = _defined(key.formats)
            if not key.patterns and (not formats or (len(formats) == 1 and not key.minimum and key.maximum is None)):
                return True
            if len(key.patterns) == 1 and not formats:
                body, _, _ = _anchored(_node(key.patterns[0]))
                if _is_plain(body):
                    low, _ = _width(body)
                    if key.minimum <= low and (key.maximum is None or low <= key.maximum):
                        return True
        self.deadline.check()
        return _string_is_possible(key)

    def string_satisfies(self, key: StringKey, text: str) -> bool:
        """Does ``text`` satisfy the key?"""
        if len(text) < key.minimum or (key.maximum is not None and len(text) > key.maximum):
            return False
        if not any(key[2:]):
            return True
        formula = _formula(key)
        known = {atom: _atom(atom).accepts(text) for atom in operands_of(formula)}
        return settle(formula, known) == TRUE

    def string_automaton(self, key: StringKey) -> ByteAutomaton:
        """All spellings, with quotes, of the strings that satisfy the key."""
        if not (key.patterns or key.not_patterns or key.not_formats or key.excluded or key.choices) and not _defined(
            key.formats
        ):
            return any_json_string(key.minimum, key.maximum)
        self.deadline.check()
        return _spelled(key)

    def value_automaton(self, key: StringKey) -> CharAutomaton:
        """The strings that satisfy the key, as values."""
        self.deadline.check()
        return _intersection(key)

    def pattern_automaton(self, pattern: str) -> CharAutomaton:
        """The strings in which a pattern matches."""
        self.deadline.tick()
        return _matching(pattern)

    def patterns_exclude(self, patterns: frozenset[str]) -> bool:
        """Do the patterns surely match no text together? Cheap: what would take long counts as "perhaps"."""
        self.deadline.tick()
        return _patterns_exclude(patterns)

    # -- numbers ------------------------------------------------------------------------------------------------------

    def matches(self, pattern: str, text: str) -> bool:
        """Does a pattern match somewhere in the text?"""
        return self.pattern_automaton(pattern).accepts(text)

    def number_is_possible(self, key: NumberKey) -> bool:
        """Does any number satisfy the key?"""
        answer = range_is_possible(key)
        return _range_automaton(key, plain_integers=True) is not None if answer is None else answer

    def number_automaton(self, key: NumberKey) -> ByteAutomaton:
        """All spellings of the numbers that satisfy the key. Raises LimitExceededError for too large a multiple.

        Where something is excluded (fractions that are integers, multiples), without exponents.
        """
        found = _range_automaton(key, plain_integers=self.plain_integers or key.limit is not None)
        if found is None:
            raise UnsatisfiableGrammarError("no number is in the range", place=str(key))
        return found if key.limit is None else limit_digits(found, key.limit)


# Automata are pure functions of patterns and keys, and the same ones come again in other schemas: kept for the process.


@lru_cache(maxsize=2048)
def _node(pattern: str) -> Node:
    return parse_ecma_regex(pattern)


@lru_cache(maxsize=512)
def _matching(pattern: str) -> CharAutomaton:
    return CharAutomaton.from_node(_node(pattern), search=True, limit=MAX_PATTERN_STATES)


@lru_cache(maxsize=512)
def _spelled(key: StringKey) -> ByteAutomaton:
    name = f"json-string:{tuple(key)!r}"
    if len(key.formats) == 1 and key == StringKey(0, None, formats=key.formats):
        found = format_json_strings(key.formats[0], key=name)
        if found is not None:
            return found
    return to_json_string(_intersection(key), key=name)


def _defined(formats: tuple[str, ...]) -> list[str]:
    """Those of the formats that the standard defines."""
    return [name for name in formats if name in FORMAT_STATUS]


def _known(formats: tuple[str, ...]) -> list[CharAutomaton]:
    """The automata of the formats that the standard defines; any other name is an annotation."""
    automata = (format_automaton(name) for name in formats)
    return [automaton for automaton in automata if automaton is not None]


@lru_cache(maxsize=512)
def _string_is_possible(key: StringKey) -> bool:
    formula, low, high = _reduced(key)
    if low > MAX_SEARCHED_LENGTH and high is None:
        return not _intersection(key).is_empty()
    if low:
        formula = settle(All((formula, Is(("least", low)))), {})
    operands = {atom: _small(atom).states for atom in operands_of(formula)}
    return is_possible(operands, formula, longest=high, limit=_limit(operands))


@lru_cache(maxsize=512)
def _intersection(key: StringKey) -> CharAutomaton:
    formula, low, high = _reduced(key)
    whole = _product(formula)
    if low:
        counted = require_length(whole, low, high)
        if counted is not None:
            return counted
        whole = _product(settle(All((formula, Is(("least", low)))), {}))
    return whole if high is None else limit_length(whole, high)


@lru_cache(maxsize=4096)
def _patterns_exclude(patterns: frozenset[str]) -> bool:
    texts = [text for text in map(_first_characters, patterns) if text]
    if any(not one.startswith(two) and not two.startswith(one) for one, two in combinations(texts, 2)):
        return True
    formula = All(tuple(Is(("pattern", pattern)) for pattern in sorted(patterns)))
    try:
        operands = {atom: _small(atom).states for atom in operands_of(formula)}
        return not is_possible(operands, formula, limit=MAX_COMPARED_STATES)
    except LimitExceededError:
        return False


@lru_cache(maxsize=2048)
def _first_characters(pattern: str) -> str:
    """Characters with which every match of an anchored pattern begins."""
    body, at_start, _ = _anchored(_node(pattern))
    text = ""
    for node in (body.nodes if isinstance(body, Concat) else (body,)) if at_start else ():
        if not isinstance(node, Chars) or len(node.charset) != 1:
            break
        text += chr(next(iter(node.charset)))
    return text


def _product(formula: Formula) -> CharAutomaton:
    """The texts that satisfy a formula over atoms."""
    if isinstance(formula, Is):
        return _atom(formula.operand)
    operands = {atom: _small(atom).states for atom in operands_of(formula)}
    product = CharAutomaton(combine(operands, formula, limit=_limit(operands)), deterministic=True)
    return product.minimize()  # cheaper than to spell what is not needed


def _limit(operands: Mapping[Hashable, States]) -> int:
    return MAX_STRING_WORK // max(2, len(operands))


def _formula(key: StringKey) -> Formula:
    """What a key asks but for its bounds on the length, over atoms."""
    wanted = [Is(("pattern", pattern)) for pattern in key.patterns] + [Is(("format", name)) for name in key.formats]
    unwanted = [Is(("pattern", pattern)) for pattern in key.not_patterns]
    unwanted += [Is(("format", name)) for name in key.not_formats]
    if key.excluded:
        unwanted.append(Is(("among", key.excluded)))
    return settle(All((*wanted, *map(Not, unwanted), *key.choices)), {})


def _reduced(key: StringKey) -> tuple[Formula, int, int | None]:
    """A key as a formula and the bounds on the length that are left: those that a pattern implies are not, and a
    pattern ``^[class]*$`` takes them in.
    """
    low, high = key.minimum, key.maximum
    patterns: list[str] = []
    loops: list[Formula] = []
    for pattern in key.patterns:
        body, at_start, at_end = _anchored(_node(pattern))
        if at_start and at_end and _is_plain(body):
            if isinstance(body, Repeat) and isinstance(body.node, Chars):
                least = max(low, body.min)
                most = min((bound for bound in (body.max, high) if bound is not None), default=None)
                if most is not None and most < least:
                    return FALSE, 0, None
                loops.append(Is(("loop", (body.node, least, most))))
                low, high = 0, None
                continue
            shortest, longest = _width(body)
            if low <= shortest:
                low = 0
            if longest is not None and high is not None and longest <= high:
                high = None
        patterns.append(pattern)
    formula = _formula(key._replace(patterns=tuple(patterns)))
    return settle(All((*loops, formula)), {}), low, high


@lru_cache(maxsize=1024)
def _atom(atom: Hashable) -> CharAutomaton:
    """The strings of which an atom of a formula holds; see ``scalars.py`` for the kinds."""
    kind, detail = cast("tuple[str, Any]", atom)
    if kind == "pattern":
        return _matching(detail)
    if kind == "format":
        # A name that the standard does not define is an annotation: every string has it.
        return (_known((detail,)) or [CharAutomaton.any_string()])[0]
    if kind == "among":
        return CharAutomaton.from_strings(detail)
    if kind == "loop":
        node, least, most = detail
        return CharAutomaton.from_node(Repeat(node, least, most))
    return CharAutomaton.any_string(detail) if kind == "least" else CharAutomaton.any_string(0, detail)


@lru_cache(maxsize=512)
def _small(atom: Hashable) -> CharAutomaton:
    """The same, minimal if that is cheap: products of small automata are small."""
    automaton = _atom(atom)
    if (
        cast("tuple[str, Any]", atom)[0] == "format"
        or automaton.has_counters()
        or automaton.num_states > MAX_MINIMIZED_STATES
    ):
        return automaton
    try:
        return automaton.minimize(limit=MAX_MINIMIZED_STATES)
    except LimitExceededError:
        return automaton


def _range_automaton(key: NumberKey, *, plain_integers: bool) -> ByteAutomaton | None:
    step = common_step(key)
    excluded = tuple(decimal_of(exact(multiple)) for multiple in key.not_multiples)
    if key.types == INTEGER:
        low, high = whole_bounds(key)
        multiple = None if step is None or step == 1 else int(step)
        return integer_automaton(
            minimum=low, maximum=high, multiple_of=multiple, excluded=excluded, plain=plain_integers
        )
    return number_automaton(
        minimum=None if key.lower is None else decimal_of(exact(key.lower[0])),
        maximum=None if key.upper is None else decimal_of(exact(key.upper[0])),
        exclusive_minimum=key.lower is not None and key.lower[1],
        exclusive_maximum=key.upper is not None and key.upper[1],
        multiple_of=None if step is None else decimal_of(step),
        excluded=excluded,
    )


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
