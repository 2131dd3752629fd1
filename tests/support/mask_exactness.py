"""Masks of Python-like grammars against two oracles, at positions of all kinds in a text.

**The reference** (``table_reference``: plain tuples, no walks, no masks, no caches) follows every token byte by byte,
down the sorted vocabulary: is what it says possible what the mask says?

**Lark itself** judges whole texts only. A token that the mask allows must have a completion that Lark accepts; for a
token that it forbids, none of the completions tried may be accepted: the rest of the text in which the position was
found, from several places on, and ends that close what may be open.
"""

from __future__ import annotations

import io
import random
import tokenize
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import lark
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.frontends.lark import lark_grammar
from grammar_engine.compiler.reference import State, recognizer_of
from grammar_engine.compiler.vocabulary import Vocabulary
from lark.indenter import PythonIndenter
from lark_oracle import GRAMMARS

from grammar_engine import grammars
from grammar_engine.completion import CompletionSearch, SpellingTable
from grammar_engine.matcher import Matcher

SMALL = r'''
start: (_NEWLINE | stmt)*
stmt: simple _NEWLINE | "if" expr ":" suite ("elif" expr ":" suite)* ["else" ":" suite]
    | "def" NAME LPAR [args] RPAR ":" suite
suite: simple _NEWLINE | _NEWLINE _INDENT stmt+ _DEDENT
simple: "pass" | "return" [expr] | expr ["=" expr]
expr: term | expr OP term | "not" term
term: NAME | NUMBER | STRING | LONG | LPAR [args] RPAR | LSQB [args] RSQB | term LPAR [args] RPAR | term "." NAME
args: expr ("," expr)* [","]
OP: "+" | "-" | "*" | "==" | "<=" | "<" | /and\b/ | /or\b/
NAME: /[^\W\d]\w*/
NUMBER: /0|[1-9][0-9_]*(\.[0-9]+)?/
STRING: /[bru]?("(?!"").*?(?<!\\)(\\\\)*?"|'(?!'').*?(?<!\\)(\\\\)*?')/i
LONG: /""".*?"""/s
COMMENT: /#[^\n]*/
LPAR: "("
RPAR: ")"
LSQB: "["
RSQB: "]"
LBRACE: "{"
RBRACE: "}"
_NEWLINE: (/\r?\n[\t ]*/ | COMMENT)+
%declare _INDENT _DEDENT
%ignore /[\t ]+/
%ignore /\\[\t ]*\r?\n/
%ignore COMMENT
'''
SMALL_TEXT = '''# a module
def f(a, b):
    """Says
    so."""
    if not a == 1 and b:
        return [a, b.c(1_000.5,
                       "x y"), ]
    elif b:
\tpass
    else:
        x = 'a\\'b' + \\
            a
        # done

    return
f(1,
  ((2)))
'''
STRINGS_TEXT = r"""class A(B):
    x = f"{a!r:>{w}}{{b}} {c['d']}" "e", rb"e\"e"
    def f(self): return [f'''{
        self.x}
    ''', b"", *y]  # said
    async def g(): await h(lambda: 0x1F if z is not None else 1.5e-3j)
"""
ENDS = (
    "",
    "\n",
    ":\n pass\n",
    ")\n",
    '"\n',
    "'\n",
    '"""\n',
    "x\n",
    " x:\n    x\n",
    "\n x\n",
    "]\n",
    "}\n",
    " = x\n",
    "0\n",
    "()\n",
)


@dataclass
class Result:
    """Counts. kinds: positions by what they stand in; problems: what differs."""

    positions: int = 0
    tokens: int = 0
    completed: int = 0
    unfinished: int = 0
    forbidden: int = 0
    refusals: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


class MaskExactness:
    """One grammar over one vocabulary."""

    def __init__(self, name: str, vocabulary: Vocabulary) -> None:
        """name: "small" (above), "python.lark" (Lark's own) or "python" (the shipped one)."""
        source = {
            "small": lambda: SMALL,
            "python.lark": lambda: (GRAMMARS / "python.lark").read_text(encoding="utf-8"),
            "python": lambda: grammars.source("python"),
        }[name]()
        start = "file_input" if name == "python.lark" else "start"
        options: dict[str, Any] = {"start": start, "parser": "lalr"}
        grammar = lark_grammar(source, postlex=PythonIndenter, **options)
        self._oracle = lark.Lark(source, postlex=PythonIndenter(), **options)
        self._reference = recognizer_of(grammar)
        self._compiler = GrammarCompiler(vocabulary, cache_size=1, cache_dir="")
        self._compiled = self._compiler.compile_grammar(grammar)
        self._vocabulary = vocabulary
        self._sorted = sorted((data, token) for token, data in enumerate(vocabulary.tokens) if data)
        self._completions = CompletionSearch(SpellingTable(vocabulary))
        self.result = Result()

    def check(self, text: str, places: dict[int, str], rng: random.Random, *, tokens: int, judged: int) -> None:
        """Masks behind the first so many characters of a text.

        places: offsets, and what stands there. tokens: of how many the reference is asked, 0: all. judged: of how many
        allowed and forbidden tokens Lark is asked, each.
        """
        matcher = Matcher(self._compiled)
        state = self._reference.start()
        before = 0
        for at in sorted(places):
            part = text[before:at].encode()
            before = at
            for byte in part:
                state = self._reference.step(state, byte)
            if part and not matcher.accept_bytes(part):
                self._problem("refused", text[:at], b"")
                return
            self.result.positions += 1
            self.result.kinds[places[at]] += 1
            allowed = {token for token in matcher.allowed_token_ids().tolist() if self._vocabulary.tokens[token]}
            self._compare(state, allowed, text[:at], self._sample(rng, tokens))
            self._ask_lark(matcher, allowed, text, at, rng, judged)

    def walked(self, text: str, rng: random.Random, steps: int = 40) -> str:
        """The text up to somewhere, and what a random walk through the masks goes on with."""
        matcher = Matcher(self._compiled)
        data = text[: rng.randrange(len(text))].encode()
        if not matcher.accept_bytes(data):
            return text
        for _ in range(steps):
            sample = self._sample(rng, 500)
            allowed = set(matcher.allowed_token_ids().tolist())
            likely = [(token, part) for part, token in sample if token in allowed]
            if not likely:
                break
            token, part = rng.choice(likely)
            data += part
            if not matcher.accept_token(token):
                self._problem("of the mask, but refused", data.decode(errors="replace"), part)
                break
        return data.decode(errors="ignore")

    def _sample(self, rng: random.Random, count: int) -> list[tuple[bytes, int]]:
        """Tokens in byte order: all, or some, of each first byte as many as there are of others."""
        if not count or count >= len(self._sorted):
            return self._sorted
        by_byte: dict[int, list[tuple[bytes, int]]] = {}
        for data, token in self._sorted:
            by_byte.setdefault(data[0], []).append((data, token))
        share = max(1, count // len(by_byte))
        return sorted(one for group in by_byte.values() for one in rng.sample(group, min(share, len(group))))

    def _compare(self, start: State, allowed: set[int], text: str, tokens: Sequence[tuple[bytes, int]]) -> None:
        """Down the sorted tokens, with the states of the prefixes that the last one shares with the next."""
        reference = self._reference
        states = [start]
        last = b""
        for data, token in tokens:
            common = 0
            while common < min(len(data), len(last)) and data[common] == last[common]:
                common += 1
            del states[common + 1 :]
            while len(states) <= len(data) and reference.is_live(states[-1]):
                states.append(reference.step(states[-1], data[len(states) - 1]))
            last = data[: len(states) - 1]
            self.result.tokens += 1
            possible = len(states) == len(data) + 1 and reference.is_live(states[-1])
            if possible != (token in allowed):
                self._problem("possible but masked" if possible else "allowed but impossible", text, data)

    def _ask_lark(
        self, matcher: Matcher, allowed: set[int], text: str, at: int, rng: random.Random, judged: int
    ) -> None:
        prefix = text[:at].encode()
        rest = text[at:]
        line = rest.find("\n")
        ends = [*ENDS, rest, rest[1:], rest[2:], *((rest[line:], rest[line + 1 :]) if line >= 0 else ())]
        sample = self._sample(rng, 20 * judged)
        rng.shuffle(sample)
        for data, token in [one for one in sample if one[1] in allowed][:judged]:
            probe = matcher.fork()
            end = self._completion(probe, ends) if probe.accept_token(token) else None
            if end is None:
                self.result.unfinished += 1
                continue
            self.result.completed += 1
            if not self._lark_accepts(prefix + data + end):
                self._problem(f"completed by {end!r}, which Lark refuses", text[:at], data)
        for data, _ in [one for one in sample if one[1] not in allowed][:judged]:
            self.result.forbidden += 1
            for end in [*ends, rest[len(data) :]]:
                self.result.refusals += 1
                if self._lark_accepts(prefix + data + end.encode()):
                    self._problem(f"masked, but Lark accepts it with {end!r}", text[:at], data)

    def _completion(self, matcher: Matcher, ends: Sequence[str]) -> bytes | None:
        """What makes a text of the language of the one so far, not ending in a comment; None if it was not found."""
        for end in ends:
            probe = matcher.fork()
            data = end.encode() + b"\n"
            if probe.accept_bytes(data) and probe.is_accepting():
                return data
        found = self._completions.thorough(matcher)
        if found is None or not matcher.accept_bytes(found + b"\n"):
            return found
        return found + b"\n" if matcher.is_accepting() else found

    def _lark_accepts(self, data: bytes) -> bool:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return False
        if "#" in text.rpartition("\n")[2]:  # the one restriction: what ends in a comment without a line feed
            return False
        try:
            self._oracle.parse(text)
        except (lark.exceptions.LarkError, AssertionError, IndexError):  # (the last two are of its Indenter)
            return False
        return True

    def _problem(self, what: str, text: str, token: bytes) -> None:
        self.result.problems.append(f"{what}: {token!r} behind {text[-60:]!r}")


def places_of(text: str, rng: random.Random, count: int) -> dict[int, str]:
    """So many offsets of each kind: inside indentation, at the beginning of a line, in brackets, in strings and so on.

    The kinds are told by the standard library's tokenizer; a text that it refuses has places of the kind "anywhere".
    """
    found: dict[str, list[int]] = {"anywhere": list(range(len(text) + 1))}
    lines = [0]
    for line in text.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    depth = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.end[0] >= len(lines) + 1:
                continue
            first, last = (
                lines[token.start[0] - 1] + token.start[1],
                lines[min(token.end[0], len(lines)) - 1] + token.end[1],
            )
            kind = _kind(token, depth)
            if token.type == tokenize.OP:
                depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(token.string, 0)
            inside = range(first + 1, min(last, len(text)))
            found.setdefault(kind, []).extend(inside if kind.startswith("in ") else [min(last, len(text))])
            indentation = token.start[1] if text[lines[token.start[0] - 1] : first].isspace() else 0
            if indentation:
                found.setdefault("in indentation", []).extend(range(first - indentation + 1, first + 1))
                found.setdefault("at a line's start", []).append(first - indentation)
    except (tokenize.TokenError, IndentationError):
        pass
    places: dict[int, str] = {}
    for kind in sorted(found):
        if found[kind]:
            places.update(dict.fromkeys(rng.sample(found[kind], min(count, len(found[kind]))), kind))
    return places


def _kind(token: tokenize.TokenInfo, depth: int) -> str:
    if token.type == tokenize.COMMENT:
        return "in a comment"
    if token.type == tokenize.STRING:
        return "in an f-string" if "f" in token.string[:2].lower() else "in a string"
    if token.type == tokenize.NUMBER:
        return "in a number" if len(token.string) > 1 else "behind a number"
    if token.type == tokenize.NAME and len(token.string) > 1:
        return "in a word"
    return "in brackets" if depth and token.type != tokenize.NAME else "behind a lexeme"
