"""JSON numbers by value, as terminals: which spellings denote a number within bounds, or a multiple of something.

JSON's grammar for numbers (RFC 8259 §6) is ``-?(0|[1-9]\\d*)(\\.\\d+)?([eE][+-]?\\d+)?``. The automata read the digits
from left to right and remember how the number so far compares with each bound, and its remainder: values are exact,
whatever their size and number of digits, and are never rounded to floats.

Which spellings are admitted:

- ``integer_automaton``: plain integers, ``-0`` where 0 is admitted. ``1.0`` and ``1e2``, which JSON Schema also counts
  as integers, are left out by default; ``float_spellings=True`` admits fractions of zeros.
- ``number_automaton``: integers and fractions, trailing zeros allowed. Exponents are admitted only for a sign on which
  no bound can fail (all numbers; or those of one sign, as with ``minimum=0``) and where no multiple is asked for:
  comparing ``123.4e-2`` with a bound would take a counter, not a finite memory.

Multiples of some numbers can be excluded; then there are no exponents either.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cache, lru_cache
from typing import NamedTuple

from grammar_engine.compiler.automaton import ByteAutomaton
from grammar_engine.compiler.machine import Moves, minimal_table, to_bytes

_DIGITS = "0123456789"
_LESS, _EQUAL, _GREATER = -1, 0, 1
_NO_MULTIPLE = -1  # instead of a remainder: no continuation is a multiple


class _Order(NamedTuple):
    """How the digits so far compare with a bound: digits of it read, and the first difference.

    While whole digits are read the two are compared as if aligned at their first digits; which is longer is known
    at the point. ``_BELOW`` and ``_ABOVE``: the answer is certain.
    """

    read: int
    sign: int


_BELOW, _ABOVE = _Order(-1, _LESS), _Order(-1, _GREATER)


class _Bound:
    """Compares a non-negative decimal, digit by digit, with a fixed one."""

    def __init__(self, value: Decimal, *, inclusive: bool) -> None:
        _, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)
        text = "".join(map(str, digits)) + "0" * max(exponent, 0)
        places = max(-exponent, 0)
        text = text.rjust(places + 1, "0")
        self.whole = [int(digit) for digit in text[: len(text) - places].lstrip("0") or "0"]
        self.fraction = [int(digit) for digit in text[len(text) - places :].rstrip("0")]
        self.inclusive = inclusive

    def whole_digit(self, order: _Order, digit: int) -> _Order:
        if order.read < 0:
            return order
        if order.read == len(self.whole):
            return _ABOVE
        return _Order(order.read + 1, order.sign or _compare(digit, self.whole[order.read]))

    def point(self, order: _Order) -> _Order:
        verdict = self.verdict_of_whole(order)
        return _certain(verdict) if verdict else _Order(0, _EQUAL)

    def fraction_digit(self, order: _Order, digit: int) -> _Order:
        if order.read < 0:
            return order
        places = len(self.fraction)
        verdict = _compare(digit, self.fraction[order.read] if order.read < places else 0)
        return _certain(verdict) if verdict else _Order(min(order.read + 1, places), _EQUAL)

    def verdict_of_whole(self, order: _Order) -> int:
        """Compares the whole digits with the bound's whole part."""
        if order.read < 0:
            return order.sign
        return order.sign if order.read == len(self.whole) else _LESS

    def verdict(self, order: _Order, *, in_fraction: bool) -> int:
        """Compares the number as read with the bound."""
        if order.read < 0:
            return order.sign
        places = 0
        if in_fraction:
            places = order.read
        elif (sign := self.verdict_of_whole(order)) != _EQUAL:
            return sign
        return _EQUAL if places == len(self.fraction) else _LESS


def _compare(left: int, right: int) -> int:
    return (left > right) - (left < right)


def _certain(verdict: int) -> _Order:
    return _BELOW if verdict == _LESS else _ABOVE


class _Remainder:
    """Follows the number so far modulo ``step``, scaled so that both are integers.

    ``scale``: decimal places of the step. Before the point the state is the class of x·10^scale mod step; after it,
    the same with the number of places read. Of remainders that no continuation tells apart (all but few, when the
    step is a multiple of 10) one is kept.
    """

    def __init__(self, step: Decimal) -> None:
        _, digits, exponent = step.normalize().as_tuple()
        assert isinstance(exponent, int)
        self.scale = max(-exponent, 0)
        self.step: int = int("".join(map(str, digits))) * 10 ** max(exponent, 0)
        self.one: int = 10**self.scale % self.step
        self._representatives: dict[tuple[int | None, ...], int] = {}
        self._represented: dict[int, int] = {}

    def whole_digit(self, remainder: int, digit: int) -> int:
        remainder = (10 * remainder + digit * self.one) % self.step
        if self.scale:
            return remainder
        found = self._represented.get(remainder)
        if found is None:
            found = self._represented[remainder] = self._representative(remainder)
        return found

    def fraction_digit(self, remainder: int, place: int, digit: int) -> int | None:
        """The remainder after the digit at ``place`` (0 is tenths); None: no multiple has that digit there."""
        if place >= self.scale:
            return None if digit else remainder
        weight: int = 10 ** (self.scale - 1 - place)
        return (remainder + digit * weight) % self.step

    def _representative(self, remainder: int) -> int:
        """One remainder for all those with the same completions.

        t more digits complete r iff they spell -r·10^t mod step, so r matters only through that number where it has
        at most t digits. Once 10^t holds all factors 2 and 5 of the step, only r modulo the rest of it matters.
        """
        completions: list[int | None] = []
        rest, power = self.step, 1
        while True:
            common = _gcd_with_ten(rest)
            needed = -remainder * power % self.step
            completions.append(needed if needed < power else None)
            if common == 1:
                break
            rest //= common
            power *= 10
        return self._representatives.setdefault((remainder % rest, *completions), remainder)


def _gcd_with_ten(number: int) -> int:
    return (1 if number % 2 else 2) * (1 if number % 5 else 5)


class _State(NamedTuple):
    """``phase``: "" before any character, "-" behind the sign, else what was read last (see ``_Machine.moves``)."""

    phase: str
    negative: bool = False
    low: _Order = _ABOVE
    high: _Order = _BELOW
    remainder: int = 0
    place: int = 0
    excluded: tuple[int, ...] = ()


class _Machine:
    """The numbers v with ``low`` <= v <= ``high`` (None: no bound), multiples of ``step`` and of none ``excluded``.

    Each sign has its own pair of bounds on the magnitude: those of negative numbers are negated and change places.
    Phases: "0" a single zero, "d" whole digits, "." the point, "f" fraction digits, "e" the letter, "s" the
    exponent's sign, "x" its digits.
    """

    def __init__(
        self,
        *,
        low: Decimal | None,
        high: Decimal | None,
        low_inclusive: bool,
        high_inclusive: bool,
        step: Decimal | None,
        excluded: tuple[Decimal, ...],
        fractions: bool,
        exponents: bool,
    ) -> None:
        self.step = None if step is None else _Remainder(step)
        self.excluded = [_Remainder(multiple) for multiple in excluded]
        self.places = max((remainder.scale for remainder in (*self.excluded, self.step) if remainder), default=0)
        self.fractions = fractions
        self.sides: dict[bool, tuple[_Bound | None, _Bound | None] | None] = {}
        self.exponents: dict[bool, bool] = {}
        for negative in (False, True):
            near, near_inclusive, far, far_inclusive = low, low_inclusive, high, high_inclusive
            if negative:
                near, far = _negated(high), _negated(low)
                near_inclusive, far_inclusive = high_inclusive, low_inclusive
            if far is not None and (far < 0 or (far == 0 and not far_inclusive)):
                self.sides[negative] = None
                continue
            vacuous = near is None or near < 0 or (near == 0 and near_inclusive)
            self.sides[negative] = (
                None if near is None or vacuous else _Bound(near, inclusive=near_inclusive),
                None if far is None else _Bound(far, inclusive=far_inclusive),
            )
            self.exponents[negative] = exponents and vacuous and far is None and step is None and not excluded

        #: Both signs go the same way from the first digit on.
        self.symmetric = self.sides[True] == self.sides[False] == (None, None) and not any(self.exponents.values())

    def moves(self, state: _State) -> Moves[_State]:
        found: Moves[_State] = []
        phase = state.phase
        if phase == "" and self.sides[True]:
            found.append(("-", self._sign(negative=True)))
        if phase == "" and self.sides[False]:
            found.extend(self.moves(self._sign(negative=False)))
        elif phase in ("-", "d"):
            after = ((digit, self._whole(state, int(digit))) for digit in _DIGITS)
            found.extend((digit, target) for digit, target in after if target is not None)
        elif phase in (".", "f"):
            after = ((digit, self._fraction(state, int(digit))) for digit in _DIGITS)
            found.extend((digit, target) for digit, target in after if target is not None)
        elif phase == "e":
            found.extend([("+-", state._replace(phase="s")), (_DIGITS, state._replace(phase="x"))])
        elif phase in ("s", "x"):
            found.append((_DIGITS, state._replace(phase="x")))
        reducible = not state.remainder or (self.step is not None and self.step.scale > 0)
        if phase in ("0", "d") and self.fractions and reducible:  # else no fraction makes it a multiple
            found.append((".", self._point(state)))
        if phase in ("0", "d", "f") and self.exponents[state.negative]:
            found.append(("eE", _State(phase="e", negative=state.negative)))
        return found

    def accepts(self, state: _State) -> bool:
        if state.phase == "x":
            return True
        if state.phase not in ("0", "d", "f") or state.remainder or 0 in state.excluded:
            return False
        low, high = self._bounds(state)
        in_fraction = state.phase == "f"
        return (low is None or low.verdict(state.low, in_fraction=in_fraction) >= (0 if low.inclusive else 1)) and (
            high is None or high.verdict(state.high, in_fraction=in_fraction) <= (0 if high.inclusive else -1)
        )

    def _bounds(self, state: _State) -> tuple[_Bound | None, _Bound | None]:
        return self.sides[state.negative] or (None, None)

    def _sign(self, *, negative: bool) -> _State:
        low, high = self.sides[negative] or (None, None)
        begun = _Order(0, _EQUAL)
        return _State(
            phase="-",
            negative=negative and not self.symmetric,
            low=_ABOVE if low is None else begun,
            high=_BELOW if high is None else begun,
            excluded=(0,) * len(self.excluded),
        )

    def _whole(self, state: _State, digit: int) -> _State | None:
        """None if the number is too large already: without that, remainders would be explored far beyond."""
        low, high = self._bounds(state)
        above = state.high if high is None else high.whole_digit(state.high, digit)
        if high is not None and high.verdict_of_whole(above) == _GREATER:
            return None
        return _State(
            phase="0" if state.phase == "-" and digit == 0 else "d",
            negative=state.negative,
            low=state.low if low is None else low.whole_digit(state.low, digit),
            high=above,
            remainder=0 if self.step is None else self.step.whole_digit(state.remainder, digit),
            excluded=tuple(
                [by.whole_digit(remainder, digit) for by, remainder in zip(self.excluded, state.excluded, strict=True)]
            )
            if self.excluded
            else (),
        )

    def _point(self, state: _State) -> _State:
        low, high = self._bounds(state)
        return state._replace(
            phase=".",
            low=state.low if low is None else low.point(state.low),
            high=state.high if high is None else high.point(state.high),
        )

    def _fraction(self, state: _State, digit: int) -> _State | None:
        low, high = self._bounds(state)
        remainder: int | None = 0
        if self.step is not None:
            remainder = self.step.fraction_digit(state.remainder, state.place, digit)
        if remainder is None:
            return None
        excluded = [_NO_MULTIPLE] * len(self.excluded)
        for index, (by, rest) in enumerate(zip(self.excluded, state.excluded, strict=True)):
            after = None if rest == _NO_MULTIPLE else by.fraction_digit(rest, state.place, digit)
            excluded[index] = _NO_MULTIPLE if after is None else after
        return state._replace(
            phase="f",
            low=state.low if low is None else low.fraction_digit(state.low, digit),
            high=state.high if high is None else high.fraction_digit(state.high, digit),
            remainder=remainder,
            place=min(state.place + 1, self.places),
            excluded=tuple(excluded),
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


@cache
def _unbounded(*, fractions: bool, exponents: bool, key: str) -> ByteAutomaton | None:
    return _build(None, None, True, True, None, (), fractions, exponents, key)


def _build(
    low: Decimal | None,
    high: Decimal | None,
    low_inclusive: bool,
    high_inclusive: bool,
    step: Decimal | None,
    excluded: tuple[Decimal, ...],
    fractions: bool,
    exponents: bool,
    key: str,
) -> ByteAutomaton | None:
    machine = _Machine(
        low=low,
        high=high,
        low_inclusive=low_inclusive,
        high_inclusive=high_inclusive,
        step=step,
        excluded=excluded,
        fractions=fractions,
        exponents=exponents,
    )
    table = minimal_table(_State(phase=""), machine.moves, machine.accepts, what=f"the number {key}")
    return None if table is None else to_bytes(table, key=key)


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
    float_spellings: bool = False,
) -> ByteAutomaton | None:
    """The integers between two bounds (inclusive; None: no bound) that are multiples of ``multiple_of`` and of nothing
    that is ``excluded``.

    Spelled as plain integers; with ``float_spellings`` also with a fraction of zeros (``1.0``). None if no integer
    qualifies. Raises ValueError for a multiple that is not positive, LimitExceededError if the multiple is so large
    (about 10,000, factors of ten not counted) that its remainders are too many.
    """
    step = _positive(multiple_of)
    low, high = _decimal(minimum, "minimum"), _decimal(maximum, "maximum")
    key = f"int:{_spelled(low)}:{_spelled(high)}"
    if step is not None and step != 1:
        key += f":%{_spelled(step)}"
    key += _spelled_all(excluded)
    if float_spellings:
        key += ":.0"
        step = step or Decimal(1)
    if low is None and high is None and step is None and not excluded:
        return _unbounded(fractions=False, exponents=False, key=key)
    return _build(low, high, True, True, step, excluded, float_spellings, False, key)


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
    if low is None and high is None and step is None and not excluded:
        return _unbounded(fractions=True, exponents=True, key=key)
    return _build(low, high, low_inclusive, high_inclusive, step, excluded, True, True, key)
