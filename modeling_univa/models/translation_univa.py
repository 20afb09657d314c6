# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Text of other languages to English before it is scored, each sentence translated once."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.utils import logging

from .checked_loading_univa import load_network
from .extractor_base_univa import Translator


__all__ = [
    "CachedTranslator",
    "DeepLTranslator",
    "Seq2SeqTranslator",
    "TranslationCache",
    "load_translator",
]

logger = logging.get_logger(__name__)

_ORDINARY_TOKENS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


class Seq2SeqTranslator:
    """
    Translates with a sequence-to-sequence model of transformers (Marian, NLLB, M2M100, mBART, T5, …), decoding as the
    model's own generation configuration says.

    Args:
        model: Folder or Hub id.
        source_language, target_language: In the codes of the model ("zho_Hans" and "eng_Latn" for NLLB, "zh_CN" and
            "en_XX" for mBART, "zh" and "en" for M2M100). A model of one pair (Marian) needs none; T5 needs those
            that its configuration names.
        revision: Branch, tag or commit on the Hub.
        device: Where to run; a GPU where there is one by default.
        batch_size: Texts translated together, of like length.

    Raises:
        ValueError: The model does not know a language.
        OSError: There is no such model.
    """

    def __init__(
        self,
        model: str,
        source_language: str | None = None,
        target_language: str = "en",
        revision: str | None = None,
        device: str | torch.device | None = None,
        batch_size: int = 16,
    ):
        self.name = f"{model}@{revision or 'main'} {source_language or '-'}>{target_language}"
        self.batch_size = batch_size
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        loaded: Any = load_network(AutoModelForSeq2SeqLM, model, revision=revision or "main")
        self.tokenizer: Any = AutoTokenizer.from_pretrained(
            model, revision=revision or "main", trust_remote_code=False
        )
        self.model = loaded.requires_grad_(False).to(self.device)
        self.generation: dict[str, Any] = {}
        self.prefix = ""
        self._set_languages(model, source_language, target_language)

    def _set_languages(self, model: str, source: str | None, target: str) -> None:
        tasks = getattr(self.model.config, "task_specific_params", None) or {}
        task = f"translation_{source}_to_{target}"
        if hasattr(self.tokenizer, "src_lang") and hasattr(self.tokenizer, "tgt_lang"):
            codes = self._language_codes()
            for language in (source, target):
                if language not in codes:
                    raise ValueError(f"{model} does not know the language {language!r}; it has {', '.join(codes)}")
            self.tokenizer.src_lang = source
            self.generation["forced_bos_token_id"] = codes[target]
        elif task in tasks:
            self.prefix = tasks[task].get("prefix", "")
        elif tasks:
            pairs = ", ".join(name for name in tasks if name.startswith("translation"))
            raise ValueError(f"{model} has no task {task!r}; it has {pairs or 'none of translation'}")

    def _language_codes(self) -> dict[str, int]:
        """Token of each language: NLLB, mBART ("eng_Latn") and M2M100 ("__en__") keep them as special tokens."""
        ordinary = {getattr(self.tokenizer, f"{name}_token") for name in _ORDINARY_TOKENS}
        names = [token for token in self.tokenizer.all_special_tokens if token not in ordinary]
        return {name.strip("_"): self.tokenizer.convert_tokens_to_ids(name) for name in names}

    def translate(self, texts: Sequence[str]) -> list[str]:
        """Translations of the texts, in their order; the part of a text beyond the model's longest input is cut."""
        translations = [""] * len(texts)
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for first in range(0, len(order), self.batch_size):
            batch = order[first : first + self.batch_size]
            found = self._translate_batch([self.prefix + texts[index] for index in batch])
            for index, translation in zip(batch, found, strict=True):
                translations[index] = translation
        return translations

    @torch.inference_mode()
    def _translate_batch(self, texts: list[str]) -> list[str]:
        inputs = self.tokenizer(texts, return_tensors="pt", padding=True, truncation=True).to(self.device)
        inputs.pop("token_type_ids", None)
        tokens = self.model.generate(**inputs, **self.generation)
        return [text.strip() for text in self.tokenizer.batch_decode(tokens, skip_special_tokens=True)]


class DeepLTranslator:
    """
    Translates with DeepL's service, through the Python package `deepl`. The texts leave this machine.

    Args:
        source_language: As DeepL names it ("ZH"); found out by DeepL where it is not given.
        target_language: "EN-US" or "EN-GB"; "en" is "EN-US".
        auth_key: By default the environment variable DEEPL_AUTH_KEY.

    Raises:
        ImportError: The package is not installed.
        ValueError: There is no key.
    """

    BATCH_SIZE = 50  # DeepL's limit on the texts of one request

    def __init__(self, source_language: str | None = None, target_language: str = "en", auth_key: str | None = None):
        try:
            import deepl
        except ImportError as error:
            raise ImportError("translating with DeepL needs its package: pip install deepl") from error
        key = auth_key or os.environ.get("DEEPL_AUTH_KEY")
        if not key:
            raise ValueError("DeepL needs a key: set the environment variable DEEPL_AUTH_KEY")
        self.source_language = source_language.upper() if source_language else None
        self.target_language = "EN-US" if target_language.upper() == "EN" else target_language.upper()
        self.name = f"deepl {self.source_language or '-'}>{self.target_language}"
        self._error = deepl.DeepLException
        self._client = deepl.Translator(key)

    def translate(self, texts: Sequence[str]) -> list[str]:
        """Translations of the texts, in their order. Raises `ConnectionError` with DeepL's reason."""
        translations: list[str] = []
        for first in range(0, len(texts), self.BATCH_SIZE):
            try:
                found = self._client.translate_text(
                    list(texts[first : first + self.BATCH_SIZE]),
                    source_lang=self.source_language,
                    target_lang=self.target_language,
                )
            except self._error as error:
                raise ConnectionError(f"DeepL did not translate: {error}") from error
            translations += [result.text for result in found]
        return translations


class TranslationCache:
    """
    Translations in a JSONL file beside the corpus, one object a line: translator, text, translation.

    Lines are only ever added, each batch in one write, so that a job that is killed loses the last batch at most, and
    several processes may share the file.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._known: dict[tuple[str, str], str] = {}
        data = self.path.read_bytes() if self.path.is_file() else b""
        # A process that was killed may have left half a line, which the next one must not go on from.
        self._needs_newline = bool(data) and not data.endswith(b"\n")
        for line in data.splitlines():
            try:
                entry = json.loads(line)
                self._known[entry["translator"], entry["text"]] = entry["translation"]
            except (ValueError, KeyError, TypeError):
                logger.warning(f"{self.path}: a line that is not a translation is passed over")

    def get(self, translator: str, text: str) -> str | None:
        """The translation that is kept, `None` if there is none."""
        return self._known.get((translator, text))

    def add(self, translator: str, texts: Sequence[str], translations: Sequence[str]) -> None:
        """Keep some translations, on disk when this returns."""
        entries = [
            {"translator": translator, "text": text, "translation": translation}
            for text, translation in zip(texts, translations, strict=True)
        ]
        lines = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab", buffering=0) as file:
            file.write((("\n" if self._needs_newline else "") + lines).encode())
        self._needs_newline = False
        self._known.update({(translator, entry["text"]): entry["translation"] for entry in entries})


class CachedTranslator:
    """
    A translator that asks its cache first and adds to it batch by batch.

    Args:
        translator: Does what the cache does not have.
        cache: Where translations are kept.
        batch_size: Texts after which the cache is written.
    """

    def __init__(self, translator: Translator, cache: TranslationCache, batch_size: int = 64):
        self.translator = translator
        self.cache = cache
        self.batch_size = batch_size
        self.name = translator.name

    def translate(self, texts: Sequence[str]) -> list[str]:
        """Translations of the texts, in their order; a text that is there twice is translated once."""
        missing = [text for text in dict.fromkeys(texts) if self.cache.get(self.name, text) is None]
        for first in range(0, len(missing), self.batch_size):
            batch = missing[first : first + self.batch_size]
            self.cache.add(self.name, batch, self.translator.translate(batch))
        return [str(self.cache.get(self.name, text)) for text in texts]


def load_translator(
    model: str,
    source_language: str | None = None,
    target_language: str = "en",
    cache: str | Path | None = None,
    revision: str | None = None,
    device: str | torch.device | None = None,
) -> Translator:
    """
    The translator that `--translate` names.

    Args:
        model: "deepl", or folder or Hub id of a sequence-to-sequence model.
        source_language, target_language: In the codes of DeepL or of the model.
        cache: JSONL file for the translations; none are kept without it.
        revision, device: Of the model.

    Raises:
        ImportError, OSError, ValueError: See the translators.
    """
    translator: Translator
    if model == "deepl":
        translator = DeepLTranslator(source_language, target_language)
    else:
        translator = Seq2SeqTranslator(model, source_language, target_language, revision, device)
    return translator if cache is None else CachedTranslator(translator, TranslationCache(cache))
