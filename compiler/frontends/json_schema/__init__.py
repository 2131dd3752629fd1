"""JSON Schema front end: schemas become lazily expanded grammars."""

from grammar_engine.compiler.frontends.json_schema.grammar import json_schema_grammar
from grammar_engine.compiler.frontends.json_schema.options import JsonSchemaOptions

__all__ = ["JsonSchemaOptions", "json_schema_grammar"]
