# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from testing_utils import bert_tokenizer
from transformers import (
    MarianConfig,
    MarianMTModel,
    NllbTokenizer,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from modeling_univa.models.translation_univa import (
    CachedTranslator,
    DeepLTranslator,
    Seq2SeqTranslator,
    TranslationCache,
    load_translator,
)


TEXTS = ["ab cd ef gh", "yes", "", "no no no", "z"]
SIZES = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
         "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}  # fmt: skip


def _write_marian(folder: Path, tokenizer: PreTrainedTokenizerFast) -> Path:
    torch.manual_seed(0)
    config = MarianConfig(
        vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, decoder_start_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id or 3, max_position_embeddings=48, max_length=12, num_beams=2, **SIZES,
    )  # fmt: skip
    model = MarianMTModel(config)
    model.final_logits_bias.normal_(std=0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def marian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one pair of languages, random weights."""
    return _write_marian(tmp_path_factory.mktemp("marian"), bert_tokenizer())


class CountingTranslator:
    """Upper case, and a list of what it was asked."""

    name = "counting"

    def __init__(self, fail_after: int | None = None):
        self.asked: list[list[str]] = []
        self.fail_after = fail_after

    def translate(self, texts):
        if self.fail_after is not None and len(self.asked) == self.fail_after:
            raise KeyboardInterrupt
        self.asked.append(list(texts))
        return [text.upper() for text in texts]


def test_a_batch_gives_what_one_by_one_gives(marian):
    together = Seq2SeqTranslator(str(marian), batch_size=3).translate(TEXTS)
    alone = Seq2SeqTranslator(str(marian), batch_size=1)
    assert together == [alone.translate([text])[0] for text in TEXTS]
    assert len(together) == len(TEXTS)
    assert any(together)


def test_t5_gets_the_prefix_of_its_task(tmp_path, monkeypatch):
    tokenizer = bert_tokenizer()
    torch.manual_seed(0)
    tasks = {"translation_zh_to_en": {"prefix": "translate zh to en: "}, "summarization": {"prefix": "sum: "}}
    config = T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0,
        task_specific_params=tasks,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    translator = Seq2SeqTranslator(str(tmp_path), "zh", "en")
    seen: list[str] = []
    monkeypatch.setattr(translator, "_translate_batch", lambda texts: seen.extend(texts) or texts)
    translator.translate(["abc"])
    assert seen == ["translate zh to en: abc"]
    with pytest.raises(ValueError, match="has no task 'translation_de_to_en'; it has translation_zh_to_en"):
        Seq2SeqTranslator(str(tmp_path), "de", "en")


def test_multilingual_models_are_told_the_languages(tmp_path):
    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "▁a": 4, "a": 5, "▁": 6}
    tokenizer = NllbTokenizer(vocab=vocabulary, merges=[("▁", "a")], src_lang="fra_Latn", tgt_lang="deu_Latn")
    _write_marian(tmp_path, tokenizer)
    translator = Seq2SeqTranslator(str(tmp_path), "zho_Hans", "eng_Latn")
    ids = translator.tokenizer("a")["input_ids"]
    assert translator.tokenizer.convert_tokens_to_ids("zho_Hans") in ids
    assert translator.generation == {"forced_bos_token_id": translator.tokenizer.convert_tokens_to_ids("eng_Latn")}
    assert len(translator.translate(["a", "a a"])) == 2
    with pytest.raises(ValueError, match="does not know the language 'zh'; it has .*zho_Hans"):
        Seq2SeqTranslator(str(tmp_path), "zh", "eng_Latn")


def test_cache_asks_once_and_survives_interruption(tmp_path):
    path = tmp_path / "sub" / "translations.jsonl"
    texts = ["一", "two", "一", "three", "four", "two"]
    translator = CountingTranslator(fail_after=1)
    with pytest.raises(KeyboardInterrupt):
        CachedTranslator(translator, TranslationCache(path), batch_size=2).translate(texts)
    with open(path, "a") as file:
        file.write('{"translator": "counting", "te')  # a process that was killed while it wrote
    again = CountingTranslator()
    assert CachedTranslator(again, TranslationCache(path), batch_size=2).translate(texts) == [t.upper() for t in texts]
    assert again.asked == [["three", "four"]]
    last = CountingTranslator()
    assert CachedTranslator(last, TranslationCache(path)).translate(["four", "一"]) == ["FOUR", "一"]
    assert last.asked == []
    lines = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[0]) == {"translator": "counting", "text": "一", "translation": "一"}
    assert len(lines) == 5


def test_cache_tells_translators_apart(tmp_path):
    cache = TranslationCache(tmp_path / "translations.jsonl")
    cache.add("a", ["x"], ["y"])
    assert (cache.get("a", "x"), cache.get("b", "x")) == ("y", None)


@pytest.fixture
def deepl(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A stand-in for the package: it upper-cases, and refuses the key "bad"."""
    module = ModuleType("deepl")

    class DeepLException(Exception):
        pass

    class Translator:
        requests: list[tuple] = []

        def __init__(self, auth_key):
            self.auth_key = auth_key

        def translate_text(self, text, *, source_lang=None, target_lang):
            if self.auth_key == "bad":
                raise DeepLException("Authorization failure")
            self.requests.append((len(text), source_lang, target_lang))
            return [SimpleNamespace(text=one.upper()) for one in text]

    module.DeepLException, module.Translator = DeepLException, Translator
    monkeypatch.setitem(sys.modules, "deepl", module)
    monkeypatch.delenv("DEEPL_AUTH_KEY", raising=False)
    return module


def test_deepl(deepl, monkeypatch, tmp_path):
    monkeypatch.setenv("DEEPL_AUTH_KEY", "key")
    translator = load_translator("deepl", "zh", cache=tmp_path / "translations.jsonl")
    texts = [f"text {index}" for index in range(60)]
    assert translator.translate(texts) == [text.upper() for text in texts]
    assert all(request[1:] == ("ZH", "EN-US") and request[0] <= 50 for request in deepl.Translator.requests)
    assert sum(request[0] for request in deepl.Translator.requests) == 60
    assert translator.translate(texts[:3]) == ["TEXT 0", "TEXT 1", "TEXT 2"]
    assert sum(request[0] for request in deepl.Translator.requests) == 60
    assert len(DeepLTranslator("zh").translate(texts)) == 60


def test_deepl_without_key_or_package(deepl, monkeypatch):
    with pytest.raises(ValueError, match="set the environment variable DEEPL_AUTH_KEY"):
        DeepLTranslator("zh")
    with pytest.raises(ConnectionError, match="DeepL did not translate: Authorization failure"):
        DeepLTranslator("zh", auth_key="bad").translate(["a"])
    monkeypatch.setitem(sys.modules, "deepl", None)
    with pytest.raises(ImportError, match="pip install deepl"):
        DeepLTranslator("zh", auth_key="key")


def test_load_translator_of_a_model(marian, tmp_path):
    plain = load_translator(str(marian), "zh")
    cached = load_translator(str(marian), "zh", cache=tmp_path / "cache.jsonl")
    assert cached.translate(TEXTS) == plain.translate(TEXTS)
    assert plain.name == cached.name
    assert plain.name != load_translator(str(marian), "de").name
