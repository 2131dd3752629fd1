"""Automata of terminals, written into the arena: copies of ready-made blocks, and given JSON strings in all spellings.

Records are those of ``kernels.lexer``. That of a literal's text stands there, because parser states need it.
"""

from __future__ import annotations

from grammar_engine.compiler.automaton import KEEP
from grammar_engine.kernels.arena import FULL, H_TOP, SLACK, kernel, must_grow
from grammar_engine.kernels.lexer import P_HIGH, P_KEY, P_LOW, P_NEXT, P_SHADOW, POSITION_SIZE, TERMINAL_SIZE

QUOTE, SLASH, BACKSLASH, LETTER_U = 0x22, 0x2F, 0x5C, 0x75
_MOST = 256  # more ints than the node of a character, its edges and its spellings take


@kernel("int64(int32[::1], int32[::1], int32[::1], int32[::1], int64, int64, int64, int64)", entry=True)
def write_block(mem, ints, addresses, matches, terminal, positions, shadow, key):
    """Copy a block (``terminal_writer.Block``) whose first records are ``positions``; its address, or FULL.

    Where nothing is counted, the bound of a match tells which terminal of a family matches: they lie one after the
    other from ``terminal`` on. (Below zero it is of the class of the last character.)
    """
    base = mem[H_TOP]
    if must_grow(mem) or base + ints.size + SLACK > mem.size:
        return FULL
    for i in range(ints.size):
        mem[base + i] = ints[i]
    for i in range(addresses.size):
        mem[base + addresses[i]] += base
    for i in range(matches.size):
        at = base + matches[i]
        mem[at] = -terminal
        if mem[at + 1] == KEEP and mem[at + 2] > 0:
            mem[at] -= TERMINAL_SIZE * mem[at + 2]
            mem[at + 2] = 0
    for at in range(base, base + positions * POSITION_SIZE, POSITION_SIZE):
        mem[at + P_KEY] = key
        mem[at + P_SHADOW] = shadow
    mem[H_TOP] = base + ints.size
    return base


@kernel("int64(int32[::1], int64, int64, int64)")
def _position(mem, at, byte, behind):
    """A position that reads one byte, at ``at``; where it ends."""
    mem[at + P_LOW] = byte
    mem[at + P_HIGH] = byte
    mem[at + P_NEXT] = behind
    mem[at + P_KEY] = 0
    mem[at + P_SHADOW] = 0
    return at + POSITION_SIZE


@kernel("int64(int32[::1], int64, int64)")
def _entry(mem, at, target):
    """One entry of a closure; where it ends."""
    mem[at] = target
    mem[at + 1] = 0
    mem[at + 2] = 0
    return at + 3


@kernel("int64(int32[::1], int64, int64, int64)")
def _unit(mem, at, unit, behind):
    """The position of a ``u``, at ``at``, and four hexadecimal digits behind it; where they end."""
    at = _position(mem, at, LETTER_U, at + POSITION_SIZE)
    for shift in range(12, -4, -4):
        digit = (unit >> shift) & 15
        cases = 2 if digit >= 10 else 1
        mem[at] = cases
        first = at + 1 + 3 * cases
        end = first + cases * POSITION_SIZE
        following = behind if shift == 0 else end
        at += 1
        for case in range(cases):
            at = _entry(mem, at, first + case * POSITION_SIZE)
        at = _position(mem, at, digit + (55 if cases == 2 else 48), following)
        if cases == 2:
            at = _position(mem, at, digit + 87, following)
    return at


@kernel("int64(int32[::1], int64, int64, int64)")
def _plain(mem, at, code, behind):
    """The positions of a character's UTF-8, the first at ``at``; where they end."""
    if code < 0x80:
        return _position(mem, at, code, behind)
    more = 1 if code < 0x800 else 2 if code < 0x10000 else 3
    lead = 0xC0 if more == 1 else 0xE0 if more == 2 else 0xF0
    byte = lead | code >> (6 * more)
    for left in range(more, 0, -1):
        at = _position(mem, at, byte, at + POSITION_SIZE)
        mem[at] = 1
        at = _entry(mem, at + 1, at + 4)
        byte = 0x80 | (code >> (6 * (left - 1))) & 0x3F
    return _position(mem, at, byte, behind)


@kernel("int64(int64)")
def _short(code):
    """The letter of a character's short escape, or 0."""
    if code in (QUOTE, BACKSLASH, SLASH):
        return code
    if code == 8:
        return 0x62
    if code == 9:
        return 0x74
    if code == 10:
        return 0x6E
    if code == 12:
        return 0x66
    return 0x72 if code == 13 else 0


@kernel("int64(int32[::1], int32[::1], int64, int64, int64)")
def _size(codes, starts, low, high, depth):
    """Entries of the node of texts ``low`` to ``high``, which agree in ``depth`` characters: edges, escapes, match."""
    count = 0
    if starts[low] + depth == starts[low + 1]:
        count += 1
        low += 1
    if low < high:
        count += 1
    last = -1
    for i in range(low, high):
        code = codes[starts[i] + depth]
        if code != last:
            last = code
            if code >= 0x20 and code not in (QUOTE, BACKSLASH):
                count += 1
    return count


@kernel("int64(int32[::1], int32[::1], int32[::1], int64)", entry=True)
def write_json_strings(mem, codes, starts, terminal):
    """The closure that starts the JSON strings, quotes included, whose values are given texts; or FULL.

    codes: code points of the texts, sorted and different; starts: where each begins, and the end. Every character is
    spelled as itself where JSON allows that, and in each of its escapes.

        node of the texts that begin alike:
            for each character that comes next: its UTF-8 leads to the node behind it
            one backslash leads to a closure of their escapes, which lead there too
            the quote matches, where a text ends
    """
    texts = starts.size - 1
    top = mem[H_TOP]
    if must_grow(mem) or top + _MOST * (codes.size + texts + 2) + SLACK > mem.size:
        return FULL
    stack = mem.size - 64  # grows downwards; what was asked for is far from used up
    start = top
    mem[top] = 1
    top = _entry(mem, top + 1, top + 4)
    root = top + POSITION_SIZE + POSITION_SIZE + 4
    quote = _position(mem, top, QUOTE, root)
    match = _position(mem, quote, QUOTE, quote + POSITION_SIZE)
    mem[match] = 1
    top = _entry(mem, match + 1, -terminal)
    top = root + 1 + 3 * _size(codes, starts, 0, texts, 0)
    stack -= 4
    mem[stack], mem[stack + 1], mem[stack + 2], mem[stack + 3] = 0, texts, 0, root
    while stack < mem.size - 64:
        low, high, depth, node = mem[stack], mem[stack + 1], mem[stack + 2], mem[stack + 3]
        stack += 4
        at = node + 1
        if starts[low] + depth == starts[low + 1]:
            at = _entry(mem, at, quote)
            low += 1
        escapes = 0
        i = low
        while i < high:
            code = codes[starts[i] + depth]
            escapes += 2 if _short(code) != 0 else 1
            i += 1
            while i < high and codes[starts[i] + depth] == code:
                i += 1
        if escapes > 0:
            at = _entry(mem, at, top)
            top = _position(mem, top, BACKSLASH, top + POSITION_SIZE)
            mem[top] = escapes
            escape = top + 1
            top = escape + 3 * escapes
            i = low
            while i < high:
                code = codes[starts[i] + depth]
                end = i + 1
                while end < high and codes[starts[end] + depth] == code:
                    end += 1
                behind = top
                top += 1 + 3 * _size(codes, starts, i, end, depth + 1)
                stack -= 4
                mem[stack], mem[stack + 1], mem[stack + 2], mem[stack + 3] = i, end, depth + 1, behind
                if code >= 0x20 and code not in (QUOTE, BACKSLASH):
                    at = _entry(mem, at, top)
                    top = _plain(mem, top, code, behind)
                short = _short(code)
                if short != 0:
                    escape = _entry(mem, escape, top)
                    top = _position(mem, top, short, behind)
                if code < 0x10000:
                    escape = _entry(mem, escape, top)
                    top = _unit(mem, top, code, behind)
                else:
                    second = top
                    mem[second] = 1
                    top = _entry(mem, second + 1, second + 4)
                    top = _position(mem, top, BACKSLASH, top + POSITION_SIZE)
                    mem[top] = 1
                    top = _entry(mem, top + 1, top + 4)
                    top = _unit(mem, top, 0xDC00 | code & 0x3FF, behind)
                    escape = _entry(mem, escape, top)
                    top = _unit(mem, top, 0xD7C0 + (code >> 10), second)
                i = end
        mem[node] = (at - node - 1) // 3
    mem[H_TOP] = top
    return start
