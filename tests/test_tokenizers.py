"""Tokenizer readers on small tokenizers, made and decoded by the libraries that own the formats."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest
from grammar_engine.compiler.errors import TokenizerError
from grammar_engine.compiler.tokenizers.decoders import byte_level_alphabet
from grammar_engine.compiler.vocabulary import Vocabulary
from hypothesis import given, settings
from hypothesis import strategies as st

tokenizers = pytest.importorskip("tokenizers")
tiktoken = pytest.importorskip("tiktoken")
sentencepiece = pytest.importorskip("sentencepiece")


def text_of(data: bytes) -> str | None:
    """The text of bytes, None if they are not UTF-8: libraries differ in how many U+FFFD they show."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


# -- decoders, against the `tokenizers` library -------------------------------------------------------------------

PIECES = [
    "a", "##a", "##", ".", "##.", "n't", "'s", "do", "not", "do not", "'", "▁", "▁a", "a▁b", "▁▁", "<0x41>", "<0xC3>",
    "<0xA9>", "<0x0A>", "<0xZZ>", "<0x041>", "Ġ", "Ġa", "Ã", "©", "Ċ", "é", "日本", " x", "x ", "  ", "xax", "xx", "😀",
]  # fmt: skip
DECODERS = {
    "byte level": lambda d: d.ByteLevel(),
    "metaspace": lambda d: d.Metaspace(),
    "metaspace, never": lambda d: d.Metaspace(prepend_scheme="never"),
    "word piece": lambda d: d.WordPiece(),
    "word piece, no clean-up": lambda d: d.WordPiece(prefix="@", cleanup=False),
    "none": lambda _: None,
    "fallback": lambda d: d.ByteFallback(),
    "llama": lambda d: d.Sequence([d.Replace("▁", " "), d.ByteFallback(), d.Fuse(), d.Strip(" ", 1, 0)]),
    "gemma": lambda d: d.Sequence([d.Replace("▁", " "), d.ByteFallback(), d.Fuse()]),
    "strip pieces": lambda d: d.Sequence([d.Strip("x", 1, 1), d.Replace("a", "bb")]),
    "nested": lambda d: d.Sequence([d.Sequence([d.ByteFallback()]), d.Metaspace()]),
}


def word_level(decoder: Any) -> Any:
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({piece: i for i, piece in enumerate(PIECES)}, "?"))
    if decoder is not None:
        tokenizer.decoder = decoder
    return tokenizer


@pytest.mark.parametrize("name", DECODERS)
def test_bytes_are_what_the_library_decodes_in_mid_text(name: str) -> None:
    tokenizer = word_level(DECODERS[name](tokenizers.decoders))
    vocabulary = Vocabulary.from_huggingface(tokenizer)
    anchor = PIECES.index("日本")  # the same under every decoder
    start = tokenizer.decode([anchor])
    rng = random.Random(0)
    compared = 0
    for length in (1, 1, 1, 2, 3, 5):
        for _ in range(150):
            ids = [rng.randrange(len(PIECES)) for _ in range(length)]
            expected = text_of(vocabulary.decode(ids))
            if expected is not None:
                compared += 1
                assert tokenizer.decode([anchor, *ids, anchor]) == start + text_of(vocabulary.decode([*ids, anchor])), (
                    ids
                )
    assert compared > 200


@pytest.mark.parametrize("name", DECODERS)
def test_the_flag_says_whether_the_first_space_is_dropped(name: str) -> None:
    tokenizer = word_level(DECODERS[name](tokenizers.decoders))
    vocabulary = Vocabulary.from_huggingface(tokenizer)
    differs = False
    for token_id in range(len(PIECES)):
        text = text_of(vocabulary.decode([token_id]))
        if name.startswith("word piece") and PIECES[token_id] not in ("a", "do", "日本", "xx"):
            continue  # at the start it neither removes the mark of a continuation nor cleans up
        if text is not None and tokenizer.decode([token_id]) != text:
            differs = True
            # Metaspace drops every mark of the first piece; the others drop one space.
            metaspace = name in ("metaspace", "nested")
            assert tokenizer.decode([token_id]) == (PIECES[token_id].replace("▁", "") if metaspace else text[1:])
    assert differs == vocabulary.strips_leading_space


def test_byte_level_alphabet_is_the_library_s() -> None:
    assert sorted(byte_level_alphabet()) == sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())


@pytest.mark.parametrize(
    ("decoder", "message"),
    [
        ({"type": "BPEDecoder", "suffix": "</w>"}, "BPEDecoder"),
        ({"type": "CTC"}, "CTC"),
        ({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "ByteLevel"}]}, "Fuse"),
        ({"type": "Replace", "pattern": {"Regex": "a+"}, "content": ""}, "regular expression"),
        (
            {
                "type": "Sequence",
                "decoders": [{"type": "Fuse"}, {"type": "Strip", "content": "x", "start": 0, "stop": 1}],
            },
            "Strip",
        ),
        ({"type": "Sequence"}, "decoders"),
        ({"type": "Replace"}, "pattern"),
        ([], "decoder"),
    ],
)
def test_decoders_that_do_not_work_piece_by_piece_are_refused(decoder: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"model": {"type": "WordLevel", "vocab": {"a": 0}}, "decoder": decoder}))
    with pytest.raises(TokenizerError, match=message):
        Vocabulary.from_huggingface(path)


# -- roles of ids --------------------------------------------------------------------------------------------------


def byte_level_bpe() -> Any:
    alphabet = byte_level_alphabet()
    vocab = {character: i for i, character in enumerate(alphabet)} | {"ab": 256}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, [("a", "b")]))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    return tokenizer


def test_added_tokens() -> None:
    tokenizer = byte_level_bpe()
    added = tokenizers.AddedToken
    tokenizer.add_special_tokens(["<|im_end|>", "<s>"])
    tokenizer.add_tokens([added("<tool>"), added("日本"), added("  x"), added("éé")])
    vocabulary = Vocabulary.from_huggingface(tokenizer)
    assert dict(vocabulary.special_tokens) == {"<|im_end|>": 257, "<s>": 258}
    assert vocabulary.stop_token_ids == (257,)
    assert vocabulary.tokens[257:] == (None, None, b"<tool>", "日本".encode(), b"  x", None)
    # The library itself shows why the last one has no bytes: it does not decode to what it was encoded from.
    assert tokenizer.decode(tokenizer.encode("éé").ids) != "éé"


def test_vocab_size_pads_and_cuts() -> None:
    tokenizer = byte_level_bpe()
    tokenizer.add_special_tokens(["<|im_end|>"])
    padded = Vocabulary.from_huggingface(tokenizer, vocab_size=300)
    assert len(padded) == 300
    assert set(padded.tokens[257:]) == {None}
    cut = Vocabulary.from_huggingface(tokenizer, vocab_size=257)
    assert cut.stop_token_ids == ()
    assert cut.tokens[256] == b"ab"
    assert Vocabulary.from_huggingface(tokenizer, stop_token_ids=[3]).stop_token_ids == (3,)
    with pytest.raises(TokenizerError):
        Vocabulary.from_huggingface(tokenizer, stop_token_ids=[300])
    with pytest.raises(TokenizerError, match="out of range"):
        Vocabulary.from_huggingface(tokenizer, vocab_size=0)


def test_holes_between_ids_are_absent(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 3}, "unk_token": "b"}}))
    vocabulary = Vocabulary.from_huggingface(path)
    assert vocabulary.tokens == (b" a", None, None, None)
    assert dict(vocabulary.special_tokens) == {"b": 3}


def test_unigram_unknown_is_special() -> None:
    tokenizer = tokenizers.Tokenizer(tokenizers.models.Unigram([("<x>", 0.0), ("▁a", -1.0)], 0, False))
    tokenizer.decoder = tokenizers.decoders.Metaspace()
    vocabulary = Vocabulary.from_huggingface(tokenizer)
    assert vocabulary.tokens == (None, b" a")
    assert vocabulary.strips_leading_space


# -- sources: paths, folders, objects ------------------------------------------------------------------------------


def test_path_gzip_folder_and_objects_agree(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = byte_level_bpe()
    tokenizer.add_special_tokens(["<end>", "<|im_end|>", "<img>"])
    text = tokenizer.to_str()
    (tmp_path / "tokenizer.json").write_text(text, encoding="utf-8")
    (tmp_path / "other.json.gz").write_bytes(gzip.compress(text.encode()))
    plain = Vocabulary.from_huggingface(tokenizer)
    assert plain.stop_token_ids == (258,)
    assert Vocabulary.from_huggingface(tmp_path / "tokenizer.json") == plain
    assert Vocabulary.from_huggingface(str(tmp_path / "other.json.gz")) == plain
    assert Vocabulary.from_huggingface(tmp_path) == plain
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")
    assert Vocabulary.from_huggingface(fast).stop_token_ids == (257, 258)
    assert Vocabulary.from_huggingface(fast).tokens == plain.tokens


def test_a_folder_s_configuration_names_stops_and_width(tmp_path: Path) -> None:
    tokenizer = byte_level_bpe()
    tokenizer.add_special_tokens(["<end>", "<other>"])
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": "<end>"}}))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [258]}))
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": 320, "eos_token_id": 257}))
    vocabulary = Vocabulary.from_huggingface(tmp_path)
    assert vocabulary.stop_token_ids == (257, 258)
    assert len(vocabulary) == 320


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b"\x00\xff\xfe", "not JSON"),
        (b"[1]", "dict"),
        (b"{}", "no 'model'"),
        (b"[" * 100_000, "not JSON"),
        (b'{"config": {}, "vocab": []}', "from_tiktoken"),
        (b'{"model": 3}', "'model'"),
        (b'{"model": {"type": "Mamba", "vocab": {}}}', "Mamba"),
        (b'{"model": {"type": "BPE"}}', "'vocab'"),
        (b'{"model": {"type": "BPE", "vocab": {"a": "b"}}}', "integer ids"),
        (b'{"model": {"type": "BPE", "vocab": {"a": true}}}', "integer ids"),
        (b'{"model": {"type": "BPE", "vocab": {"a": 1, "b": 1}}}', "different pieces"),
        (b'{"model": {"type": "BPE", "vocab": {"a": -1}}}', "out of range"),
        (b'{"model": {"type": "BPE", "vocab": {"a": 99999999999}}}', "out of range"),
        (b'{"model": {"type": "BPE", "vocab": {}}}', "at least one|out of range"),
        (b'{"model": {"type": "BPE", "vocab": {"a": 0}, "end_of_word_suffix": "</w>"}}', "end_of_word_suffix"),
        (b'{"model": {"type": "BPE", "vocab": {"a": 0}}, "pre_tokenizer": {"type": "ByteLevel"}}', "no decoder"),
        (b'{"model": {"type": "Unigram", "vocab": [["a"]]}}', "pairs"),
        (b'{"model": {"type": "Unigram", "vocab": [["a", 0], ["a", 0]]}}', "different pieces"),
        (b'{"model": {"type": "BPE", "vocab": {"a": 0}}, "added_tokens": [{"id": 1}]}', "content"),
        (b'{"model": {"type": "BPE", "vocab": {"a": 0}}, "added_tokens": [3]}', "added token"),
        (b"\x1f\x8b\x08broken", "cannot read"),
    ],
)
def test_malformed_tokenizer_json(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(TokenizerError, match=message):
        Vocabulary.from_huggingface(path)


@pytest.mark.parametrize("source", ["/nowhere/at/all", 7, None, object()])
def test_what_is_no_tokenizer_is_refused(source: object) -> None:
    for read in (Vocabulary.from_huggingface, Vocabulary.from_tiktoken, Vocabulary.from_sentencepiece):
        with pytest.raises(TokenizerError):
            read(source)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"no tokenizer\.json"):
        Vocabulary.from_huggingface(tmp_path)
    with pytest.raises(TokenizerError, match="cannot read"):
        Vocabulary.from_tiktoken(tmp_path)


# -- tiktoken ------------------------------------------------------------------------------------------------------

RANKS = {bytes([byte]): byte for byte in range(256)} | {b"ab": 256, "é".encode(): 257}


def rank_file(path: Path) -> Path:
    import base64

    path.write_text("".join(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in RANKS.items()))
    return path


def test_rank_file_and_encoding_agree(tmp_path: Path) -> None:
    special = {"<|eot_id|>": 260, "<|x|>": 259}
    encoding = tiktoken.Encoding("t", pat_str=r"\w+|\W+", mergeable_ranks=RANKS, special_tokens=special)
    vocabulary = Vocabulary.from_tiktoken(rank_file(tmp_path / "t.tiktoken"), special_tokens=special)
    assert vocabulary == Vocabulary.from_tiktoken(encoding)
    assert len(vocabulary) == encoding.n_vocab == 261
    assert vocabulary.tokens[258:] == (None, None, None)
    assert vocabulary.stop_token_ids == (260,)
    assert Vocabulary.from_tiktoken(encoding, stop_token_ids=[259]).stop_token_ids == (259,)
    assert [vocabulary.tokens[i] for i in range(258)] == [encoding.decode_single_token_bytes(i) for i in range(258)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no tokens"),
        (b"YQ== 0\nYg==\n", "line 2"),
        (b"YQ== zero\n", "line 1"),
        (b"Y*Q== 0\n", "not base64"),
        (b"Y 0\n", "line 1"),
        (b"YQ== 0\nYg== 0\n", "one rank"),
        (b"YQ== -4\n", "out of range"),
        (b"{}", "not a tekken"),
        (b'{"config": {}, "vocab": []}', "default_num_special_tokens"),
        (b'{"config": {"default_num_special_tokens": 0, "default_vocab_size": 1}, "vocab": [{}]}', "entry of 'vocab'"),
        (b'{"config": {"default_num_special_tokens": 0, "default_vocab_size": 2}, "vocab": [{}]}', "cannot fill"),
    ],
)
def test_malformed_rank_files(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(content)
    with pytest.raises(TokenizerError, match=message):
        Vocabulary.from_tiktoken(path)


def test_special_tokens_may_not_take_a_text_token_s_id(tmp_path: Path) -> None:
    path = rank_file(tmp_path / "t")
    for token_id in (5, -1, "7"):
        with pytest.raises(TokenizerError, match="special token"):
            Vocabulary.from_tiktoken(path, special_tokens={"<x>": token_id})  # type: ignore[dict-item]


def test_tekken_shifts_ranks_behind_the_special_tokens(tmp_path: Path) -> None:
    document = {
        "config": {"default_num_special_tokens": 2, "default_vocab_size": 4},
        "vocab": [{"rank": i, "token_bytes": data} for i, data in enumerate(("YQ==", "Yg==", "Yw=="))],
        "special_tokens": [{"rank": 1, "token_str": "</s>", "is_control": True}],
    }
    path = tmp_path / "tekken.json"
    path.write_text(json.dumps(document))
    vocabulary = Vocabulary.from_tiktoken(path)
    assert vocabulary.tokens == (None, None, b"a", b"b")
    assert vocabulary.stop_token_ids == (1,)
    assert Vocabulary.from_huggingface(tmp_path) == vocabulary


# -- SentencePiece -------------------------------------------------------------------------------------------------


def train(path: Path, **options: Any) -> Any:
    """A tiny model, trained by the library."""
    corpus = path / "corpus.txt"
    corpus.write_text("the cat sat on the mat. été à Noël. naïve café, hello world\n" * 40, encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(path / "m"), vocab_size=340, byte_fallback=True, minloglevel=2,
        normalization_rule_name="identity", hard_vocab_limit=False, num_threads=1, **options,
    )  # fmt: skip
    return sentencepiece.SentencePieceProcessor(model_file=str(path / "m.model"))


SP_OPTIONS: list[dict[str, Any]] = [
    {"model_type": "bpe", "remove_extra_whitespaces": False},
    {"model_type": "unigram", "remove_extra_whitespaces": False, "add_dummy_prefix": False},
    {"model_type": "bpe", "user_defined_symbols": ["<tool>", "<end_of_turn>", "▁▁"], "control_symbols": ["[INST]"],
     "pad_id": 3, "remove_extra_whitespaces": False},
    {"model_type": "unigram", "bos_id": -1, "eos_id": 1, "remove_extra_whitespaces": True},
]  # fmt: skip


@pytest.mark.parametrize("options", SP_OPTIONS)
def test_sentencepiece_matches_the_library(options: dict[str, Any], tmp_path: Path) -> None:
    processor = train(tmp_path, **options)
    vocabulary = Vocabulary.from_sentencepiece(tmp_path / "m.model")
    assert vocabulary == Vocabulary.from_sentencepiece(processor)
    assert len(vocabulary) == processor.get_piece_size()
    anchor = processor.piece_to_id("a")
    rng = random.Random(1)
    text_ids = [i for i in range(len(vocabulary)) if vocabulary[i] is not None]
    for i in range(len(vocabulary)):
        hidden = processor.is_control(i) or processor.is_unknown(i) or processor.is_unused(i)
        assert (vocabulary[i] is None) == (hidden or processor.id_to_piece(i) == "<end_of_turn>"), i
    for _ in range(400):
        ids = [anchor, *rng.choices(text_ids, k=rng.randrange(1, 5)), anchor]
        text = text_of(vocabulary.decode(ids))
        if text is not None:
            assert processor.decode(ids) == text
    assert processor.eos_id() in vocabulary.stop_token_ids
    for token_id in text_ids:
        text = text_of(vocabulary.decode([token_id]))
        if text is not None and text.startswith(" ") and not processor.is_byte(token_id):
            assert processor.decode([token_id]) == (text[1:] if vocabulary.strips_leading_space else text)


def test_sentencepiece_roles(tmp_path: Path) -> None:
    train(tmp_path, **SP_OPTIONS[2])
    vocabulary = Vocabulary.from_sentencepiece(tmp_path / "m.model")
    names = {"<unk>", "<s>", "</s>", "<pad>", "[INST]", "<end_of_turn>"}
    assert set(vocabulary.special_tokens) == names
    stops = {vocabulary.special_tokens[name] for name in ("</s>", "<end_of_turn>")}
    assert set(vocabulary.stop_token_ids) == stops
    assert b"<tool>" in vocabulary.tokens
    (tmp_path / "folder").mkdir()
    (tmp_path / "m.model").rename(tmp_path / "folder" / "tokenizer.model")
    assert Vocabulary.from_huggingface(tmp_path / "folder") == vocabulary


def test_sentencepiece_that_decodes_otherwise_is_refused(tmp_path: Path) -> None:
    train(tmp_path, model_type="bpe", treat_whitespace_as_suffix=True)
    with pytest.raises(TokenizerError, match="treat_whitespace_as_suffix"):
        Vocabulary.from_sentencepiece(tmp_path / "m.model")


@pytest.fixture(scope="module")
def model_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("sp")
    train(folder, model_type="bpe")
    return (folder / "m.model").read_bytes()


def test_truncated_sentencepiece_never_ends_in_a_traceback(model_bytes: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.model"
    refused = 0
    for cut in range(0, len(model_bytes), 37):
        path.write_bytes(model_bytes[:cut])
        try:
            Vocabulary.from_sentencepiece(path)
        except TokenizerError:
            refused += 1
    assert refused > 100


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_random_bytes_are_refused_or_read_but_never_crash(data: bytes) -> None:
    from grammar_engine.compiler.tokenizers import sentencepiece as reader

    try:
        table = reader.parse(data, "random bytes")
    except TokenizerError:
        return
    assert table.tokens


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_corrupted_sentencepiece_is_refused_or_read_but_never_crashes(model_bytes: bytes, data: st.DataObject) -> None:
    from grammar_engine.compiler.tokenizers import sentencepiece as reader

    damaged = bytearray(model_bytes)
    for position in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=6)):
        damaged[position] = data.draw(st.integers(0, 255))
    try:
        Vocabulary(reader.parse(bytes(damaged), "damaged").tokens)
    except TokenizerError:
        return
