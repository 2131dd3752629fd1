"""What is wrong with a Lark grammar, in words, with the file, line and column where it is.

Lark's loader stops at the first mistake with an exception whose text tells some of it. Where the grammar is read again
by Lark's own parser of grammars, mistakes of spelling show with their place and what was expected there; for the others
the statements of all files of the grammar are searched for the name that the exception quotes. None of this runs for
grammars without mistakes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence

from grammar_engine.compiler.errors import GrammarSyntaxError
from grammar_engine.compiler.frontends.lark_places import GrammarText, Places
from lark import Token
from lark.exceptions import VisitError

_COMMON = (
    "DIGIT", "HEXDIGIT", "INT", "SIGNED_INT", "DECIMAL", "FLOAT", "SIGNED_FLOAT", "NUMBER", "SIGNED_NUMBER",
    "ESCAPED_STRING", "LCASE_LETTER", "UCASE_LETTER", "LETTER", "WORD", "CNAME", "WS_INLINE", "WS", "CR", "LF",
    "NEWLINE", "SH_COMMENT", "CPP_COMMENT", "C_COMMENT", "SQL_COMMENT",
)  # fmt: skip


def explain(error: Exception, texts: Sequence[GrammarText]) -> GrammarSyntaxError | None:
    """One of Lark's exceptions as an error of ours; None for a TypeError that no mistake in the texts explains.

    texts: the main one first, then what was imported so far.
    """
    for text in (texts[0], *reversed(texts[1:])):
        mistake = text.mistake()
        if mistake is not None:
            return mistake
    if isinstance(error, TypeError):
        return None
    cause = error.orig_exc if isinstance(error, VisitError) else error
    places = Places(texts)
    if isinstance(cause, OSError):
        return _import_error(cause, places)
    if isinstance(cause, AssertionError):
        return range_error(texts) or texts[0].error(str(cause) or "a construct that Lark's loader cannot take")
    if len(cause.args) == 2:  # a literal that Python cannot read, and why
        literal = str(cause.args[0])
        message = f"a broken escape sequence in {literal}"
        return places.where(lambda token: literal in token, message) or texts[0].error(message)
    message = " ".join(str(cause.args[0] if cause.args else cause).split("\n\n")[0].split())
    for pattern, explanation in _EXPLANATIONS:
        found = re.match(pattern, message)
        if found:
            return _in_own_words(explanation(places, found), places)
    quoted = re.search(r"'(\w+)'|<(\w+) :", message)
    return places.error_at_definition(message, (quoted[1] or quoted[2]) if quoted else "")


def _in_own_words(error: GrammarSyntaxError, places: Places) -> GrammarSyntaxError:
    """Names as they stand in the texts, not as Lark prefixes them."""
    reason = re.sub(r"\w+__\w+", lambda found: places.own(found[0]), error.reason)
    return GrammarSyntaxError(reason, source=error.source, line=error.line, column=error.column, path=error.path)


def _kind_of(name: str) -> str:
    return "terminal" if name.lstrip("_")[:1].isupper() else "rule"


def _undefined(places: Places, found: re.Match[str]) -> GrammarSyntaxError:
    name = places.own(found["name"])
    kind, inside = _kind_of(name), found["inside"]
    imported = next((s for s in places.statements if s.kind == "import" and name in s.tokens), None)
    if imported is not None:
        listed = ".".join(token for token in imported.tokens if token != name) or "the grammar"
        message = f"{name} is imported, but {listed} does not define what it is imported as"
        return imported.error(message, next(token for token in imported.tokens if token == name))
    message = f"{kind} {name} is used but not defined (in {_kind_of(inside)} {places.own(inside)})"
    near = difflib.get_close_matches(name, places.names(), n=1)
    if name in _COMMON:
        message += f"; define it, or import it: %import common.{name}"
    elif near:
        message += f"; did you mean {near[0]}?"
    return places.error_at_use(message, name, inside)


def _rule_in_terminal(places: Places, found: re.Match[str]) -> GrammarSyntaxError:
    name, inside = found["name"], found["inside"]
    used = places.use(name, None if inside.startswith("__") else inside)
    message = f"rule {name} in a terminal: terminals are made of strings, patterns and other terminals"
    if used is None:
        return places.error_at_definition(message, inside)
    statement, token = used
    before = statement.text.text[: token.start_pos or 0][-1:]
    if before == "/":
        message = f"unknown flags {name!r} of a regular expression: there are i, m, s, l, u and x"
    elif before == '"':
        message = f'unknown flag {name!r} of a string: there is only i, as in "select"i'
    return statement.error(message, token)


def _defined_twice(places: Places, found: re.Match[str]) -> GrammarSyntaxError:
    name = found["name"]
    definitions = places.definitions(name)
    if len(definitions) < 2:
        message = f"{_kind_of(name)} {places.own(name)} is defined more than once: here and by an import"
        return places.error_at_definition(message, name)
    first = definitions[0].name
    place = f"line {first.line}" if first is not None else "above"
    message = f"{_kind_of(name)} {name} is defined more than once (first in {place}); alternatives are joined by |"
    return definitions[1].error(message, definitions[1].name)


def _directive(places: Places, found: re.Match[str]) -> GrammarSyntaxError:
    """%override and %extend of what is not there, or not like that."""
    name = places.own(found["name"])
    for statement in places.statements:
        if statement.kind in ("override", "extend") and statement.name == name:
            near = difflib.get_close_matches(name, {n for n in places.names() if n != name}, n=1)
            hint = f"; did you mean {near[0]}?" if near and "exist" in found[0] + "defined" else ""
            return statement.error(found.string + hint, statement.name)
    return places.texts[0].error(found.string)


def _bad_range(places: Places, found: re.Match[str]) -> GrammarSyntaxError:
    message = f"a count from {found['low']} to {found['high']}: the first number is the smaller one"
    for text in places.texts:
        at = re.search(rf"~\s*{re.escape(found['low'])}\s*\.\.\s*{re.escape(found['high'])}(?!\d)", text.text)
        if at:
            return text.error(message, offset=at.start())
    return places.texts[0].error(message)


def range_error(texts: Sequence[GrammarText]) -> GrammarSyntaxError | None:
    """A range of characters that is none."""
    for statement in Places(texts).statements:
        for tree in statement.tree.find_data("range"):
            low, high = (str(token)[1:-1] for token in tree.children)
            if not low or not high or (low > high and len(low) == len(high) == 1) or _long(low) or _long(high):
                message = 'a range goes from one character to a later one, as in "a".."z"'
                return statement.error(message, Token.new_borrow_pos("STRING", low, tree.children[0]))  # type: ignore[arg-type]
    return None


def _long(text: str) -> bool:
    return len(text) > 1 and not text.startswith("\\")


def _at_use(say: str) -> Explanation:
    """Where a name is used, in the definition of another one if the message tells which."""

    def explanation(places: Places, found: re.Match[str]) -> GrammarSyntaxError:
        return places.error_at_use(found.expand(say), found["name"], found.groupdict().get("inside"))

    return explanation


def _at_definition(say: str) -> Explanation:
    def explanation(places: Places, found: re.Match[str]) -> GrammarSyntaxError:
        return places.error_at_definition(found.expand(say), found["name"])

    return explanation


def _ignore_of_nothing(places: Places, found: re.Match[str]) -> GrammarSyntaxError:
    text = places.texts[0]
    heads = list(re.finditer(r"^[ \t]*(%ignore)\b", text.text, re.MULTILINE))
    return text.error("%ignore of nothing", offset=heads[min(int(found["number"]), len(heads) - 1)].start(1))


def _at_token(say: str) -> Explanation:
    """At a string or pattern that is spelled as the message says."""

    def explanation(places: Places, found: re.Match[str]) -> GrammarSyntaxError:
        message = found.expand(say)
        return places.where(lambda token: token == found["literal"], message) or places.texts[0].error(message)

    return explanation


def _alias_in_terminal(places: Places, found: re.Match[str]) -> GrammarSyntaxError:
    for statement in places.statements:
        if statement.name is not None and _kind_of(statement.name) == "terminal":
            for tree in statement.tree.find_data("alias"):
                names = [token for token in tree.scan_values(lambda v: isinstance(v, Token)) if token.type == "RULE"]
                return statement.error(
                    "an alias (->) in a terminal: only rules have aliases", names[-1] if names else None
                )
    return places.texts[0].error(found.string)


def _undefined_rule(places: Places, found: re.Match[str]) -> GrammarSyntaxError:
    name = found["name"]
    definition = next(iter(places.definitions(name)), None)
    if definition is not None and any(definition.tree.find_data("template_params")) and len(definition.tokens) > 1:
        return places.error_at_use(f"{name} is a template: it is used with arguments, as in {name}{{x}}", name)
    imported = next((s for s in places.statements if s.kind == "import" and name in s.tokens), None)
    if imported is not None:
        message = f"{name} is imported as a rule, but what it stands for is a terminal: give it an upper-case name"
        return imported.error(message, next(token for token in imported.tokens if token == name))
    return places.error_at_use(f"rule {name} is used but not defined", name)


def _inlined(places: Places, found: re.Match[str]) -> GrammarSyntaxError:
    for text in places.texts:
        at = re.search(r"^[ \t]*!?\?!?_", text.text, re.MULTILINE)
        if at:
            return text.error("a rule whose name begins with _ is always inlined: leave the ? out", offset=at.start())
    return places.texts[0].error(found.string)


Explanation = Callable[[Places, "re.Match[str]"], GrammarSyntaxError]
_NAME = r"(?P<name>\w+)"
_EXPLANATIONS: tuple[tuple[str, Explanation], ...] = (
    (rf"(?:Rule|Terminal) '{_NAME}' used but not defined \(in \w+ (?P<inside>\w+)\)", _undefined),
    (
        rf"Template '{_NAME}' used but not defined \(in \w+ (?P<inside>\w+)\)",
        _at_use(r"template \g<name> is used but not defined"),
    ),
    (
        (
            rf"Wrong number of template arguments used for {_NAME} "
            r"\(expected (?P<expected>\d+), got (?P<given>\d+)\) \(in \w+ (?P<inside>\w+)\)"
        ),
        _at_use(r"template \g<name> takes \g<expected> arguments, not \g<given>"),
    ),
    (rf"Rules aren't allowed inside terminals \(NonTerminal\('{_NAME}'\) in (?P<inside>\w+)\)", _rule_in_terminal),
    (
        rf"Recursion in terminal '{_NAME}'",
        _at_definition(r"terminal \g<name> contains itself: only rules may be recursive"),
    ),
    (rf"(?:Rule|Terminal) '{_NAME}' defined more than once", _defined_twice),
    (rf"(?:Cannot override a nonexisting|Can't extend|Cannot extend) (?:\w+) {_NAME}", _directive),
    (rf"Cannot extend \w+ with different parameters: {_NAME}", _directive),
    (
        rf"Duplicate Template Parameter {_NAME} \(in template (?P<inside>\w+)\)",
        _at_use(r"template \g<inside> has two parameters named \g<name>"),
    ),
    (
        rf"Template Parameter conflicts with rule {_NAME} \(in template (?P<inside>\w+)\)",
        _at_use(r"parameter \g<name> of template \g<inside> is the name of a rule too"),
    ),
    (r"Bad Range for .* \((?P<low>-?\d+)\.\.(?P<high>-?\d+) isn't allowed\)", _bad_range),
    (r"Terminals cannot be empty \(__IGNORE_(?P<number>\d+)\)", _ignore_of_nothing),
    (
        rf"Terminals cannot be empty \({_NAME}\)",
        _at_definition(r"terminal \g<name> is empty: a lexer does not allow that"),
    ),
    (
        r"Empty terminals are not allowed \((?P<literal>.*)\)",
        _at_token(r"an empty string: a lexer does not allow terminals without text"),
    ),
    (
        rf"Terminals \{{.*?'{_NAME}'.*?\}} were marked to ignore",
        _at_use(r"%ignore of terminal \g<name>, which is not defined"),
    ),
    (r"Aliasing not allowed in terminals", _alias_in_terminal),
    (rf"Using an undefined rule: NonTerminal\('{_NAME}'\)", _undefined_rule),
    (
        rf"Names starting with double-underscore are reserved \(Error at {_NAME}\)",
        _at_definition(r"names that begin with two underscores are reserved: \g<name>"),
    ),
    (rf"Terminal used but not defined: {_NAME}", _at_use(r"terminal \g<name> is used but not defined")),
    (
        rf"Nothing was imported from grammar `{_NAME}`",
        _at_use(r"%import of a whole grammar: name what is imported, as in %import \g<name>.NAME"),
    ),
    (
        rf"Rule {_NAME} is marked for expansion",
        _at_definition(r"rule \g<name> begins with an underscore, so it is inlined and cannot have an alias"),
    ),
    (r"Inlined rules", _inlined),
    (
        rf"%declare of rule {_NAME}",
        _at_use(r"%declare of rule \g<name>: only terminals can be declared without a definition"),
    ),
    (r"Literal ended unexpectedly \(bad escaping\): `.(?P<literal>.*?).`$", _at_token(r"a backslash at the end")),
)


def _import_error(error: OSError, places: Places) -> GrammarSyntaxError:
    missing = str(error.filename or error)
    name = missing.removesuffix(".lark").replace("/", ".").replace("\\", ".")
    message = f"cannot import {name!r}: no such grammar beside this one, in the import paths or among Lark's own"
    for statement in places.statements:
        if statement.kind == "import" and ".".join(statement.tokens).startswith(name):
            return statement.error(message)
    return places.texts[0].error(message)
