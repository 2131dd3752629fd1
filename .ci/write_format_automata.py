"""Write compiler/format_automata.bin anew, after a change to a definition of a format or to numbers."""

from __future__ import annotations

import unicodedata

from grammar_engine.compiler import format_store
from grammar_engine.compiler.format_builders import build_format, format_names
from grammar_engine.compiler.numbers import common_numbers
from grammar_engine.compiler.spelling import to_json_string
from grammar_engine.compiler.unicode_classes import category_runs

format_store.write(
    format_store.PATH,
    format_names(),
    build_format,
    to_json_string,
    common_numbers(),
    category_runs(),
    unicode_version=unicodedata.unidata_version,
)
