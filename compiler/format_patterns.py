"""The string formats of JSON Schema as regular expressions over code points, each to the document that defines it.

Patterns are Python ``re`` patterns for a whole string, made of literals, classes, groups, alternation and repetition
only, so that they are at once automata (``formats.py``) and testable with ``re.fullmatch``. They describe the string's
*value*, before JSON escapes it.
"""

from __future__ import annotations

import re
import string


def _any(*alternatives: str) -> str:
    return "(?:" + "|".join(alternatives) + ")"


def _optional(pattern: str) -> str:
    return f"(?:{pattern})?"


# -- RFC 3339: date, time, date-time, duration ------------------------------------------------------------------------

_HOUR = "(?:[01][0-9]|2[0-3])"
_MINUTE = "[0-5][0-9]"
FRACTION = r"(?:\.[0-9]+)?"
_OFFSET = f"(?:[Zz]|[+-]{_HOUR}:{_MINUTE})"
TIME = f"{_HOUR}:{_MINUTE}:{_MINUTE}{FRACTION}{_OFFSET}"

# Multiples of 4 in two digits, with and without 00: the Gregorian rule looks at the year's last two digits, and at the
# first two where the last are 00.
_FOURS = _any("[2468][048]", "[13579][26]", "0[48]")
_MONTH_DAY = _any(
    _any("0[13578]", "1[02]") + "-" + _any("0[1-9]", "[12][0-9]", "3[01]"),
    _any("0[469]", "11") + "-" + _any("0[1-9]", "[12][0-9]", "30"),
    "02-" + _any("0[1-9]", "1[0-9]", "2[0-8]"),
)


def date(*, year_zero: bool) -> str:
    """RFC 3339 full-date, true to the (proleptic) Gregorian calendar. Year 0000 is a leap year where admitted."""
    year = "[0-9]{4}" if year_zero else _any("[1-9][0-9]{3}", "0[1-9][0-9]{2}", "00[1-9][0-9]", "000[1-9]")
    centuries = _any("00", _FOURS) if year_zero else _FOURS
    leap_year = _any(f"[0-9]{{2}}{_FOURS}", f"{centuries}00")
    return _any(f"{year}-{_MONTH_DAY}", f"{leap_year}-02-29")


# RFC 3339, appendix A. Upper case only: its grammar would admit "p1d", no known reader does.
_SECONDS = "[0-9]+S"
_MINUTES = f"[0-9]+M{_optional(_SECONDS)}"
_HOURS = f"[0-9]+H{_optional(_MINUTES)}"
_CLOCK = f"T{_any(_HOURS, _MINUTES, _SECONDS)}"
_DAYS = "[0-9]+D"
_MONTHS = f"[0-9]+M{_optional(_DAYS)}"
_YEARS = f"[0-9]+Y{_optional(_MONTHS)}"
DURATION = "P" + _any(_any(_DAYS, _MONTHS, _YEARS) + _optional(_CLOCK), _CLOCK, "[0-9]+W")

# -- RFC 3986: addresses and URIs; RFC 3987: IRIs ---------------------------------------------------------------------

_OCTET = "(?:[0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])"
IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"

PLACEHOLDER = "\uffff"
"""Stands in a pattern for a part that is built by itself (``formats.py``): an IPv6 address, a time."""

LOOK_AROUND = "\ufffe"
"""The same for what look-around holds in a regular expression."""

_UNRESERVED = r"A-Za-z0-9._~\-"
_SUBDELIMS = "!$&'()*+,;="
_PERCENT = "%[0-9A-Fa-f]{2}"

_UCSCHAR = "\u00a0-\ud7ff\uf900-\ufdcf\ufdf0-\uffef" + "".join(
    f"{chr(plane * 0x10000 + (0x1000 if plane == 14 else 0))}-{chr(plane * 0x10000 + 0xFFFD)}" for plane in range(1, 15)
)
_IPRIVATE = "\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd"


def _uri(*, reference: bool, more: str, private: str) -> str:
    """RFC 3986 appendix A; ``more`` (RFC 3987's ucschar) joins the unreserved characters, ``private`` the query's."""
    letters = _UNRESERVED + more
    pchar = f"(?:[{letters}{_SUBDELIMS}:@]|{_PERCENT})"
    segment_nc = f"(?:[{letters}{_SUBDELIMS}@]|{_PERCENT})+"
    segments = f"(?:/{pchar}*)*"
    userinfo = f"(?:[{letters}{_SUBDELIMS}:]|{_PERCENT})*"
    name = f"(?:[{letters}{_SUBDELIMS}]|{_PERCENT})*"  # reg-name; an IPv4 address is one
    future = rf"[Vv][0-9A-Fa-f]+\.[{_UNRESERVED}{_SUBDELIMS}:]+"
    authority = rf"(?:{userinfo}@)?(?:\[(?:{PLACEHOLDER}|{future})\]|{name})(?::[0-9]*)?"
    network = f"//{authority}{segments}"
    absolute = f"/(?:{pchar}+{segments})?"
    rootless = f"{pchar}+{segments}"
    query = f"(?:[?](?:[{letters}{_SUBDELIMS}:@/?{private}]|{_PERCENT})*)?"
    fragment = f"(?:#(?:[{letters}{_SUBDELIMS}:@/?]|{_PERCENT})*)?"
    full = f"[A-Za-z][A-Za-z0-9+.-]*:(?:{_any(network, absolute, rootless)})?"
    if reference:
        full = _any(full, _optional(_any(network, absolute, f"{segment_nc}{segments}")))
    return full + query + fragment


URI = _uri(reference=False, more="", private="")
URI_REFERENCE = _uri(reference=True, more="", private="")
IRI = _uri(reference=False, more=_UCSCHAR, private=_IPRIVATE)
IRI_REFERENCE = _uri(reference=True, more=_UCSCHAR, private=_IPRIVATE)
"""These four with PLACEHOLDER where an IPv6 address may stand."""


def _uri_template() -> str:
    """RFC 6570 §2 with erratum 6937 (the apostrophe is a literal). The operators that it reserves are left out."""
    literals = f"(?:[!#$&'()*+,./0-9:;=?@A-Z\\[\\]_a-z~{_UCSCHAR}{_IPRIVATE}-]|{_PERCENT})"
    varchar = f"(?:[A-Za-z0-9_]|{_PERCENT})"
    varname = rf"{varchar}(?:\.?{varchar})*"
    varspec = f"{varname}(?:[*]|:[1-9][0-9]{{0,3}})?"
    return f"(?:{literals}|\\{{[+#./;?&]?{varspec}(?:,{varspec})*\\}})*"


URI_TEMPLATE = _uri_template()

# -- hosts and mail ---------------------------------------------------------------------------------------------------


def _email(*, more: str) -> str:
    """RFC 5321 §4.1.2 Mailbox; ``more`` (RFC 6531's UTF8-non-ascii) joins atoms, quoted strings and domains.

    Its limits on sizes (§4.5.3.1) are not part of the syntax. General address literals (tags other than IPv6) are
    left out: no tag has been registered.
    """
    atom = f"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~{more}-]+"
    quoted = rf'"(?:[ !#-\[\]-~{more}]|\\[ -~])*"'
    label = f"[A-Za-z0-9{more}](?:[A-Za-z0-9{more}-]*[A-Za-z0-9{more}])?"
    literal = rf"\[(?:{IPV4}|[Ii][Pp][Vv]6:{PLACEHOLDER})\]"
    return rf"(?:{atom}(?:\.{atom})*|{quoted})@(?:{label}(?:\.{label})*|{literal})"


EMAIL = _email(more="")
IDN_EMAIL = _email(more="\u0080-\ud7ff\ue000-\U0010ffff")
"""Both with PLACEHOLDER where an IPv6 address may stand."""


# -- the rest ---------------------------------------------------------------------------------------------------------

UUID = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"  # RFC 9562 §4; any version, any variant
JSON_POINTER = "(?:/(?:[^~/]|~[01])*)*"  # RFC 6901 §3
RELATIVE_JSON_POINTER = f"(?:0|[1-9][0-9]*)(?:#|{JSON_POINTER})"


def uuid(version: int) -> str:
    """A UUID of one version (its 13th digit) and of RFC 9562's variant."""
    return f"[0-9A-Fa-f]{{8}}-[0-9A-Fa-f]{{4}}-{version}[0-9A-Fa-f]{{3}}-[89ABab][0-9A-Fa-f]{{3}}-[0-9A-Fa-f]{{12}}"


IPV4_PREFIX = "(?:/(?:[0-9]|[12][0-9]|3[0-2]))?"
IPV6_PREFIX = "(?:/(?:[0-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))?"


def _base64(last_two: str) -> str:
    """RFC 4648 §4 or §5, padded; the bits that padding leaves over are zero, as an encoder writes them."""
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + last_two
    any_digit = f"[{re.escape(alphabet)}]"
    low_two_zero, low_four_zero = (f"[{re.escape(alphabet[::step])}]" for step in (4, 16))
    return f"(?:{any_digit}{{4}})*(?:{any_digit}{low_four_zero}==|{any_digit}{{2}}{low_two_zero}=)?"


BASE64 = _base64("+/")
BASE64URL = _base64("-_")


def _ordered_pairs(numerals: str, separator: str) -> str:
    """``a`` + separator + ``b`` for single characters a <= b."""
    return _any(*(f"{low}{separator}[{numerals[index:]}]" for index, low in enumerate(numerals)))


def _counts() -> str:
    """``{n}``, ``{n,}`` and ``{n,m}``, n of one or two digits, m of up to four.

    That n <= m, an automaton must remember n for: m has more digits, or a higher ten, or n is a ten.
    """
    digits = string.digits
    longer = _any("[0-9],[1-9][0-9]{1,3}", "[1-9][0-9],[1-9][0-9]{2,3}")
    tens = [f"{ten}[0-9],[{digits[int(ten) + 1 :]}][0-9]|{ten}0,{ten}[0-9]" for ten in digits[1:9]]
    return r"\{" + _any("[0-9],?", "[1-9][0-9]{1,3},?", _ordered_pairs(digits, ","), longer, *tens) + r"\}"


_CATEGORIES = "L|Lu|Ll|Lt|Lm|Lo|M|Mn|Mc|Me|N|Nd|Nl|No|P|Pc|Pd|Ps|Pe|Pi|Pf|Po|S|Sm|Sc|Sk|So|Z|Zs|Zl|Zp|C|Cc|Cf"


def _regex() -> tuple[str, str]:
    """Regular expressions as ECMA-262 §22.2.1 has them with the flag u, PLACEHOLDER inside groups: what a group may
    hold, and what a whole pattern may be.

    Left out: back-references (``\\1`` needs as many groups, ``\\k<n>`` that name), ``\\0``, properties but the general
    categories, and ranges in classes but those that begin or end where the digits, the capitals or the small letters
    do: what an automaton would have to count or to compare. For the same reason there is one named group at most (no
    two may have the same name), at the start of the pattern; and look-around holds no groups, which keeps it small.
    """
    hexadecimal = "[0-9A-Fa-f]"
    escaped = (
        rf"\\(?:[\^$.*+?()\[\]{{}}|/\\dDwWsStnrfv]|c[A-Za-z]|x{hexadecimal}{{2}}|u{hexadecimal}{{4}}"
        rf"|u\{{0*{hexadecimal}{{1,5}}\}}|[pP]\{{(?:{_CATEGORIES})\}})"
    )
    ranges = ["0-[0-9]", "1-[1-9]", "[2-9]-9", "a-[a-z]", "[b-z]-z", "A-[A-Z]", "[B-Z]-Z"]
    item = _any(r"[^\]\\-]", escaped, r"\\[-b]", *ranges)
    members = rf"\[\^?-?{item}*-?\]"
    quantifier = f"(?:(?:[*+?]|{_counts()})[?]?)?"
    atom = _any(r"[^\^$\\.*+?()\[\]{}|]", "[.]", escaped, members, rf"\((?:\?:)?{PLACEHOLDER}\)")
    assertion = _any(r"[\^$]", r"\\[bB]", rf"\(\?<?[=!]{LOOK_AROUND}\)")
    inside = f"(?:{atom}{quantifier}|{assertion}|[|])*"
    named = rf"\(\?<[A-Za-z_$][A-Za-z0-9_$]*>{PLACEHOLDER}\){quantifier}"
    return inside, rf"\^?(?:{named})?{inside}"


REGEX_INSIDE, REGEX = _regex()
"""What a group may hold and what a pattern may be, with PLACEHOLDER for what a group holds."""
