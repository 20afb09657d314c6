# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Tiny random models, tokenizers and corpora, built in code."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import psutil
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, PreTrainedConfig, PreTrainedTokenizerFast, RobertaConfig

from modeling_univa.data.corpus import EXTRACTORS_FILE
from modeling_univa.data.row_types import row_features
from modeling_univa.models.configuration_emotion import feature_column
from modeling_univa.models.configuration_univa import MOSEI_EMOTIONS, UnivaConfig
from modeling_univa.models.modeling_univa import UnivaForEmotionClassification
from modeling_univa.models.processing_univa import UnivaProcessor


REPOSITORY = Path(__file__).resolve().parents[2]
FEATURE_SIZES = {"text": 6, "audio": 5, "vision": 3}
MAX_TOKENS = 48
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def bert_tokenizer(max_length: int = MAX_TOKENS) -> PreTrainedTokenizerFast:
    """WordPiece over single letters, `[CLS] a [SEP] b [SEP]`."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*special, *LETTERS, *(f"##{letter}" for letter in LETTERS), "yes", "no", "##ing", ".", "!"]
    tokenizer = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", words.index("[CLS]")), ("[SEP]", words.index("[SEP]"))],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=max_length, pad_token="[PAD]", unk_token="[UNK]",
        cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]",
    )  # fmt: skip


def roberta_tokenizer(max_length: int = MAX_TOKENS) -> PreTrainedTokenizerFast:
    """Byte-level BPE, `<s> a </s> </s> b </s>`."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    words = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet()), "ye", "yes", "Ġn"]
    merges = [("y", "e"), ("ye", "s"), ("Ġ", "n")]
    tokenizer = Tokenizer(models.BPE({word: number for number, word in enumerate(words)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", words.index("<s>")), ("</s>", words.index("</s>"))],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=max_length, pad_token="<pad>", unk_token="<unk>",
        bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>", mask_token="<mask>",
    )  # fmt: skip


TOKENIZERS = {"bert": bert_tokenizer, "roberta": roberta_tokenizer}


def text_config(route: str) -> PreTrainedConfig | None:
    """Configuration of a tiny text encoder; `None` for the route "words"."""
    sizes = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    if route == "bert":
        return BertConfig(vocab_size=len(bert_tokenizer()), max_position_embeddings=MAX_TOKENS, **sizes)
    if route == "roberta":
        return RobertaConfig(
            vocab_size=len(roberta_tokenizer()), max_position_embeddings=MAX_TOKENS + 2, pad_token_id=1,
            bos_token_id=0, eos_token_id=2, type_vocab_size=1, **sizes,
        )  # fmt: skip
    return None


def tiny_config(route: str = "bert", **overrides: Any) -> UnivaConfig:
    """A UniVA configuration; `route` is "bert", "roberta" or "words"."""
    options = {
        "text_config": text_config(route),
        **{f"{name}_feature_size": size for name, size in FEATURE_SIZES.items()},
        **{f"{name}_num_hidden_layers": 1 for name in FEATURE_SIZES},
        "max_text_length": 9 if route == "words" else MAX_TOKENS,
        "max_audio_length": 8,
        "max_vision_length": 7,
        "hidden_size": 16,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "id2label": dict(enumerate(MOSEI_EMOTIONS)),
    }
    return UnivaConfig(**{**options, **overrides})


def tiny_processor(config: UnivaConfig, **kwargs: Any) -> UnivaProcessor:
    """The processor of `tiny_config`'s models."""
    kinds = {"bert": bert_tokenizer, "roberta": roberta_tokenizer}
    tokenizer = kinds[config.text_config.model_type]() if config.text_config is not None else None
    return UnivaProcessor.from_config(config, tokenizer, **kwargs)


def tiny_model(config: UnivaConfig, seed: int = 0) -> UnivaForEmotionClassification:
    """A randomly initialised model in evaluation mode, the same for the same seed."""
    torch.manual_seed(seed)
    return UnivaForEmotionClassification(config).eval()


def random_text(generator: np.random.Generator, words: int | None = None) -> str:
    """Words of one to four letters."""
    count = generator.integers(1, 4) if words is None else words
    return " ".join("".join(generator.choice(list(LETTERS), generator.integers(1, 5))) for _ in range(count))


class Utterances:
    """
    Dialogues of random strings with random features, by one to three speakers each of which the third is not known,
    and any choice of the utterances as model inputs.

    Args:
        sizes: utterances of each dialogue.
        absent: share of utterances without a given modality.
    """

    def __init__(self, config: UnivaConfig, sizes: Sequence[int] = (3, 1, 2), absent: float = 0.0, seed: int = 0):
        generator = np.random.default_rng(seed)
        self.config = config
        self.processor = tiny_processor(config)
        self.dialogues = [[random_text(generator) for _ in range(size)] for size in sizes]
        names = ("a", "b", None)
        self.speakers = [[names[(row + place) % 3] for place in range(size)] for row, size in enumerate(sizes)]
        self.places = [(row, place) for row, size in enumerate(sizes) for place in range(size)]
        self.features = {
            modality: {
                place: random_frames(generator, config.max_lengths[modality] - 2, size, absent)
                for place in self.places
            }
            for modality, size in config.feature_sizes.items()
        }
        if "face_emotions" in config.extracted_sizes:
            faces = self.features["vision"].items()
            self.features["face_emotions"] = {
                place: random_emotions(generator, clip, config.face_emotion_size) for place, clip in faces
            }
        self.label_values = (generator.random((len(self.places), config.num_labels)) < 0.4).astype(np.float32)

    def inputs(self, places: Sequence[tuple[int, int]] | None = None) -> dict[str, torch.Tensor]:
        """Model inputs of the utterances at `places`, by default all of them."""
        places = self.places if places is None else places
        features = {
            feature_column(name): [frames[place] for place in places] for name, frames in self.features.items()
        }
        with_tokens = "text" in self.config.modalities and self.processor.tokenizer is not None
        texts = self.dialogues if with_tokens else None
        return dict(self.processor(texts, places, speakers=self.speakers, **features))

    def write(self, file: Path, logits: torch.Tensor) -> None:
        """Dialogues, speakers, features and the logits of them all, for `integration/load_remote_code.py`."""
        clips = {
            feature_column(name): [None if clip is None else np.asarray(clip).tolist() for clip in frames.values()]
            for name, frames in self.features.items()
        }
        dialogues = self.dialogues if self.config.text_config is not None else None
        content = {"dialogues": dialogues, "speakers": self.speakers, "features": clips, "logits": logits.tolist()}
        file.write_text(json.dumps(content))

    @property
    def labels(self) -> torch.Tensor:
        """Multi-hot targets of all utterances, in order."""
        return torch.from_numpy(self.label_values)


def random_frames(generator: np.random.Generator, longest: int, size: int, absent: float) -> np.ndarray | None:
    """Frames `(1 … longest, size)`, or `None` with probability `absent`."""
    if generator.random() < absent:
        return None
    return generator.normal(size=(generator.integers(1, longest + 1), size)).astype(np.float16).astype(np.float32)


def random_emotions(generator: np.random.Generator, faces: np.ndarray | None, size: int) -> np.ndarray | None:
    """Probabilities of expressions `(frames, size)` for the frames of some faces, `None` where there are none."""
    return None if faces is None else generator.dirichlet(np.ones(size), len(faces)).astype(np.float16)


def random_rows(
    sizes: Sequence[int],
    *,
    seed: int = 0,
    label_names: Sequence[str] = MOSEI_EMOTIONS,
    modalities: Sequence[str] = ("audio", "vision"),
    absent: float | Mapping[str, float] = 0.15,
    speakers: Sequence[str | None] = (None,),
    longest: int = 6,
    prefix: str = "d",
    face_emotion_size: int = 0,
) -> datasets.Dataset:
    """
    Rows of the row contract: dialogues of `sizes` utterances with features of `modalities`.

    Args:
        absent: share of rows without a modality, for all of them or each.
        speakers: who speaks, row by row and from the beginning again.
        prefix: of the dialogue ids.
        face_emotion_size: expressions, of which each face frame then has the probabilities.
    """
    generator = np.random.default_rng(seed)
    sizes_of = {modality: FEATURE_SIZES[modality] for modality in modalities}
    features = row_features(
        label_names,
        **{f"{name}_feature_size": size for name, size in sizes_of.items()},
        face_emotion_size=face_emotion_size or None,
    )
    shares = absent if isinstance(absent, Mapping) else dict.fromkeys(modalities, absent)
    rows = []
    for dialogue, size in enumerate(sizes):
        for position in range(size):
            row: dict[str, Any] = {
                "utterance_id": f"{prefix}{dialogue}_{position}",
                "dialogue_id": f"{prefix}{dialogue}",
                "position": position,
                "speaker": speakers[len(rows) % len(speakers)],
                "text": random_text(generator),
                "emotions": np.flatnonzero(generator.random(len(label_names)) < 0.3).tolist(),
            }
            for modality in ("text", "audio", "vision"):
                known = generator.random() > 0.1
                row[f"{modality}_va"] = generator.uniform(-1, 1, 2).tolist() if known else [float("nan")] * 2
            for modality, width in sizes_of.items():
                row[f"{modality}_features"] = random_frames(generator, longest, width, shares.get(modality, 0.0))
            if face_emotion_size:
                own = np.random.default_rng([seed, len(rows)])  # the other columns are as without it
                row["face_emotions"] = random_emotions(own, row["vision_features"], face_emotion_size)
            rows.append(row)
    columns = {name: [row[name] for row in rows] for name in features}
    return datasets.Dataset.from_dict(columns, features=features)


def write_corpus(folder: Path, splits: Mapping[str, datasets.Dataset]) -> Path:
    """A built corpus as the scripts of datasets_scripts/ write it."""
    (folder / "data").mkdir(parents=True)
    for name, rows in splits.items():
        rows.to_parquet(folder / "data" / f"{name}-00000-of-00001.parquet")
    extractors = {
        modality: {"extractor_type": "precomputed", "name": f"tiny {modality}", "feature_size": size}
        for modality, size in FEATURE_SIZES.items()
        if f"{modality}_features" in next(iter(splits.values())).features
    }
    (folder / EXTRACTORS_FILE).write_text(json.dumps(extractors))
    return folder


def write_text_encoder(folder: Path, route: str = "bert", seed: int = 0) -> Path:
    """A pretrained text encoder with its tokenizer, random weights."""
    from transformers import AutoModel

    torch.manual_seed(seed)
    AutoModel.from_config(text_config(route)).save_pretrained(folder)
    TOKENIZERS[route]().save_pretrained(folder)
    return folder


def pretrained_speech_encoder(
    folder: Path, kind: str = "wav2vec2", *, seed: int = 0, do_normalize: bool = True, **settings: Any
) -> Path:
    """A speech encoder of a real architecture, random weights, 32 numbers a frame of 40 samples."""
    from transformers import AutoConfig, AutoModel, Wav2Vec2FeatureExtractor

    # 16 channels a group: with fewer, torch's grouped convolution in bfloat16 is wrong on some CPUs.
    sizes = {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
        "conv_dim": (8, 8, 8), "conv_kernel": (10, 3, 2), "conv_stride": (5, 4, 2), "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 2,
    }  # fmt: skip
    torch.manual_seed(seed)
    AutoModel.from_config(AutoConfig.for_model(kind, **{**sizes, **settings})).eval().save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=do_normalize).save_pretrained(folder)
    return folder


def run_command(
    command: Sequence[Any], environment: Mapping[str, str], cwd: Path, timeout: float = 240
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; one that hangs fails with where each of its processes was, and all are ended."""
    process = subprocess.Popen(
        [str(part) for part in command], env=environment, cwd=cwd, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        # Python's faulthandler writes the stack of every thread when this arrives.
        signal_tree(process.pid, signal.SIGABRT)
        stdout, stderr = process.communicate(timeout=10)
        pytest.fail(f"{process.args} took more than {timeout} s:\n{stdout[-2000:]}\n{stderr[-10000:]}")
    finally:
        if process.poll() is None:
            kill_tree(process.pid)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def kill_tree(pid: int) -> None:
    """`kill -9` a process and all that it started; torchrun's workers are in sessions of their own."""
    processes = signal_tree(pid, signal.SIGKILL)
    psutil.wait_procs(processes[1:], timeout=10)


def signal_tree(pid: int, number: signal.Signals) -> list[psutil.Process]:
    """Send a signal to a process and all that it started; returns them, it first."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
    return processes


def subprocess_environment(cache: Path, with_package: bool = True) -> dict[str, str]:
    """Environment of a subprocess: one thread, no network, its own caches."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {
        "HF_HOME": str(cache),
        "HF_MODULES_CACHE": str(cache / "modules"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONFAULTHANDLER": "1",
    }
    return {**environment, "PYTHONPATH": str(REPOSITORY)} if with_package else environment
