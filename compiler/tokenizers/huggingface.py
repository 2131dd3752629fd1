"""Hugging Face tokenizers: tokenizer.json, model folders, ``tokenizers.Tokenizer`` and transformers' tokenizers.

Pieces come from ``model.vocab`` (BPE, WordPiece, WordLevel: name → id; Unigram: a list), their bytes from the decoder
(decoders.py). Added tokens stand beside the model's and win over it:

    special                    None: they never match text
    not special                what the decoder makes of their content
    not special, ambiguous     None: a byte-level decoder turns the content into *other* text than encoding takes for it
                               (an added "éé" decodes to the bytes E9 E9). Such text is spelled with other tokens.

A model's unknown token is special even where the file forgets to say so.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from grammar_engine.compiler.errors import TokenizerError
from grammar_engine.compiler.tokenizers import sentencepiece, tiktoken
from grammar_engine.compiler.tokenizers.decoders import piece_bytes, uses_byte_level
from grammar_engine.compiler.tokenizers.table import TokenTable, end_of_turn_ids, expect, parse_json, place, read_file

_MODELS = ("BPE", "Unigram", "WordPiece", "WordLevel")
_RANK_LINE = re.compile(rb"[A-Za-z0-9+/]+={0,2} \d+\r?\n")


def read(source: object) -> TokenTable:
    """Read a tokenizer.json (plain or gzip), a model folder, or a tokenizer object.

    A folder may also hold a SentencePiece model, a tekken.json or tiktoken ranks instead; its configuration files name
    further stop tokens (``eos_token``, ``eos_token_id``) and the width of the logits, to which the table is padded.

    Raises:
        TokenizerError: the source is none of these, is damaged, or decodes in a way that token bytes cannot express.
    """
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if path.is_dir():
            return _read_folder(path)
        if not path.exists():
            raise TokenizerError(
                f"there is no tokenizer at {os.fspath(source)}: expected a tokenizer.json or its folder"
            )
        return parse(parse_json(read_file(path), str(path)), str(path))
    return _read_object(source)


def _read_object(source: object) -> TokenTable:
    """Read a ``tokenizers.Tokenizer`` or a transformers tokenizer or processor, recognized by what they can do."""
    name = type(source).__name__
    for holder in (source, getattr(source, "tokenizer", None)):
        serialize = getattr(getattr(holder, "backend_tokenizer", holder), "to_str", None)
        if callable(serialize):
            table = parse(parse_json(serialize(), name), name)
            special = [i for i in getattr(holder, "all_special_ids", ()) if 0 <= i < len(table.tokens)]
            end = getattr(holder, "eos_token_id", None)
            return _with_hints(table, special=special, stops=[] if end is None else _id_list(end, name))
        if callable(getattr(getattr(holder, "sp_model", None), "serialized_model_proto", None)):
            return sentencepiece.read(holder)
    raise TokenizerError(
        f"{name} is not a tokenizer that can be read: it has no fast backend and no SentencePiece model"
    )


def _read_folder(folder: Path) -> TokenTable:
    """Read a folder as models are published in."""
    for name in ("tokenizer.json", "tokenizer.json.gz"):
        if (folder / name).exists():
            table = parse(parse_json(read_file(folder / name), str(folder / name)), str(folder / name))
            break
    else:
        if (folder / "tekken.json").exists():
            table = tiktoken.read(folder / "tekken.json")
        elif (folder / "tokenizer.model").exists():
            data = read_file(folder / "tokenizer.model")
            module = tiktoken if _RANK_LINE.match(data) else sentencepiece
            table = module.read(folder / "tokenizer.model")
        else:
            raise TokenizerError(f"{folder} holds no tokenizer.json, tekken.json or tokenizer.model")
    stops: list[int] = []
    special: list[int] = []
    width = 0
    settings = _optional_json(folder / "tokenizer_config.json")
    names = dict(table.special_tokens)
    for key, entry in (settings.get("added_tokens_decoder") or {}).items():
        if isinstance(entry, dict) and entry.get("special") and str(key).isdecimal() and int(key) < len(table.tokens):
            special.append(int(key))
            names[str(entry.get("content"))] = int(key)
    for document in (settings, _optional_json(folder / "special_tokens_map.json")):
        end = document.get("eos_token")
        end = end.get("content") if isinstance(end, dict) else end
        if isinstance(end, str) and end in names:
            stops.append(names[end])
    for name in ("generation_config.json", "config.json"):
        document = _optional_json(folder / name)
        for part in (document, document.get("text_config")):
            if isinstance(part, dict):
                if part.get("eos_token_id") is not None:
                    stops.extend(_id_list(part["eos_token_id"], f"'eos_token_id' of {folder / name}"))
                width = max(width, part["vocab_size"] if isinstance(part.get("vocab_size"), int) else 0)
    table = replace(table, special_tokens=names, tokens=place(enumerate(table.tokens), width))
    return _with_hints(table, special=special, stops=[i for i in stops if i < len(table.tokens)])


def _optional_json(path: Path) -> dict[str, Any]:
    return parse_json(read_file(path), str(path)) if path.exists() else {}


def _id_list(value: object, what: str) -> list[int]:
    ids = value if isinstance(value, (list, tuple)) else [value]
    return [expect(int, token_id, what) for token_id in ids]


def _with_hints(table: TokenTable, *, special: Iterable[int], stops: Iterable[int]) -> TokenTable:
    """Add what the surroundings of a tokenizer know of its special and stop tokens."""
    hidden = table.special_token_ids.union(special)
    return replace(
        table,
        special_token_ids=hidden,
        stop_token_ids=table.stop_token_ids.union(stops),
    )


def parse(document: dict[str, Any], name: str) -> TokenTable:
    """Parse the content of a tokenizer.json; ``name`` says where it came from, for errors.

    Raises:
        TokenizerError: see ``read``.
    """
    if "model" not in document:
        hint = " (a tekken file: use from_tiktoken)" if "config" in document and "vocab" in document else ""
        raise TokenizerError(f"{name} is JSON, but not a tokenizer.json: it has no 'model'{hint}")
    model = expect(dict, document["model"], f"'model' of {name}")
    kind = model.get("type") or _guess_model(model)
    if kind not in _MODELS:
        raise TokenizerError(f"{name}: the model type {kind!r} is not supported (only {', '.join(_MODELS)})")
    decoder = document.get("decoder")
    if decoder is not None:
        expect(dict, decoder, f"'decoder' of {name}")
    _refuse_affixes(document, model, decoder, name)

    pieces = _vocabulary(model, kind, name)
    added = _added_tokens(document, name)
    contents = [token["content"] for token in added]
    try:
        decoded, strips = piece_bytes([*pieces, *contents], decoder)
    except TokenizerError as error:
        raise TokenizerError(f"{name}: {error}") from error
    table: dict[int, bytes | None] = dict(zip(pieces.values(), decoded, strict=False))
    special: dict[str, int] = {}
    byte_level = uses_byte_level(decoder)
    for token, data in zip(added, decoded[len(pieces) :], strict=True):
        if token.get("special"):
            special[token["content"]] = token["id"]
            table[token["id"]] = None
        else:
            text = token["content"].encode("utf-8", "replace")
            ambiguous = byte_level and data != text and token["content"] not in pieces
            table[token["id"]] = None if ambiguous else data
    unknown = _unknown_piece(model, kind, pieces)
    if unknown is not None:
        special.setdefault(unknown, pieces[unknown])
        table[pieces[unknown]] = None
    return TokenTable(
        tokens=place(table.items()),
        special_tokens=special,
        special_token_ids=frozenset(special.values()),
        stop_token_ids=end_of_turn_ids(special),
        strips_leading_space=strips,
    )


def _guess_model(model: dict[str, Any]) -> str:
    """The type of a model in files from before it was written down."""
    if isinstance(model.get("vocab"), list):
        return "Unigram"
    if "merges" in model:
        return "BPE"
    return "WordPiece" if "max_input_chars_per_word" in model else "WordLevel"


def _refuse_affixes(document: dict[str, Any], model: dict[str, Any], decoder: dict[str, Any] | None, name: str) -> None:
    """Refuse pieces that carry marks which the decoder would leave in the text."""
    if model.get("end_of_word_suffix"):
        raise TokenizerError(
            f"{name}: end_of_word_suffix is not supported (the last word of a text is decoded otherwise)"
        )
    if model.get("type") == "BPE" and model.get("continuing_subword_prefix"):
        raise TokenizerError(f"{name}: continuing_subword_prefix is not supported in a BPE model")
    before = json.dumps(document.get("pre_tokenizer"))
    if decoder is None and any(f'"{kind}"' in before for kind in ("ByteLevel", "Metaspace")):
        raise TokenizerError(f"{name} has no decoder, though its pre-tokenizer rewrites the text")


def _vocabulary(model: dict[str, Any], kind: str, name: str) -> dict[str, int]:
    """Piece → id."""
    vocab = model.get("vocab")
    if kind == "Unigram":
        entries = expect(list, vocab, f"'vocab' of {name}")
        try:
            pieces = {expect(str, piece, "a piece"): index for index, (piece, _) in enumerate(entries)}
        except (TypeError, ValueError) as error:
            raise TokenizerError(f"{name}: 'vocab' should hold pairs of a piece and its score ({error})") from error
        count = len(entries)
    else:
        pieces = expect(dict, vocab, f"'vocab' of {name}")
        if not set(map(type, pieces.values())) <= {int}:
            raise TokenizerError(f"{name}: 'vocab' should map pieces to integer ids")
        count = len(set(pieces.values()))
    if len(pieces) != count:
        raise TokenizerError(f"{name}: 'vocab' names {len(pieces)} different pieces, but {count} ids")
    return pieces


def _added_tokens(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    added: list[dict[str, Any]] = expect(list, document.get("added_tokens") or [], f"'added_tokens' of {name}")
    for entry in added:
        expect(dict, entry, f"an added token of {name}")
        expect(int, entry.get("id"), f"the id of an added token of {name}")
        expect(str, entry.get("content"), f"the content of an added token of {name}")
    return added


def _unknown_piece(model: dict[str, Any], kind: str, pieces: dict[str, int]) -> str | None:
    if kind == "Unigram":
        index = model.get("unk_id")
        names = list(pieces)
        return names[index] if isinstance(index, int) and 0 <= index < len(names) else None
    unknown = model.get("unk_token")
    return unknown if isinstance(unknown, str) and unknown in pieces else None
