"""Plain decimals, read digit by digit: compared with bounds, and followed modulo a number.

The digits are read from left to right. The states are exact whatever the size of the number and never rounded.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from grammar_engine.compiler.machine import Moves

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


class Side(NamedTuple):
    """Bounds on the magnitude of the numbers of one sign; None: no bound."""

    low: Decimal | None
    low_inclusive: bool
    high: Decimal | None
    high_inclusive: bool


class DecimalState(NamedTuple):
    """``phase``: what was read last, see ``Decimals``."""

    phase: str = ""
    low: _Order = _ABOVE
    high: _Order = _BELOW
    remainder: int = 0
    place: int = 0
    excluded: tuple[int, ...] = ()


class Decimals:
    """The numbers of one sign within bounds, multiples of ``step`` (None: of nothing) and of none ``excluded``.

    Phases: "" before any digit, "0" a single zero, "d" whole digits, "." the point, "f" fraction digits; with
    ``exponents`` (for numbers without bounds) also "e" the letter, "s" the exponent's sign, "x" its digits.
    """

    def __init__(
        self, side: Side, step: Decimal | None, excluded: tuple[Decimal, ...], *, fractions: bool, exponents: bool
    ) -> None:
        self._low = None if side.low is None else _Bound(side.low, inclusive=side.low_inclusive)
        self._high = None if side.high is None else _Bound(side.high, inclusive=side.high_inclusive)
        self._step = None if step is None else _Remainder(step)
        self._excluded = [_Remainder(multiple) for multiple in excluded]
        self._places = max((by.scale for by in (*self._excluded, self._step) if by), default=0)
        self._fractions = fractions
        self._exponents = exponents
        self._by_digit = bool(self._excluded) or (self._step is not None and self._step.step > 1)

    def start(self) -> DecimalState:
        """Before the first digit."""
        begun = _Order(0, _EQUAL)
        return DecimalState(
            low=_ABOVE if self._low is None else begun,
            high=_BELOW if self._high is None else begun,
            excluded=(0,) * len(self._excluded),
        )

    def moves(self, state: DecimalState) -> Moves[DecimalState]:
        """What may be read in a state."""
        found: Moves[DecimalState] = []
        phase = state.phase
        if phase in ("", "d", ".", "f"):
            for digits in self._classes(state):
                read = self._whole if phase in ("", "d") else self._fraction
                target = read(state, int(digits[0]))
                if target is not None:
                    found.append((digits, target))
        elif phase == "e":
            found.extend([("+-", DecimalState("s")), (_DIGITS, DecimalState("x"))])
        elif phase in ("s", "x"):
            found.append((_DIGITS, DecimalState("x")))
        if phase in ("0", "d"):
            # Else no fraction makes it a multiple.
            reducible = not state.remainder or (self._step is not None and self._step.scale > 0)
            if self._fractions and reducible:
                found.append((".", self._point(state)))
        if self._exponents and phase in ("0", "d", "f"):
            found.append(("eE", DecimalState("e")))
        return found

    def accepts(self, state: DecimalState) -> bool:
        """May the number end here?"""
        if state.phase == "x":
            return True
        if state.phase not in ("0", "d", "f") or state.remainder or 0 in state.excluded:
            return False
        low, high, in_fraction = self._low, self._high, state.phase == "f"
        return (low is None or low.verdict(state.low, in_fraction=in_fraction) >= (0 if low.inclusive else 1)) and (
            high is None or high.verdict(state.high, in_fraction=in_fraction) <= (0 if high.inclusive else -1)
        )

    def can_be_completed(self, state: DecimalState) -> bool:
        """Does some number begin so? Only for numbers without bounds. Whole digits can be appended until a remainder is
        any that is wanted; behind the point, the places that are left must do.
        """
        if state.phase == "0" and not self.accepts(state):
            return any(self.can_be_completed(target) for _, target in self.moves(state))
        if state.phase not in (".", "f") or self._step is None:
            return True
        missing = -state.remainder % self._step.step
        if missing >= 10 ** (self._step.scale - state.place):
            return False
        # Zeros alone may follow, which leave all remainders as they are.
        return not (self._step.scale == 0 and 0 in state.excluded)

    def _classes(self, state: DecimalState) -> list[str]:
        """The digits, those together that nothing tells apart."""
        if self._by_digit:
            return list(_DIGITS)
        cuts = {0, 10}
        if state.phase == "" or self._step is not None:
            cuts.add(1)
        for bound, order in ((self._low, state.low), (self._high, state.high)):
            if bound is not None and order.read >= 0:
                digits = bound.whole if state.phase in ("", "d") else bound.fraction
                digit = digits[order.read] if order.read < len(digits) else 0
                cuts |= {digit, digit + 1}
        ends = sorted(cuts)
        return [_DIGITS[first:last] for first, last in pairwise(ends)]

    def _whole(self, state: DecimalState, digit: int) -> DecimalState | None:
        """None if the number is too large already: without that, remainders would be explored far beyond."""
        low, high = self._low, self._high
        above = state.high if high is None else high.whole_digit(state.high, digit)
        if high is not None and high.verdict_of_whole(above) == _GREATER:
            return None
        return DecimalState(
            "0" if state.phase == "" and digit == 0 else "d",
            state.low if low is None else low.whole_digit(state.low, digit),
            above,
            0 if self._step is None else self._step.whole_digit(state.remainder, digit),
            0,
            tuple([by.whole_digit(rest, digit) for by, rest in zip(self._excluded, state.excluded, strict=True)])
            if self._excluded
            else (),
        )

    def _point(self, state: DecimalState) -> DecimalState:
        low, high = self._low, self._high
        return state._replace(
            phase=".",
            low=state.low if low is None else low.point(state.low),
            high=state.high if high is None else high.point(state.high),
        )

    def _fraction(self, state: DecimalState, digit: int) -> DecimalState | None:
        low, high = self._low, self._high
        remainder: int | None = 0
        if self._step is not None:
            remainder = self._step.fraction_digit(state.remainder, state.place, digit)
        if remainder is None:
            return None
        excluded = [_NO_MULTIPLE] * len(self._excluded)
        for index, (by, rest) in enumerate(zip(self._excluded, state.excluded, strict=True)):
            after = None if rest == _NO_MULTIPLE else by.fraction_digit(rest, state.place, digit)
            excluded[index] = _NO_MULTIPLE if after is None else after
        return DecimalState(
            "f",
            state.low if low is None else low.fraction_digit(state.low, digit),
            state.high if high is None else high.fraction_digit(state.high, digit),
            remainder,
            min(state.place + 1, self._places),
            tuple(excluded),
        )
