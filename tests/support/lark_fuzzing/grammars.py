"""Random Lark grammars: every construct of the language that can change which texts are accepted.

Three families: *loose* (any terminals and rules, often ambiguous), *shaped* (statements, lists, expressions, keywords:
often LALR), *indented* (shaped statements in blocks, with an Indenter).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from lark.indenter import Indenter

MODES = (
    ("lalr", "contextual"), ("lalr", "contextual"), ("lalr", "basic"),
    ("earley", "dynamic"), ("earley", "dynamic_complete"), ("earley", "basic"), ("glr", "contextual"),
)  # fmt: skip
EQUALS = 'e | NAME "=" e'
FAMILIES = ("loose", "shaped", "shaped", "indented")

# What a terminal may be, by feature.
PATTERNS = {
    "strings": ['"a"', '"b"', '"c"', '"ab"', '"abc"', '"aa"', '"if"', '"in"', '"("', '")"', '","', '"é"', '"="'],
    "any case": ['"a"i', '"AB"i', "/[ab]/i", '"iF"i', "/(?i:a)b/"],
    "regexes": ["/a+/", "/[ab]+/", "/[a-c]+/", "/ab?/", "/b+c?/", "/[^a]/", "/(?:ab)+/", "/c{2,3}/", "/./", "/a.?c/",
                "/[a-z]+/", "/[a-z][a-z0-9]*/", "/[0-9]+/", r"/\w+/", r"/[^\W\d]\w*/", r"/\d+(\.\d+)?/", "/[é→]/",
                "/[^ab \\n]+/"],
    "ordered": ["/a|ab/", '/a/ | "bb"', "/ab|a/", "/(a|b)*c|a/", "/b|bc|bcc/", "/(a|ab)(c|bc)?/"],
    "lazy": ["/a+?b/", "/(a|b)*?c/", "/a+?/", "/.*?c/", "/a{1,3}?b?/", "/ab??/"],
    "composed": ['"a" "b"', '"b" "c"?', '("a" | "bc")~1..2', '("a".."c")+', '"0".."3"', '"a" /[bc]/', '("a" "b")~2',
                 '["a"] "c"', '("a" | /b+/) "c"'],
    "flags": ["/a b/x", "/./s", "/a(?-i:b)/i", "/a # x\n b/x", "/^a/m", "/(?s:.)c/"],
    "look-ahead": ["/a(?=b)/", "/a+(?!b)/", "/(?!ab)[ab]c?/", "/b(?!c)/", "/[ab](?!a|bb)/", r"/[a-c]+\b/", "/a(?=.*c)/",
                   "/a$/", "/-(?!-)/", "/b(?=c|$)/", r"/if\b/", r"/in(?!\w)/"],
    "look-behind": [r"/\bif\b/", "/(?<!a)b+/", "/^[ab]/", "/(?<=[bé])c|a/", "/(?m:^.)/", r"/\B[ab]/", r"/(?<= )a/"],
    "reserved": [r"/(?!(?:if|in)\b)[^\W\d]\w*/", "/(?!(?:ab|c)(?![a-c]))[a-c]+/", "/(?!if)[a-z]+/"],
}  # fmt: skip
IMPORTS = ("common.INT", "common.CNAME", "common.WORD", "common.DIGIT", "common.LETTER", "common.ESCAPED_STRING")
IGNORED = ('" "', "/[ ]+/", "/[ \\n]+/", "/ |#[^\\n]*/", '"_"')
PIECES = (
    "a", "a", "b", "b", "c", "ab", "abc", "bc", "cc", "if", "in", "i", "x", "z", "1", "0", "12", "1.5", " ", " ", "\n",
    "(", ")", ",", "=", "+", "-", "--", "*", ";", ":", "é", "→", "A", "B", "IF", "_", "#", '"', '"a"', ".", "if ",
    "a b",
)  # fmt: skip


class Blocks(Indenter):
    """Settings of the indented family."""

    NL_type = "_NL"
    OPEN_PAREN_types = ["LPAR", "LSQB"]  # noqa: RUF012 (Lark's interface)
    CLOSE_PAREN_types = ["RPAR", "RSQB"]  # noqa: RUF012
    INDENT_type = "_INDENT"
    DEDENT_type = "_DEDENT"
    tab_len = 8


class NarrowBlocks(Blocks):
    """Tabs of three columns, and no parentheses."""

    OPEN_PAREN_types = []  # noqa: RUF012
    CLOSE_PAREN_types = []  # noqa: RUF012
    tab_len = 3


@dataclass(frozen=True, kw_only=True)
class RandomGrammar:
    """A grammar's text and how it is to be read. statement: the rule that lines of an indented text follow."""

    source: str
    parser: str
    lexer: str
    family: str
    postlex: type[Indenter] | None = None
    statement: str = ""
    features: frozenset[str] = frozenset()


class GrammarGenerator:
    """Writes grammars, one after another."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._features: set[str] = set()

    def generate(self) -> RandomGrammar:
        """A grammar, which Lark may well refuse."""
        rng = self._rng
        self._features = set()
        family = rng.choice(FAMILIES)
        parser, lexer = rng.choice(MODES if family != "indented" else MODES[:3])
        writer = {"loose": self._loose, "shaped": self._shaped, "indented": self._indented}[family]
        lines = writer()
        postlex = rng.choice([Blocks, Blocks, NarrowBlocks]) if family == "indented" else None
        return RandomGrammar(
            source="\n".join(lines) + "\n",
            parser=parser,
            lexer=lexer,
            family=family,
            postlex=postlex,
            statement="simple" if family == "indented" else "",
            features=frozenset({*self._features, f"{parser} {lexer}", family}),
        )

    # -- terminals --------------------------------------------------------------------------------------------------

    def _pattern(self, *kinds: str) -> str:
        kind = self._rng.choice(kinds or tuple(PATTERNS))
        self._features.add(kind)
        return self._rng.choice(PATTERNS[kind])

    def _terminals(self, count: int, *kinds: str) -> tuple[list[str], list[str]]:
        """Names, and lines that define them."""
        rng = self._rng
        names, lines = [], []
        for number in range(count):
            name = f"T{number}"
            if rng.random() < 0.08:
                self._features.add("%import")
                lines.append(f"%import {rng.choice(IMPORTS)} -> {name}")
                if rng.random() < 0.3:
                    self._features.add("%override")
                    lines.append(f"%override {name}: {self._pattern(*kinds)}")
            else:
                priority = rng.choice(["", "", "", "", ".1", ".-1", ".2"])
                if priority:
                    self._features.add("priority")
                lines.append(f"{name}{priority}: {self._pattern(*kinds)}")
            if rng.random() < 0.06:
                self._features.add("%extend")
                lines.append(f"%extend {name}: {self._pattern('strings', 'regexes')}")
            names.append(name)
        if names and rng.random() < 0.15:
            self._features.add("terminals of terminals")
            names.append("U")
            lines.append(f"U: {rng.choice(names[:-1])} {rng.choice(['| ', ''])}{rng.choice(names[:-1])}")
        return names, lines

    def _ignored(self, names: list[str]) -> list[str]:
        rng = self._rng
        lines = []
        for _ in range(rng.choice([0, 1, 1, 1, 2])):
            self._features.add("%ignore")
            lines.append(f"%ignore {rng.choice([*IGNORED, *IGNORED, *names[-1:]])}")
        return lines

    # -- rules ------------------------------------------------------------------------------------------------------

    def _operator(self) -> str:
        operator = self._rng.choice(["", "", "", "", "", "?", "*", "+", "~2", "~1..3", "~0..1"])
        if operator:
            self._features.add(operator[0])
        return operator

    def _item(self, symbols: list[str], depth: int = 0) -> str:
        rng = self._rng
        kind = rng.random()
        if kind < 0.08 and depth < 2:
            self._features.add("group")
            # (No counts here: Lark multiplies them out, and takes minutes where they are nested.)
            return f"({self._alternatives(symbols, depth + 1)}){rng.choice(['', '', '?', '*', '+'])}"
        if kind < 0.13 and depth < 2:
            self._features.add("[x]")
            return f"[{self._alternatives(symbols, depth + 1)}]"
        if kind < 0.18:
            self._features.add("template")
            return f"{rng.choice(['pair', 'list', '_many'])}{{{rng.choice(symbols)}, {rng.choice(symbols)}}}"
        return rng.choice(symbols) + self._operator()

    def _alternatives(self, symbols: list[str], depth: int = 0) -> str:
        rng = self._rng
        parts = []
        for _ in range(rng.choice([1, 1, 2, 3])):
            items = [self._item(symbols, depth) for _ in range(rng.choice([1, 1, 2, 3, 3 if depth else 0]))]
            alias = ""
            if depth == 0 and rng.random() < 0.1:
                self._features.add("alias")
                alias = f" -> {rng.choice(['x', 'y', 'named'])}"
            parts.append(" ".join(items) + alias)
        return " | ".join(parts)

    def _rule(self, name: str, body: str) -> str:
        mark = self._rng.choice(["", "", "", "?", "!"])
        if mark and name != "start":
            self._features.add(f"{mark}rule")
        priority = self._rng.choice(["", "", "", "", ".2"])
        if priority:
            self._features.add("rule priority")
        return f"{mark if not name.startswith('_') else ''}{name}{priority}: {body}"

    def _templates(self, lines: list[str]) -> list[str]:
        text = "\n".join(lines)
        written = {
            "pair": "pair{p, q}: p q",
            "list": "list{p, sep}: p (sep p)*",
            "_many": "_many{p, q}: p | _many{p, q} q",
        }
        return [line for name, line in written.items() if f"{name}{{" in text]

    def _loose(self) -> list[str]:
        rng = self._rng
        terminals, definitions = self._terminals(rng.randint(2, 4))
        rules = ["start", "x", "_y", "z"][: rng.randint(1, 4)]
        literals = ['"a"', '"b"', '"c"', '"if"', '"+"']
        symbols = [*terminals, *terminals, *rules, *rng.sample(literals, 2)]
        lines = [self._rule(name, self._alternatives(symbols)) for name in rules]
        return [*lines, *self._templates(lines), *definitions, *self._ignored(terminals)]

    def _expressions(self, atoms: list[str]) -> list[str]:
        """Rules named ``e`` and what they need."""
        rng = self._rng
        operators = rng.sample(['"+"', '"-"', '"*"', '"--"', '"in"', '"="', '"if"'], 3)
        brackets = rng.choice(['"(" e ")"', '"(" [e ("," e)*] ")"', '"(" list{e, ","} ")"', "LPAR e RPAR"])
        self._features.update({"template"} if "list{" in brackets else ())
        shape = rng.choice(["left", "right", "repeated", "ambiguous"])
        terms = {
            "left": f"e: t | e {operators[0]} t | e {operators[1]} t",
            "right": f"e: t | t {operators[0]} e",
            "repeated": f"e: t (({operators[0]} | {operators[1]}) t)*",
            "ambiguous": f"e: t | e {operators[0]} e",
        }[shape]
        prefix = rng.choice(["", "", f" | {operators[2]} t", f" | t {operators[2]}"])
        lines = [terms, f"t: {' | '.join(atoms)} | {brackets}{prefix}"]
        if "LPAR" in brackets:
            lines += ['LPAR: "("', 'RPAR: ")"']
        return lines

    def _shaped(self) -> list[str]:
        rng = self._rng
        kinds = ("strings", "any case", "regexes", "regexes", "reserved", "ordered", "lazy", "composed", "look-ahead",
                 "look-behind", "flags")  # fmt: skip
        terminals, definitions = self._terminals(rng.randint(1, 3), *kinds)
        if rng.random() < 0.6:
            self._features.add("keywords")
            terminals.append("NAME")
            definitions.append(f"NAME: {rng.choice(['/[a-z]+/', self._pattern('reserved'), '/[^0-9 ()+=;]+/'])}")
        statements = [
            f'"if" e {rng.choice(["stmt", "e"])}',
            f'{rng.choice(terminals)} "=" e',
            f'"in" {rng.choice(terminals)}',
            "e",
            self._alternatives([*terminals, "e"], depth=1),
            '"if" e "if" stmt "in" stmt',
        ]
        chosen = rng.sample(statements, rng.randint(1, 3))
        if not any("e" in statement.split() for statement in chosen):
            chosen.append("e")
        separator = rng.choice(['";"', '","', "", '"\\n"', '"b"'])
        start = rng.choice(["stmt+", f"(stmt {separator})*", f"list{{stmt, {separator or 'T0'}}}", "stmt", "[stmt] e"])
        lines = [self._rule("start", start), self._rule("stmt", " | ".join(chosen)), *self._expressions(terminals)]
        return [*lines, *self._templates(lines), *definitions, *self._ignored(terminals)]

    def _indented(self) -> list[str]:
        rng = self._rng
        terminals, definitions = self._terminals(
            rng.randint(1, 2), "strings", "regexes", "reserved", "lazy", "composed"
        )
        terminals.append("NAME")
        definitions.append(f"NAME: {rng.choice(['/[a-z]+/', PATTERNS['reserved'][0]])}")
        comment = rng.random() < 0.6
        newline = rng.choice(
            [
                r"/(\r?\n[\t ]*)+/",
                r"(/\r?\n[\t ]*/)+",
                r"/\n[ ]*/",
                *([r"(/\r?\n[\t ]*/ | COMMENT)+"] * 4 if comment else []),
            ]
        )
        heads = rng.sample(['"if" e ":"', '"in" NAME ":"', 'e ":"', '"c:"'], rng.randint(1, 2))
        suite = rng.choice(
            [
                "simple _NL | _NL _INDENT stmt+ _DEDENT",
                "_NL _INDENT stmt+ _DEDENT",
                "_NL _INDENT (stmt | _NL)+ _DEDENT | simple _NL",
            ]
        )
        tail = rng.choice(["", "", ' ["else" ":" suite]', ' ("else" suite)?'])
        lines = [
            f"start: {rng.choice(['(_NL | stmt)*', 'stmt+', '_NL? stmt*'])}",
            f"stmt: simple _NL | ({' | '.join(heads)}) suite{tail}",
            f"suite: {suite}",
            f"simple: {rng.choice(['e', EQUALS])}",
            *self._expressions(terminals),
        ]
        if "LPAR" not in "\n".join(lines) and rng.random() < 0.5:
            lines.append('unused: "(" ")" "[" "]"')
        lines += [*self._templates(lines), *definitions, f"_NL: {newline}", "%declare _INDENT _DEDENT"]
        if comment:
            self._features.add("comments")
            lines += [r"COMMENT: /#[^\n]*/", *rng.choice([["%ignore COMMENT"], ["%ignore COMMENT"], []])]
        lines += rng.choice(
            [[r"%ignore /[\t \f]+/"], [r"%ignore /[\t ]+/", r"%ignore /\\[\t ]*\r?\n/"], ['%ignore " "']]
        )
        self._features.add("%ignore")
        return lines
