"""Which exponents a mantissa may have: the part of JSON's numbers that no finite memory can follow in full.

Comparing ``123.4e-2`` with a bound, or telling that ``1.50e1`` is an integer, takes the number of digits on either
side of the point against the exponent: a relation between two counts, not a regular language. So a family of spellings
is chosen that is finite where it must be, holds what programs write (``1e+21``, ``2.5e-07``, ``1.797e308``) and never
admits a number of another value:

- *Scientific*, beside bounds and multiples: one digit from 1 to 9, perhaps a fraction, an exponent. The exponent's
  range follows from how the digits compare with the digits of each bound (and from the remainder by the multiple), so
  the mantissa is followed by a numeral between two constants.
- *Free*, for integers of one sign or both without bounds: also ``0e5``, ``0.1e1``, ``12e3``, ``100e-2``.

Exponents lie between ±308, as far as binary64 reaches, and below ±99 behind several digits. Leading zeros in them and
a plus sign are free, as JSON has them.
"""

from __future__ import annotations

from collections.abc import Hashable
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from grammar_engine.compiler.machine import Moves

DIGITS = "0123456789"
_NONZERO = "123456789"
LARGEST = 308
"""10^308 is the largest power of ten in binary64."""
_BESIDE_FRACTION = LARGEST - 1  # 9.99e307 is still below the largest number, 1.8e308 is not
_BESIDE_SEVERAL = 99
_BESIDE_MULTIPLE = 14  # so far binary64 holds all integers: readers that compute in it find the multiple to be one
_TRAILING_ZEROS = 3  # of whole mantissas, that a negative exponent may take away
MOST_PLACES = 16
"""Digits of a fraction before an integer's exponent: binary64 has 17 significant ones."""
FEW_PLACES = 3
"""The same beside an upper bound or a multiple that is no power of ten, where they take more states."""
_MOST_REMAINDERS = 60
"""States for remainders times places, beside a multiple that is no power of ten."""


# -- numerals between two constants -----------------------------------------------------------------------------------


class Tail(NamedTuple):
    """Behind the mantissa. ``phase``: "e" behind the letter, "+" behind a sign, "0" behind zeros, "n" further on.

    ``low``, ``high``: the range of what is to come, of the exponent itself at "e", then of its amount. ``rest``: for
    t = 0, 1, …, the numbers that t more digits may spell, as a range or None.
    """

    phase: str
    low: int = 0
    high: int = 0
    rest: tuple[tuple[int, int] | None, ...] = ()

    @property
    def accepts(self) -> bool:
        """May the text end here?"""
        return self.low == 0 if self.phase == "0" else self.phase == "n" and self.rest[0] is not None


@lru_cache(maxsize=4096)
def tail_moves(tail: Tail) -> Moves[Tail]:
    """The moves of an exponent's automaton."""
    found: dict[Tail, str] = {}
    low, high = tail.low, tail.high
    if tail.phase == "n":
        for digit in range(10):
            rest = _behind(tail.rest, digit)
            if rest:
                _add(found, Tail("n", rest=rest), DIGITS[digit])
        return [(characters, target) for target, characters in found.items()]
    if tail.phase == "e":
        if low <= 0:
            _add(found, Tail("+", max(-high, 0), -low), "-")
        if high < 0:
            return [(characters, target) for target, characters in found.items()]
        low = max(low, 0)
        _add(found, Tail("+", low, high), "+")
    _add(found, Tail("0", low, high), "0")
    for digit in range(1, 10):
        rest = _rest(digit, low, high)
        if rest:
            _add(found, Tail("n", rest=rest), DIGITS[digit])
    return [(characters, target) for target, characters in found.items()]


def _add(found: dict[Tail, str], target: Tail, characters: str) -> None:
    found[target] = found.get(target, "") + characters


def _rest(number: int, low: int, high: int) -> tuple[tuple[int, int] | None, ...]:
    """What may follow the digits of ``number`` (not 0) in a numeral from ``low`` to ``high``."""
    found: list[tuple[int, int] | None] = []
    power = 1
    while number * power <= high:
        least, most = max(low - number * power, 0), min(high - number * power, power - 1)
        found.append((least, most) if least <= most else None)
        power *= 10
    return _without_dead_end(found)


def _behind(rest: tuple[tuple[int, int] | None, ...], digit: int) -> tuple[tuple[int, int] | None, ...]:
    found: list[tuple[int, int] | None] = []
    power = 1
    for span in rest[1:]:
        if span is None:
            found.append(None)
        else:
            least, most = max(span[0] - digit * power, 0), min(span[1] - digit * power, power - 1)
            found.append((least, most) if least <= most else None)
        power *= 10
    return _without_dead_end(found)


def _without_dead_end(found: list[tuple[int, int] | None]) -> tuple[tuple[int, int] | None, ...]:
    while found and found[-1] is None:
        found.pop()
    return tuple(found)


def _tail(low: int, high: int) -> Tail | None:
    return Tail("e", low, high) if low <= high else None


# -- integers without bounds ------------------------------------------------------------------------------------------


class _Free(NamedTuple):
    """``phase``: "-" before any digit; "0", "1", "9" behind that digit alone (or one from 2 to 9), "d" behind several;
    "." behind the point, "f" behind its digits.

    ``whole``: the phase before the point. ``zeros``: at the end of the whole digits. ``places``: of the fraction.
    ``plain``: only zeros stand in it so far.
    """

    phase: str
    whole: str = ""
    zeros: int = 0
    places: int = 0
    plain: bool = True


class FreeIntegers:
    """Every sign has no bound but, perhaps, that zero is not admitted."""

    def __init__(self, *, zero: bool) -> None:
        self._zero = zero

    def start(self) -> _Free:
        """Before the first digit."""
        return _Free("-")

    def moves(self, state: _Free) -> Moves[Hashable]:
        """The moves of a mantissa and of the letter behind it."""
        found: Moves[Hashable] = []
        phase = state.phase
        if phase == "-":
            return [("0", _Free("0")), ("1", _Free("1")), ("23456789", _Free("9"))]
        if phase in ("1", "9", "d"):
            found.append((_NONZERO, _Free("d")))
            found.append(("0", _Free("d", zeros=min(state.zeros + 1, _TRAILING_ZEROS))))
        if phase in ("0", "1", "9", "d"):
            found.append((".", _Free(".", "d" if phase == "d" else "0" if phase == "0" else "1")))
        elif state.whole == "d":
            found.append(("0", state._replace(phase="f")))
        elif state.places < MOST_PLACES:
            further = state._replace(phase="f", places=state.places + 1)
            found.append(("0", further))
            found.append((_NONZERO, further._replace(plain=False)))
        tail = self._tail(state)
        if tail is not None:
            found.append(("eE", tail))
        return found

    def _tail(self, state: _Free) -> Tail | None:
        whole = state.phase
        least = -state.zeros
        if whole == ".":
            return None
        if whole == "f":
            whole = state.whole
            least = 0 if state.plain else state.places
        if whole == "0" and state.plain:
            return _tail(-_BESIDE_SEVERAL, _BESIDE_SEVERAL) if self._zero else None
        if whole == "d":
            return _tail(least, _BESIDE_SEVERAL)
        return _tail(least, LARGEST if state.phase == "1" else _BESIDE_FRACTION)


# -- scientific notation beside bounds and multiples ------------------------------------------------------------------


class Limit:
    """A bound above zero as its digits, ``d.ddd`` × 10^``exponent``."""

    def __init__(self, value: Decimal, *, inclusive: bool) -> None:
        _, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)
        kept = "".join(map(str, digits)).lstrip("0")
        self.exponent = len(kept) - 1 + exponent
        self.digits = [int(digit) for digit in kept.rstrip("0")]
        self.inclusive = inclusive

    def read(self, order: int, digit: int) -> int:
        """How the digits so far compare: -2 less, -1 greater, else so many of them are equal."""
        if order < 0:
            return order
        expected = self.expected(order)
        if digit == expected:
            return min(order + 1, len(self.digits))
        return -2 if digit < expected else -1

    def expected(self, order: int) -> int:
        """The digit of the bound behind ``order`` equal ones."""
        return self.digits[order] if order < len(self.digits) else 0

    def side(self, order: int) -> int:
        """Of a finished mantissa against the bound's: -1, 0 or 1."""
        return 1 if order == -1 else -1 if order < len(self.digits) else 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Limit) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.exponent, tuple(self.digits), self.inclusive))


class _Scientific(NamedTuple):
    """``phase``: "-" before the digit, "1" behind a one alone, "9" behind another digit alone, "." and "f" as above.

    ``low``, ``high``: orders, see ``Limit``. ``need``: the least exponent for a multiple, None if there is none;
    ``remainder`` and ``places`` of all digits. Zeros at the end of a fraction do not count, unless they follow another
    digit beside a power of ten: there they would take a state each.
    """

    phase: str
    low: int = 0
    high: int = 0
    need: int | None = 0
    remainder: int = 0
    places: int = 0


class Scientific:
    """The numbers between two bounds above zero (None: no bound), multiples of ``step`` (None: of nothing)."""

    def __init__(self, low: Limit | None, high: Limit | None, step: Decimal | None) -> None:
        self._low = low
        self._high = high
        self._step = 0  # step = self._step · 10^-self._scale
        self._scale = 0
        self._places = 0
        self._needs: dict[int, int | None] = {}
        if step is not None:
            _, digits, exponent = step.normalize().as_tuple()
            assert isinstance(exponent, int)
            self._step = int("".join(map(str, digits)))
            self._scale = -exponent
            most = MOST_PLACES if self._step == 1 and high is None else FEW_PLACES
            if high is not None:
                most = min(most, high.exponent + self._scale)
            self._places = max(0, min(most, _MOST_REMAINDERS // self._step))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scientific) and self._means() == other._means()

    def __hash__(self) -> int:
        return hash(self._means())

    def _means(self) -> tuple[object, ...]:
        return (self._low, self._high, self._step, self._scale)

    def start(self) -> _Scientific:
        """Before the first digit."""
        return _Scientific("-")

    def moves(self, state: _Scientific) -> Moves[Hashable]:
        """The moves of a mantissa and of the letter behind it."""
        found: Moves[Hashable] = []
        phase = state.phase
        if phase == "-":
            after: dict[Hashable, str] = {}
            for digits in self._alike(state, "1"):
                target = self._read(state, int(digits[0]), "1" if digits == "1" else "9")
                after[target] = after.get(target, "") + digits
            return [(characters, target) for target, characters in after.items()]
        if phase in ("1", "9"):
            if not self._step or self._places:
                found.append((".", state._replace(phase=".")))
        elif not self._step or state.places < self._places:
            after = {}
            for digits in self._alike(state, "0"):
                target = self._read(state, int(digits[0]), "f")
                after[target] = after.get(target, "") + digits
            found.extend((characters, target) for target, characters in after.items())
        if phase != ".":
            tail = self._tail(state)
            if tail is not None:
                found.append(("eE", tail))
        return found

    def _alike(self, state: _Scientific, apart: str) -> list[str]:
        """The digits up to 9, those together that nothing tells apart; ``apart``: the first one, which is alone."""
        first = int(apart)
        if self._step > 1:
            return list(DIGITS[first:])
        cuts = {first, first + 1, 10}
        for limit, order in ((self._low, state.low), (self._high, state.high)):
            if limit is not None and order >= 0:
                expected = limit.expected(order)
                cuts.update((expected, expected + 1))
        ends = sorted(cut for cut in cuts if first <= cut <= 10)
        return [DIGITS[begin:end] for begin, end in pairwise(ends)]

    def _read(self, state: _Scientific, digit: int, phase: str) -> _Scientific:
        low = 0 if self._low is None else self._low.read(state.low, digit)
        high = 0 if self._high is None else self._high.read(state.high, digit)
        if not self._step:
            return _Scientific(phase, low, high)
        places = state.places + (phase == "f")
        remainder = (10 * state.remainder + digit) % self._step
        need = state.need
        if digit or (self._step == 1 and need != -self._scale):
            need = self._need(remainder)
            need = None if need is None else need + places - self._scale
        return _Scientific(phase, low, high, need, remainder, places)

    def _need(self, remainder: int) -> int | None:
        """The least power of ten that makes a multiple of such a number; None if none does."""
        if remainder not in self._needs:
            found, power = 0, remainder
            while power and found <= self._step.bit_length():
                power = 10 * power % self._step
                found += 1
            self._needs[remainder] = None if power else found
        return self._needs[remainder]

    def _tail(self, state: _Scientific) -> Tail | None:
        least, most = -LARGEST, LARGEST if state.phase == "1" else _BESIDE_FRACTION
        if self._low is not None:
            side = self._low.side(state.low)
            enough = side > 0 or (side == 0 and self._low.inclusive)
            least = max(least, self._low.exponent + (0 if enough else 1))
        if self._high is not None:
            side = self._high.side(state.high)
            little = side < 0 or (side == 0 and self._high.inclusive)
            most = min(most, self._high.exponent - (0 if little else 1))
        if self._step:
            if state.need is None:
                return None
            least = max(least, state.need)
            if self._step > 1 or self._scale < 0:
                most = min(most, _BESIDE_MULTIPLE)
        return _tail(least, most)
