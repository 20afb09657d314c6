# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Build a corpus folder, from Python or from the command line that all corpora share."""

import argparse
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import datasets

from ..command_line.build import corpora
from ..data.corpus import EXTRACTORS_FILE
from ..data.corpus_card import BENCHMARK_FILE, benchmark
from ..data.parquet import write_checksums, write_shard
from ..data.schema import CorpusError
from ..features.workers import default_workers
from ..models.files_univa import replace_folder, scratch_folder
from ..options import OptionParser, counted
from .builder import UnivaCorpusBuilder
from .card import CardFacts, corpus_card


__all__ = [
    "add_corpus_options",
    "build_corpus",
    "build_from_options",
    "corpus_class",
    "corpus_parser",
    "known_facts",
    "media_folder",
    "preview_from_options",
    "summary",
]

_MARKER = EXTRACTORS_FILE


def build_corpus(
    builder_class: type[UnivaCorpusBuilder],
    output: str | Path,
    *,
    overwrite: bool = False,
    max_shard_size: str = "500MB",
    facts: CardFacts | None = None,
    workers: int = 1,
    listener: Callable[[str], None] | None = None,
    **config: Any,
) -> UnivaCorpusBuilder:
    """Build a corpus as Parquet with a card, so that `load_dataset(output)` needs nothing of this package.

    All is written beside `output` and renamed at the end. A job that was stopped leaves the features that it has made
    of media in `{output}.partial`; the next one with the same arguments goes on with them.

    Args:
        builder_class: Which corpus.
        output: Folder to make.
        overwrite: Whether a corpus that an earlier run built there may be replaced.
        max_shard_size: Rough size of a Parquet file before compression, such as "500MB".
        facts: Name, licence and language for the card; by default what the builder class knows.
        workers: Processes that make features of media; with 0 or 1 there are none beside this one.
        listener: Gets remarks on the source, line by line, before features are made.
        **config: Options of the builder, `source` among them.

    Returns:
        The builder, with `statistics` and `rejected`.

    Raises:
        CorpusError: The source cannot be used, or `output` is in the way.
    """
    output = Path(output)
    with scratch_folder(output) as scratch:
        _check_output(output, Path(config["source"]), overwrite)
        folder, built = Path(scratch, "corpus"), Path(scratch, "built")
        builder = builder_class(cache_dir=str(Path(scratch, "cache")), **config)
        builder.listener = listener
        builder.workers, builder.partial_folder = workers, output.with_name(f"{output.name}.partial")
        builder.download_and_prepare(str(built), file_format="parquet", max_shard_size=max_shard_size)
        _collect(builder, built, folder)
        name = builder_class.PRETTY_NAME or Path(config["source"]).resolve().name
        facts = facts or known_facts(builder_class, name)
        Path(folder, "README.md").write_text(corpus_card(builder, facts), encoding="utf-8")
        tasks = benchmark(facts.pretty_name, builder.statistics)
        if tasks is not None:
            Path(folder, BENCHMARK_FILE).write_text(tasks, encoding="utf-8")
        write_checksums(folder)
        replace_folder(folder, output)
        shutil.rmtree(builder.partial_folder, ignore_errors=True)
    return builder


def known_facts(builder_class: type[UnivaCorpusBuilder], name: str) -> CardFacts:
    """What a builder knows of its corpus, under this name, for the card."""
    return CardFacts(
        name, builder_class.LICENSE, builder_class.LANGUAGE, builder_class.SOURCE_URL, builder_class.CITATION
    )


def _check_output(output: Path, source: Path, overwrite: bool) -> None:
    if output.resolve() in (source.resolve(), *source.resolve().parents):
        raise CorpusError(f"output folder {output} is or holds the source {source}; choose another one")
    if output.is_file():
        raise CorpusError(f"output {output} is a file; choose a folder")
    if not output.is_dir() or not any(output.iterdir()):
        return
    if not overwrite:
        raise CorpusError(f"output folder {output} is not empty; choose another one, or pass `overwrite`")
    if not Path(output, _MARKER).is_file():
        raise CorpusError(f"output folder {output} holds no corpus (no {_MARKER}), so it is not overwritten")


def _collect(builder: UnivaCorpusBuilder, built: Path, folder: Path) -> None:
    """Move what datasets wrote to the names of a corpus folder."""
    Path(folder, "data").mkdir(parents=True)
    for split in builder.corpus.splits:
        shards = sorted(built.glob(f"{builder.dataset_name}-{split}-*.parquet"))
        shards = shards or [built / f"{builder.dataset_name}-{split}.parquet"]
        for index, shard in enumerate(shards):
            write_shard(shard, folder / "data" / f"{split}-{index:05d}-of-{len(shards):05d}.parquet")
    for path in built.iterdir():
        if path.name != datasets.config.DATASET_INFO_FILENAME:
            path.rename(folder / path.name)


def corpus_class(name: str, arguments: Sequence[str] = ()) -> type[UnivaCorpusBuilder]:
    """
    The builder of a corpus.

    Args:
        name: of `corpora`, with hyphens or underscores.
        arguments: those of its command line, which tell variants of a corpus apart.

    Raises:
        CorpusError: there is no such corpus; the message lists those there are.
        ImportError: a package that it needs is not installed.
    """
    known, module = corpora(), name.replace("-", "_")
    if module not in known:
        raise CorpusError(f"there is no corpus {name!r}; there are {', '.join(known)}")
    return import_module(f"{__package__}.{module}").BUILDER.for_arguments(arguments)


def corpus_parser(builder_class: type[UnivaCorpusBuilder]) -> OptionParser:
    """The options of a corpus; `build_from_options` takes what it reads."""
    parser = OptionParser(description=(builder_class.__doc__ or "").split("\n\n")[0])
    add_corpus_options(parser, builder_class)
    return parser


def add_corpus_options(parser: OptionParser, builder_class: type[UnivaCorpusBuilder]) -> None:
    """Add the options of a corpus to a parser."""
    parser.add_argument(
        builder_class.SOURCE_OPTION,
        dest="source",
        required=builder_class.SOURCE_REQUIRED,
        help=builder_class.SOURCE_HELP,
    )
    parser.add_argument(
        "--output",
        required=not builder_class.HAS_PREVIEW,
        help="folder to make; load it with datasets.load_dataset",
    )
    if builder_class.HAS_PREVIEW:
        parser.add_argument("--dry-run", action="store_true", help="only say what would be built, with the first rows")
    parser.add_argument("--overwrite", action="store_true", help="replace a corpus that is already in --output")
    parser.add_argument("--strict", action="store_true", help="stop at the first bad row instead of leaving it out")
    parser.add_argument(
        "--outside-source", action="store_true", help="also read files elsewhere, to which links and .. lead"
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=default_workers(),
        help="processes that make features of media (default %(default)s, the cores)",
    )
    parser.add_argument("--max-shard-size", default="500MB", help="rough size of a Parquet file (default 500MB)")
    parser.add_argument("--pretty-name", help="name of the corpus on its card")
    parser.add_argument("--license", help="licence of the corpus on its card, an identifier of the Hub's list")
    parser.add_argument("--source-url", help="where the corpus comes from, on its card: an address or a reference")
    parser.add_argument("--language", help="language of the text on the card, such as en")
    builder_class.add_arguments(parser)


def preview_from_options(
    builder_class: type[UnivaCorpusBuilder],
    arguments: argparse.Namespace,
    listener: Callable[[str], None] | None = None,
) -> list[str]:
    """What would be built of these options, in lines; remarks on the source go to `listener`. Raises `CorpusError`."""
    config = _config(builder_class, arguments)
    with tempfile.TemporaryDirectory() as scratch:
        builder = builder_class(cache_dir=scratch, **config)
        builder.listener = listener
        return builder.preview()


def media_folder(name: str, output: str, source: str, options: Sequence[str]) -> str:
    """
    The folder to which the paths of media in a built corpus are relative.

    Args:
        name: Of the corpus, as of `corpus_class`.
        output, source: Built corpus, and what it was built from.
        options: The others of its command line.
    """
    builder_class = corpus_class(name, options)
    arguments = ["--output", output, builder_class.SOURCE_OPTION, source, *options]
    found = corpus_parser(builder_class).parse_args(arguments)
    builder_class.complete_arguments(found)
    return found.source


def _config(builder_class: type[UnivaCorpusBuilder], arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of the builder's configuration that the options set."""
    builder_class.complete_arguments(arguments)
    given = {key: value for key, value in vars(arguments).items() if value is not None}
    return {item.name: given[item.name] for item in fields(builder_class.BUILDER_CONFIG_CLASS) if item.name in given}


def build_from_options(
    builder_class: type[UnivaCorpusBuilder],
    arguments: argparse.Namespace,
    listener: Callable[[str], None] | None = None,
) -> UnivaCorpusBuilder:
    """Build what the options of `corpus_parser` say; see `build_corpus`."""
    if not arguments.output:
        raise CorpusError("`output` is missing; pass the folder to make, or `dry_run` to see what would be built")
    config = _config(builder_class, arguments)
    try:
        datasets.utils.py_utils.convert_file_size_to_int(arguments.max_shard_size)
    except ValueError:
        raise CorpusError(f"`max_shard_size` {arguments.max_shard_size!r} is not a size; write it as 500MB") from None
    name = arguments.pretty_name or builder_class.PRETTY_NAME or Path(arguments.source).resolve().name
    said = {"license": arguments.license, "language": arguments.language, "origin": arguments.source_url}
    facts = replace(known_facts(builder_class, name), **{fact: value for fact, value in said.items() if value})
    return build_corpus(
        builder_class,
        arguments.output,
        overwrite=arguments.overwrite,
        max_shard_size=arguments.max_shard_size,
        facts=facts,
        workers=arguments.workers,
        listener=listener,
        **config,
    )


def summary(builder: UnivaCorpusBuilder, output: str, seconds: float) -> list[str]:
    """What was built in how long, in lines for a terminal."""
    num_rows = sum(counts.num_rows for counts in builder.statistics.values())
    size = sum(path.stat().st_size for path in Path(output).rglob("*") if path.is_file())
    lines = [
        f"{split}: {counted(counts.num_rows, 'utterance')} in {counted(counts.num_dialogues, 'dialogue')}"
        for split, counts in builder.statistics.items()
    ]
    lines += builder.notes
    if builder.rejected:
        first = builder.rejected[0]["reason"]
        lines.append(f"rejected {counted(len(builder.rejected), 'row')}, see rejected.jsonl; the first: {first}")
    space = f"{size / 1e6:.1f} MB" if size > 1e6 else f"{size / 1e3:.0f} kB"
    # Of few rows the time is that of loading what makes features.
    speed = f", {num_rows / seconds:.0f} rows/s" if num_rows >= seconds else ""
    lines.append(f"wrote {output}: {counted(num_rows, 'row')}, {space}{speed}")
    if not builder.SOURCE_REQUIRED:
        lines.append(f"raw media in {builder.config.source}")
    return lines
