"""Grammar sources in, compiled grammars out: the compiler, and what it shares between grammars.

    vocab = Vocabulary.from_huggingface(tokenizer)
    compiler = GrammarCompiler(vocab)
    compiled = compiler.compile_json_schema({"type": "object", ...})

A ``CompiledGrammar`` is little more than its start state: automata grow when matchers visit them. Both classes may be
shared by threads.
"""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from grammar_engine.compiler.errors import NotEnforced, SchemaNotEnforcedWarning
from grammar_engine.compiler.frontends.lark_source import LarkGrammar, LarkSource, is_lark_path, read_lark_source
from grammar_engine.compiler.grammar_cache import GrammarCache
from grammar_engine.compiler.ir import Grammar
from grammar_engine.compiler.limits import DEADLINE, Limits
from grammar_engine.compiler.mask_cache import MaskCache
from grammar_engine.compiler.mask_store import MaskStore
from grammar_engine.compiler.reading import copy_json
from grammar_engine.compiler.shipped_grammars import stored_grammar
from grammar_engine.compiler.warmup import CANVAS_MODULES, load_kernels

if TYPE_CHECKING:
    import os

    from grammar_engine.compiler.canvas.automaton import CanvasAutomaton
    from grammar_engine.compiler.engine import Engine
    from grammar_engine.compiler.guard import Guard
    from grammar_engine.compiler.guard_tokens import GuardTokens
    from grammar_engine.compiler.vocabulary import Vocabulary


MOST_TOKEN_SETS = 16
"""Sets of special tokens that a compiler keeps a vocabulary and a trie for; the oldest goes."""

RENEWED_AT = 0.5
"""The share of ``Limits.arena_bytes`` from which on new matchers begin in a new engine."""


class CompiledGrammar:
    """A grammar bound to a vocabulary. Make matchers of it: ``Matcher(compiled)``.

    Its automata lie in an ``Engine``, and grow. When they take RENEWED_AT of ``Limits.arena_bytes``, new matchers begin
    in an engine anew; the old one goes when its last matcher does. So a process that serves for days stays within
    bounds, and only a single text can meet the limit.
    """

    def __init__(
        self,
        grammar: Grammar,
        vocabulary: Vocabulary,
        stop_ids: npt.NDArray[np.int32],
        begin: Callable[[Engine | None], tuple[Engine, Guard | None]],
    ) -> None:
        """begin: makes an engine and a guard to begin with; given the engine that they replace, if there is one."""
        self.grammar = grammar
        self.vocabulary = vocabulary
        self.stop_ids = stop_ids
        self._begin = begin
        self._newest = begin(None)
        self._lock = threading.Lock()
        self.shown = vocabulary
        """The vocabulary to decode texts with: special tokens of the grammar are shown by their names."""
        self.closing_ids: frozenset[int] = frozenset()
        """Stop tokens that the grammar itself names: where it has them they are text, and end it if it is complete."""
        self.renewals = 0
        self.is_warmed = False
        self._canvases: CanvasAutomaton | None = None

    @property
    def engine(self) -> Engine:
        """The engine that was begun last."""
        return self._newest[0]

    @property
    def guard(self) -> Guard | None:
        """What holds of texts beside the grammar, for texts in ``engine``."""
        return self._newest[1]

    def begin(self) -> tuple[Engine, Guard | None, int]:
        """What a new matcher works with, and how many engines there were before."""
        with self._lock:
            engine = self._newest[0]
            if engine.used_bytes > RENEWED_AT * engine.limits.arena_bytes:
                self._newest = self._begin(engine)
                self.renewals += 1
            return (*self._newest, self.renewals)

    def canvas_automaton(self, *, anew: bool = False) -> CanvasAutomaton:
        """What canvases of this grammar know; begun anew when it has become large, as engines are, or on request."""
        load_kernels(CANVAS_MODULES)
        from grammar_engine.compiler.canvas.automaton import CanvasAutomaton

        with self._lock:
            found = self._canvases
            if found is None or found.engine is not self.engine:
                found = self._canvases = CanvasAutomaton(self.engine)
            elif anew or found.is_large:
                found = self._canvases = CanvasAutomaton(self.engine, None if found.lexemes.is_large else found.lexemes)
            return found

    def warm_up(self, texts: Iterable[str | bytes | Sequence[int]]) -> int:
        """Follow texts of the language, so that the masks which they need are known: the number of masks asked for.

        Worth it before ``GrammarCompiler.save_cache``, which keeps what is known for the next process (of Lark
        grammars). A text is followed as far as the grammar allows it, by its longest tokens; token ids as they are.
        It ends when so much is known that not much more would be kept (256 MiB, a quarter of ``Limits.arena_bytes``,
        three quarters of ``mask_bytes``).
        """
        from grammar_engine.compiler.warm_texts import WARM, follow

        engine = self.engine
        count = 0
        for text in texts:
            if not engine.leaves_room(WARM):
                break
            count += follow(engine, text)
        self.is_warmed = self.is_warmed or count > 0
        return count

    def text_of(self, token_ids: Iterable[int]) -> str:
        """The text of tokens, with the names of those special tokens that take part in the grammar."""
        return self.shown.decode(token_ids).decode("utf-8", "replace")

    @property
    def not_enforced(self) -> tuple[NotEnforced, ...]:
        """What was left out of a JSON Schema because of ``on_unsupported="warn"``."""
        return self.grammar.not_enforced

    @property
    def statistics(self) -> dict[str, int]:
        """Sizes of the automata built so far and counts of work done (see ``Engine.statistics``)."""
        return self.engine.statistics


class GrammarCompiler:
    """Compiles grammars for one vocabulary and remembers the last ``cache_size`` of them.

    limits: arena and mask budgets of each compiled grammar. cache_dir: where mask rows that many grammars share, and
    compiled Lark grammars with their masks, are kept between processes (None: $GRAMMAR_ENGINE_MASK_CACHE, else the
    user's cache folder; "" turns it off).
    prepare: load now what the first JSON Schema would have to wait for (a tenth of a second); worth turning off where
    there will be none.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        limits: Limits | None = None,
        cache_size: int = 64,
        cache_dir: str | os.PathLike[str] | None = None,
        prepare: bool = True,
    ) -> None:
        load_kernels()
        from grammar_engine.compiler.engine import EngineContext  # importing it loads (or compiles) the kernels
        from grammar_engine.compiler.engine_cache import EngineCache
        from grammar_engine.compiler.token_trie import make_token_trie

        self.vocabulary = vocabulary
        self.limits = limits or Limits()
        self.store = MaskStore()
        self._disk = MaskCache(vocabulary, self.store, cache_dir)
        self._disk.load()
        self._grammars = GrammarCache(self._disk.folder)
        self._engines = EngineCache(self._disk.folder, vocabulary.fingerprint, self.limits)
        self._stored: WeakKeyDictionary[CompiledGrammar, tuple[Path, LarkSource]] = WeakKeyDictionary()
        self._context = EngineContext(make_token_trie(vocabulary.tokens), vocabulary.size, self.store)
        self._stop_ids = np.array(vocabulary.stop_token_ids, np.int32)
        self._cache: OrderedDict[tuple[object, ...], CompiledGrammar] = OrderedDict()
        self._cache_size = cache_size
        self._beside: dict[tuple[int, ...], tuple[GrammarCompiler, Vocabulary]] = {}
        self._lock = threading.Lock()
        if prepare:
            self._prepare()

    # -- front ends -----------------------------------------------------------------------------------------------

    def compile_json_schema(
        self,
        schema: dict[str, Any] | bool | str,
        *,
        any_whitespace: bool = True,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        property_order: str = "declared",
        max_whitespace: int | None = None,
        documents: Mapping[str, object] | None = None,
        plain_integers: bool = False,
        deadline: float | None = DEADLINE,
        on_unsupported: str = "error",
    ) -> CompiledGrammar:
        """A JSON Schema (dict, bool or JSON text); texts are JSON values that validate against it.

        any_whitespace: JSON whitespace is allowed between tokens, at most ``max_whitespace`` characters per gap; else
        the text is laid out exactly as ``json.dumps`` would with ``indent`` and ``separators`` (giving either turns
        any_whitespace off). property_order: "declared" (additional properties last) or "any". documents: URI → document
        (JSON data) that a ``$ref`` or ``$schema`` may name; nothing is ever fetched. plain_integers: integers have
        digits only, no ``1.0`` or ``1e2``. deadline: seconds of processor time to compile; a part that is expanded
        while matching may take five times as long; None: no limit. on_unsupported: "error" refuses a schema with
        keywords that cannot be enforced; "warn" leaves them out, and SchemaNotEnforcedWarning and
        ``CompiledGrammar.not_enforced`` list them. See docs/json_schema.md.

        Raises InvalidSchemaError, UnsupportedSchemaError, UnsatisfiableGrammarError or LimitExceededError; ValueError
        for options that make no sense.
        """
        from grammar_engine.compiler.frontends.json_schema.grammar import json_schema_grammar
        from grammar_engine.compiler.frontends.json_schema.options import JsonSchemaOptions

        chosen: dict[str, Any] = {"any_whitespace": any_whitespace and indent is None and separators is None}
        chosen.update(indent=indent, separators=separators, property_order=property_order)
        chosen.update(plain_integers=plain_integers, deadline=deadline, on_unsupported=on_unsupported)
        if max_whitespace is not None:
            chosen["max_whitespace"] = max_whitespace
        options = JsonSchemaOptions(**chosen)
        text, data = copy_json(schema)
        copies = {uri: copy_json(document, "a document") for uri, document in (documents or {}).items()}
        further = {uri: copy[1] for uri, copy in copies.items()}
        if text is None or any(copy[0] is None for copy in copies.values()):  # nested too deeply to be written
            return _told(self._bind(json_schema_grammar(data, options, further)))
        key = ("json_schema", text, options, *sorted((uri, copy[0]) for uri, copy in copies.items()))
        return _told(self._compile(key, lambda: self._bind(json_schema_grammar(data, options, further))))

    def compile_regex(self, pattern: str, *, flags: int = 0) -> CompiledGrammar:
        """A regular expression in Python's `re` syntax; the whole text must match, as with ``re.fullmatch``.

        Raises GrammarSyntaxError, UnsupportedGrammarError (back-references, conditional and atomic groups, possessive
        quantifiers), UnsatisfiableGrammarError or LimitExceededError.
        """
        from grammar_engine.compiler.frontends.regex import regex_grammar

        return self._compile(("regex", pattern, int(flags)), lambda: self._bind(regex_grammar(pattern, flags=flags)))

    def compile_choices(self, choices: Sequence[str]) -> CompiledGrammar:
        """One of the given strings, exactly."""
        from grammar_engine.compiler.frontends.choices import choices_grammar

        if isinstance(choices, str):
            raise TypeError("choices is a list of texts, not one text")
        listed = list(choices)
        return self._compile(("choices", *listed), lambda: self._bind(choices_grammar(listed)))

    def compile_lark(
        self,
        source: str | os.PathLike[str],
        *,
        start: str = "start",
        parser: str = "auto",
        lexer: str = "auto",
        postlex: object | None = None,
    ) -> CompiledGrammar:
        """A Lark grammar: its text, a .lark file's path, or a shipped grammar's name; options as in ``lark.Lark``.

        postlex: an instance or subclass of ``lark.indenter.Indenter``.

        Raises GrammarSyntaxError, UnsupportedGrammarError or UnsatisfiableGrammarError.
        """
        options: dict[str, Any] = {"start": start, "parser": parser, "lexer": lexer, "postlex": postlex}
        if is_lark_path(source):  # a file may change, and so may what it imports
            return self._bind_lark(read_lark_source(source, **options))
        return self._compile(
            ("lark", source, *options.values()), lambda: self._bind_lark(read_lark_source(source, **options))
        )

    def compile_gbnf(self, source: str | os.PathLike[str], *, root: str = "root") -> CompiledGrammar:
        """A grammar in llama.cpp's GBNF or XGrammar's EBNF: its text, the path of a .gbnf or .ebnf file, or the name of
        a shipped one; ``root`` names the rule that the whole text matches. See docs/gbnf.md.

        Raises GrammarSyntaxError, UnsupportedGrammarError, UnsatisfiableGrammarError or LimitExceededError.
        """
        from grammar_engine.compiler.frontends.gbnf.grammar import is_gbnf_path, load_gbnf_grammar

        if is_gbnf_path(source):  # a file may change
            return self._bind(load_gbnf_grammar(source, root=root))
        return self._compile(("gbnf", source, root), lambda: self._bind(load_gbnf_grammar(source, root=root)))

    def compile_structural_tag(
        self,
        tag: Mapping[str, Any] | str,
        *,
        special_tokens: str = "tokens",
        any_whitespace: bool = True,
        max_whitespace: int | None = None,
        separators: tuple[str, str] | None = None,
        property_order: str = "declared",
        plain_integers: bool = False,
        deadline: float | None = DEADLINE,
        on_unsupported: str = "error",
    ) -> CompiledGrammar:
        """A structural tag (dict or JSON text): free text, and constrained regions in it that triggers open.

        ``{"type": "structural_tag", "format": {…}}`` with XGrammar's formats, or the older ``{"structures": […],
        "triggers": […]}``; see docs/structural_tags.md. special_tokens: what the name of a special token in a begin,
        an end, a trigger or a constant text means: "tokens", that token alone; "letters", its letters; "either", both.
        The other options are those of ``compile_json_schema``, for each JSON Schema in it.

        Raises InvalidSchemaError, UnsupportedGrammarError, UnsupportedSchemaError (with a pointer into the tag),
        GrammarSyntaxError, UnsatisfiableGrammarError or LimitExceededError; ValueError for options that make no sense.
        """
        from grammar_engine.compiler.frontends.json_schema.options import JsonSchemaOptions
        from grammar_engine.compiler.frontends.structural_tag.grammar import structural_tag_grammar

        chosen: dict[str, Any] = {"any_whitespace": any_whitespace and separators is None, "separators": separators}
        chosen.update(property_order=property_order, plain_integers=plain_integers)
        chosen.update(deadline=deadline, on_unsupported=on_unsupported)
        if max_whitespace is not None:
            chosen["max_whitespace"] = max_whitespace
        options = JsonSchemaOptions(**chosen)
        text, data = copy_json(tag, "the structural tag")
        key = ("structural_tag", text, options, special_tokens)
        found = None if text is None else self._known(key)
        if found is None:
            read = structural_tag_grammar(data, self.vocabulary, options, special_tokens=special_tokens)
            if read.tokens:
                compiler, shown = self._with_tokens(read.tokens)
                found = compiler.compile_grammar(read.grammar)
                found.shown, found.stop_ids = shown, self._stop_ids
            else:
                found = self._bind(read.grammar)
            found.closing_ids = frozenset(self.vocabulary.stop_token_ids).intersection(read.tokens)
            if text is not None:
                self._keep(key, found)
        return _told(found)

    def compile_grammar(self, grammar: Grammar) -> CompiledGrammar:
        """A grammar of your own front end (see ``grammar_engine.compiler.ir``). Not cached."""
        return self._bind(grammar)

    # -- shared ---------------------------------------------------------------------------------------------------

    def save_cache(self) -> int:
        """Write what was found so far to the disk cache; the number of mask rows kept there that grammars share.

        Beside those: Lark grammars, and their engines with all masks that they know, see ``engine_cache``.
        """
        self._grammars.save()
        with self._lock:
            stored = list(self._stored.items())
        for compiled, (path, source) in stored:
            grammar = compiled.grammar
            if isinstance(grammar, LarkGrammar):
                self._engines.put(path, source, grammar, compiled.engine, warmed=compiled.is_warmed)
                compiled.is_warmed = False
        return self._disk.save()

    def _compile(self, key: tuple[object, ...], build: Callable[[], CompiledGrammar]) -> CompiledGrammar:
        compiled = self._known(key)
        if compiled is None:
            compiled = build()
            self._keep(key, compiled)
        return compiled

    def _known(self, key: tuple[object, ...]) -> CompiledGrammar | None:
        with self._lock:
            found = self._cache.get(key)
            if found is not None:
                self._cache.move_to_end(key)
            return found

    def _keep(self, key: tuple[object, ...], compiled: CompiledGrammar) -> None:
        if self._cache_size > 0:
            with self._lock:
                self._cache[key] = compiled
                while len(self._cache) > self._cache_size:
                    self._cache.popitem(last=False)

    def _with_tokens(self, token_ids: tuple[int, ...]) -> tuple[GrammarCompiler, Vocabulary]:
        """The compiler for grammars in which some special tokens take part, and a vocabulary to decode with (see
        ``special_names``).
        """
        from grammar_engine.compiler.frontends.structural_tag.special_names import as_shown, with_tokens

        with self._lock:
            found = self._beside.get(token_ids)
        if found is None:
            vocabulary = with_tokens(self.vocabulary, token_ids)
            made = GrammarCompiler(vocabulary, limits=self.limits, cache_size=0, cache_dir="", prepare=False)
            found = made, as_shown(vocabulary, token_ids, self.vocabulary.special_tokens)
            with self._lock:
                found = self._beside.setdefault(token_ids, found)
                if len(self._beside) > MOST_TOKEN_SETS:
                    del self._beside[next(iter(self._beside))]
        return found

    def _bind(self, grammar: Grammar) -> CompiledGrammar:
        from grammar_engine.compiler.engine import Engine

        def begin(before: Engine | None) -> tuple[Engine, Guard | None]:
            # (front ends are asked under one lock, whichever engine asks)
            engine = Engine(grammar, self._context, self.limits, lock=None if before is None else before.lock)
            guard = None
            if grammar.guarding is not None:
                from grammar_engine.compiler.guard import Guard

                guard = Guard(grammar.guarding, self._guard_tokens, engine)
            return engine, guard

        return CompiledGrammar(grammar, self.vocabulary, self._stop_ids, begin)

    def _bind_lark(self, source: LarkSource) -> CompiledGrammar:
        from grammar_engine.compiler.engine import Engine

        path = self._engines.path(source)
        stored = self._engines.get(path)
        grammar = self._lark_grammar(source) if stored is None else stored.grammar

        def begin(before: Engine | None) -> tuple[Engine, Guard | None]:
            found = stored if before is None else self._engines.get(path)
            image = None if found is None else found.image
            return Engine(grammar, self._context, self.limits, portable=True, image=image), None

        compiled = CompiledGrammar(grammar, self.vocabulary, self._stop_ids, begin)
        if path is not None:
            with self._lock:
                self._stored[compiled] = path, source
        return compiled

    def _lark_grammar(self, source: LarkSource) -> LarkGrammar:
        found = stored_grammar(source) or self._grammars.get(source)
        if found is None:
            from grammar_engine.compiler.frontends.lark import load_lark_grammar

            found = load_lark_grammar(source)
            self._grammars.put(source, found)
        return found

    def _prepare(self) -> None:
        """Bind JSON Schemas: modules are imported, and the usual layout's preludes are run (draft 4 has its own)."""
        from grammar_engine.compiler.frontends.json_schema.grammar import json_schema_grammar
        from grammar_engine.compiler.frontends.json_schema.options import JsonSchemaOptions

        for plain_integers in (False, True):
            self._bind(json_schema_grammar(True, JsonSchemaOptions(plain_integers=plain_integers)))

    @cached_property
    def _guard_tokens(self) -> GuardTokens:
        from grammar_engine.compiler.guard_tokens import GuardTokens

        return GuardTokens(self.vocabulary.tokens, self._context.trie)


def _told(compiled: CompiledGrammar) -> CompiledGrammar:
    """Warn of what was left out."""
    if compiled.not_enforced:
        warnings.warn(SchemaNotEnforcedWarning(compiled.not_enforced), stacklevel=3)
    return compiled
