"""TokenizeFeature against byte-pair merging by hand and SentencePiece text by text."""

import io
import json
import pickle
import sys
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from pydoc_data.topics import topics

import pyarrow as pa
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx.runtime.errors import ConfigError, DataError

CORPUS = ["low lower lowest", "new newer newest wide", "裙子 连衣裙", "abc efg hij xyz 0"]


def train_bpe() -> str:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=60, special_tokens=["<unk>"]))
    # What a file may bring along, and what must not change a row: padding, and tokens around every text.
    tokenizer.enable_padding(length=20)
    content = json.loads(tokenizer.to_str())
    content["post_processor"] = {"type": "BertProcessing", "sep": ["<unk>", 0], "cls": ["<unk>", 0]}
    return json.dumps(content)


@pytest.fixture(name="files", scope="module")
def _files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizers")
    (folder / "tokenizer.json").write_text(train_bpe())
    writer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 5), model_writer=writer, vocab_size=48, minloglevel=2, hard_vocab_limit=False
    )
    (folder / "spiece.model").write_bytes(writer.getvalue())
    return folder


@pytest.fixture(name="tokenize", scope="module")
def _tokenize(files) -> dict[str, Callable[[str], list[int]]]:
    """Ids of one text, slowly."""
    model = json.loads((files / "tokenizer.json").read_text())["model"]
    ranks = {tuple(pair): rank for rank, pair in enumerate(model["merges"])}

    def bpe(text: str) -> list[int]:
        ids = []
        for word in filter(None, text.split(" ")):
            parts = list(word)
            while pairs := [pair for pair in pairwise(parts) if pair in ranks]:
                best = min(pairs, key=ranks.__getitem__)
                at = next(i for i in range(len(parts)) if tuple(parts[i : i + 2]) == best)
                parts[at : at + 2] = ["".join(best)]
            ids += [model["vocab"].get(part, 0) for part in parts]
        return ids

    pieces = sentencepiece.SentencePieceProcessor(model_file=str(files / "spiece.model"))
    return {"bpe": bpe, "sentencepiece": pieces.encode}


def config(files, rest: str = "", kind: str = "tokenize_feature", tokenizer: str = "bpe") -> str:
    file = {"bpe": "tokenizer.json", "sentencepiece": "spiece.model"}.get(tokenizer, "tokenizer.json")
    return (
        f'{kind} {{ feature_name: "f" expression: "user:t" embedding_dim: 4 asset_dir: "{files}" '
        f'vocab_file: "{file}" tokenizer_type: "{tokenizer}" {rest} }}'
    )


texts = st.lists(st.sampled_from(["low", "newest", "裙", "abc", "q", "\x1d"]), max_size=4).map(" ".join)
TOKENIZERS = st.sampled_from(["bpe", "sentencepiece"])
DEFAULTS = st.sampled_from(["", "xyz low"])


ROWS_CASES = (
    st.lists(st.none() | texts, min_size=1, max_size=6),
    TOKENIZERS,
    DEFAULTS,
    st.booleans(),
)


def check_rows(run, slots, files, tokenize, cells, tokenizer, default, as_lists):
    one = tokenize[tokenizer]
    expected = [(one(cell) if cell else []) or (one(default) if default else []) for cell in cells]
    column = pa.array(cells, pa.string())
    if as_lists:
        # A list holds texts, which are tokenized one by one.
        column = pa.array([cell and [cell, "low", None] for cell in cells], pa.list_(pa.string()))
        expected = [one(cell) + one("low") if cell else made for cell, made in zip(cells, expected, strict=True)]
    made = run(config(files, f'default_value: "{default}"', tokenizer=tokenizer), t=column)
    assert slots(made) == expected


@given(*ROWS_CASES)
@settings(max_examples=100, deadline=None)
def test_rows(run, slots, files, tokenize, cells, tokenizer, default, as_lists):
    check_rows(run, slots, files, tokenize, cells, tokenizer, default, as_lists)


@pytest.mark.slow
@given(*ROWS_CASES)
@settings(max_examples=2000, deadline=None)
def test_rows_many_times(run, slots, files, tokenize, cells, tokenizer, default, as_lists):
    check_rows(run, slots, files, tokenize, cells, tokenizer, default, as_lists)


SEQUENCES_CASES = (
    st.lists(st.none() | st.lists(texts, max_size=4), min_size=1, max_size=5),
    TOKENIZERS,
    DEFAULTS,
    st.sampled_from([2, 50]),
    st.sampled_from(["grouped", "alone"]),
    st.booleans(),
)


def check_sequences(make_features, slots, files, tokenize, rows, tokenizer, default, length, group, as_lists):
    def one(text: str) -> list[int]:
        return (tokenize[tokenizer](text) if text else []) or tokenize[tokenizer](default or "0")

    rows = [row and [text.replace(";", "") for text in row] for row in rows]
    if not as_lists:
        rows = [None if row in (None, [], [""]) else row for row in rows]
    elements = [(row or [""])[:length] for row in rows]
    rest = f'default_value: "{default}"'
    if group == "alone":
        features = make_features(
            "FG_DAG", config(files, f"{rest} sequence_length: {length}", "sequence_tokenize_feature", tokenizer)
        )
    else:
        member = config(files, rest, tokenizer=tokenizer)
        features = make_features(
            "FG_DAG", f'sequence_feature {{ sequence_name: "s" sequence_length: {length} features {{ {member} }} }}'
        )
    column = pa.array(rows if as_lists else [row and ";".join(row) for row in rows])
    batch = pa.record_batch(
        {features.input_columns[0]: column.cast(pa.list_(pa.string()) if as_lists else pa.string())}
    )
    made = features.generate(batch)[features.features[0].name]
    assert slots(made) == [one(text) for row in elements for text in row]
    assert made.seq_lengths.tolist() == [len(row) for row in elements]


@given(*SEQUENCES_CASES)
@settings(max_examples=100, deadline=None)
def test_sequences(make_features, slots, files, tokenize, rows, tokenizer, default, length, group, as_lists):
    check_sequences(make_features, slots, files, tokenize, rows, tokenizer, default, length, group, as_lists)


@pytest.mark.slow
@given(*SEQUENCES_CASES)
@settings(max_examples=2000, deadline=None)
def test_sequences_many_times(make_features, slots, files, tokenize, rows, tokenizer, default, length, group, as_lists):
    check_sequences(make_features, slots, files, tokenize, rows, tokenizer, default, length, group, as_lists)


@given(st.lists(st.none() | texts, min_size=1, max_size=6), TOKENIZERS, st.sampled_from([0, 3]))
@settings(max_examples=60, deadline=None)
def test_tokens_as_sequence(run, files, tokenize, cells, tokenizer, length):
    one = tokenize[tokenizer]
    expected = [((one(cell) if cell else []) or one("0"))[: length or None] for cell in cells]
    rest = "tokens_as_sequence: true" + (f" sequence_length: {length}" if length else "")
    made = run(config(files, rest, tokenizer=tokenizer), t=pa.array(cells, pa.string()))
    assert made.seq_lengths.tolist() == [len(ids) for ids in expected]
    assert made.values.tolist() == [token for ids in expected for token in ids]
    assert made.key_lengths.tolist() == [1] * len(made.values)


def test_normalized_text(run, slots, files, tokenize):
    rest = 'text_normalizer { norm_options: TEXT_UPPER2LOWER norm_options: TEXT_FILTER } default_value: "LOW"'
    one = tokenize["bpe"]
    made = run(config(files, rest), t=["ABC, efg!", None, "!!", "new"])
    # Text of which nothing is left is missing; the default is not normalized.
    assert slots(made) == [one("abc efg"), one("LOW"), one("LOW"), one("new")]


def test_ids_that_are_given(run, slots, files):
    for mode in ("FG_NONE", "FG_BUCKETIZE"):
        assert slots(run(config(files), mode, f=[[1, 2], None, [3]])) == [[1, 2], [], [3]]
        with pytest.raises(DataError, match="id 999 is out of range"):
            run(config(files), mode, f=[[999]])


def test_features_survive_pickling(make_features, files):
    for tokenizer in ("bpe", "sentencepiece"):
        features = make_features("FG_NORMAL", config(files, "text_normalizer { }", tokenizer=tokenizer))
        batch = pa.record_batch({"t": ["low 裙"]})
        again = pickle.loads(pickle.dumps(features)).generate(batch)["f"]
        assert again.values.tolist() == features.generate(batch)["f"].values.tolist()


def test_no_rows(run, files):
    made = run(config(files, "text_normalizer { }"), t=pa.array([], pa.string()))
    assert (len(made.values), len(made.lengths)) == (0, 0)


def test_text_that_is_no_utf8(run, files):
    with pytest.raises(DataError, match=r"feature 'f', column 't', row 1.*is not UTF-8"):
        run(config(files), t=pa.array([b"low", b"\xe8\xa3"]))


def test_bad_values_taken_as_missing(make_features, slots, files, tokenize):
    features = make_features(
        "FG_DAG", config(files, 'default_value: "new"'), data="bad_value_policy: BAD_VALUE_DEFAULT"
    )
    made = features.generate(pa.record_batch({"t": pa.array([b"low", b"\xe8\xa3", None, b"\xff"])}))["f"]
    assert slots(made) == [tokenize["bpe"](text) for text in ("low", "new", "new", "new")]
    assert features.bad_values == {"f": 2}


@pytest.mark.parametrize(
    ("tokenizer", "content", "problem"),
    [
        ("bpe", b'{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]}}', "is no bpe tokenizer: "),
        ("bpe", b"none", "is not a tokenizer.json"),
        ("sentencepiece", b"none", "is not a SentencePiece model"),
        ("sentencepiece", b"\x0a\x01\x00", "is no sentencepiece tokenizer: "),
    ],
)
def test_files_that_are_no_tokenizers(make_features, tmp_path, tokenizer, content, problem):
    (tmp_path / "tokenizer.json").write_bytes(content)
    (tmp_path / "spiece.model").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        make_features("FG_NORMAL", config(tmp_path, tokenizer=tokenizer))
    assert problem in str(caught.value)


@pytest.mark.parametrize("tokenizer", ["bpe", "sentencepiece"])
def test_missing_packages_and_files(make_features, files, monkeypatch, tmp_path, tokenizer):
    package = {"bpe": "tokenizers"}.get(tokenizer, tokenizer)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, package, None)
        with pytest.raises(ConfigError, match=rf"needs the package {package}; pip install 'tzx\[text\]'"):
            make_features("FG_NORMAL", config(files, tokenizer=tokenizer))
        # Ids that are given need no package.
        make_features("FG_NONE", config(files, tokenizer=tokenizer))
    with pytest.raises(ConfigError, match="cannot read"):
        make_features("FG_NORMAL", config(tmp_path, tokenizer=tokenizer))


@pytest.fixture(name="prose", scope="module")
def _prose() -> list[str]:
    """Lines of Python's manual, and what else a text may hold."""
    lines = [line.strip() for topic in sorted(topics) for line in topics[topic].splitlines()]
    return [
        *[line for line in lines if line][:6000],
        "naïve café",
        "裙子 连衣裙",
        "🙂 emoji",
        "tab\tand  two spaces",
        "½ ﬁne",
    ]


@pytest.fixture(name="real", scope="module")
def _real(prose, tmp_path_factory):
    """Tokenizers of the two forms in use, byte-level BPE and SentencePiece, trained on prose."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    folder = tmp_path_factory.mktemp("real")
    bpe = Tokenizer(models.BPE())
    bpe.normalizer, bpe.decoder = normalizers.NFC(), decoders.ByteLevel()
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<|endoftext|>", "<|padding|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        prose, trainers.BpeTrainer(vocab_size=2000, special_tokens=special, initial_alphabet=alphabet)
    )
    bpe.save(str(folder / "tokenizer.json"))
    with open(folder / "spiece.model", "wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(prose), model_writer=file, vocab_size=1000, byte_fallback=True, minloglevel=2
        )
    return folder


@pytest.mark.parametrize("tokenizer", ["bpe", "sentencepiece"])
def test_tokens_of_prose_are_those_of_the_libraries_and_give_the_text_back(run, slots, real, prose, tokenizer):
    from tokenizers import Tokenizer

    texts = [*prose[::20], *prose[-5:]]
    made = slots(run(config(real, tokenizer=tokenizer), t=pa.array(texts)))
    if tokenizer == "bpe":
        library = Tokenizer.from_file(str(real / "tokenizer.json"))
        assert made == [library.encode(text, add_special_tokens=False).ids for text in texts]
        assert [library.decode(ids) for ids in made] == [unicodedata.normalize("NFC", text) for text in texts]
    else:
        pieces = sentencepiece.SentencePieceProcessor(model_file=str(real / "spiece.model"))
        assert made == [pieces.encode(text) for text in texts]
        plain = [" ".join(unicodedata.normalize("NFKC", text).split()) for text in texts]
        assert [pieces.decode(ids) for ids in made] == plain
    assert len({token for ids in made for token in ids}) > 500


@pytest.mark.parametrize("tokenizer", ["bpe", "sentencepiece"])
def test_the_table_has_a_row_for_every_token_of_a_real_tokenizer(make_features, real, tokenizer):
    (feature,) = make_features("FG_NORMAL", config(real, tokenizer=tokenizer)).features
    assert feature.num_embeddings == {"bpe": 2000, "sentencepiece": 1000}[tokenizer]
