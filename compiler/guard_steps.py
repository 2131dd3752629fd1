"""Reading JSON text token by token: what most tokens do to a state is known without looking at their bytes.

A token without a mark (quote, backslash, comma, bracket) changes nothing but the name that it stands in. What another
one does depends on the mode, and on whether the innermost frame is an object, unless it ends a name or opens or closes
a frame for good: that is found out once per vocabulary. The rest is read (``json_text.read``).
"""

from __future__ import annotations

from grammar_engine.compiler.guard_tokens import GuardTokens
from grammar_engine.compiler.json_text import IN_NAME, NAME_ESCAPE, Frame, RepetitionError, State, read

Entry = int | bytes
"""One step of a text: a token id, −1 for a stop token, or bytes."""

MAX_KNOWN = 1 << 16
"""Moves kept per vocabulary; then all are forgotten."""
_ARRAY = 8
_NO_MOVE = -1
_OUTERMOST = Frame(None, None, ())


class Steps:
    """The steps of one vocabulary."""

    def __init__(self, tokens: GuardTokens) -> None:
        self._tokens = tokens
        self._moves: dict[int, int] = {}  # (token, is the frame an array, mode) → mode

    def data(self, step: Entry) -> bytes:
        """The bytes of a step."""
        if isinstance(step, bytes):
            return step
        return (self._tokens.tokens[step] or b"") if step >= 0 else b""

    def behind(self, state: State, step: Entry) -> State:
        """The state behind a step outside of arrays of distinct items; RepetitionError as of ``read``."""
        frame, mode, partial, item = state
        if isinstance(step, int) and step >= 0:
            if not self._tokens.is_marked[step]:
                if mode == IN_NAME:
                    return frame, mode, partial + (self._tokens.tokens[step] or b""), item
                if mode < NAME_ESCAPE:
                    return state
            code = step << 4 | (_ARRAY if frame.names is None else 0) | mode
            move = self._moves.get(code)
            if move is None:
                move = self._find_move(code)
            if move == mode:
                return state
            if move != _NO_MOVE:
                return frame, move, partial, item
        return read(state, self.data(step), self._tokens.whole)

    def _find_move(self, code: int) -> int:
        data, mode = self.data(code >> 4), code & 7
        move = _NO_MOVE
        if mode not in (IN_NAME, NAME_ESCAPE):
            outer = _OUTERMOST
            for _ in range(data.count(b"}") + data.count(b"]")):
                outer = Frame(outer, None, ())
            frame = Frame(outer, None if code & _ARRAY else (), ())
            try:
                behind, to, partial, _ = read((frame, mode, b"", b""), data, self._tokens.whole)
            except RepetitionError:  # a token of several names
                behind, to, partial = outer, mode, b""
            if behind is frame and not partial:
                move = to
        if len(self._moves) >= MAX_KNOWN:
            self._moves.clear()
        self._moves[code] = move
        return move
