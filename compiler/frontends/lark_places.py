"""The texts of a Lark grammar as its own parser reads them: which statements there are, and where names stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from grammar_engine.compiler.errors import GrammarSyntaxError
from grammar_engine.compiler.frontends.lark_spelling import mistake_of
from lark import Token, Tree
from lark.exceptions import UnexpectedInput
from lark.load_grammar import _get_parser


@dataclass(frozen=True, kw_only=True)
class GrammarText:
    """One of the texts that a grammar is made of. path: None if it is in no file."""

    text: str
    path: str | None = None

    def error(self, message: str, place: Token | None = None, *, offset: int | None = None) -> GrammarSyntaxError:
        """With the place of a token, of an offset, or at the beginning."""
        line, column = 1, 1
        if place is not None:
            line, column = int(place.line or 1), int(place.column or 1)
        elif offset is not None:
            line = self.text.count("\n", 0, offset) + 1
            column = offset - self.text.rfind("\n", 0, offset)
        return GrammarSyntaxError(message, source=self.text, line=line, column=column, path=self.path)

    def mistake(self) -> GrammarSyntaxError | None:
        """The first mistake of spelling, if there is one."""
        try:
            _get_parser().parse(self.text + "\n", "start")  # type: ignore[no-untyped-call]
        except UnexpectedInput as error:
            message, offset = mistake_of(error, self.text)
            return self.error(message, offset=offset)
        return None

    @cached_property
    def statements(self) -> Sequence[Statement]:
        """Of a text without mistakes of spelling."""
        tree = _get_parser().parse(self.text + "\n", "start")  # type: ignore[no-untyped-call]
        return [Statement(tree=part, text=self) for part in tree.children if isinstance(part, Tree)]


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A definition or directive."""

    tree: Tree[Token]
    text: GrammarText

    @cached_property
    def tokens(self) -> Sequence[Token]:
        """Names, strings, patterns and numbers, as they stand."""
        found = self.tree.scan_values(lambda value: isinstance(value, Token))
        return [token for token in found if token.type != "RULE_MODIFIERS"]

    @property
    def kind(self) -> str:
        """What it is: "rule", "term", "override", "extend", "ignore", "import" or "declare"."""
        return str(self.tree.data)

    @property
    def name(self) -> Token | None:
        """The name that it defines."""
        return self.tokens[0] if self.kind in ("rule", "term", "override", "extend") and self.tokens else None

    def error(self, message: str, place: Token | None = None) -> GrammarSyntaxError:
        """At one of its tokens, or at its first."""
        return self.text.error(message, place or (self.tokens[0] if self.tokens else None))


class Places:
    """Where names stand in the texts of a grammar, the main text first."""

    def __init__(self, texts: Sequence[GrammarText]) -> None:
        self.texts = texts
        self.statements = [statement for text in texts for statement in text.statements]

    def definitions(self, name: str) -> list[Statement]:
        """The statements that define a name, which Lark may have prefixed by where it was imported from."""
        for spelling in self.spellings(name):
            found = [statement for statement in self.statements if statement.name == spelling]
            if found:
                return found
        return []

    def use(self, name: str, inside: str | None = None) -> tuple[Statement, Token] | None:
        """Where a name is used, in the definition of another one."""
        statements = self.definitions(inside) if inside else self.statements
        for spelling in self.spellings(name):
            for statement in statements:
                for token in statement.tokens:
                    if token == spelling and token is not statement.name:
                        return statement, token
        return None

    def spellings(self, name: str) -> tuple[str, ...]:
        """A name as it may stand in a text: Lark prefixes those of imported grammars, and an import may rename one."""
        _, mangled, own = name.rpartition("__")
        renamed = [str(path.children[-1]) for path, alias in self._renamings() if alias == name]
        return (name, *((own, f"_{own}") if mangled and own else ()), *renamed)

    def _renamings(self) -> Iterator[tuple[Tree[Token], Token]]:
        for statement in self.statements:
            if statement.kind == "import" and len(statement.tree.children) == 2:
                path, alias = statement.tree.children
                if isinstance(path, Tree) and isinstance(alias, Token):
                    yield path, alias

    def own(self, name: str) -> str:
        """A name as it stands in a text."""
        known = {str(token) for statement in self.statements for token in statement.tokens}
        return next((spelling for spelling in self.spellings(name) if spelling in known), name)

    def names(self) -> list[str]:
        """All that are defined."""
        return sorted({str(statement.name) for statement in self.statements if statement.name is not None})

    def error_at_use(self, message: str, name: str, inside: str | None = None) -> GrammarSyntaxError:
        """Where a name is used."""
        found = self.use(name, inside) or self.use(name)
        return found[0].error(message, found[1]) if found else self.error_at_definition(message, inside or name)

    def error_at_definition(self, message: str, name: str, which: int = 0) -> GrammarSyntaxError:
        """Where a name is defined."""
        found = self.definitions(name)
        return found[which].error(message, found[which].name) if found else self.texts[0].error(message)

    def where(self, tokens: Callable[[Token], bool], message: str) -> GrammarSyntaxError | None:
        """At the first token of a kind."""
        for statement in self.statements:
            for token in statement.tokens:
                if tokens(token):
                    return statement.error(message, token)
        return None
