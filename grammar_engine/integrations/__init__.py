"""The engine inside other programs: one module for each."""
