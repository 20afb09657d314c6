# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A long job over a corpus that may be stopped at any moment, and shared by any number of processes.

The rows are cut into shards by a plan that depends on the corpus and the arguments alone. A shard is made from nothing
but its own rows and is written to a temporary name, synced and renamed; so what is there is whole, and the bytes are
the same whoever made it and however often the job was stopped. Who makes which shard is settled by file locks, which
the system drops when a process dies. They only save work: two processes that make the same shard write the same bytes.
"""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from datasets.table import InMemoryTable
from tqdm import tqdm
from transformers.utils import logging

from ..data.corpus import Corpus
from ..data.parquet import WRITE_OPTIONS, check_files, damage, write_checksums
from ..data.schema import CorpusError, holds_frames
from ..models.files_univa import beside, locked, one_line, sync, whole_file, write_text


__all__ = [
    "REJECTED_FILE",
    "Shard",
    "ShardJob",
    "ShardResult",
    "device_kind",
    "library_versions",
    "made_shards",
    "own_device",
    "plan_shards",
    "run_job",
]

logger = logging.get_logger(__name__)

REJECTED_FILE = "rejected.jsonl"

# Rows of a row group, as in the corpora that the builders write.
_ROW_GROUP = 64
_POLL_SECONDS = 0.5
_PLAN_FILE = "plan.json"


@dataclass(frozen=True)
class Shard:
    """Rows [first, last) of a split; `index` counts the shards of the split."""

    split: str
    index: int
    first: int
    last: int

    @property
    def name(self) -> str:
        """Name of its files, without ending."""
        return f"{self.split}-{self.index:05d}"

    @property
    def num_rows(self) -> int:
        """Rows that go in; rejected ones do not come out."""
        return self.last - self.first


@dataclass
class ShardResult:
    """What became of a shard.

    Args:
        table: The rows, with the columns of the job's output.
        lines: By file name, lines of JSON-lines files beside the output, such as those of `REJECTED_FILE`.
    """

    table: pa.Table
    lines: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


class ShardJob(ABC):
    """What is done to the rows of a corpus.

    Args:
        corpus: The input.
    """

    #: Name of the sub-command, and of the file in the output that says how it was called.
    name: ClassVar[str]

    def __init__(self, corpus: Corpus):
        self.corpus = corpus

    @property
    @abstractmethod
    def features(self) -> datasets.Features:
        """Columns of the output."""

    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """Everything that decides the bytes of the output, as JSON."""

    @abstractmethod
    def process(
        self, shards: Iterable[tuple[Shard, pa.Table]], advance: Callable[[int], Any]
    ) -> Iterator[tuple[Shard, ShardResult]]:
        """Make the rows of each shard, from these rows alone; `advance(n)` tells that n more rows are done.

        It may ask for the next shard before it has finished the one before, to have work for all processes.
        """

    @abstractmethod
    def write_card(self, folder: Path, shards: Iterable[tuple[Shard, pa.Table, dict[str, Any]]]) -> None:
        """Write the card and the JSON files of the finished corpus in `folder`, which already holds all else.

        `shards` gives each shard with its rows (all columns but the features) and what `summary` said of it.
        """

    def close(self) -> None:
        """Let go of processes and the like; called at the end, however it came."""
        return

    def summary(self, table: pa.Table) -> dict[str, Any]:
        """What `write_card` will want to know of the features of a shard, as JSON."""
        return {}


def plan_shards(rows: datasets.Dataset, split: str, shard_rows: int) -> list[Shard]:
    """Cut a split into shards of at most `shard_rows` rows, never within a dialogue unless none could hold it.

    Dialogues stay whole because a rejected row changes the positions of those after it.
    """
    dialogues = rows.with_format("arrow")["dialogue_id"][:]
    borders = [0]
    start = 0
    for end in _dialogue_ends(dialogues):
        if end - borders[-1] > shard_rows and start > borders[-1]:
            borders.append(start)
        start = end
    edges = [*borders, len(rows)]
    return [Shard(split, index, *edge) for index, edge in enumerate(zip(edges, edges[1:], strict=False))]


def _dialogue_ends(dialogues: pa.ChunkedArray) -> Iterator[int]:
    previous = None
    for row, dialogue in enumerate(value for chunk in dialogues.chunks for value in chunk.to_pylist()):
        if row and dialogue != previous:
            yield row
        previous = dialogue
    yield len(dialogues)


def corpus_digest(corpus: Corpus) -> str:
    """SHA-256 of all rows without their features, so that a job goes on with the corpus that it began with."""
    digest = hashlib.sha256()
    for split in sorted(corpus.splits):
        rows = corpus.splits[split]
        light = rows.select_columns([name for name in rows.column_names if not holds_frames(name)])
        for batch in light.with_format("arrow").iter(batch_size=1000):
            digest.update(json.dumps([split, batch.to_pylist()]).encode())
    return digest.hexdigest()


def run_job(job: ShardJob, output: str | Path, *, shard_rows: int = 256, strict: bool = False) -> Path:
    """Do a job, or what is left of it, together with whatever other processes do the same job.

    Progress lies in the folder `{output}.partial` until the output is whole; then it is renamed. Any number of
    processes may run the same command, on machines that share the folder; each returns when the output is there.

    Args:
        job: What to do.
        output: Corpus folder to make.
        shard_rows: Rows of a shard. A process that is stopped loses the shards that it is at: one or two, and more
            where they are so small that one does not keep its workers busy.
        strict: Whether a rejected row ends the job.

    Raises:
        CorpusError: The output is in the way, the job was begun with other arguments, every row of a split was
            rejected, or (with `strict`) any row.
    """
    if shard_rows < 1:
        raise CorpusError(f"a shard needs at least one row, got {shard_rows}")
    if Path(output).resolve() == Path(job.corpus.name).resolve():
        raise CorpusError(f"output {output} is the input; choose another folder")
    try:
        return _Run(job, Path(output), shard_rows, strict)()
    finally:
        job.close()


def made_shards(output: str | Path) -> tuple[int, int] | None:
    """How many shards of a job are made, and of how many; `None` before it has begun and after its end.

    Args:
        output: As of `run_job`, which other processes may be at.
    """
    work = _work_folder(Path(output))
    try:
        plan = json.loads((work / _PLAN_FILE).read_text(encoding="utf-8"))
        return sum(file.suffix == ".parquet" for file in (work / "shards").iterdir()), len(plan["shards"])
    except FileNotFoundError:
        return None


def _work_folder(output: Path) -> Path:
    return output.with_name(output.name + ".partial")


class _Run:
    def __init__(self, job: ShardJob, output: Path, shard_rows: int, strict: bool):
        self.job, self.output, self.strict = job, output, strict
        self.work = _work_folder(output)
        self._plan = self.work / _PLAN_FILE
        self.record = f"{job.name}.json"
        splits = sorted(job.corpus.splits, key=lambda split: (split != "train", split == "test", split))
        plans = [plan_shards(job.corpus.splits[split], split, shard_rows) for split in splits]
        self.shards = [shard for plan in plans for shard in plan]
        arguments = {"corpus": corpus_digest(job.corpus), "shard_rows": shard_rows, **job.arguments()}
        self.arguments = json.loads(json.dumps(arguments))

    def __call__(self) -> Path:
        if not self._is_complete():
            try:
                self._start()
                # Where another process finished in between, the folder that was started is empty and goes again.
                if not self._is_complete():
                    self._make_shards()
                    self._assemble()
            except FileNotFoundError:
                # Without locks another process may have finished, and removed, what this one was at.
                if not self._is_complete():
                    raise
        self._clean_up()
        return self.output

    # What is there already

    def _is_complete(self) -> bool:
        record = self.output / self.record
        if not record.is_file():
            if self.output.exists() and (not self.output.is_dir() or any(self.output.iterdir())):
                raise CorpusError(
                    f"output {self.output} already exists and was not created by this job; choose another"
                )
            return False
        self._check_same(record)
        check_files(self.output)
        return True

    def _start(self) -> None:
        (self.work / "shards").mkdir(parents=True, exist_ok=True)
        text = json.dumps({"arguments": self.arguments, "shards": [shard.name for shard in self.shards]}, indent=2)
        plan = self._plan
        # The first of several processes writes it; a link, unlike a renaming, fails where another was faster.
        with beside(plan) as file:
            file.write_text(text + "\n", encoding="utf-8")
            if not plan.exists():
                _link_or_replace(file, plan)
        self._check_same(plan)

    def _check_same(self, file: Path) -> None:
        previous = json.loads(file.read_text(encoding="utf-8"))["arguments"]
        for name in sorted({*self.arguments, *previous}):
            if previous.get(name) != self.arguments.get(name):
                raise CorpusError(
                    f"{file.parent} is of a run with {name} = {previous.get(name)!r}, and now it is "
                    f"{self.arguments.get(name)!r}: use the earlier value to go on, or choose another `output`"
                )

    def _table_file(self, shard: Shard) -> Path:
        return self.work / "shards" / f"{shard.name}.parquet"

    def _lines_file(self, shard: Shard) -> Path:
        return self.work / "shards" / f"{shard.name}.json"

    def _is_open(self) -> bool:
        """Whether the work is still to be done here: whoever has finished it takes it away."""
        return self._plan.exists()

    @contextlib.contextmanager
    def _lock(self, name: str) -> Iterator[bool]:
        """Whether this process is the one that holds a lock of the work, and the work is still there."""
        if not self._is_open():
            yield False
            return
        # It makes the folder again where that was taken away just now.
        with locked(self.work / name) as mine:
            yield mine and self._is_open()

    def _left(self) -> list[Shard]:
        return [shard for shard in self.shards if not self._table_file(shard).exists()]

    # Shards

    def _make_shards(self) -> None:
        self._remove_damaged()
        total = sum(shard.num_rows for shard in self.shards)
        left = self._left()
        done = total - sum(shard.num_rows for shard in left)
        quiet = int(os.environ.get("LOCAL_RANK", 0)) > 0
        with tqdm(total=total, initial=done, unit="clip", desc=self.job.name, disable=quiet) as bar:
            while left:
                if not self._make_some(_from_own_place(left), bar):
                    time.sleep(_POLL_SECONDS)
                left = self._left()
                if left and not self._is_open():
                    # Another process has finished all of it.
                    return
                bar.update(max(0, total - sum(shard.num_rows for shard in left) - bar.n))

    def _remove_damaged(self) -> None:
        """A shard that was damaged since it was made, or lacks what belongs to it, is made again."""
        for shard in self.shards:
            table = self._table_file(shard)
            if not table.exists():
                continue
            with self._lock(f"shards/{shard.name}.lock") as mine:
                reason = damage(table, self.job.features.arrow_schema) if mine else None
                if mine and reason is None:
                    reason = _json_damage(self._lines_file(shard))
                if reason is not None:
                    logger.warning(f"{table} is damaged ({reason}): it is made again.")
                    table.unlink(missing_ok=True)

    def _make_some(self, shards: Sequence[Shard], bar: Any) -> bool:
        """Make those of the shards that no other process has; returns whether there were any.

        The next shard is begun before the one at hand is finished, and written while the next is made. One at a time
        waits to be written, so that memory does not grow.
        """
        locks: dict[Shard, contextlib.ExitStack] = {}
        written: Future[Shard] | None = None
        worked = False
        try:
            with ThreadPoolExecutor(1, "writer") as writer:
                for shard, result in self.job.process(self._claimed(shards, locks), bar.update):
                    if self.strict and result.lines.get(REJECTED_FILE):
                        raise CorpusError(_reason(result.lines[REJECTED_FILE][0]))
                    if written is not None:
                        locks.pop(written.result()).close()
                    written, worked = writer.submit(self._write, shard, result), True
                    # The writer alone holds it, and lets it go.
                    del result
                if written is not None:
                    written.result()
        finally:
            for lock in locks.values():
                lock.close()
        return worked

    def _claimed(
        self, shards: Iterable[Shard], locks: dict[Shard, contextlib.ExitStack]
    ) -> Iterator[tuple[Shard, pa.Table]]:
        """Shards to be made here, with their rows, each locked when it is asked for."""
        for shard in shards:
            with contextlib.ExitStack() as stack:
                is_mine = stack.enter_context(self._lock(f"shards/{shard.name}.lock"))
                if not is_mine or self._table_file(shard).exists():
                    continue
                locks[shard] = stack.pop_all()
            yield shard, self.job.corpus.splits[shard.split].with_format("arrow")[shard.first : shard.last]

    def _write(self, shard: Shard, result: ShardResult) -> Shard:
        # First what belongs to the shard, then the file whose presence says that the shard is done.
        about = {"lines": result.lines, "summary": self.job.summary(result.table)}
        write_text(self._lines_file(shard), json.dumps(about))
        with whole_file(self._table_file(shard)) as file:
            _write_parquet(result.table, self.job.features, file)
        sync(self.work / "shards")
        return shard

    # The whole

    def _assemble(self) -> None:
        while not self._is_complete():
            with self._lock("assembly.lock") as mine:
                if mine and not self._is_complete():
                    self._build_output()
                    return
            if not self._is_open() and not self._is_complete():
                raise CorpusError(f"{self.work} was removed while it was being filled; start again")
            time.sleep(_POLL_SECONDS)

    def _build_output(self) -> None:
        folder = self.work / f"assembly-{secrets.token_hex(4)}"
        (folder / "data").mkdir(parents=True)
        self._check_rejected()
        _copy_side_files(self.job.corpus, folder)
        for shard in self.shards:
            _add_lines(folder, self._about(shard)["lines"])
        count = {split: sum(shard.split == split for shard in self.shards) for split in self.job.corpus.splits}
        for shard in self.shards:
            name = f"{shard.name}-of-{count[shard.split]:05d}.parquet"
            _link_or_copy(self._table_file(shard), folder / "data" / name)
        parts = ((shard, self._light(shard), self._about(shard)["summary"]) for shard in self.shards)
        self.job.write_card(folder, parts)
        write_checksums(folder)
        text = json.dumps({"arguments": self.arguments}, indent=2) + "\n"
        (folder / self.record).write_text(text, encoding="utf-8")
        for path in [*folder.iterdir(), folder]:
            sync(path)
        try:
            folder.rename(self.output)
        except OSError:
            # Without locks another process may have been faster; then its output is as good.
            if not self._is_complete():
                raise
        sync(self.output.parent)

    def _check_rejected(self) -> None:
        if self.strict and (entry := next(self._rejected(self.shards), None)):
            raise CorpusError(_reason(entry))
        for split in self.job.corpus.splits:
            shards = [shard for shard in self.shards if shard.split == split]
            if any(pq.read_metadata(self._table_file(shard)).num_rows for shard in shards):
                continue
            if entry := next(self._rejected(shards), None):
                raise CorpusError(f"every row of split {split} was rejected; the first one: {_reason(entry)}")

    def _rejected(self, shards: Iterable[Shard]) -> Iterator[dict[str, Any]]:
        for shard in shards:
            yield from self._about(shard)["lines"].get(REJECTED_FILE, [])

    def _about(self, shard: Shard) -> dict[str, Any]:
        """What belongs to a shard beside its table; read when it is needed, as memory may not hold that of all."""
        return json.loads(self._lines_file(shard).read_text(encoding="utf-8"))

    def _light(self, shard: Shard) -> pa.Table:
        names = [name for name in self.job.features if not holds_frames(name)]
        return pq.read_table(self._table_file(shard), columns=names, page_checksum_verification=True)

    def _clean_up(self) -> None:
        # First away from under the other processes, which would otherwise take a folder half removed for work to do.
        trash = self.output.with_name(f".{self.output.name}.removed")
        shutil.rmtree(trash, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.work.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)


def _json_damage(file: Path) -> str | None:
    try:
        json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return f"{file.name}: {one_line(error)}"
    return None


def _reason(rejected: dict[str, Any]) -> str:
    return f"utterance {rejected['utterance_id']!r}: {rejected['reason']}"


def _from_own_place(shards: list[Shard]) -> list[Shard]:
    """The shards in an order that starts at another place in each process of a launcher."""
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    start = len(shards) * rank // world
    return shards[start:] + shards[:start]


def _copy_side_files(corpus: Corpus, folder: Path) -> None:
    """Take over what lies beside the rows of the input."""
    source = corpus_folder(corpus)
    for path in sorted(source.glob("*")):
        if path.suffix in (".json", ".jsonl") or path.name == "README.md":
            shutil.copyfile(path, folder / path.name)


def _add_lines(folder: Path, lines: dict[str, list[dict[str, Any]]]) -> None:
    """Add the lines of a shard to the JSON-lines files of a folder."""
    for name, entries in sorted(lines.items()):
        with open(folder / name, "a", encoding="utf-8") as file:
            file.writelines(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)


def corpus_folder(corpus: Corpus) -> Path:
    """Folder with the card and the JSON files of a corpus, fetched from the Hub where it lies there."""
    if Path(corpus.name).is_dir():
        return Path(corpus.name)
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(corpus.name, repo_type="dataset", allow_patterns=["*.json", "*.jsonl", "README.md"]))


def library_versions() -> dict[str, str]:
    """Of the packages that may change a bit of the output."""
    return {name: metadata.version(name) for name in ("torch", "transformers", "numpy", "pyarrow", "datasets")}


def device_kind(device: str | None) -> str:
    """Such as "cuda" for "cuda:1"; for `None` the kind that networks take by themselves."""
    if device is not None:
        return str(device).partition(":")[0]
    if not torch.accelerator.is_available():
        return "cpu"
    return str(torch.accelerator.current_accelerator()).partition(":")[0]


def own_device(device: str | None) -> str | None:
    """The device that was asked for, or else that of this process among those that a launcher has started."""
    if device is not None or not torch.accelerator.is_available():
        return device
    return f"{device_kind(None)}:{int(os.environ.get('LOCAL_RANK', 0)) % torch.accelerator.device_count()}"


def _link_or_replace(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        pass
    except OSError:  # no hard links on this file system
        os.replace(source, target)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _write_parquet(table: pa.Table, features: datasets.Features, file: Path) -> None:
    rows = datasets.Dataset(InMemoryTable(table.cast(features.arrow_schema)))
    # Writing is not what takes the time; its bar would only break the bar of the job.
    shown = datasets.utils.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        rows.to_parquet(file, batch_size=_ROW_GROUP, **WRITE_OPTIONS)
    finally:
        if not shown:
            datasets.enable_progress_bars()
