"""Railroad diagrams of a grammar's rules, as one HTML page; drawn by the package railroad-diagrams (extra ``show``).

Lark grammars are drawn from the trees that Lark's loader makes (imports and %extend done, templates as they are
written), GBNF from the trees of its parser, patterns from their syntax trees. A schema has no rules that anyone wrote,
so it has no diagram.
"""

from __future__ import annotations

import html
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lark import Tree
from lark.load_grammar import GrammarBuilder

from grammar_engine.compiler import regex_ast
from grammar_engine.compiler.charset import ANY, CharSet
from grammar_engine.compiler.frontends.gbnf import tree as gbnf
from grammar_engine.compiler.frontends.gbnf.grammar import read_gbnf
from grammar_engine.compiler.frontends.gbnf.parser import parse_gbnf
from grammar_engine.compiler.frontends.lark_source import read_source
from grammar_engine.errors import MissingDependencyError

if TYPE_CHECKING:
    from types import ModuleType

_MAX_RANGES = 6
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font-family: sans-serif; margin: 2em; }}
{style}
</style>
</head>
<body>
<h1>{title}</h1>
{diagrams}
</body>
</html>
"""


def lark_diagrams(source: str | os.PathLike[str]) -> list[tuple[str, Any]]:
    """Name and diagram of each rule and terminal of a Lark grammar that ``compile_lark`` takes."""
    drawing = _library()
    text, path, _ = read_source(source)
    builder = GrammarBuilder()
    builder.load_grammar(text, path or "<string>")
    grammar = builder.build()
    found: list[tuple[str, Any]] = []
    for name, parameters, tree, _ in grammar.rule_defs:
        title = f"{name}{{{', '.join(parameters)}}}" if parameters else name
        found.append((title, drawing.Diagram(_of_lark(drawing, tree))))
    for name, (tree, _) in grammar.term_defs:
        if tree is not None and not name.startswith("__"):
            found.append((str(name), drawing.Diagram(_of_lark(drawing, tree))))
    return found


def gbnf_diagrams(source: str | os.PathLike[str], *, root: str) -> list[tuple[str, Any]]:
    """Name and diagram of each rule of a GBNF grammar."""
    drawing = _library()
    parsed = parse_gbnf(read_gbnf(source), root=root)
    return [
        (name, drawing.Diagram(_of_gbnf(drawing, node, parsed.names)))
        for name, node in zip(parsed.names, parsed.rules, strict=True)
    ]


def regex_diagrams(pattern: str) -> list[tuple[str, Any]]:
    """The diagram of a pattern."""
    drawing = _library()
    return [(pattern, drawing.Diagram(_of_regex(drawing, regex_ast.parse_regex(pattern))))]


def page(title: str, diagrams: list[tuple[str, Any]]) -> str:
    """An HTML page with all of them; it needs nothing from elsewhere."""
    drawing = _library()
    parts: list[str] = []
    for name, diagram in diagrams:
        parts.append(f'<h2 id="{html.escape(name)}">{html.escape(name)}</h2>')
        diagram.writeSvg(parts.append)
    return _PAGE.format(title=html.escape(title), style=drawing.DEFAULT_STYLE, diagrams="".join(parts))


def _library() -> ModuleType:
    try:
        import railroad
    except ImportError as error:
        raise MissingDependencyError("railroad-diagrams", extra="show") from error
    return railroad  # type: ignore[no-any-return]


def _of_lark(drawing: ModuleType, tree: Any) -> Any:
    """A part of a rule or terminal as Lark's loader has it."""
    if not isinstance(tree, Tree):
        return drawing.Terminal(str(tree)) if _is_terminal(tree) else drawing.NonTerminal(_name(tree))
    parts = [child for child in tree.children if child is not None]
    if tree.data == "expansions":
        return _choice(drawing, [_of_lark(drawing, part) for part in parts])
    if tree.data == "expansion":
        return _sequence(drawing, [_of_lark(drawing, part) for part in parts])
    if tree.data == "maybe":
        return drawing.Optional(_of_lark(drawing, parts[0]))
    if tree.data == "expr":
        return _repeated(drawing, _of_lark(drawing, parts[0]), [str(part) for part in parts[1:]])
    if tree.data == "range":
        return drawing.Terminal(f"{parts[0]}..{parts[1]}")
    if tree.data == "literal":
        return drawing.Terminal(str(parts[0]))
    if tree.data == "template_usage":
        return drawing.NonTerminal(f"{_name(parts[0])}{{…}}")
    return _of_lark(drawing, parts[0])  # value, alias


def _is_terminal(symbol: Any) -> bool:
    return bool(getattr(symbol, "is_term", False))


def _name(symbol: Any) -> str:
    return str(getattr(symbol, "name", symbol))


def _repeated(drawing: ModuleType, item: Any, operator: list[str]) -> Any:
    if operator[0] == "?":
        return drawing.Optional(item)
    if operator[0] == "*":
        return drawing.ZeroOrMore(item)
    if operator[0] == "+":
        return drawing.OneOrMore(item)
    return drawing.OneOrMore(item, drawing.Comment("..".join(dict.fromkeys(operator[1:])) + " times"))


def _of_gbnf(drawing: ModuleType, node: gbnf.Node, names: list[str]) -> Any:
    if isinstance(node, gbnf.Literal):
        return drawing.Terminal(repr(node.text))
    if isinstance(node, gbnf.Chars):
        return drawing.Terminal(_characters(node.charset))
    if isinstance(node, gbnf.Reference):
        return drawing.NonTerminal(names[node.rule])
    if isinstance(node, gbnf.Seq):
        return _sequence(drawing, [_of_gbnf(drawing, part, names) for part in node.parts])
    if isinstance(node, gbnf.Choice):
        return _choice(drawing, [_of_gbnf(drawing, part, names) for part in node.parts])
    assert isinstance(node, gbnf.Repeat)
    return _rounds(drawing, _of_gbnf(drawing, node.part, names), node.low, node.high)


def _of_regex(drawing: ModuleType, node: regex_ast.Node) -> Any:
    if isinstance(node, regex_ast.Chars):
        return drawing.Terminal(_characters(node.charset))
    if isinstance(node, regex_ast.Concat):
        return _sequence(drawing, [_of_regex(drawing, part) for part in _texts(node.nodes)])
    if isinstance(node, regex_ast.Alternate):
        return _choice(drawing, [_of_regex(drawing, part) for part in node.nodes])
    if isinstance(node, regex_ast.Repeat):
        return _rounds(drawing, _of_regex(drawing, node.node), node.min, node.max)
    if isinstance(node, regex_ast.Assertion):
        title = f"{'not ' if node.negative else ''}{'before' if node.ahead else 'behind'}"
        return drawing.Group(_of_regex(drawing, node.node), title)
    if isinstance(node, str):
        return drawing.Terminal(node)
    return drawing.Skip()


def _texts(nodes: tuple[regex_ast.Node, ...]) -> Iterator[Any]:
    """Neighbouring single characters as one text."""
    text = ""
    for node in nodes:
        if isinstance(node, regex_ast.Chars) and len(node.charset) == 1:
            text += chr(node.charset.first())
            continue
        if text:
            yield repr(text)
            text = ""
        yield node
    if text:
        yield repr(text)


def _rounds(drawing: ModuleType, item: Any, low: int, high: int | None) -> Any:
    if (low, high) == (0, 1):
        return drawing.Optional(item)
    if high is None and low < 2:
        return drawing.OneOrMore(item) if low else drawing.ZeroOrMore(item)
    times = f"{low} times" if low == high else f"{low} to {'any number of' if high is None else high} times"
    looped = drawing.OneOrMore(item, drawing.Comment(times))
    return looped if low else drawing.Optional(looped)


def _sequence(drawing: ModuleType, items: list[Any]) -> Any:
    if not items:
        return drawing.Skip()
    return items[0] if len(items) == 1 else drawing.Sequence(*items)


def _choice(drawing: ModuleType, items: list[Any]) -> Any:
    if not items:
        return drawing.Comment("nothing")
    return items[0] if len(items) == 1 else drawing.Choice(0, *items)


def _characters(charset: CharSet) -> str:
    """A set of characters in few words."""
    if charset == ANY:
        return "any character"
    if len(charset) == 1:
        return repr(chr(charset.first()))
    outside = charset.complement()
    negated = len(outside.ranges) < len(charset.ranges)
    ranges = (outside if negated else charset).ranges
    shown = ", ".join(_range(low, high) for low, high in ranges[:_MAX_RANGES])
    return ("not " if negated else "") + shown + (", …" if len(ranges) > _MAX_RANGES else "")


def _range(low: int, high: int) -> str:
    return repr(chr(low)) if low == high else f"{chr(low)!r}–{chr(high)!r}"
