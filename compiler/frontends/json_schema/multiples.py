"""Multiples of numbers with more remainders than an automaton has states: their digits as rules, made when read.

``multipleOf: 0.123456789`` has 123,456,789 remainders, but a text visits one for each of its digits. So the value is no
terminal but a nonterminal for each state of ``decimals.Decimals``, whose productions are one digit and what may follow;
the grammar expands those that are asked for. Spelled without exponents.

Every remainder of an unbounded number can be completed, which keeps this free of dead ends. Of a number with bounds the
members are written out, if they are few enough.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from grammar_engine.compiler.decimals import Decimals, DecimalState, Side
from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.compiler.frontends.json_schema.json_types import INTEGER
from grammar_engine.compiler.frontends.json_schema.literals import Scalars
from grammar_engine.compiler.frontends.json_schema.scalars import (
    NumberKey,
    common_step,
    decimal_of,
    exact,
    multiples_within,
    number_satisfies,
)
from grammar_engine.compiler.frontends.json_schema.symbols import Symbols
from grammar_engine.compiler.ir import Production, Symbol

MOST_REMAINDERS = 5_000
"""Remainders, times places behind the point, up to which a number is an automaton (about a quarter of a second)."""
MOST_MEMBERS = 10_000
"""Multiples between two bounds that are written out."""


def has_many_remainders(key: NumberKey) -> bool:
    """Is the key none for an automaton?"""
    if not key.multiples and not key.not_multiples:
        return False
    size = 1
    step = common_step(key)
    for multiple in (*([] if step is None else [step]), *map(exact, key.not_multiples)):
        places = 1
        scaled = multiple
        while scaled.denominator != 1:
            scaled *= 10
            places += 1
        rest = scaled.numerator
        while places == 1 and rest % 10 == 0:  # of these remainders few can be told apart
            rest //= 10
        size *= rest * places
    return size > MOST_REMAINDERS


class Multiples:
    """The rules of one grammar's numbers of that kind."""

    def __init__(self, symbols: Symbols, *, plain_integers: bool) -> None:
        self._symbols = symbols
        self._plain_integers = plain_integers
        self._machines: dict[tuple[NumberKey, bool], Decimals] = {}

    def productions(self, key: NumberKey) -> list[Production]:
        """The number's productions. LimitExceededError where there are bounds and too many members between them."""
        step = common_step(key)
        bounded = key.lower is not None and key.upper is not None
        if bounded and step is not None:
            return self._written_out(key, step)
        beside = step not in (None, 1) and bool(key.not_multiples)
        if beside or any(bound is not None and (bound[0] != 0 or bound[1]) for bound in (key.lower, key.upper)):
            raise LimitExceededError(
                "a bound or an excluded multiple beside a multiple with many remainders",
                limit=f"{MOST_REMAINDERS} remainders, or {MOST_MEMBERS} multiples between two bounds",
                given=str(key),
            )
        found: list[Production] = []
        if (key.lower or key.upper) and not key.not_multiples:
            found.append((self._symbols.terminal("values", Scalars(numbers=frozenset([Decimal(0)]))),))  # -0 too
        if key.upper is None:
            found += self._follow(key, False, self._machine(key, negative=False).start())
        if key.lower is None:
            sign = self._symbols.terminal("text", b"-")
            found.append((sign, self._rest(key, True, self._machine(key, negative=True).start())))
        return found

    def _written_out(self, key: NumberKey, step: Fraction) -> list[Production]:
        first, last = multiples_within(key, step)
        if first is None or last is None or last - first >= MOST_MEMBERS:
            raise LimitExceededError("multiples between two bounds", limit=f"{MOST_MEMBERS}", given=str(key))
        plain = key._replace(multiples=(), not_multiples=())
        members = [number * step for number in range(first, last + 1)]
        kept = [
            member
            for member in members
            if number_satisfies(plain, member)
            and not any((member / exact(multiple)).denominator == 1 for multiple in key.not_multiples)
        ]
        numbers = frozenset(map(decimal_of, kept))
        return [(self._symbols.terminal("values", Scalars(numbers=numbers)),)] if numbers else []

    def _machine(self, key: NumberKey, *, negative: bool) -> Decimals:
        machine = self._machines.get((key, negative))
        if machine is None:
            step = common_step(key)
            machine = self._machines[key, negative] = Decimals(
                Side(None, True, None, True),
                None if step is None else decimal_of(step),
                tuple(decimal_of(exact(multiple)) for multiple in key.not_multiples),
                fractions=not (self._plain_integers and key.types == INTEGER),
                exponents=False,
            )
        return machine

    def _rest(self, key: NumberKey, negative: bool, state: DecimalState) -> Symbol:
        return self._symbols.nonterminal(self._follow, key, negative, state)

    def _follow(self, key: NumberKey, negative: bool, state: DecimalState) -> list[Production]:
        """What may be read behind a state: a digit, or one and more."""
        machine = self._machine(key, negative=negative)
        found: list[Production] = []
        for characters, target in machine.moves(state):
            if not machine.can_be_completed(target):
                continue
            further = any(machine.can_be_completed(behind) for _, behind in machine.moves(target))
            rest = self._rest(key, negative, target) if further else None
            for character in characters:
                symbol = self._symbols.terminal("text", character.encode())
                if machine.accepts(target):
                    found.append((symbol,))
                if rest is not None:
                    found.append((symbol, rest))
        return found
