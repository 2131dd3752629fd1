"""JSON Schema front end: see ``grammar.json_schema_grammar``."""
