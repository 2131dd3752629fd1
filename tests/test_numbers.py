"""Number automata against exact decimal arithmetic: every short spelling, and random spellings around the bounds."""

from __future__ import annotations

import itertools
import json
import random
import re
from decimal import Decimal
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from grammar_engine.compiler import format_store
from grammar_engine.compiler.automaton import MATCH, ByteAutomaton
from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.compiler.ir import EagerGrammar, Terminal
from grammar_engine.compiler.numbers import common_numbers, integer_automaton, number_automaton
from grammar_engine.compiler.reference import ReferenceRecognizer
from hypothesis import example, given, settings
from hypothesis import strategies as st

JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
PLAIN = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
SHORT = [
    "".join(text)
    for length in range(7)
    for text in itertools.product("-01259.", repeat=length)
    if PLAIN.fullmatch("".join(text))
]
SHORT_BROKEN = ["".join(text) for length in range(5) for text in itertools.product("-015.eE+ ", repeat=length)]


class Walker:
    """Runs a deterministic automaton (that it is one is checked), None standing for no text at all."""

    def __init__(self, automaton: ByteAutomaton | None) -> None:
        self.rows: list[dict[int, int]] = []
        self.accepting: list[bool] = []
        if automaton is None:
            return
        automaton.validate()
        for state in range(automaton.num_states):
            entries = automaton.entries[automaton.offsets[state] : automaton.offsets[state + 1], 0].tolist()
            row: dict[int, int] = {}
            for low, high, target in (automaton.positions[index].tolist() for index in entries if index != MATCH):
                for byte in range(low, high + 1):
                    assert byte not in row, "not deterministic"
                    row[byte] = target
            self.rows.append(row)
            self.accepting.append(MATCH in entries)

    def __call__(self, text: str) -> bool:
        state: int | None = 0 if self.rows else None
        for byte in text.encode():
            if state is None:
                return False
            state = self.rows[state].get(byte)
        return state is not None and self.accepting[state]


@cache
def exact(text: str) -> Fraction:
    return Fraction(text)


def holds(
    text: str,
    low: Decimal | int | None,
    high: Decimal | int | None,
    step: Decimal | int | None = None,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> bool:
    value = exact(text)
    if low is not None and (value < exact(str(low)) or (open_low and value == exact(str(low)))):
        return False
    if high is not None and (value > exact(str(high)) or (open_high and value == exact(str(high)))):
        return False
    return step is None or value % exact(str(step)) == 0


def test_unbounded_is_json() -> None:
    number = Walker(number_automaton(minimum=None, maximum=None))
    integer = Walker(integer_automaton(minimum=None, maximum=None))
    for text in SHORT + SHORT_BROKEN:
        assert number(text) == bool(JSON_NUMBER.fullmatch(text)), text
        assert integer(text) == (JSON_NUMBER.fullmatch(text) is not None and exact(text).denominator == 1), text
    for builder in (number_automaton, integer_automaton):
        assert builder(minimum=None, maximum=None) is builder(minimum=None, maximum=None)


BOUNDS = [None, -951, -100, -12, -1, 0, 1, 2, 9, 10, 15, 100, 129, 5000]


def test_integers_by_brute_force() -> None:
    for low, high in itertools.product(BOUNDS, BOUNDS):
        built = integer_automaton(minimum=low, maximum=high)
        automaton = Walker(built)
        assert (built is None) == (low is not None and high is not None and low > high)
        for text in SHORT if (low, high) in ((None, 12), (-100, 0), (0, 129)) else SHORT[::17]:
            assert automaton(text) == holds(text, low, high, 1), (low, high, text)


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 8, 10, 12, 15, 25, 100, 250, 1000, 12345])
@pytest.mark.parametrize(("low", "high"), [(None, None), (0, None), (-120, 1300), (1, 9), (11, 14)])
@pytest.mark.parametrize("plain", [False, True])
def test_multiples_of_an_integer(step: int, low: int | None, high: int | None, plain: bool) -> None:
    built = integer_automaton(minimum=low, maximum=high, multiple_of=step, plain=plain)
    automaton = Walker(built)
    spelling = INTEGER if plain else PLAIN
    texts = [str(n) for n in range(-1400, 1400)] + SHORT[::11] + [str(12345 * n) for n in range(-5, 50)]
    for text in texts + [f"{n}.0" for n in range(-20, 20)] + ["0.10", "25.000", "25.001"]:
        expected = spelling.fullmatch(text) is not None and holds(text, low, high, step)
        assert automaton(text) == expected, text
    if low == 11 and step in (15, 25):
        assert built is None


DECIMALS = [None, *map(Decimal, ("-12.05", "-1", "-0.5", "0", "0.1", "0.25", "1", "1.5", "2.00", "9.99", "19", "1e1"))]


def test_numbers_by_brute_force() -> None:
    texts = SHORT[::19]
    for low, high in itertools.product(DECIMALS, DECIMALS):
        for open_low, open_high in [(False, False), (True, False), (False, True), (True, True)]:
            automaton = Walker(
                number_automaton(minimum=low, maximum=high, exclusive_minimum=open_low, exclusive_maximum=open_high)
            )
            for text in texts:
                expected = holds(text, low, high, open_low=open_low, open_high=open_high)
                assert automaton(text) == expected, (low, high, open_low, open_high, text)


@pytest.mark.parametrize("step", ["0.01", "0.1", "0.5", "0.25", "0.125", "0.3", "1", "2.5", "7", "10", "3e2", "0.07"])
@pytest.mark.parametrize(("low", "high"), [(None, None), ("0", None), ("-2.5", "12.34"), ("0.001", "0.009")])
def test_multiples_of_a_decimal(step: str, low: str | None, high: str | None) -> None:
    bounds = [None if bound is None else Decimal(bound) for bound in (low, high)]
    automaton = Walker(number_automaton(minimum=bounds[0], maximum=bounds[1], multiple_of=Decimal(step)))
    for text in [*SHORT[::3], "300", "600.0", "0.375", "0.3750", "0.14", "1.200", "-0.00", "0.021"]:
        assert automaton(text) == holds(text, *bounds, Decimal(step)), text


def test_exponents_where_no_bound_can_fail() -> None:
    everything = Walker(number_automaton(minimum=None, maximum=None))
    not_negative = Walker(number_automaton(minimum=0, maximum=None))
    not_positive = Walker(number_automaton(minimum=None, maximum=Decimal(0)))
    positive = Walker(number_automaton(minimum=0, maximum=None, exclusive_minimum=True))
    small = Walker(number_automaton(minimum=-1, maximum=None))
    for text in ("1e5", "0E-3", "12.50e+07", "0.0e0"):
        assert everything(text)
        assert everything("-" + text)
        assert not_negative(text)
        assert not not_negative("-" + text)
        assert not not_positive(text)
        assert not_positive("-" + text)
        if text[0] != "0":
            assert small("1.250e+07")
            assert not small("-" + text)
            assert positive("1.25e7")
        else:
            assert not positive(text)
    for text in ("1e", "1e+", "1.e5", "e5", "1ee5", "1e5.0", "1e5e5"):
        assert not everything(text)


MANTISSAS = [
    f"{whole}{fraction}"
    for whole in ("0", "1", "2", "7", "10", "65", "1000")
    for fraction in ("", ".0", ".00", ".5", ".25", ".05", ".50", ".001", ".7976", ".123456789")
]
EXPONENTS = [f"{e}{sign}{n}" for e, sign, n in itertools.product(
    "e", ("", "-"), ("0", "1", "2", "3", "4", "9", "02", "10", "99", "307", "308", "309")
)]  # fmt: skip
SCIENTIFIC = [mantissa + exponent for mantissa in MANTISSAS for exponent in EXPONENTS]
SCIENTIFIC += [f"{mantissa}E+{digits}" for mantissa in MANTISSAS for digits in ("1", "2", "007")]
SCIENTIFIC += ["-" + text for text in SCIENTIFIC[::7]]
SHAPE = re.compile(r"-?([0-9]+)(?:\.([0-9]+))?[eE]([+-]?[0-9]+)")


def is_offered(text: str, *, low: object, high: object, step: Decimal | int | None) -> bool:
    """Is this spelling of a member among those that the module promises to admit?"""
    shape = SHAPE.fullmatch(text)
    assert shape
    whole, fraction, exponent = shape[1], shape[2] or "", int(shape[3])
    largest = 308 if whole == "1" and not fraction else 307
    if step == 1 and high is None and (low is None or low in (0, 1)) and not text.startswith("-"):
        if fraction.strip("0"):
            return len(whole) == 1 and len(fraction) <= 16 and len(fraction) <= exponent <= largest
        if whole == "0":
            return low != 1 and abs(exponent) <= 99
        if len(whole) > 1:
            zeros = 0 if fraction else min(3, len(whole) - len(whole.rstrip("0")))
            return -zeros <= exponent <= 99
        return 0 <= exponent <= largest
    if step is not None and (step > 1 or Decimal(step).normalize().as_tuple().digits != (1,)):
        largest = 14
    if len(whole) > 1 or whole == "0" or not -308 <= exponent <= largest:
        return False
    if step is None:
        return True
    digits = int("".join(map(str, Decimal(step).normalize().as_tuple().digits)))
    places = 16 if digits == 1 and high is None else 3
    if fraction.strip("0") and (fraction.endswith("0") or len(fraction) > places):
        return False
    if high is not None:  # a bound on numbers of the other sign is none here, and only makes the promise smaller
        bound = max(abs(Decimal(str(side))) for side in (low, high) if side is not None)
        places = min(places, bound.adjusted() - int(Decimal(step).normalize().as_tuple().exponent))
    return len(fraction) <= min(places, 60 // digits)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (None, None), (0, None), (1, None), (5, None), (0, 1), (0, 100), (1, 65535), (-90, 90),
        (-2147483648, 2147483647),
        ("0.001", "99.95"), ("2e-7", "7.5e4"), (None, -3), (250, 250), ("-12.5", 130), (0, 10**30),
    ],
)  # fmt: skip
@pytest.mark.parametrize("step", [None, "1", "0.01", "0.5", "5", "7", "10", "250", "1e3", "1024"])
def test_exponents_beside_bounds_and_multiples(low: str | int | None, high: str | int | None, step: str | None) -> None:
    bounds = [None if bound is None else Decimal(bound) for bound in (low, high)]
    multiple = None if step is None else Decimal(step)
    built = number_automaton(minimum=bounds[0], maximum=bounds[1], multiple_of=multiple)
    automaton = Walker(built)
    admitted = 0
    for text in SCIENTIFIC:
        value = holds(text, *bounds, multiple)
        answer = automaton(text)
        assert value or not answer, text
        admitted += answer
        sign_is_free = (low is None and high is None) or (low == 0 and high is None and text[0] != "-")
        if step is None and sign_is_free:
            assert answer == value, text
        elif value and not answer:
            assert not is_offered(text, low=low, high=high, step=multiple), text
    if built is not None and step in (None, "1", "0.01", "0.5"):
        assert admitted


def test_integers_are_numbers_that_are_multiples_of_one() -> None:
    for low, high in ((None, None), (0, None), (1, None), (-5, 100), (0, 65535)):
        integers = Walker(integer_automaton(minimum=low, maximum=high))
        numbers = Walker(number_automaton(minimum=low, maximum=high, multiple_of=1))
        for text in SCIENTIFIC + SHORT[::7]:
            assert integers(text) == numbers(text), text


def test_the_data_file_holds_what_is_constructed() -> None:
    """If this fails after a change to numbers: run .ci/write_format_automata.py."""
    found = list(common_numbers())
    assert {automaton.key for automaton in found} == set(format_store.archive().numbers)
    for automaton in found:
        stored = format_store.stored_number(automaton.key)
        assert stored is not None
        for field in ("positions", "offsets", "entries"):
            assert np.array_equal(getattr(automaton, field), getattr(stored, field))
    assert integer_automaton(minimum=None, maximum=None).key in format_store.archive().numbers  # type: ignore[union-attr]
    amounts = number_automaton(minimum=0, maximum=None, multiple_of=Decimal("0.010"))
    assert amounts is not None
    assert amounts.key in format_store.archive().numbers


def test_common_spellings_of_integers() -> None:
    integer = Walker(integer_automaton(minimum=None, maximum=None))
    percent = Walker(integer_automaton(minimum=0, maximum=100))
    port = Walker(integer_automaton(minimum=1, maximum=65535))
    for text in ("1.0", "-0", "-0.0", "1e2", "10e-1", "0.1e1", "1E+2", "1.5e3", "100.00", "1e308", "1e+21", "0e5"):
        assert integer(text), text
    assert integer("1.2345678901234567e+16")
    for text in ("1.5", "1e-1", "15e-1", "1.5e0", "0.01e1", "1.25e1", "1.", "1e", "01", "100e-3", "1e309"):
        assert not integer(text), text
    for text, member in (
        ("1e2", True),
        ("1.0e2", True),
        ("5E1", True),
        ("1e3", False),
        ("1.5e1", True),
        ("1.5e2", False),
    ):
        assert percent(text) == member, text
    assert port("6.5e4")
    assert not port("6.6e4")
    assert not port("0")


@st.composite
def around(draw: st.DrawFn) -> tuple[Decimal, list[str]]:
    """A bound, and spellings that share a prefix with it: itself, cut, extended, with one digit changed."""
    whole = draw(st.integers(0, 10 ** draw(st.sampled_from([1, 3, 30, 110]))))
    fraction = draw(st.text("0123456789", max_size=draw(st.sampled_from([0, 2, 40]))))
    sign = draw(st.sampled_from(["", "-"]))
    text = f"{sign}{whole}" + (f".{fraction}" if fraction else "")
    texts = [text, text + "0", text + "1", text[:-1], f"{sign}{whole}", f"{sign}{whole}.000", f"{sign}{whole}9"]
    for _ in range(6):
        at = draw(st.integers(0, len(text) - 1))
        texts.append(text[:at] + draw(st.sampled_from("0123456789")) + text[at + 1 :])
        texts.append(text[:at] + text[at + 1 :])
    texts.extend([text.removeprefix("-"), "-" + text])
    return Decimal(text), [spelling for spelling in texts if PLAIN.fullmatch(spelling)]


@settings(max_examples=150, deadline=None)
@given(around(), around(), st.booleans(), st.booleans())
@example((Decimal("1.5"), ["1.50", "1.500", "1.51", "1.5"]), (Decimal(0), ["0"]), False, False)
def test_long_bounds(
    one: tuple[Decimal, list[str]], other: tuple[Decimal, list[str]], open_low: bool, open_high: bool
) -> None:
    low, high = sorted((one[0], other[0]))
    for bounds in ((low, high), (low, None), (None, high), (high, high)):
        automaton = Walker(
            number_automaton(
                minimum=bounds[0], maximum=bounds[1], exclusive_minimum=open_low, exclusive_maximum=open_high
            )
        )
        for text in one[1] + other[1]:
            expected = holds(text, *bounds, open_low=open_low, open_high=open_high)
            assert automaton(text) == expected, (bounds, text)


def test_hundred_digits() -> None:
    generator = random.Random(7)
    low, high = sorted(generator.randrange(10**99, 10**100) for _ in range(2))
    automaton = Walker(integer_automaton(minimum=-high, maximum=low))
    for value in (low - 1, low, low + 1, -high - 1, -high, -high + 1, 0, 10 * low, -low):
        assert automaton(str(value)) == (-high <= value <= low)


def test_the_engine_reads_it_too() -> None:
    automaton = number_automaton(minimum=Decimal("-0.5"), maximum=12)
    assert automaton is not None
    grammar = EagerGrammar(start=0, rules=[[(0,)]], terminals=[Terminal(name="N", automaton=automaton)])
    recognizer = ReferenceRecognizer(grammar)
    for text in ("-0.50", "12.0", "12.01", "-", "-0.6", "1", "00", "7.25"):
        assert recognizer.accepts(text.encode()) == Walker(automaton)(text)
    assert recognizer.is_viable(b"-0.")
    assert not recognizer.is_viable(b"12.1")


def test_keys_are_canonical() -> None:
    def key(automaton: ByteAutomaton | None) -> str:
        assert automaton is not None
        return automaton.key

    assert key(integer_automaton(minimum=1, maximum=20)) == "int:1:20"
    assert key(number_automaton(minimum=Decimal("1.50"), maximum=Decimal("1e2"))) == "num:1.5:100"
    assert key(number_automaton(minimum=Decimal("-0.0"), maximum=None)) == key(
        number_automaton(minimum=0, maximum=None)
    )
    keys = {
        key(integer_automaton(minimum=0, maximum=9)),
        key(integer_automaton(minimum=0, maximum=9, multiple_of=3)),
        key(integer_automaton(minimum=0, maximum=9, plain=True)),
        key(number_automaton(minimum=0, maximum=9)),
        key(number_automaton(minimum=0, maximum=9, exclusive_minimum=True)),
        key(number_automaton(minimum=0, maximum=9, exclusive_maximum=True)),
    }
    assert len(keys) == 6


def test_refusals() -> None:
    for step in (0, -3):
        with pytest.raises(ValueError, match="multiple_of"):
            integer_automaton(minimum=None, maximum=None, multiple_of=step)
    with pytest.raises(ValueError, match="finite"):
        number_automaton(minimum=Decimal("inf"), maximum=None)
    with pytest.raises(LimitExceededError):
        integer_automaton(minimum=None, maximum=None, multiple_of=10**9 + 7)
    round_step = integer_automaton(minimum=None, maximum=None, multiple_of=10**9)
    assert round_step is not None
    assert round_step.num_states < 150


def test_spellings_are_json() -> None:
    """Random walks through automata with bounds give texts that ``json`` reads, within the bounds."""
    generator = random.Random(1)
    automaton = number_automaton(minimum=Decimal("-3.25"), maximum=Decimal("120.5"), multiple_of=Decimal("0.25"))
    assert automaton is not None
    for _ in range(200):
        state, text = 0, ""
        while True:
            entries = automaton.entries[automaton.offsets[state] : automaton.offsets[state + 1], 0].tolist()
            chosen = generator.choice(entries)
            if chosen == MATCH:
                break
            low, high, state = automaton.positions[chosen].tolist()
            text += chr(generator.randint(low, high))
        value = json.loads(text)
        assert -3.25 <= value <= 120.5
        assert (value * 4).is_integer() if isinstance(value, float) else True


@pytest.mark.parametrize("excluded", [("1",), ("2",), ("3", "0.5"), ("6", "4"), ("0.25",), ("10",), ("7", "1.5")])
@pytest.mark.parametrize("step", [None, "1", "0.1", "3", "12"])
@pytest.mark.parametrize(("low", "high"), [(None, None), (0, None), ("-12.5", 130)])
def test_excluded_multiples(excluded: tuple[str, ...], step: str | None, low: int | None, high: int | None) -> None:
    multiple = None if step is None else Decimal(step)
    bounds = [None if bound is None else Decimal(bound) for bound in (low, high)]
    steps = tuple(map(Decimal, excluded))
    automaton = Walker(
        number_automaton(minimum=bounds[0], maximum=bounds[1], multiple_of=multiple, excluded=steps),
    )
    for text in SHORT[::13] + [str(n) for n in range(-50, 150)] + ["1e1", "0e0"]:
        expected = PLAIN.fullmatch(text) is not None and holds(text, *bounds, multiple)
        expected = expected and not any(holds(text, None, None, other) for other in steps)
        assert automaton(text) == expected, text
    if step == "3" and (low, high) == (0, None):
        integers = Walker(integer_automaton(minimum=0, maximum=None, multiple_of=3, excluded=steps))
        for number in range(200):
            expected = number % 3 == 0 and not any(holds(str(number), None, None, other) for other in steps)
            assert integers(str(number)) == expected, number
