"""Grammars over canvases: slots that are filled in any order, of which some are known (diffusion language models)."""
