"""Random Lark grammars and texts, and a comparison of our verdicts and masks with Lark's and the reference's."""
