"""Differential fuzzing of the JSON Schema front end: our verdicts against ``jsonschema`` and ``jsonschema-rs``.

    schemas.py    seeded random schemas, every keyword of a draft and every pair of them
    strings.py    patterns and formats with labelled examples
    instances.py  values for a schema: built to be valid, mutated, random
    oracles.py    the two validators, and the explicit rules by which a difference counts as explained
    engine.py     our verdict, and random walks through our masks
    shrinking.py  a difference made small
    campaign.py   the loop and its counts

``benchmarks/fuzz_json_schema.py`` runs it at length, ``tests/test_fuzz_json_schema.py`` a short version.
"""
