# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""`univa`: one sub-command a task."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sub-command; a mistake of the user ends in one sentence and exit status 2."""
    options = make_parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, OSError, ImportError) as error:
        print(f"univa: {error}", file=sys.stderr)
        return 2


def make_parser() -> argparse.ArgumentParser:
    """The command line of `univa`."""
    parser = argparse.ArgumentParser(prog="univa", description="Multimodal multi-label emotion recognition.")
    commands = parser.add_subparsers(title="tasks", required=True, metavar="TASK")
    _add_convert(commands)
    _add_predict(commands)
    return parser


def _add_convert(commands: argparse._SubParsersAction) -> None:
    convert = commands.add_parser("convert", help="a published checkpoint to a folder that from_pretrained loads")
    kinds = convert.add_subparsers(title="checkpoints", required=True, metavar="KIND")
    univa = kinds.add_parser("univa", help="the authors' best_model.pth")
    univa.add_argument("--checkpoint", required=True, help="the authors' checkpoint")
    univa.add_argument("--text-model", help="folder or Hub id of the text encoder (default: the one it names)")
    univa.add_argument("--output", required=True, help="folder to write")
    univa.set_defaults(run=run_convert_univa)


def _add_predict(commands: argparse._SubParsersAction) -> None:
    predict = commands.add_parser("predict", help="emotions of new utterances from text and raw media")
    predict.add_argument("model", help="model folder or Hub id")
    predict.add_argument("metadata", nargs="?", help="csv with utterance_id, dialogue_id, text, audio, faces")
    predict.add_argument("--utterance", action="append", metavar="ID", help="only this one; may be repeated")
    predict.add_argument("--text", help="instead of a csv: what is said")
    predict.add_argument("--audio", type=Path, help="with --text: sound file")
    predict.add_argument("--faces", type=Path, nargs="+", default=[], help="with --text: image files of the face")
    predict.add_argument("--batch-size", type=int, default=16, help="utterances of a batch (default 16)")
    predict.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    predict.set_defaults(run=run_predict)


def run_convert_univa(options: argparse.Namespace) -> int:
    """`univa convert univa`."""
    from .convert import convert_univa

    print(f"wrote {convert_univa(options.checkpoint, options.output, options.text_model)}")
    return 0


def run_predict(options: argparse.Namespace) -> int:
    """`univa predict`."""
    from .modeling_univa import UnivaForEmotionClassification
    from .prediction import Utterance, predict, prediction_table, read_utterances
    from .processing_univa import UnivaProcessor

    if (options.metadata is None) == (options.text is None):
        raise ValueError("give either a metadata csv or --text")
    if options.metadata is not None:
        utterances = read_utterances(Path(options.metadata))
    else:
        utterances = [Utterance("clip", "clip", options.text, options.audio, tuple(options.faces))]
    model = UnivaForEmotionClassification.from_pretrained(options.model)
    processor = UnivaProcessor.from_pretrained(options.model)
    predictions = predict(model, processor, utterances, options.utterance, options.batch_size)
    if options.json:
        for item in predictions:
            print(json.dumps(asdict(item), default=str), flush=True)
    else:
        print(prediction_table(list(predictions), model.config.decision_threshold))
    return 0


if __name__ == "__main__":
    sys.exit(main())
