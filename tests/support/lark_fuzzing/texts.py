"""Random sentences of grammars, and texts that are nearly sentences."""

from __future__ import annotations

import random
from collections.abc import Sequence

from grammar_engine.compiler.automaton import MATCH
from grammar_engine.compiler.frontends.lark_source import LarkGrammar


def random_lexeme(grammar: LarkGrammar, terminal: int, rng: random.Random) -> bytes:
    """A short random word of a terminal (counters and conditions are not minded: the judge decides anyway)."""
    automaton = grammar.terminal(terminal).automaton
    if isinstance(automaton, bytes):
        return automaton
    text, state = bytearray(), 0
    while True:
        entries = automaton.entries[automaton.offsets[state] : automaton.offsets[state + 1], 0].tolist()
        if MATCH in entries and (len(text) > 6 or rng.random() < 0.5):
            return bytes(text)
        position = rng.choice([entry for entry in entries if entry >= 0] or [MATCH])
        if position == MATCH or len(text) > 40:
            return bytes(text)
        low, high, state = automaton.positions[position].tolist()
        text.append(rng.randint(low, min(high, max(low, 126))))


def random_sentence(grammar: LarkGrammar, rng: random.Random, most_steps: int = 60) -> str | None:
    """A random leftmost derivation, with ignored text here and there; None if it grew too long."""
    stack, text, steps = [~grammar.start], bytearray(), 0
    while stack:
        steps += 1
        if steps > most_steps:
            return None
        symbol = stack.pop()
        if symbol < 0:
            alternatives = grammar.productions(~symbol)
            if steps > most_steps // 2:  # towards an end
                alternatives = sorted(alternatives, key=len)[:2]
            stack.extend(reversed(rng.choice(alternatives or [()])))
            continue
        if grammar.ignored and rng.random() < 0.3:
            text += random_lexeme(grammar, rng.choice(grammar.ignored), rng)
        text += random_lexeme(grammar, symbol, rng)
    try:
        return text.decode()
    except UnicodeDecodeError:
        return None


def random_pieces(pieces: Sequence[str], rng: random.Random, most: int = 8) -> str:
    """Pieces side by side."""
    return "".join(rng.choice(pieces) for _ in range(rng.randint(0, most)))


def random_block(lines: Sequence[str], rng: random.Random, depth: int = 0, room: int = 5) -> str:
    """Lines in indented blocks, mostly well formed; some of lines end in a colon or are headed by a word and end so."""
    step = rng.choice(["  ", "    ", "\t", " "])
    text, indentation = "", step * depth
    for _ in range(rng.randint(1, 3)):
        line = rng.choice(lines).strip(" \n") if lines else "a"
        end = rng.choice(["\n", "\n", "\n", "\n\n", "\r\n", " # x\n", "\n  # y\n", "\n\t\n"])
        if depth < room and rng.random() < 0.4:
            head = rng.choice([f"if {line}:", f"{line}:", "in a:", "c:"])
            text += f"{indentation}{head}{end}{random_block(lines, rng, depth + 1, room)}"
            if rng.random() < 0.2:
                text += f"{indentation}else{rng.choice(['', ':'])}\n{random_block(lines, rng, depth + 1, room)}"
        else:
            text += f"{indentation}{line}{end}"
    return text


def changed(text: str, pieces: Sequence[str], rng: random.Random) -> str:
    """The text with one small thing different."""
    at = rng.randrange(len(text) + 1)
    kind = rng.randrange(6)
    if kind == 0:
        return text[:at] + text[at + 1 :]
    if kind in (1, 2):
        return text[:at] + rng.choice(pieces) + text[at:]
    if kind == 3:
        return text[:at] + text[at + 1 : at + 2] + text[at : at + 1] + text[at + 2 :]
    if kind == 4:
        return text[:at]
    width = rng.randint(1, 3)
    return text[:at] + text[at : at + width] + text[at:]
