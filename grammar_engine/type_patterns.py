r"""Texts that pydantic reads as values of Python types, as patterns: the formats that the standard does not define.

Each pattern is anchored, in ECMA-262's syntax, and describes only texts that pydantic takes; where it takes more (a
host name in any script, ``1:00:00`` for a duration) docs/types.md says so. Ranges of dates and times are ranges of
texts: what has a fixed layout is ordered as its digits are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from grammar_engine.compiler.format_patterns import date

_DIGITS = "0123456789"
_FRACTION = r"(?:\.[0-9]{1,6})?"

MAX_DIGITS = 4_000
"""Digits of an unbounded number; Python reads integers of at most 4,300 (``sys.set_int_max_str_digits``)."""


def _some_of(*parts: str) -> str:
    return parts[0] if len(parts) == 1 else f"(?:{'|'.join(parts)})"


def _escaped(text: str) -> str:
    return "".join(f"\\{character}" if character in ".+*?^$()[]{}|\\/" else character for character in text)


# -- ranges -----------------------------------------------------------------------------------------------------------


def not_below(text: str) -> str:
    """The texts laid out as ``text`` (digits where it has digits, else the same characters) that do not sort below."""
    return _beyond(text, upwards=True)


def not_above(text: str) -> str:
    """The texts laid out as ``text`` that do not sort above it."""
    return _beyond(text, upwards=False)


def _beyond(text: str, *, upwards: bool) -> str:
    """At the first place where it differs the digit is a greater (a smaller) one, and what follows is free."""
    options = [_escaped(text)]
    for place, character in enumerate(text):
        if character not in _DIGITS:
            continue
        others = _DIGITS[int(character) + 1 :] if upwards else _DIGITS[: int(character)]
        if others:
            free = "".join("[0-9]" if after in _DIGITS else _escaped(after) for after in text[place + 1 :])
            options.append(f"{_escaped(text[:place])}[{others[0]}-{others[-1]}]{free}")
    return _some_of(*options)


DATE = date(year_zero=False)
CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
NAIVE_TIME = f"^{CLOCK}{_FRACTION}$"
NAIVE_DATE_TIME = f"^{DATE}T{CLOCK}{_FRACTION}$"
UTC_DATE_TIME = f"^{DATE}T{CLOCK}{_FRACTION}Z$"


def moments(low: str | None, high: str | None, last: str | None, *, suffix: str) -> list[str]:
    """Patterns, all to hold, of texts of one layout that end in seconds, then a fraction, then ``suffix``.

    low, high: the first and last whole second, with any fraction; last: one more, without (None: no such).
    """
    found = []
    if low is not None:
        found.append(f"^{not_below(low)}{_FRACTION}{suffix}$")
    options = ([f"{not_above(high)}{_FRACTION}"] if high is not None else []) + ([_escaped(last)] if last else [])
    if options:
        found.append(f"^{_some_of(*options)}{suffix}$")
    return found


def whole_numbers(low: int | None, high: int | None) -> str | None:
    """The integers between two bounds (inclusive; None: none), plainly spelled; None if there is none."""
    options: list[str] = []
    if low is None or low < 0:
        least = 1 if high is None or high >= 0 else -high
        options += [f"-{text}" for text in _naturals(least, None if low is None else -low)]
    if high is None or high >= 0:
        options += _naturals(max(low or 0, 0), high)
    return _some_of(*options) if options else None


def _naturals(low: int, high: int | None) -> list[str]:
    if high is not None and low > high:
        return []
    first, last = str(low), None if high is None else str(high)
    if last is not None and len(first) == len(last):
        return [_between(first, last)]
    options = [_between(first, "9" * len(first))]
    shortest, longest = len(first) + 1, MAX_DIGITS if last is None else len(last) - 1
    if shortest <= longest:
        options.append(f"[1-9][0-9]{{{shortest - 1},{longest - 1}}}")
    if last is not None:
        options.append(_between("1" + "0" * (len(last) - 1), last))
    return options


def _between(first: str, last: str) -> str:
    """Digit texts of one length, from the first to the last."""
    shared = next((i for i, (a, b) in enumerate(zip(first, last, strict=True)) if a != b), None)
    if shared is None:
        return first
    prefix, low, high, rest = first[:shared], int(first[shared]), int(last[shared]), len(first) - shared - 1
    options = []
    if rest:
        options += [f"{low}{not_below(first[shared + 1 :])}", f"{high}{not_above(last[shared + 1 :])}"]
        low, high = low + 1, high - 1
    if low <= high:
        options.append(f"[{low}-{high}]" + (f"[0-9]{{{rest}}}" if rest else ""))
    return prefix + _some_of(*options)


# -- durations --------------------------------------------------------------------------------------------------------


def _in_order(parts: Iterable[str]) -> str:
    """A non-empty selection of the parts, in their order."""
    found = ""
    for part in reversed(list(parts)):
        found = _some_of(f"{part}(?:{found})?", found) if found else part
    return found


def _duration() -> str:
    """ISO 8601 as pydantic writes it; below the 999,999,999 days of a timedelta, and 2³² seconds behind the T."""
    days = _in_order(("[0-9]{1,5}Y", "[0-9]{1,6}M", "[0-9]{1,6}W", "[0-9]{1,8}D"))
    clock = f"T{_in_order(('[0-9]{1,6}H', '[0-9]{1,6}M', f'[0-9]{{1,8}}{_FRACTION}S'))}"
    return f"P{_some_of(f'{days}(?:{clock})?', clock)}"


DURATION = f"^-?{_duration()}$"
POSITIVE_DURATION = f"^{_duration()}$"


def seconds(low: int | None, high: int | None) -> str | None:
    """Durations of whole seconds between two bounds, all in seconds; None if there are none."""
    limit = 10**9 - 1
    low, high = max(-limit, low if low is not None else -limit), min(limit, high if high is not None else limit)
    options = []
    if low < 0 and (negative := whole_numbers(max(1, -high), -low)):
        options.append(f"-PT{negative}S")
    if high >= 0 and (positive := whole_numbers(max(0, low), high)):
        options.append(f"PT{positive}S")
    return f"^{_some_of(*options)}$" if options else None


# -- numbers as texts -------------------------------------------------------------------------------------------------

_EXPONENT = "(?:[eE][+-]?[0-9]{1,3})?"
_REAL = rf"(?:[0-9]{{1,300}}(?:\.[0-9]{{0,300}})?|\.[0-9]{{1,300}}){_EXPONENT}"
COMPLEX = rf"^[+-]?(?:{_REAL}(?:[+-](?:{_REAL})?[jJ]|[jJ])?|[jJ])$"
FRACTION = r"^-?[0-9]{1,1000}(?:/[0-9]{0,999}[1-9])?$"
FLOAT = r"^-?(?:0|[1-9][0-9]{0,199})(?:\.[0-9]{1,300})?(?:[eE][+-]?[0-9]{1,2})?$"


def decimal(digits: int | None, places: int | None) -> str:
    """Decimals with at most so many digits, and so many of them behind the point (None: any number).

    The digits before the point are at most ``digits`` less ``places`` where both are given, as pydantic counts them;
    a single zero before the point is none.
    """
    if digits is None:
        exponent = _EXPONENT if places is None else ""
        return rf"^-?(?:0|[1-9][0-9]{{0,999}}){_places(1000 if places is None else places)}{exponent}$"
    if places is not None:
        whole = _whole(digits - places)
        return rf"^-?{whole}{_places(places)}$"
    options = [f"0{_places(digits)}"]
    options += [f"[1-9][0-9]{{{whole - 1}}}{_places(digits - whole)}" for whole in range(1, digits + 1)]
    return f"^-?{_some_of(*options)}$"


def _whole(digits: int) -> str:
    return f"(?:0|[1-9][0-9]{{0,{digits - 1}}})" if digits > 0 else "0"


def _places(most: int) -> str:
    return rf"(?:\.[0-9]{{1,{most}}})?" if most > 0 else ""


_UNITS = (
    "b",
    "kb",
    "mb",
    "gb",
    "tb",
    "pb",
    "eb",
    "kib",
    "mib",
    "gib",
    "tib",
    "pib",
    "eib",
    "k",
    "m",
    "g",
    "t",
    "p",
    "e",
)
_UNIT = _some_of(*("".join(f"[{letter}{letter.upper()}]" for letter in unit) for unit in _UNITS))
BYTE_SIZE = rf"^[0-9]{{1,15}}(?:\.[0-9]{{1,9}})? ?(?:{_UNIT})?$"

# -- bytes ------------------------------------------------------------------------------------------------------------

HEX = "^(?:[0-9a-fA-F]{2})*$"
ASCII = r"^[\x00-\x7f]*$"


def _base64(last: str) -> str:
    """RFC 4648, padded, the unused bits of the last character zero (readers differ on others). last: 62 and 63."""
    any_of = f"[A-Za-z0-9{last}]"
    return f"^(?:{any_of}{{4}})*(?:{any_of}[AQgw]==|{any_of}{{2}}[AEIMQUYcgkosw048]=)?$"


BASE64, BASE64URL = _base64("+/"), _base64("_-")


def _base64_of_ascii(last: str) -> str:
    """Base 64 of bytes below 128: the first bit of each byte is zero, wherever it stands among the four sixes."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" + last
    sextet = "".join

    def where(mask: int) -> str:
        chosen = [character for value, character in enumerate(alphabet) if not value & mask]
        return f"[{sextet(chosen)}]" if "-" not in chosen else f"[{sextet(c for c in chosen if c != '-')}-]"

    first, second, third, fourth = where(0b100000), where(0b001000), where(0b000010), where(0)
    one, two = f"{first}[AQgw]==", f"{first}{second}[AEIMQUYcgkosw048]="
    return f"^(?:{first}{second}{third}{fourth})*(?:{one}|{two})?$"


ASCII_BASE64, ASCII_BASE64URL = _base64_of_ascii("+/"), _base64_of_ascii("_-")

# -- regular expressions ----------------------------------------------------------------------------------------------


def _regular_expressions(depth: int) -> str:
    """Patterns that Python's ``re`` compiles: single quantifiers on what can be repeated, groups at most so deep."""
    ordered = _some_of(*(rf"\{{{low},[{low}-9]\}}" for low in range(2, 10)))
    counts = _some_of(r"\{[0-9]{1,3}\}", r"\{[0-9]{1,3},\}", r"\{[0-9],[1-9][0-9]{1,2}\}", r"\{[01],[1-9]\}", ordered)
    quantifier = rf"(?:(?:[*+?]|{counts})\??)?"
    member = r"(?:[A-Za-z0-9_ .,:;/@%#+*!]|a-z|A-Z|0-9|\\[dws.\\\]-])"
    one = _some_of(
        r"[A-Za-z0-9 _,:;=@~\"'/#%&!<>.-]", r"\\[dDwWsSnrt.^$*+?()\[\]{}|\\/-]", rf"\[\^?{member}{{1,60}}-?\]"
    )
    inside = ""
    for _ in range(depth + 1):
        parts = [f"{one}{quantifier}", r"[\^$]", r"\\[bB]"]
        if inside:
            parts.append(rf"\((?:\?:)?{inside}\){quantifier}")
        sequence = f"{_some_of(*parts)}*"
        inside = rf"{sequence}(?:\|{sequence})*"
    return rf"^(?:\(\?i\))?{inside}$"


REGEX = _regular_expressions(2)

# -- networks ---------------------------------------------------------------------------------------------------------

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"(?:{_OCTET}\.){{3}}{_OCTET}"


def _ipv4_networks(octets: int = 0) -> str:
    """An address of which all bits behind the prefix are zero; ``octets`` of it stand already."""
    rest = r"\.0" * (3 - octets)
    options = []
    for bits in range(8):
        values = [str(value) for value in range(0, 256, 1 << (8 - bits))]
        options.append(f"{_some_of(*values)}{rest}/{8 * octets + bits}")
    options.append(rf"{_OCTET}\.{_ipv4_networks(octets + 1)}" if octets < 3 else f"{_OCTET}(?:/32)?")
    return _some_of(*options)


def _ipv6_networks() -> str:
    """``a:b::/p`` where the prefix covers the groups written: the bits behind them are zero."""
    group = "[0-9a-fA-F]{1,4}"
    options = []
    for groups in range(8):
        written = ":".join([group] * groups)
        options.append(f"{written}::/{whole_numbers(16 * groups, 128)}")
    options.append(f"{':'.join([group] * 8)}(?:/128)?")
    return _some_of(*options)


IPV4_NETWORK, IPV6_NETWORK = f"^{_ipv4_networks()}$", f"^{_ipv6_networks()}$"

# -- URLs -------------------------------------------------------------------------------------------------------------

_LABEL = "[A-Za-z0-9]{1,30}(?:-[A-Za-z0-9]{1,15}){0,2}"  # no two hyphens: those announce punycode
_HOST = _some_of(rf"(?:{_LABEL}\.){{1,3}}[A-Za-z]{{2,12}}", "localhost", _IPV4)
_PORT = "(?::(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}))?"
_PATH_CHARACTER = "[A-Za-z0-9._~!$&'()*+,;=:@%/-]"
_PATH = rf"(?:/{_PATH_CHARACTER}{{0,1000}})?(?:\?{_PATH_CHARACTER}{{0,400}})?(?:#{_PATH_CHARACTER}{{0,200}})?"
_USER = "(?:[A-Za-z0-9._~-]{1,60}(?::[A-Za-z0-9._~-]{1,60})?@)?"


MAX_URL = 2_000
"""No URL offered is longer."""

# Top-level domains of two or three letters and a few more: those reserved for special use (.test, .local) are refused.
_TOP = _some_of("[A-Za-z]{2,3}", "info", "name", "museum", "online", "cloud", "tech")
EMAIL = rf"^[A-Za-z0-9]{{1,20}}(?:[.+_-][A-Za-z0-9]{{1,12}}){{0,3}}@(?:{_LABEL}\.){{1,3}}{_TOP}$"


def url(schemes: Iterable[str] | None, *, hosts: bool = False) -> str:
    """URLs that the WHATWG's parser takes as they stand: a host of ASCII letters and digits, a dotted IPv4 address.

    hosts: several, separated by commas, may stand where one does.
    """
    allowed = sorted(schemes) if schemes else ["https", "http", "wss", "ws", "ftp"]
    scheme = _some_of(*map(_escaped, allowed))
    if allowed == ["file"]:
        return f"^file:///{_PATH_CHARACTER}{{0,1000}}$"
    more = f"(?:,{_HOST}{_PORT}){{0,3}}" if hosts else ""
    return f"^{scheme}://{_USER}{_HOST}{_PORT}{more}{_PATH}$"


FORMATS: Mapping[str, str] = {
    "duration": DURATION,
    "base64": BASE64,
    "base64url": BASE64URL,
    "uri": url(None),
    "multi-host-uri": url(None, hosts=True),
    "ipv4network": IPV4_NETWORK,
    "ipv6network": IPV6_NETWORK,
    "ipvanynetwork": f"^{_some_of(_ipv4_networks(), _ipv6_networks())}$",
    "fraction": FRACTION,
    "email": EMAIL,
    "regex": REGEX,
    "color": "^#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})$",
}
"""Names of formats in pydantic's schemas → what is offered under them."""
