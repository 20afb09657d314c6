# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A trained UniVA as one ONNX graph, text encoder and heads, that gives the logits of the PyTorch model."""

import json
import os
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from ..data.corpus import VALIDATION_NAMES
from ..data.loading import check_extractors, load_corpus, make_split
from ..data.samplers import DialogueBatches
from ..data.utterances import UtteranceCollator
from ..models.configuration_emotion import EmotionConfig
from ..models.files_univa import one_line, scratch_folder
from ..models.modeling_emotion import EmotionModel
from ..models.processing_univa import UnivaProcessor
from ..scores.metrics import MultilabelMetrics
from ..sharing.adapters import load_model
from ..sharing.folder import ONNX_FILE
from .onnx_model import UnivaOnnxModel, input_names, require_onnx
from .onnx_rows import packed_in_graphs


__all__ = ["INT8_TOLERANCE", "TOLERANCE", "OnnxExport", "RuntimeScore", "export_onnx", "random_inputs"]

# Largest difference of a logit from eager PyTorch's, and of a quantised model's micro-F1 in points.
TOLERANCE = 1e-4
INT8_TOLERANCE = 0.5
REPORT_FILE = "onnx_export.json"
# The first with layer normalisation as one operator.
_OPSET = 17
# All that have weights.
_QUANTIZED = ["Conv", "Gather", "LSTM", "MatMul"]
# Of protocol buffers, in which an ONNX file is written; with room for the graph itself.
_LARGEST_FILE = 2**31 - 2**24


@dataclass(frozen=True)
class InputShape:
    """
    Sizes of random inputs.

    Args:
        utterances, dialogues, tokens: B, D and L.
        frames: of the first modality that comes as features; the next have one and two more.
        absent: share of utterances without a modality.
    """

    utterances: int
    dialogues: int
    tokens: int
    frames: int
    absent: float = 0.0


_ENDLESS = 2**31
_TRACED = InputShape(3, 2, 8, 5, absent=0.3)
_CHECKED = (
    _TRACED,
    InputShape(1, 1, 5, 1),
    InputShape(1, 1, 3, 1, absent=1.0),
    InputShape(2, 1, 17, 9),
    InputShape(7, 5, 12, 2, absent=0.5),
    InputShape(2, 2, _ENDLESS, _ENDLESS),
)


@dataclass(frozen=True)
class RuntimeScore:
    """
    What one way to run the model makes of a split.

    Args:
        runtime: "eager", "onnx" or "int8".
        micro_f1: in %, at the model's threshold.
        num_rows, num_rows_without_label, num_rows_without_prediction: what it rests on.
        seconds: in the model alone.
        size: bytes of the weights, or of the ONNX file.
    """

    runtime: str
    micro_f1: float
    num_rows: int
    num_rows_without_label: int
    num_rows_without_prediction: int
    seconds: float
    size: int


@dataclass(frozen=True)
class OnnxExport:
    """
    What was written.

    Args:
        folder: that `univa predict --runtime onnx` takes.
        size: bytes of `model.onnx`.
        quantization: `None` or "int8".
        largest_difference: of a logit of the unquantised graph from PyTorch's, over random inputs.
        scores: of the ways to run the model, where a corpus was given.
    """

    folder: Path
    size: int
    quantization: str | None
    largest_difference: float
    scores: list[RuntimeScore] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"{'runtime':<9}{'miF1 %':>8}{'rows':>8}{'no label':>10}{'none predicted':>16}{'seconds':>9}{'MB':>8}"
        ]
        for score in self.scores:
            counts = (score.num_rows, score.num_rows_without_label, score.num_rows_without_prediction)
            lines.append(
                f"{score.runtime:<9}{score.micro_f1:>8.2f}{counts[0]:>8}{counts[1]:>10}{counts[2]:>16}"
                f"{score.seconds:>9.1f}{score.size / 1e6:>8.1f}"
            )
        written = (
            f"wrote {self.folder} ({self.size / 1e6:.1f} MB); before any quantisation logits differ from PyTorch's by "
            f"at most {self.largest_difference:.1g} on random inputs of {len(_CHECKED)} shapes"
        )
        return "\n".join([*(lines if self.scores else []), written])


def export_onnx(
    model: str | Path,
    output: str | Path,
    *,
    revision: str | None = None,
    quantize: str | None = None,
    dataset: str | None = None,
    dataset_revision: str | None = None,
    split: str | None = None,
) -> OnnxExport:
    """
    Write `model.onnx`, configuration and processor to a folder; nothing is written unless the graph is right.

    The graph takes inputs of any B, D, L and number of frames, and absent modalities. It is checked against PyTorch
    on random inputs of several shapes, the longest that the model takes among them. A quantised graph is another
    model: with `dataset` its micro-F1 is checked too.

    Args:
        model: folder or Hub id; an adapter is exported merged into its base.
        output: folder to write; must not exist, or be empty.
        revision: branch, tag or commit of the model.
        quantize: "int8" for weights and products of 8 bits (dynamic quantisation).
        dataset: built corpus, folder or Hub id, to score eager and exported models on.
        dataset_revision: its branch, tag or commit.
        split: of the corpus; by default the one called validation, valid, val or dev.

    Raises:
        ValueError: `output` holds something, the model is too large or has an operator that ONNX does not know, or
            the exported graph is not close enough to the model: logits within `TOLERANCE`, micro-F1 of a quantised
            one within `INT8_TOLERANCE` points.
        ImportError: onnx or onnxruntime is missing.
    """
    require_onnx("onnx", "onnxruntime")
    output = Path(output)
    _check_arguments(output, quantize)
    eager = load_model(model, revision, dtype=torch.float32).eval()
    _check_size(eager)
    processor = UnivaProcessor.from_pretrained(model, revision=revision or "main")
    batches = None if dataset is None else _batches(dataset, dataset_revision, split, eager, processor)
    with scratch_folder(output) as scratch:
        exact, filled = Path(scratch, ONNX_FILE), Path(scratch, output.name)
        filled.mkdir()
        longest = _longest(eager.config, processor)
        _write_graph(eager, longest, exact)
        runtimes: dict[str, Any] = {"eager": eager, "onnx": UnivaOnnxModel(eager.config, exact)}
        sizes = {"eager": _num_bytes(eager), "onnx": exact.stat().st_size}
        difference = _check_logits(eager, runtimes["onnx"], longest)
        if quantize:
            runtimes["int8"] = _quantized(eager, exact, filled / ONNX_FILE, longest)
            sizes["int8"] = Path(filled, ONNX_FILE).stat().st_size
        else:
            os.replace(exact, filled / ONNX_FILE)
        scores = [] if batches is None else _scores(runtimes, sizes, batches)
        if quantize and scores:
            _check_scores(scores)
        export = OnnxExport(output, Path(filled, ONNX_FILE).stat().st_size, quantize, difference, scores)
        _write_metadata(eager.config, processor, export, filled)
        filled.rename(output)
    return export


def _check_arguments(output: Path, quantize: str | None) -> None:
    if quantize not in (None, "int8"):
        raise ValueError(f"`quantize` must be int8, or be left out, got {quantize!r}.")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"{output} already exists: choose another `output`, or remove it.")


def _check_size(model: EmotionModel) -> None:
    if _num_bytes(model) > _LARGEST_FILE:
        raise ValueError(
            f"The model has {_num_bytes(model) / 2**30:.2f} GiB of weights, and an ONNX file holds less than 2: train "
            "one with a smaller text encoder."
        )


def _num_bytes(model: nn.Module) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


def _longest(config: EmotionConfig, processor: UnivaProcessor) -> dict[str, int]:
    """Most tokens and frames that the processor lets through."""
    longest = dict(config.max_lengths)
    if processor.tokenizer is not None:
        longest["text"] = processor.max_text_length
    return longest


class _Logits(nn.Module):
    """The model with its inputs by position, and logits only: what a graph can be made of."""

    def __init__(self, model: EmotionModel):
        super().__init__()
        self.model = model
        self.names = input_names(model.config)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.model(**dict(zip(self.names, inputs, strict=True)), return_dict=True).logits


def _write_graph(model: EmotionModel, longest: Mapping[str, int], file: Path) -> None:
    names = input_names(model.config)
    inputs = random_inputs(model, _TRACED, longest)
    axes = {name: dict(enumerate(_axes(name))) for name in names}
    attention = model.config._attn_implementation
    # Of plain products ONNX Runtime makes more than of what SDPA is written as.
    model.set_attn_implementation("eager")
    try:
        with warnings.catch_warnings(), packed_in_graphs():
            # Tracing warns of each branch on a shape; whether the graph holds for other shapes is checked afterwards.
            warnings.simplefilter("ignore")
            # The tracing exporter is in every torch since 2.6, needs no further package, and takes a twentieth of the
            # time of the one that succeeds it.
            torch.onnx.export(
                _Logits(model).eval(),
                tuple(inputs[name] for name in names),
                str(file),
                input_names=names,
                output_names=["logits"],
                dynamic_axes={**axes, "logits": {0: "utterances"}},
                opset_version=_OPSET,
                dynamo=False,
            )
    except RuntimeError as error:
        raise ValueError(f"The model cannot be written as ONNX: {one_line(error)}") from error
    finally:
        model.set_attn_implementation(attention)


def _axes(name: str) -> tuple[str, ...]:
    """Names of the dimensions of an input that have any size."""
    if name in ("dialogue_index", "utterance_span", "position", "speaker_index"):
        return ("utterances",)
    if name in ("input_ids", "attention_mask"):
        return ("dialogues", "tokens")
    modality = "vision" if name == "face_emotions" else name.split("_")[0]
    return ("utterances", f"{modality}_frames")


def random_inputs(
    model: EmotionModel, shape: InputShape, longest: Mapping[str, int], seed: int = 0
) -> dict[str, torch.Tensor]:
    """
    Inputs of a model, with dialogues and clips of several lengths.

    Args:
        model: whose inputs they are; where it reads across utterances, those of a dialogue follow each other.
        shape: their sizes, as far as the model takes them.
        longest: most tokens or frames of each modality.
        seed: of the random numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    config = model.config
    present = torch.rand(shape.utterances, generator=generator) >= shape.absent
    places = _random_places(model, shape, generator)
    inputs = {name: places[name] for name in input_names(config) if name in places}
    if config.reads_tokens:
        shape = replace(shape, tokens=min(shape.tokens, longest["text"]))
        inputs |= _random_tokens(model, shape, places["dialogue_index"], present, generator)
    for extra, (modality, size) in enumerate(config.feature_sizes.items()):
        frames = min(shape.frames + extra, longest[modality])
        lengths = torch.randint(1, frames + 1, (shape.utterances,), generator=generator)
        lengths[-1] = frames
        mask = torch.arange(frames) < (lengths * present)[:, None]
        values = torch.randn(shape.utterances, frames, size, generator=generator)
        inputs |= {f"{modality}_features": values, f"{modality}_attention_mask": mask.long()}
        if modality == "vision" and "face_emotions" in config.extra_inputs:
            scores = 3 * torch.randn(*mask.shape, config.face_emotion_size, generator=generator)
            inputs["face_emotions"] = scores.softmax(dim=-1) * mask[..., None]
        # Not the same utterances without every modality.
        present = present.roll(1)
    return inputs


def _random_places(model: EmotionModel, shape: InputShape, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Where utterances are and by whom; speakers are known or not."""
    if model.reads_dialogues:
        # As in a batch: whole dialogues, each of one utterance at least.
        dialogue = torch.arange(shape.utterances) * shape.dialogues // shape.utterances
    else:
        dialogue = torch.randint(0, shape.dialogues, (shape.utterances,), generator=generator)
    return {
        "dialogue_index": dialogue,
        "position": torch.tensor([(dialogue[:row] == own).sum() for row, own in enumerate(dialogue)]),
        "speaker_index": torch.randint(-1, 3, (shape.utterances,), generator=generator),
    }


def _random_tokens(
    model: EmotionModel, shape: InputShape, dialogue: torch.Tensor, present: torch.Tensor, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    def draw(lowest: int, highest: int, *size: int) -> torch.Tensor:
        return torch.randint(lowest, highest, size, generator=generator)

    text_config: Any = model.config.text_config
    vocabulary: Any = model.get_input_embeddings()
    lengths = draw(1, shape.tokens + 1, shape.dialogues)
    lengths[-1] = shape.tokens
    mask = torch.arange(shape.tokens) < lengths[:, None]
    ids = draw(0, vocabulary.num_embeddings, shape.dialogues, shape.tokens)
    own = lengths[dialogue]
    start = draw(0, _ENDLESS, shape.utterances) % own
    kept = 1 + draw(0, _ENDLESS, shape.utterances) % (own - start)
    return {
        "utterance_span": torch.stack([start, start + kept * present], dim=1),
        "input_ids": ids.masked_fill(~mask, text_config.pad_token_id or 0),
        "attention_mask": mask.long(),
    }


@torch.inference_mode()
def _check_logits(eager: EmotionModel, graph: UnivaOnnxModel, longest: Mapping[str, int]) -> float:
    largest = 0.0
    for seed, shape in enumerate(_CHECKED):
        inputs = random_inputs(eager, shape, longest, seed)
        difference = (graph(**inputs).logits - eager(**inputs).logits).abs().max().item()
        if not difference <= TOLERANCE:
            shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in inputs.items())
            raise ValueError(
                f"The exported graph's logits differ from PyTorch's by {difference:.2g}, more than {TOLERANCE}, on "
                f"{shapes}: the model was not written."
            )
        largest = max(largest, difference)
    return largest


@torch.inference_mode()
def _quantized(eager: EmotionModel, exact: Path, file: Path, longest: Mapping[str, int]) -> UnivaOnnxModel:
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = exact.with_name("prepared.onnx")
    quant_pre_process(exact, prepared, skip_symbolic_shape=True)
    # Weights of 7 bits, as sums of two products of 8 bits saturate on processors without VNNI instructions.
    quantize_dynamic(
        prepared,
        file,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        op_types_to_quantize=_QUANTIZED,
    )
    graph = UnivaOnnxModel(eager.config, file)
    for seed, shape in enumerate(_CHECKED):
        logits = graph(**random_inputs(eager, shape, longest, seed)).logits
        if not logits.isfinite().all():
            raise ValueError("Quantised to int8 the model gives scores that are not finite: leave `quantize` out.")
    return graph


def _batches(
    dataset: str, revision: str | None, split: str | None, eager: EmotionModel, processor: UnivaProcessor
) -> DataLoader:

    corpus = load_corpus(dataset, revision)
    check_extractors(corpus, processor)
    rows = make_split(corpus, split or corpus.validation_split or VALIDATION_NAMES[0], processor, eager.config)
    collate: Any = UtteranceCollator(rows)
    if eager.reads_dialogues:
        return DataLoader(rows, batch_sampler=DialogueBatches(rows.dialogues, 64), collate_fn=collate)
    return DataLoader(rows, batch_size=64, collate_fn=collate)


@torch.inference_mode()
def _scores(runtimes: Mapping[str, Any], sizes: Mapping[str, int], batches: DataLoader) -> list[RuntimeScore]:

    metrics = MultilabelMetrics(runtimes["eager"].config)
    probabilities: dict[str, list[np.ndarray]] = {name: [] for name in runtimes}
    seconds = dict.fromkeys(runtimes, 0.0)
    labels = []
    for batch in batches:
        labels.append(batch.pop("labels").numpy())
        for name, runtime in runtimes.items():
            start = time.perf_counter()
            logits = runtime(**batch).logits
            seconds[name] += time.perf_counter() - start
            probabilities[name].append(metrics.config.probabilities(logits).numpy())
    scores = []
    for name, found in probabilities.items():
        values = metrics.compute(np.concatenate(found), np.concatenate(labels))
        counts = {key: int(value) for key, value in values.items() if key.startswith("num_rows")}
        scores.append(RuntimeScore(name, values["micro_f1"], **counts, seconds=seconds[name], size=sizes[name]))
    return scores


def _check_scores(scores: list[RuntimeScore]) -> None:
    by_name = {score.runtime: score.micro_f1 for score in scores}
    if not abs(by_name["int8"] - by_name["eager"]) <= INT8_TOLERANCE:
        raise ValueError(
            f"Quantised to int8 the model's micro-F1 is {by_name['int8']:.2f} %, more than {INT8_TOLERANCE} points "
            f"from PyTorch's {by_name['eager']:.2f} %: the model was not written; leave `quantize` out."
        )


def _write_metadata(config: EmotionConfig, processor: UnivaProcessor, export: OnnxExport, folder: Path) -> None:
    config.save_pretrained(folder)
    processor.save_pretrained(folder)
    report = {name: value for name, value in asdict(export).items() if name != "folder"}
    Path(folder, REPORT_FILE).write_text(json.dumps(report, indent=2) + "\n")
