"""What the ``decoder`` of a tokenizer.json appends to a text for each piece, in mid-text.

A decoder is a chain of steps over the list of pieces of a text. Those that work on one piece at a time give each piece
its bytes; ``Fuse`` joins the pieces, and what comes behind it sees the whole text. The only such step that occurs in
practice, stripping one leading space, is reported as a flag. Steps whose effect on a piece depends on its neighbours
are refused by name.

    ByteLevel     each character stands for a byte (GPT-2's table); a piece with other characters stands for itself
    Replace       a string for another (U+2581 for a space)
    Metaspace     U+2581 for a space; drops those of the first piece
    ByteFallback  ``<0x0A>`` for the byte
    WordPiece     continuations lose their prefix, other pieces get a space in front, contractions are drawn together;
                  the first piece of a text is left as it is
    Strip         characters off the ends of each piece, or of the text if fused
    no decoder    pieces joined by spaces

Semantics: the `tokenizers` library, decoders/*.rs, observed on version 0.23.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from typing import Any

from grammar_engine.compiler.errors import TokenizerError
from grammar_engine.compiler.tokenizers.table import expect

_BYTE_PIECE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
# WordPiece's clean-up acts on one piece with its leading space, in this order.
_CLEAN_UP = (
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"),
    (" 'm", "'m"), (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
)  # fmt: skip


def byte_level_alphabet() -> str:
    """The character that stands for each byte 0 … 255: itself if visible in Latin-1, else one from U+0100 on."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    replacements = iter(range(0x100, 0x200))
    return "".join(chr(byte if byte in visible else next(replacements)) for byte in range(256))


def byte_level(pieces: Sequence[str]) -> list[bytes]:
    """Bytes of byte-level pieces; a piece with a character outside of the alphabet stands for its UTF-8."""
    alphabet = byte_level_alphabet()
    encoding = codecs.charmap_build(alphabet)
    joined = "".join(pieces)
    foreign = set(joined) - set(alphabet)
    if foreign:
        return [
            piece.encode("utf-8", "replace")
            if foreign & set(piece)
            else codecs.charmap_encode(piece, "strict", encoding)[0]
            for piece in pieces
        ]
    # One character is one byte, so one conversion of everything can be cut where the pieces were.
    data = codecs.charmap_encode(joined, "strict", encoding)[0]
    result, start = [], 0
    for length in map(len, pieces):
        result.append(data[start : start + length])
        start += length
    return result


def piece_bytes(pieces: Sequence[str], decoder: dict[str, Any] | None) -> tuple[list[bytes], bool]:
    """Bytes that each piece appends in mid-text, and whether the decoder drops a space at the start of a text.

    Raises:
        TokenizerError: a step is unknown or cannot be told piece by piece.
    """
    if decoder is None:
        return [b" " + piece.encode("utf-8", "replace") for piece in pieces], True
    current = list(pieces)
    raw: dict[int, bytes] = {}
    fused = strips = False
    for step in _steps(decoder):
        kind = step.get("type")
        if kind == "ByteLevel":
            if fused:
                raise TokenizerError("a ByteLevel decoder behind Fuse is not supported")
            raw = dict(enumerate(byte_level(current)))
        elif kind == "ByteFallback":
            for index, piece in enumerate(current):
                if len(piece) == 6 and index not in raw and _BYTE_PIECE.fullmatch(piece):
                    raw[index] = bytes.fromhex(piece[3:5])
        elif kind == "Replace":
            current = _replace(current, step, fused)
        elif kind == "Metaspace":
            mark = expect(str, step.get("replacement") or step.get("str_rep"), "Metaspace's replacement")
            current = [piece.replace(mark, " ") for piece in current]
            if step.get("prepend_scheme", "always") != "never" and step.get("add_prefix_space", True):
                strips = True
                if fused:
                    raise TokenizerError("a Metaspace decoder behind Fuse is not supported (it drops every space)")
        elif kind == "WordPiece":
            if fused:
                raise TokenizerError("a WordPiece decoder behind Fuse is not supported")
            current, strips = _word_piece(current, step), True
        elif kind == "Strip":
            current, at_start = _strip(current, step, fused)
            strips = strips or at_start
        elif kind == "Fuse":
            fused = True
        else:
            raise TokenizerError(
                f"the decoder {kind!r} is not supported: what a token appends depends on its neighbours"
            )
    encoded = [piece.encode("utf-8", "replace") for piece in current]
    for index, data in raw.items():
        encoded[index] = data
    return encoded, strips


def uses_byte_level(decoder: dict[str, Any] | None) -> bool:
    """Whether a ByteLevel step is part of the decoder."""
    return decoder is not None and any(step.get("type") == "ByteLevel" for step in _steps(decoder))


def _steps(decoder: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps of a decoder in order, nested sequences flattened."""
    if decoder.get("type") != "Sequence":
        return [decoder]
    nested = expect(list, decoder.get("decoders"), "'decoders' of the decoder sequence")
    return [step for part in nested for step in _steps(expect(dict, part, "a decoder"))]


def _replace(pieces: list[str], step: dict[str, Any], fused: bool) -> list[str]:
    pattern = expect(dict, step.get("pattern"), "the pattern of a Replace decoder")
    content = expect(str, step.get("content"), "the content of a Replace decoder")
    if "String" not in pattern:
        raise TokenizerError("a Replace decoder with a regular expression is not supported")
    old = expect(str, pattern["String"], "the pattern of a Replace decoder")
    if not old or (fused and len(old) > 1):
        raise TokenizerError(f"a Replace decoder of {old!r} behind Fuse is not supported: it may span several tokens")
    return [piece.replace(old, content) for piece in pieces]


def _word_piece(pieces: list[str], step: dict[str, Any]) -> list[str]:
    prefix = expect(str, step.get("prefix", "##"), "WordPiece's prefix")
    result = []
    for piece in pieces:
        text = piece[len(prefix) :] if piece.startswith(prefix) else f" {piece}"
        if step.get("cleanup", True):
            for old, new in _CLEAN_UP:
                text = text.replace(old, new)
        result.append(text)
    return result


def _strip(pieces: list[str], step: dict[str, Any], fused: bool) -> tuple[list[str], bool]:
    """The pieces, and whether a space is dropped at the start of the text."""
    content = expect(str, step.get("content"), "the content of a Strip decoder")
    start = expect(int, step.get("start", 0), "'start' of a Strip decoder")
    stop = expect(int, step.get("stop", 0), "'stop' of a Strip decoder")
    if fused:
        if stop or (start and content != " "):
            raise TokenizerError(f"a Strip decoder of {content!r} off the ends of the whole text is not supported")
        return pieces, start > 0
    result = []
    for piece in pieces:
        first, last = 0, len(piece)
        while first < min(start, last) and piece[first] == content:
            first += 1
        while last > first and len(piece) - last < stop and piece[last - 1] == content:
            last -= 1
        result.append(piece[first:last])
    return result, False
