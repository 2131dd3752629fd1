"""Readers of tokenizer files: each turns one format into a ``TokenTable``, none needs the format's own library.

    huggingface.py    tokenizer.json, folders, fast tokenizers      decoders.py   what its decoder makes of a piece
    tiktoken.py       "base64 rank" lines, tekken.json, encodings
    sentencepiece.py  the ModelProto, read field by field           table.py      what all of them return

What an id appends to a text is defined by *decoding*, so that is what the readers follow. How a text is split into
ids (merges, scores, normalizers, pre-tokenizers) never matters here: every spelling that decodes to a text is allowed.
"""
