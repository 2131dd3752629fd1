"""JSON text seen as nested frames: which object or array a byte stands in, and which names an object has had.

The text is known to be JSON (a grammar has accepted it), so a few bytes tell everything: quotes, backslashes, brackets
and commas. States and frames are immutable and linked to the ones around them, so that any number of texts that begin
alike share them, and going back costs nothing.

    state = (innermost frame, mode, what has been read of the name at hand: its raw spelling,
             what has been read of an item that must differ from others, see ``json_items.py``)
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grammar_engine.compiler.json_items import Items

# What comes next. In a name or a string value, and behind a backslash in one.
OUTSIDE, BEFORE_NAME, IN_NAME, IN_STRING, NAME_ESCAPE, STRING_ESCAPE = range(6)
_TO_ESCAPE = NAME_ESCAPE - IN_NAME

_STOP = re.compile(rb'["\\]')
_STRUCTURE = re.compile(rb'["{}\[\],]')
_BACKSLASH, _QUOTE, _COMMA, _OPEN_OBJECT, _OPEN_ARRAY = b'\\",{['
_WHOLE_CHARACTERS = re.compile(
    rb"""(?: [^\\] | \\["\\/bfnrt] | \\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}
           | \\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2} )*""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(rb"\\[^u]|(?:\\u[0-9a-fA-F]{4})+")

Names = tuple[bytes, ...]


class Frame:
    """An object or array that is open.

    names: the names that have stood, as UTF-8, sorted; None for an array and for the text as a whole.
    tokens: ids of tokens that hold a whole name of this frame or of one around it, see ``GuardTokens.whole``.
    items: of an array whose items must differ. within: this frame or one around it is such an array, or may be.
    """

    __slots__ = ("items", "names", "parent", "tokens", "within")

    def __init__(
        self, parent: Frame | None, names: Names | None, tokens: tuple[int, ...], items: Items | None = None
    ) -> None:
        self.parent = parent
        self.names = names
        self.tokens = tokens
        self.items = items
        self.within: bool = items is not None or (parent is not None and parent.within)


State = tuple[Frame, int, bytes, bytes]

START: State = (Frame(None, None, ()), OUTSIDE, b"", b"")


class RepetitionError(Exception):
    """An object would have two properties of one name, or an array of distinct items an item again."""


def read(state: State, data: bytes, whole: dict[bytes, tuple[int, ...]]) -> State:
    """The state behind ``data``; RepetitionError if a name ends in it that its object has had.

    No byte of it stands within an array of distinct items, and it opens none: that is what ``json_items.py`` reads.
    What follows the end of the outermost object or array is not read: blanks, or text that is not JSON.
    whole: of ``GuardTokens``.
    """
    frame, mode, partial, item = state
    i, end = 0, len(data)
    while i < end:
        if mode >= NAME_ESCAPE:
            mode -= _TO_ESCAPE
            if mode == IN_NAME:
                partial += data[i : i + 1]
            i += 1
        elif mode >= IN_NAME:
            stop = _STOP.search(data, i)
            at = end if stop is None else stop.start()
            if mode == IN_NAME:
                partial += data[i:at]
            if stop is None:
                break
            i = at + 1
            if data[at] == _BACKSLASH:
                if mode == IN_NAME:
                    partial += b"\\"
                mode += _TO_ESCAPE
            else:
                if mode == IN_NAME:
                    frame = with_name(frame, text_of(partial), whole)
                    partial = b""
                mode = OUTSIDE
        else:
            stop = _STRUCTURE.search(data, i)
            if stop is None:
                break
            i = stop.end()
            byte = data[i - 1]
            if byte == _QUOTE:
                mode = IN_NAME if mode == BEFORE_NAME else IN_STRING
            elif byte == _COMMA:
                mode = OUTSIDE if frame.names is None else BEFORE_NAME
            elif byte == _OPEN_OBJECT:
                frame, mode = Frame(frame, (), frame.tokens), BEFORE_NAME
            elif byte == _OPEN_ARRAY:
                frame, mode = Frame(frame, None, frame.tokens), OUTSIDE
            else:
                assert frame.parent is not None
                frame, mode = frame.parent, OUTSIDE
                if frame.parent is None:
                    break
    return frame, mode, partial, item


def with_name(frame: Frame, name: bytes, whole: dict[bytes, tuple[int, ...]]) -> Frame:
    """An object's frame with one more name; RepetitionError if it has stood."""
    names = frame.names
    assert names is not None
    at = bisect_left(names, name)
    if at < len(names) and names[at] == name:
        raise RepetitionError
    tokens = frame.tokens
    if name in whole:
        tokens += whole[name]
    return Frame(frame.parent, (*names[:at], name, *names[at:]), tokens)


def text_of(raw: bytes) -> bytes:
    """The value of a string from its spelling without quotes, as UTF-8."""
    if b"\\" not in raw:
        return raw
    return _ESCAPE.sub(_unescape, raw)


def _unescape(escape: re.Match[bytes]) -> bytes:
    value: str = json.loads(b'"' + escape[0] + b'"')
    return value.encode("utf-8", "surrogatepass")


def split(raw: bytes) -> tuple[bytes, bytes]:
    """The beginning of a string's spelling: the value of its whole characters, and the unfinished escape at its end.

    (An unfinished character in UTF-8 counts as value.)
    """
    if b"\\" not in raw:
        return raw, b""
    found = _WHOLE_CHARACTERS.match(raw)
    at = found.end() if found else 0
    return text_of(raw[:at]), raw[at:]


def with_prefix(names: Names, prefix: bytes) -> Names:
    """The sorted texts that begin so."""
    first = bisect_left(names, prefix)
    last = bisect_left(names, prefix + b"\xff", first)  # no UTF-8 holds this byte
    return names[first:last]
