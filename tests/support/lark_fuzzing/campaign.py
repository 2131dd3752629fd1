"""The loop: grammars, texts, verdicts, masks; what was counted, and every difference made small.

For each grammar: Lark takes it if and only if the front end does not call it wrong. For each text, and for each prefix
that a random walk through our masks reaches: Lark's verdict, the engine's and the reference recognizer's. At some of
the prefixes: the engine's mask and the reference's, token by token.
"""

from __future__ import annotations

import random
import re
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import lark
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.errors import (
    GrammarEngineError,
    GrammarSyntaxError,
    LimitExceededError,
    UnsatisfiableGrammarError,
    UnsupportedGrammarError,
)
from grammar_engine.compiler.frontends.lark import lark_grammar
from grammar_engine.compiler.frontends.lark_source import LarkGrammar
from grammar_engine.compiler.reference import ReferenceRecognizer, State, recognizer_of
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.matcher import Matcher
from lark_fuzzing.grammars import PIECES, GrammarGenerator, RandomGrammar
from lark_fuzzing.texts import changed, random_block, random_pieces, random_sentence

# What Lark's own code raises for grammars that it refuses (asserts and re.error among them), and for texts.
REFUSALS = (lark.exceptions.LarkError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
LINES = ("if a:\n", "  b\n", "    a\n", "\tb\n", "else:\n", "(a\n)", "# x\n", "\n", "  ", "a\n", " ", "\r\n")
MOST_HYPOTHESES = 60  # of the reference, which keeps them apart
BUGS = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@dataclass
class Difference:
    """Something that should not be, as small as it could be made."""

    kind: str
    grammar: RandomGrammar
    text: str
    detail: str = ""

    def __str__(self) -> str:
        mode = f"{self.grammar.parser} {self.grammar.lexer} {self.grammar.postlex}"
        return f"{self.kind} ({mode})\n{self.grammar.source}\n    text {self.text!r}\n    {self.detail}"


@dataclass
class Report:
    """Counts of one campaign. compared: grammars by feature."""

    grammars: int = 0
    refused_by_both: int = 0
    verdicts: int = 0
    accepted: int = 0
    masks: int = 0
    walks: int = 0
    dead_ends: int = 0
    compared: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    refused_later: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")


class Campaign:
    """Compares until enough verdicts are there."""

    def __init__(self, seed: int, *, texts: int = 16, max_differences: int = 20) -> None:
        """texts: per grammar, about."""
        self._rng = random.Random(seed)
        self._texts = texts
        self._max_differences = max_differences
        self._generator = GrammarGenerator(self._rng)
        pieces = sorted({*PIECES, *LINES})
        words = {"".join(self._rng.choice(pieces) for _ in range(self._rng.randint(2, 4))) for _ in range(60)}
        self._tokens = [bytes([byte]) for byte in range(256)]
        self._tokens += sorted({text.encode() for text in (*pieces, *words)} - set(self._tokens))
        self._tried = [
            index for index, token in enumerate(self._tokens) if len(token) > 1 or token in b"abcx01 (\n#\xc3\xa9"
        ]
        vocabulary = Vocabulary([*self._tokens, b""], stop_token_ids=[len(self._tokens)])
        self._compiler = GrammarCompiler(vocabulary, cache_size=1, cache_dir="")
        self.report = Report()

    def run(self, verdicts: int, progress: Callable[[Report], None] | None = None) -> Report:
        """At least so many verdicts, or until too much is wrong."""
        report = self.report
        while report.verdicts < verdicts and len(report.differences) < self._max_differences:
            self.compare(self._generator.generate())
            if progress is not None:
                progress(report)
        return report

    def compare(self, grammar: RandomGrammar) -> None:
        """One grammar."""
        report = self.report
        report.grammars += 1
        started = time.thread_time()
        try:
            pair = self._both(grammar)
            if pair is not None:
                self._compare_texts(grammar, pair)
        except LimitExceededError as error:
            report.refused_later[error.limit] += 1
        except BUGS as error:
            self._differ("error", grammar, "", f"{type(error).__name__}: {error}")
        seconds = time.thread_time() - started
        if seconds > report.slowest[0]:
            report.slowest = seconds, grammar.source

    # -- grammars ---------------------------------------------------------------------------------------------------

    def _both(self, grammar: RandomGrammar) -> Pair | None:
        """Ours and Lark's; None if there is nothing to compare."""
        theirs, complaint = _lark(grammar)
        try:
            ours = _ours(grammar)
        except UnsatisfiableGrammarError:
            if theirs is not None:
                self._expect_nothing(grammar, theirs)
            return None
        except (UnsupportedGrammarError, LimitExceededError) as error:
            construct = error.construct if isinstance(error, UnsupportedGrammarError) else "limit"
            self.report.refused[construct] += 1
            return None
        except GrammarSyntaxError as error:
            if theirs is not None:
                self._differ("grammar refused", grammar, "", str(error))
            self.report.refused_by_both += 1
            return None
        if theirs is None and grammar.parser != "glr":
            self._differ("grammar taken", grammar, "", complaint)
            return None
        for feature in grammar.features:
            self.report.compared[feature] += 1
        return Pair(ours=ours, theirs=theirs, matcher=Matcher(self._compiler.compile_grammar(ours)))

    def _expect_nothing(self, grammar: RandomGrammar, theirs: lark.Lark) -> None:
        for _ in range(self._texts):
            text = random_pieces(PIECES, self._rng)
            self.report.verdicts += 1
            if lark_verdict(theirs, text):
                self._differ("said to be unsatisfiable", grammar, text)
                return

    # -- texts ------------------------------------------------------------------------------------------------------

    def _compare_texts(self, grammar: RandomGrammar, pair: Pair) -> None:
        for text in self._random_texts(grammar):
            if not self._same_verdict(grammar, pair, text):
                return
        for _ in range(2):
            if not self._walk(grammar, pair):
                return

    def _random_texts(self, grammar: RandomGrammar) -> list[str]:
        """Sentences, texts that are nearly some, and random pieces."""
        rng = self._rng
        derived = _derivations(grammar)
        found: dict[str, None] = {"": None}
        sentences: list[str] = []
        for _ in range(4 * self._texts if derived is not None else 0):
            sentence = random_sentence(derived, rng)
            if sentence is not None and len(sentence) <= 40:
                sentences.append(sentence)
            if len(sentences) >= self._texts // 4:
                break
        if grammar.statement:
            sentences = [random_block(sentences, rng) for _ in range(self._texts // 2)]
        pieces = (*PIECES, *LINES) if grammar.statement else PIECES
        for sentence in sentences:
            found[sentence] = None
            found[changed(sentence, pieces, rng)] = None
            found[changed(changed(sentence, pieces, rng), pieces, rng)] = None
        for _ in range(self._texts // 4):
            found[random_pieces(pieces, rng)] = None
        return list(found)

    def _same_verdict(self, grammar: RandomGrammar, pair: Pair, text: str) -> bool:
        """Compare, and note what differs."""
        problem = verdict_problem(pair, text, grammar)
        if problem == "unknown":
            return True
        self.report.verdicts += 1
        if not problem:
            self.report.accepted += pair.matcher.is_accepting()
            return True
        small = _shorter(text, lambda part: verdict_problem(pair, part, grammar) not in ("", "unknown"))
        self._differ(
            "verdict",
            grammar,
            small,
            verdict_problem(pair, small, grammar),
            lambda pair, smaller: verdict_problem(pair, small, smaller) not in ("", "unknown"),
        )
        return False

    def _walk(self, grammar: RandomGrammar, pair: Pair) -> bool:
        """A random walk through our masks: verdicts of each prefix, masks of some."""
        rng = self._rng
        self.report.walks += 1
        pair.matcher.reset()
        text = b""
        for step in range(rng.randint(2, 9)):
            if step in (1, 4, 7) and not self._same_mask(grammar, pair, text):
                return False
            mask = pair.matcher.allowed_token_ids().tolist()
            likely = [token for token in self._tried if token in mask] or [t for t in mask if t < len(self._tokens)]
            if not likely:
                if not mask and pair.reference().is_viable(text):
                    self.report.dead_ends += 1  # (documented: what must follow never fits a look-ahead)
                elif not mask:
                    self._differ("dead end", grammar, repr(text))
                return bool(mask)
            token = rng.choice(likely)
            if not pair.matcher.accept_token(token):
                self._differ("a token of the mask is refused", grammar, repr(text), repr(self._tokens[token]))
                return False
            text += self._tokens[token]
            try:
                readable = text.decode()
            except UnicodeDecodeError:
                continue
            if not self._same_verdict(grammar, pair, readable):
                return False
            pair.matcher.reset()
            if not pair.matcher.accept_bytes(text):
                self._differ("a text that masks led to is refused", grammar, repr(text))
                return False
        return True

    def _same_mask(self, grammar: RandomGrammar, pair: Pair, text: bytes) -> bool:
        self.report.masks += 1
        problem = self._mask_problem(pair, text)
        if problem:
            self._differ("mask", grammar, repr(text), problem, lambda pair, _: bool(self._mask_problem(pair, text)))
        return not problem

    def _mask_problem(self, pair: Pair, text: bytes) -> str:
        """A token of which the engine's mask says what the reference does not, behind a text that both take; or ""."""
        pair.matcher.reset()
        state = pair.followed(text)
        if (text and not pair.matcher.accept_bytes(text)) or state is None:
            return ""
        allowed = set(pair.matcher.allowed_token_ids().tolist())
        for index in self._tried:
            after = pair.followed(self._tokens[index], state)
            expected = pair.reference().is_live(after) if after is not None else index in allowed
            if expected != (index in allowed):
                return f"token {self._tokens[index]!r}, {'possible' if expected else 'impossible'} by the reference"
        return ""

    def _differ(
        self, kind: str, grammar: RandomGrammar, text: str, detail: str = "", still: Still | None = None
    ) -> None:
        """Note a difference. still: whether it is there in a smaller grammar too."""
        if still is not None:
            grammar = self._smaller_grammar(grammar, still)
        self.report.differences.append(Difference(kind, grammar, text, detail))

    def _smaller_grammar(self, grammar: RandomGrammar, still: Still) -> RandomGrammar:
        """Words left out as long as the difference is still there."""
        words = re.split(r"(\s)", grammar.source)
        size = len(words)
        while size:
            at = 0
            while at < len(words):
                fewer = replace(grammar, source="".join([*words[:at], *words[at + size :]]))
                if self._is_still(fewer, still):
                    del words[at : at + size]
                else:
                    at += max(1, size // 2)
            size //= 2
        return replace(grammar, source="".join(words))

    def _is_still(self, grammar: RandomGrammar, still: Still) -> bool:
        theirs, _ = _lark(grammar)
        try:
            ours = _ours(grammar)
        except GrammarEngineError:
            return False
        if theirs is None and grammar.parser != "glr":
            return False
        return still(Pair(ours=ours, theirs=theirs, matcher=Matcher(self._compiler.compile_grammar(ours))), grammar)


@dataclass
class Pair:
    """A grammar as both have it. theirs: None for parser="glr", which Lark has not."""

    ours: LarkGrammar
    theirs: lark.Lark | None
    matcher: Matcher
    _reference: ReferenceRecognizer | None = None

    def reference(self) -> ReferenceRecognizer:
        if self._reference is None:
            self._reference = recognizer_of(self.ours)
        return self._reference

    def followed(self, data: bytes, state: State | None = None) -> State | None:
        """The reference's state behind a text; None if there are too many ways of lexing it to follow."""
        reference = self.reference()
        state = reference.start() if state is None else state
        for byte in data:
            if not reference.is_live(state):
                break
            if isinstance(state, frozenset) and len(state) > MOST_HYPOTHESES:
                return None
            state = reference.step(state, byte)
        return state


Still = Callable[[Pair, RandomGrammar], bool]


def lark_verdict(parser: lark.Lark, text: str) -> bool | None:
    """Does Lark accept the text? None where it fails itself."""
    try:
        parser.parse(text)
    except (lark.exceptions.LarkError, AssertionError, IndexError):  # (the last two are of its Indenter)
        return False
    except RuntimeError:  # "Earley should not generate multiple start symbol items! Please report this bug."
        return None
    return True


def verdict_problem(pair: Pair, text: str, grammar: RandomGrammar) -> str:
    """What differs: "" if nothing does, "unknown" where the verdicts are documented to differ or Lark has none."""
    if grammar.postlex is not None and "#" in text.rpartition("\n")[2]:
        return "unknown"  # a comment at the very end, without a line feed
    expected = None if pair.theirs is None else lark_verdict(pair.theirs, text)
    if pair.theirs is not None and expected is None:
        return "unknown"
    data = text.encode()
    pair.matcher.reset()
    verdicts = {
        "ours": (not data or pair.matcher.accept_bytes(data)) and pair.matcher.is_accepting(),
    }
    state = pair.followed(data)
    if state is not None:
        verdicts["the reference"] = pair.reference().is_accepting(state)
    if expected is None and state is None:
        return "unknown"
    if expected is None:
        expected = verdicts["the reference"]
    wrong = [name for name, verdict in verdicts.items() if verdict != expected]
    return f"{'accepted' if expected else 'refused'} by Lark, not so by {' and '.join(wrong)}" if wrong else ""


def _lark(grammar: RandomGrammar) -> tuple[lark.Lark | None, str]:
    """Lark's parser, or None and its complaint."""
    if grammar.parser == "glr":
        return None, ""
    options = {} if grammar.postlex is None else {"postlex": grammar.postlex()}
    try:
        return lark.Lark(grammar.source, parser=grammar.parser, lexer=grammar.lexer, **options), ""
    except REFUSALS as error:
        return None, f"{type(error).__name__}: {error}"


def _ours(grammar: RandomGrammar) -> LarkGrammar:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return lark_grammar(grammar.source, parser=grammar.parser, lexer=grammar.lexer, postlex=grammar.postlex)


def _derivations(grammar: RandomGrammar) -> LarkGrammar | None:
    """The grammar with its productions, for sentences; None if it cannot be had."""
    source = grammar.source
    if grammar.statement:
        source = "\n".join(line for line in source.splitlines() if "_NL" not in line and "%declare" not in line) + "\n"
    try:
        return lark_grammar(source, parser="glr", start=grammar.statement or "start")
    except GrammarEngineError:
        return None


def _shorter(text: str, fails: Callable[[str], bool]) -> str:
    """Characters left out as long as it still fails."""
    at = 0
    while at < len(text):
        shorter = text[:at] + text[at + 1 :]
        if fails(shorter):
            text, at = shorter, 0
        else:
            at += 1
    return text
