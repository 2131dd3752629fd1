"""JSON numbers by value, as terminals: which spellings denote a number within bounds, or a multiple of something.

JSON's grammar for numbers (RFC 8259 §6) is ``-?(0|[1-9]\\d*)(\\.\\d+)?([eE][+-]?\\d+)?``. Two automata run side by side
and remember all that matters of the number so far: ``decimals.py`` for the spellings without an exponent, all of which
are admitted (for integers also ``1.0``), and ``exponents.py`` for those with one. A number of a sign on which no bound
can fail (all numbers; or those of one sign, as with ``minimum=0``), and of which no multiple is asked for, has every
exponent. Elsewhere a finite memory holds some, which ``exponents.py`` lists. Values are exact, whatever their size.

Multiples of some numbers can be excluded; then there are no exponents. ``plain`` integers have digits only.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from grammar_engine.compiler.automaton import ByteAutomaton
from grammar_engine.compiler.decimals import Decimals, DecimalState, Side
from grammar_engine.compiler.exponents import FreeIntegers, Limit, Scientific, Tail, tail_moves
from grammar_engine.compiler.format_store import stored_number
from grammar_engine.compiler.machine import Moves, minimal_table, to_bytes


class _State(NamedTuple):
    """``side``: 0 or 1, None before anything was read. ``mantissa``: of a number that will have an exponent, or its
    ``Tail``. None of the two: the text cannot be of that kind any more.
    """

    side: int | None
    plain: DecimalState | None = None
    mantissa: Hashable = None


class _Signed(NamedTuple):
    """What the numbers of one sign are."""

    plain: Decimals
    exponents: FreeIntegers | Scientific | None


class _Numbers:
    """The numbers v with ``low`` <= v <= ``high`` (None: no bound), multiples of ``step`` and of none ``excluded``.

    Each sign has its own pair of bounds on the magnitude: those of negative numbers are negated and change places.
    """

    def __init__(
        self, bounds: Side, step: Decimal | None, excluded: tuple[Decimal, ...], *, integers: bool, plain: bool
    ) -> None:
        low, low_inclusive, high, high_inclusive = bounds
        sides = (bounds, Side(_negated(high), high_inclusive, _negated(low), low_inclusive))
        made: dict[Side, int] = {}
        self._signed: list[_Signed] = []
        #: Per sign the place in ``_signed``; None: there are no such numbers.
        self._of: list[int | None] = []
        for side in sides:
            far = side.high
            if far is not None and (far < 0 or (far == 0 and not side.high_inclusive)):
                self._of.append(None)
                continue
            if side.low is not None and (side.low < 0 or (side.low == 0 and side.low_inclusive)):
                side = side._replace(low=None, low_inclusive=True)
            if side not in made:
                made[side] = len(self._signed)
                everything = not integers and side.low is None and far is None and step is None and not excluded
                exponents = None if everything or plain or excluded else _exponents(side, step)
                decimals = Decimals(side, step, excluded, fractions=not plain, exponents=everything)
                self._signed.append(_Signed(decimals, exponents))
            self._of.append(made[side])

    def moves(self, state: _State) -> Moves[_State]:
        if state.side is None:
            positive, negative = self._of
            found = [] if negative is None else [("-", self._start(negative))]
            return found if positive is None else [*found, *self.moves(self._start(positive))]
        signed = self._signed[state.side]
        plain = [] if state.plain is None else signed.plain.moves(state.plain)
        mantissa: Moves[Hashable] = []
        if isinstance(state.mantissa, Tail):
            mantissa = list(tail_moves(state.mantissa))
        elif state.mantissa is not None and signed.exponents is not None:
            mantissa = signed.exponents.moves(state.mantissa)  # type: ignore[arg-type]  # its own states
        if not mantissa:
            return [(characters, _State(state.side, target)) for characters, target in plain]
        if not plain:
            return [(characters, _State(state.side, None, target)) for characters, target in mantissa]
        with_exponent = {character: target for characters, target in mantissa for character in characters}
        without = {character: target for characters, target in plain for character in characters}
        joined: dict[_State, list[str]] = {}
        for character in {**without, **with_exponent}:
            target = _State(state.side, without.get(character), with_exponent.get(character))
            joined.setdefault(target, []).append(character)
        return [("".join(characters), target) for target, characters in joined.items()]

    def accepts(self, state: _State) -> bool:
        if isinstance(state.mantissa, Tail) and state.mantissa.accepts:
            return True
        return (
            state.side is not None and state.plain is not None and self._signed[state.side].plain.accepts(state.plain)
        )

    def _start(self, side: int) -> _State:
        signed = self._signed[side]
        return _State(side, signed.plain.start(), None if signed.exponents is None else signed.exponents.start())


def _exponents(side: Side, step: Decimal | None) -> FreeIntegers | Scientific | None:
    """The mantissas of one sign that may have exponents."""
    low, high = side.low, side.high
    if high is None and step == 1:
        if low is None:
            return FreeIntegers(zero=True)
        if (low == 0 and not side.low_inclusive) or (0 < low < 1) or (low == 1 and side.low_inclusive):
            return FreeIntegers(zero=False)
    if high == 0:
        return None
    return Scientific(
        None if low is None or low == 0 else Limit(low, inclusive=side.low_inclusive),
        None if high is None else Limit(high, inclusive=side.high_inclusive),
        step,
    )


def _negated(value: Decimal | None) -> Decimal | None:
    return None if value is None else value.copy_negate()


def _decimal(value: Decimal | int | None, name: str) -> Decimal | None:
    if value is None:
        return None
    exact = Decimal(value)
    if not exact.is_finite():
        raise ValueError(f"{name} must be finite, not {value}")
    return exact


def _positive(value: Decimal | int | None) -> Decimal | None:
    step = _decimal(value, "multiple_of")
    if step is not None and step <= 0:
        raise ValueError(f"multiple_of must be positive, not {value}")
    return step


def _build(
    bounds: Side, step: Decimal | None, excluded: tuple[Decimal, ...], key: str, *, integers: bool, plain: bool
) -> ByteAutomaton | None:
    return stored_number(key) or _construct(bounds, step, excluded, key, integers=integers, plain=plain)


def _construct(
    bounds: Side, step: Decimal | None, excluded: tuple[Decimal, ...], key: str, *, integers: bool, plain: bool
) -> ByteAutomaton | None:
    machine = _Numbers(bounds, step, excluded, integers=integers, plain=plain)
    table = minimal_table(_State(None), machine.moves, machine.accepts, what=f"the number {key}")
    return None if table is None else to_bytes(table, key=key)


def common_numbers() -> Iterator[ByteAutomaton]:
    """Those worth keeping in the data file: integers, from 0, from 1, and amounts of money; constructed."""
    for low, step in ((None, "1"), (Decimal(0), "1"), (Decimal(1), "1"), (None, "0.01"), (Decimal(0), "0.01")):
        integers = step == "1"
        key = f"int:{_spelled(low)}:" if integers else f"num:{_spelled(low)}::%{step}"
        found = _construct(Side(low, True, None, True), Decimal(step), (), key, integers=integers, plain=False)
        if found is not None:
            yield found


def _spelled(value: Decimal | None) -> str:
    """One spelling for equal values, without an exponent (``normalize`` would round to the context's precision)."""
    if value is None:
        return ""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _spelled_all(excluded: tuple[Decimal, ...]) -> str:
    return "".join(f":!{_spelled(multiple)}" for multiple in excluded)


@lru_cache(maxsize=512)
def integer_automaton(
    *,
    minimum: int | None,
    maximum: int | None,
    multiple_of: int | None = None,
    excluded: tuple[Decimal, ...] = (),
    plain: bool = False,
) -> ByteAutomaton | None:
    """The integers between two bounds (inclusive; None: no bound) that are multiples of ``multiple_of`` and of nothing
    that is ``excluded``.

    ``plain``: spelled with digits only. None if no integer qualifies. Raises ValueError for a multiple that is not
    positive, LimitExceededError if the multiple is so large (about 10,000, factors of ten not counted) that its
    remainders are too many.
    """
    step = _positive(multiple_of)
    low, high = _decimal(minimum, "minimum"), _decimal(maximum, "maximum")
    key = f"int:{_spelled(low)}:{_spelled(high)}"
    if step is not None and step != 1:
        key += f":%{_spelled(step)}"
    key += _spelled_all(excluded)
    if plain:
        key += ":plain"
    bounds = Side(low, True, high, True)
    return _build(bounds, step if plain else step or Decimal(1), excluded, key, integers=True, plain=plain)


@lru_cache(maxsize=512)
def number_automaton(
    *,
    minimum: Decimal | int | None,
    maximum: Decimal | int | None,
    exclusive_minimum: bool = False,
    exclusive_maximum: bool = False,
    multiple_of: Decimal | int | None = None,
    excluded: tuple[Decimal, ...] = (),
) -> ByteAutomaton | None:
    """The numbers between two bounds (None: no bound), multiples of ``multiple_of`` and of nothing ``excluded``.

    A bound is part of the range unless its flag says exclusive. Bounds are exact decimals: turn a JSON number into
    one from its text, never by way of a float. Spellings as the module says; None if no number qualifies. Raises
    ValueError for bounds that are not finite or a multiple that is not positive, LimitExceededError as
    ``integer_automaton``.
    """
    step = _positive(multiple_of)
    low, high = _decimal(minimum, "minimum"), _decimal(maximum, "maximum")
    low_inclusive, high_inclusive = low is None or not exclusive_minimum, high is None or not exclusive_maximum
    key = f"num:{'' if low_inclusive else '>'}{_spelled(low)}:{'' if high_inclusive else '<'}{_spelled(high)}"
    if step is not None:
        key += f":%{_spelled(step)}"
    key += _spelled_all(excluded)
    return _build(Side(low, low_inclusive, high, high_inclusive), step, excluded, key, integers=False, plain=False)
