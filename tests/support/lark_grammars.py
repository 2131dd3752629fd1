"""Random Lark grammars and Lark's verdicts on texts."""

from __future__ import annotations

import random
from collections.abc import Sequence

import lark
from grammar_engine.compiler.frontends.lark_source import LarkGrammar


def random_grammar(rng: random.Random, patterns: Sequence[str]) -> str:
    """Two to four terminals, one to three rules, perhaps ignored spaces."""
    terminals = [f"T{index}" for index in range(rng.randint(2, 4))]
    rules = ["start", "x", "y"][: rng.randint(1, 3)]

    def item() -> str:
        kind = rng.random()
        name = rng.choice(terminals if kind < 0.65 else rules if kind < 0.9 else ['"a"', '"b"', '"c"'])
        return name + rng.choice(["", "", "", "", "?", "*", "+"])

    def alternatives() -> str:
        return " | ".join(
            " ".join(item() for _ in range(rng.choice([1, 1, 2, 3]))) for _ in range(rng.choice([1, 2, 3]))
        )

    lines = [f"{rule}: {alternatives()}" for rule in rules]
    lines += [f"{name}{rng.choice(['', '', '.1', '.-1'])}: {rng.choice(patterns)}" for name in terminals]
    lines.append(rng.choice(["", "", '%ignore " "', "%ignore /[ ]+/"]))
    return "\n".join(lines) + "\n"


def lark_verdict(parser: lark.Lark, text: str) -> bool | None:
    """Does Lark accept the text? None where it fails itself."""
    try:
        parser.parse(text)
    except lark.exceptions.LarkError:
        return False
    except RuntimeError:  # "Earley should not generate multiple start symbol items! Please report this bug."
        return None
    return True


def rules_that_never_complete(grammar: LarkGrammar, source: str) -> bool:
    """The documented difference: Lark's lexer tries the terminals of such rules."""
    named = {line.split(":")[0] for line in source.splitlines() if line[:1].islower()}
    return not named <= set(grammar.rule_names)
