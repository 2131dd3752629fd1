"""Grammar and vocabulary in, automata out, built on demand. ARCHITECTURE.md is the map."""
