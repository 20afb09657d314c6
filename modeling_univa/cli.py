# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""`univa`: one sub-command a task."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .failures import run_guarded


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sub-command; a mistake of the user ends in one sentence and exit status 2."""
    options = make_parser().parse_args(arguments)
    return run_guarded("univa", lambda: options.run(options))


def make_parser() -> argparse.ArgumentParser:
    """The command line of `univa`."""
    parser = argparse.ArgumentParser(prog="univa", description="Multimodal multi-label emotion recognition.")
    commands = parser.add_subparsers(title="tasks", required=True, metavar="TASK")
    _add_convert(commands)
    _add_predict(commands)
    _add_train_affect(commands)
    _add_complete(commands)
    _add_merge_adapter(commands)
    _add_adapter_base(commands)
    _add_extract(commands)
    _add_evaluate(commands)
    _add_push(commands)
    _add_push_metric(commands)
    _add_score_affect(commands)
    _add_export(commands)
    return parser


def _add_convert(commands: argparse._SubParsersAction) -> None:
    convert = commands.add_parser("convert", help="a published checkpoint to a folder that from_pretrained loads")
    kinds = convert.add_subparsers(title="checkpoints", required=True, metavar="KIND")
    univa = kinds.add_parser("univa", help="the authors' best_model.pth")
    univa.add_argument("--checkpoint", required=True, help="the authors' checkpoint")
    univa.add_argument("--text-model", help="folder or Hub id of the text encoder (default: the one it names)")
    univa.add_argument("--output", required=True, help="folder to write")
    univa.set_defaults(run=run_convert_univa)
    _add_convert_network(kinds, "emonet", "EmoNet's emonet_5.pth or emonet_8.pth: affect of a face")
    _add_convert_network(kinds, "inception", "facenet-pytorch's 20180408-102900-casia-webface.pt: face embeddings")
    _add_convert_network(kinds, "mini-xception", "emotion_model.hdf5 of the Python package fer: expression of a face")
    _add_convert_network(kinds, "audeering", "audeering's wav2vec 2.0 weights: affect of speech")


def _add_convert_network(kinds: argparse._SubParsersAction, name: str, description: str) -> None:
    parser = kinds.add_parser(name, help=description)
    parser.add_argument("--checkpoint", required=True, help="the published file of weights")
    parser.add_argument("--output", required=True, help="folder to write")
    parser.set_defaults(run=run_convert_network, network=name)


def _add_predict(commands: argparse._SubParsersAction) -> None:
    predict = commands.add_parser("predict", help="emotions of clips, or of utterances from text and raw media")
    predict.add_argument("model", help="model folder or Hub id")
    predict.add_argument(
        "inputs", nargs="*", metavar="INPUT", help="clips (video or sound), folders of clips, or metadata csv files"
    )
    predict.add_argument("--media-root", type=Path, help="folder of the media of csv files (default: the csv's own)")
    predict.add_argument("--utterance", action="append", metavar="ID", help="only this one; may be repeated")
    predict.add_argument("--text", help="what is said in the one clip (default: CLIP.txt beside it, if there is one)")
    predict.add_argument("--transcribe", metavar="MODEL", help="speech recognition model for clips without text")
    predict.add_argument("--audio", type=Path, help="instead of INPUT: sound file")
    predict.add_argument("--faces", type=Path, nargs="+", default=[], help="instead of INPUT: image files of the face")
    predict.add_argument("--face-reader", metavar="DETECTOR", help="for videos, if the model names none: haar, …")
    for modality in ("text", "audio", "vision"):
        predict.add_argument(f"--affect-{modality}", metavar="MODEL", help=f"scorer of the {modality}'s VA")
    predict.add_argument("--batch-size", type=int, default=16, help="utterances of a batch (default 16)")
    predict.add_argument("--device", help="where to run (default: a GPU where there is one)")
    predict.add_argument(
        "--runtime", choices=("torch", "onnx"), default="torch", help="onnx: what `univa export` wrote, on the CPU"
    )
    predict.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    predict.add_argument("--plot", type=Path, metavar="FILE", help="picture of a clip; of several, FILE-CLIP each")
    predict.add_argument("--strict", action="store_true", help="stop at the first clip that cannot be predicted")
    predict.set_defaults(run=run_predict)


def _add_extract(commands: argparse._SubParsersAction) -> None:
    extract = commands.add_parser("extract", help="features of a whole corpus from its raw media")
    _add_job_options(extract)
    extract.add_argument("--audio-extractor", metavar="NAME", help="log-mel, JSON settings, or a speech encoder")
    extract.add_argument("--vision-extractor", metavar="NAME", help="hog, JSON settings, or a face embedding network")
    extract.add_argument("--text-extractor", metavar="FILE", help="file of word vectors in GloVe's format")
    extract.add_argument("--faces", metavar="DETECTOR", help="for videos: yunet, haar, …, or JSON settings")
    extract.add_argument("--dtype", choices=("auto", "float32", "float16", "bfloat16"), help="precision of networks")
    extract.set_defaults(run=run_extract)


def _add_score_affect(commands: argparse._SubParsersAction) -> None:
    score = commands.add_parser("score-affect", help="valence and arousal of a whole corpus by pretrained scorers")
    _add_job_options(score)
    for modality in ("text", "audio", "vision"):
        score.add_argument(f"--{modality}", metavar="MODEL", help=f"scorer of {modality}: folder, or ID[@REVISION]")
    score.add_argument("--splits", nargs="+", help="only these; VA is used in training alone (default: all)")
    score.add_argument("--faces", metavar="DETECTOR", help="for videos: yunet, haar, …, or JSON settings")
    score.add_argument("--translate", metavar="MODEL", help="seq2seq model, or deepl, that translates text first")
    score.add_argument("--source-language", help="language of the text, in the codes of --translate")
    score.add_argument("--target-language", default="en", help="language of the scorer (default en)")
    score.set_defaults(run=run_score_affect)


def _add_job_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("corpus", help="corpus folder that a script of datasets_scripts/ built, or its Hub id")
    parser.add_argument("--output", required=True, help="corpus folder to make; to go on, give the command again")
    parser.add_argument("--media-root", type=Path, help="folder that the corpus was built from")
    parser.add_argument(
        "--outside-media-root", action="store_true", help="also read files elsewhere that the corpus or links name"
    )
    parser.add_argument("--batch-size", type=int, default=16, help="clips that are worked on together (default 16)")
    parser.add_argument("--shard-rows", type=int, default=256, help="rows of an output file (default 256)")
    parser.add_argument("--workers", type=int, default=2, help="threads that read media ahead (default 2)")
    parser.add_argument("--device", help="where networks run (default: the accelerator, or else the CPU)")
    parser.add_argument("--strict", action="store_true", help="stop at the first bad clip instead of listing it")


def _add_merge_adapter(commands: argparse._SubParsersAction) -> None:
    merge = commands.add_parser("merge-adapter", help="a LoRA adapter and its base to one whole model")
    merge.add_argument("adapter", help="adapter folder or Hub id")
    merge.add_argument("--revision", help="branch, tag or commit of the adapter on the Hub")
    merge.add_argument("--output", required=True, help="folder to write")
    merge.set_defaults(run=run_merge_adapter)


def _add_adapter_base(commands: argparse._SubParsersAction) -> None:
    base = commands.add_parser("adapter-base", help="name the Hub repository of a LoRA adapter's base")
    base.add_argument("adapter", help="adapter folder")
    base.add_argument("repository", metavar="ORG/NAME", help="where the base was pushed to")
    base.add_argument("--revision", help="its branch, tag or commit")
    base.set_defaults(run=run_adapter_base)


def _add_complete(commands: argparse._SubParsersAction) -> None:
    complete = commands.add_parser("complete", help="give a model trained on ready features the extractors of them")
    complete.add_argument("model", help="model folder or Hub id")
    complete.add_argument("--revision", help="branch, tag or commit of a model on the Hub")
    complete.add_argument("--audio-extractor", metavar="NAME", help="speech encoder (folder or Hub id), or settings")
    complete.add_argument("--vision-extractor", metavar="NAME", help="face embedding network, or settings")
    complete.add_argument("--text-extractor", metavar="FILE", help="file of word vectors in GloVe's format")
    complete.add_argument(
        "--text-words", type=int, metavar="N", help="copy the N most frequent words (default: the file stays outside)"
    )
    complete.add_argument("--faces", metavar="DETECTOR", help="for videos: yunet, haar, …, or JSON settings")
    complete.add_argument("--output", help="folder to write (default: the model's own)")
    complete.set_defaults(run=run_complete)


def _add_train_affect(commands: argparse._SubParsersAction) -> None:
    train = commands.add_parser("train-affect", help="train a scorer of valence and arousal")
    train.add_argument("--data", required=True, help="emobank.csv, folder or Hub id; for audio and vision a corpus")
    train.add_argument("--output", required=True, help="folder to make")
    train.add_argument("--modality", choices=("text", "audio", "vision"), default="text", help="default text")
    train.add_argument("--model", help="for text: encoder, folder or Hub id or package://NAME/FOLDER")
    train.add_argument("--revision", help="branch, tag or commit of --model on the Hub")
    train.add_argument("--epochs", type=float, help="default 3 for text, 30 for audio, 20 for vision")
    train.add_argument("--batch-size", type=int, default=32, help="sentences or clips of a batch (default 32)")
    train.add_argument("--learning-rate", type=float, help="default 5e-5 for text, 1e-3 audio, 3e-4 vision")
    train.add_argument("--head-learning-rate", type=float, default=1e-3, help="for text: of the head (default 1e-3)")
    train.add_argument("--max-length", type=int, help="longest sentence in tokens, or clip in frames")
    train.add_argument("--train-split", default="train", help="default train")
    train.add_argument("--eval-split", help="chooses the epoch (default validation, valid, val or dev)")
    train.add_argument("--bf16", action="store_true", help="train in bfloat16, where the hardware has it")
    train.add_argument("--seed", type=int, default=1111, help="default 1111")
    train.set_defaults(run=run_train_affect)


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    evaluate = commands.add_parser("evaluate", help="scores of a model on a data set, for its card and the Hub")
    evaluate.add_argument("model", help="model folder or Hub id")
    evaluate.add_argument("dataset", help="corpus folder or Hub id")
    evaluate.add_argument("--split", default="test", help="which rows (default test)")
    evaluate.add_argument("--batch-size", type=int, default=16, help="utterances of a batch (default 16)")
    evaluate.add_argument("--output", type=Path, help="folder for the results and the card (default: the model's)")
    evaluate.add_argument("--revision", help="branch, tag or commit of a model on the Hub")
    evaluate.add_argument("--dataset-revision", help="branch, tag or commit of a data set on the Hub")
    evaluate.add_argument("--dataset-id", metavar="ORG/NAME", help="Hub id of a data set that is given as a folder")
    evaluate.add_argument("--device", choices=("cpu",), help="cpu: leave a GPU alone")
    evaluate.set_defaults(run=run_evaluate)


def _add_push(commands: argparse._SubParsersAction) -> None:
    push = commands.add_parser("push", help="a saved folder to the Hub, in one commit")
    push.add_argument("folder", help="folder that training wrote, or `save_pretrained` of model and processor")
    push.add_argument("repository", metavar="ORG/NAME", help="repository; made if it is not there yet")
    push.add_argument("--private", action="store_true", default=None, help="make it a private one")
    push.add_argument("--revision", metavar="BRANCH", help="branch, made from main if it is not there (default main)")
    push.add_argument("--create-pr", action="store_true", help="open a pull request instead")
    push.add_argument("--message", default="Upload model", help="commit message (default: Upload model)")
    push.set_defaults(run=run_push)


def _add_push_metric(commands: argparse._SubParsersAction) -> None:
    push = commands.add_parser("push-metric", help="the metric to the Hub, for evaluate.load(ORG/NAME)")
    push.add_argument("repository", metavar="ORG/NAME", help="Space; made if it is not there yet")
    push.add_argument("--private", action="store_true", default=None, help="make it a private one")
    push.set_defaults(run=run_push_metric)


def _add_export(commands: argparse._SubParsersAction) -> None:
    export = commands.add_parser("export", help="a trained model to ONNX, for `univa predict --runtime onnx`")
    export.add_argument("model", help="model or adapter, folder or Hub id")
    export.add_argument("--revision", help="branch, tag or commit of a model on the Hub")
    export.add_argument("--format", choices=("onnx",), required=True, help="onnx")
    export.add_argument("--quantize", choices=("int8",), help="to 8-bit numbers: a smaller and less exact model")
    export.add_argument("--dataset", help="built corpus, folder or Hub id, to score it on before it is written")
    export.add_argument("--dataset-revision", help="branch, tag or commit of the corpus on the Hub")
    export.add_argument("--split", help="of the corpus (default validation, valid, val or dev)")
    export.add_argument("--output", required=True, help="folder to write")
    export.set_defaults(run=run_export)


def run_convert_univa(options: argparse.Namespace) -> int:
    """`univa convert univa`."""
    from .convert import convert_univa

    print(f"wrote {convert_univa(options.checkpoint, options.output, options.text_model)}")
    return 0


def run_convert_network(options: argparse.Namespace) -> int:
    """`univa convert` of a network of `NETWORKS`."""
    from .convert_networks import convert_network

    print(f"wrote {convert_network(options.network, options.checkpoint, options.output)}")
    return 0


def run_complete(options: argparse.Namespace) -> int:
    """`univa complete`."""
    from .completion import complete_model
    from .features.command import extractor_from_argument, face_reader_from_argument

    given = {name: getattr(options, f"{name}_extractor") for name in ("text", "audio", "vision")}
    extractors = {name: extractor_from_argument(name, argument) for name, argument in given.items() if argument}
    faces = face_reader_from_argument(options.faces).to_dict() if options.faces else None
    if not extractors and faces is None:
        raise ValueError("nothing to complete: give --audio-extractor, --vision-extractor, --text-extractor, --faces")
    folder = complete_model(
        options.model,
        extractors,
        faces=faces,
        output=options.output,
        revision=options.revision,
        most_frequent_words=options.text_words,
    )
    print(f"wrote {folder}")
    return 0


def run_extract(options: argparse.Namespace) -> int:
    """`univa extract`."""
    from .features.command import extract

    return extract(options)


def run_merge_adapter(options: argparse.Namespace) -> int:
    """`univa merge-adapter`."""
    from .adapters import merge_adapter

    print(f"wrote {merge_adapter(options.adapter, options.output, options.revision)}")
    return 0


def run_adapter_base(options: argparse.Namespace) -> int:
    """`univa adapter-base`."""
    from .adapters import AdapterBase, set_adapter_base

    set_adapter_base(options.adapter, AdapterBase(options.repository, options.revision))
    print(f"{options.adapter} is an adapter of {options.repository}")
    return 0


def run_score_affect(options: argparse.Namespace) -> int:
    """`univa score-affect`."""
    from .affect.job import score_affect

    return score_affect(options)


def run_predict(options: argparse.Namespace) -> int:
    """`univa predict`."""
    from .prediction_command import run

    return run(options)


def run_evaluate(options: argparse.Namespace) -> int:
    """`univa evaluate`."""
    from .hub.evaluation import run

    return run(options)


def run_export(options: argparse.Namespace) -> int:
    """`univa export`."""
    from .onnx_export import export_onnx

    export = export_onnx(
        options.model,
        options.output,
        revision=options.revision,
        quantize=options.quantize,
        dataset=options.dataset,
        dataset_revision=options.dataset_revision,
        split=options.split,
    )
    print(export)
    return 0


def run_push(options: argparse.Namespace) -> int:
    """`univa push`."""
    from .hub.corpus_push import is_corpus, push_corpus
    from .hub.push import push_folder

    if is_corpus(options.folder):
        if options.revision or options.create_pr:
            raise ValueError("a corpus is pushed to main: leave --revision and --create-pr out")
        print(push_corpus(options.folder, options.repository, private=options.private).commit_url)
        return 0
    commit = push_folder(
        options.folder,
        options.repository,
        private=options.private,
        revision=options.revision,
        commit_message=options.message,
        create_pr=options.create_pr,
    )
    print(commit.pr_url or commit.commit_url)
    return 0


def run_push_metric(options: argparse.Namespace) -> int:
    """`univa push-metric`."""
    from .hub.push import push_metric

    print(push_metric(options.repository, private=options.private).commit_url)
    return 0


def run_train_affect(options: argparse.Namespace) -> int:
    """`univa train-affect`."""
    from .affect.training import AffectTrainingOptions, results_table, train_affect

    chosen = {name: value for name, value in vars(options).items() if name != "run"}
    results = train_affect(AffectTrainingOptions(**chosen))
    print(results_table(results))
    print(f"wrote {options.output} in {results['seconds']:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
