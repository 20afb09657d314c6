# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
import errno
import json
import threading
import tracemalloc

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from media_corpora import folder_bytes, media_rows, write_media_corpus

from modeling_univa.data.corpus import Corpus
from modeling_univa.data.loading import load_corpus
from modeling_univa.data.schema import CorpusError
from modeling_univa.features import shards
from modeling_univa.features.shards import REJECTED_FILE, ShardJob, ShardResult, plan_shards, run_job


SIZES = {"train": (3, 1, 4, 2, 2), "test": (2, 3)}
NUM_SHARDS = 5  # of at most four rows, whole dialogues


class Shouting(ShardJob):
    """Writes texts in capitals, and notes which shards it was given; one can fail."""

    name = "shout"

    def __init__(self, corpus, fails_at=None, rejects=(), mark="!"):
        super().__init__(corpus)
        self.made, self.fails_at, self.rejects, self.mark = [], fails_at, rejects, mark
        self.card_fails = False

    @property
    def features(self):
        return next(iter(self.corpus.splits.values())).features

    def arguments(self):
        return {"mark": self.mark}

    def process(self, shards, advance):
        for shard, rows in shards:
            yield shard, self.shout(shard, rows, advance)

    def shout(self, shard, rows, advance):
        if shard.name == self.fails_at:
            raise RuntimeError("the light went out")
        self.made.append(shard.name)
        ids = rows["utterance_id"].to_pylist()
        rejected = [
            {"split": shard.split, "utterance_id": name, "dialogue_id": "", "reason": "too loud"}
            for name in ids
            if name in self.rejects
        ]
        rows = rows.filter(pa.array([name not in self.rejects for name in ids]))
        text = pc.binary_join_element_wise(pc.utf8_upper(rows["text"]), self.mark, "")
        advance(len(ids))
        return ShardResult(
            rows.set_column(rows.schema.get_field_index("text"), "text", text),
            {REJECTED_FILE: rejected} if rejected else {},
        )

    def write_card(self, folder, shards):
        if self.card_fails:
            raise RuntimeError("the light went out")
        seen = {shard.name: len(table) for shard, table, _ in shards}
        (folder / "README.md").write_text(json.dumps(seen))


@pytest.fixture
def corpus(tmp_path) -> Corpus:
    splits = {split: media_rows(sizes, prefix=split) for split, sizes in SIZES.items()}
    return load_corpus(str(write_media_corpus(tmp_path / "corpus", splits)))


@pytest.fixture
def expected(corpus, tmp_path) -> dict[str, bytes]:
    return folder_bytes(run_job(Shouting(corpus), tmp_path / "expected", shard_rows=4))


def test_shards_hold_whole_dialogues():
    generator = np.random.default_rng(0)
    for _ in range(50):
        sizes = generator.integers(1, 9, generator.integers(1, 12))
        rows = datasets.Dataset.from_dict({"dialogue_id": np.repeat(np.arange(len(sizes)), sizes).astype(str)})
        most = int(generator.integers(1, 12))
        plan = plan_shards(rows, "train", most)
        assert [shard.first for shard in plan] == [0, *(shard.last for shard in plan[:-1])]
        assert plan[-1].last == len(rows)
        borders = {0, *np.cumsum(sizes).tolist()}
        assert all(shard.first in borders for shard in plan)
        for shard in plan:
            dialogues = len(borders.intersection(range(shard.first, shard.last)))
            assert shard.num_rows <= most or dialogues == 1
        # No two neighbours would have fitted into one.
        assert (
            all(one.num_rows + other.num_rows > most for one, other in zip(plan, plan[1:], strict=False)) or most < 9
        )


def test_the_output_is_a_corpus_with_all_rows_in_order(corpus, expected, tmp_path):
    output = load_corpus(str(tmp_path / "expected"))
    for split, rows in corpus.splits.items():
        assert output.splits[split]["text"] == [f"{text.upper()}!" for text in rows["text"]]
        assert output.splits[split].features == rows.features
    assert sum(name.endswith(".parquet") for name in expected) == NUM_SHARDS
    assert not (tmp_path / "expected.partial").exists()


@pytest.mark.parametrize("fails_at", ["train-00000", "train-00002", "test-00001"])
def test_a_job_that_stopped_goes_on_with_the_same_bytes(corpus, expected, tmp_path, fails_at):
    first, second = Shouting(corpus, fails_at), Shouting(corpus)
    with pytest.raises(RuntimeError):
        run_job(first, tmp_path / "output", shard_rows=4)
    assert not (tmp_path / "output").exists()
    run_job(second, tmp_path / "output", shard_rows=4)
    assert sorted(first.made + second.made) == sorted(set(first.made + second.made))
    assert len(first.made + second.made) == NUM_SHARDS
    assert folder_bytes(tmp_path / "output") == expected
    assert not (tmp_path / "output.partial").exists()


def test_what_was_half_written_is_not_taken_for_whole(corpus, expected, tmp_path):
    work = tmp_path / "output.partial"
    with pytest.raises(RuntimeError):
        run_job(Shouting(corpus, "train-00001"), tmp_path / "output", shard_rows=4)
    # Killed while it wrote a table, and between the two files of a shard.
    (work / "shards" / "train-00001.parquet.elsewhere-1.tmp").write_bytes(b"PAR1")
    (work / "shards" / "train-00001.json").write_text('{"lines": {"rejected.jsonl": [{}]}, "summary": {}}')
    (work / "assembly-elsewhere-1" / "data").mkdir(parents=True)
    run_job(Shouting(corpus), tmp_path / "output", shard_rows=4)
    assert folder_bytes(tmp_path / "output") == expected


@pytest.mark.parametrize("part", ["page", "columns", "end", "lines"])
def test_a_shard_that_was_damaged_is_made_again(corpus, expected, tmp_path, part):
    output = tmp_path / "output"
    with pytest.raises(RuntimeError, match="light"):
        run_job(Shouting(corpus, fails_at="test-00001"), output, shard_rows=4)
    shard = tmp_path / "output.partial" / "shards" / "train-00001.parquet"
    if part == "lines":
        shard.with_suffix(".json").write_text('{"lines"')
    elif part == "columns":
        table = pq.read_table(shard)
        pq.write_table(table.rename_columns([name.upper() for name in table.column_names]), shard)
    else:
        data = bytearray(shard.read_bytes())
        if part == "end":
            del data[-100:]
        else:
            data[300] ^= 4
        shard.write_bytes(data)
    job = Shouting(corpus)
    assert folder_bytes(run_job(job, output, shard_rows=4)) == expected
    assert sorted(job.made) == ["test-00001", "train-00001"]


def test_a_finished_output_that_was_damaged_is_named(corpus, tmp_path):
    output = run_job(Shouting(corpus), tmp_path / "output", shard_rows=4)
    file = output / "data" / "train-00000-of-00003.parquet"
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(CorpusError, match=f"{file} is damaged"):
        run_job(Shouting(corpus), output, shard_rows=4)


def test_a_job_that_stopped_while_it_put_the_shards_together_makes_none_anew(corpus, expected, tmp_path):
    job = Shouting(corpus)
    job.card_fails = True
    with pytest.raises(RuntimeError):
        run_job(job, tmp_path / "output", shard_rows=4)
    again = Shouting(corpus)
    run_job(again, tmp_path / "output", shard_rows=4)
    assert again.made == []
    assert folder_bytes(tmp_path / "output") == expected


def test_a_finished_job_is_left_as_it_is(corpus, expected, tmp_path):
    again = Shouting(corpus)
    run_job(again, tmp_path / "expected", shard_rows=4)
    assert again.made == []
    assert folder_bytes(tmp_path / "expected") == expected


def test_another_run_in_the_same_place_is_refused(corpus, tmp_path):
    with pytest.raises(RuntimeError):
        run_job(Shouting(corpus, "train-00001"), tmp_path / "output", shard_rows=4)
    for job, rows, message in (
        (Shouting(corpus, mark="?"), 4, r"mark = '!', and now it is '\?'"),
        (Shouting(corpus), 3, "shard_rows = 4, and now it is 3"),
    ):
        with pytest.raises(CorpusError, match=message):
            run_job(job, tmp_path / "output", shard_rows=rows)
        assert job.made == []
    run_job(Shouting(corpus), tmp_path / "output", shard_rows=4)
    with pytest.raises(CorpusError, match="mark"):
        run_job(Shouting(corpus, mark="?"), tmp_path / "output", shard_rows=4)


def test_another_corpus_in_the_same_place_is_refused(corpus, tmp_path):
    with pytest.raises(RuntimeError):
        run_job(Shouting(corpus, "train-00001"), tmp_path / "output", shard_rows=4)
    changed = dict(corpus.splits)
    changed["test"] = changed["test"].map(lambda row: {"text": row["text"] + "."})
    with pytest.raises(CorpusError, match="of a run with corpus"):
        run_job(Shouting(Corpus(corpus.name, datasets.DatasetDict(changed))), tmp_path / "output", shard_rows=4)


def test_what_is_no_result_of_the_job_is_not_overwritten(corpus, tmp_path):
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "thesis.txt").write_text("")
    with pytest.raises(CorpusError, match="was not created by this job"):
        run_job(Shouting(corpus), tmp_path / "output")
    with pytest.raises(CorpusError, match="is the input"):
        run_job(Shouting(corpus), corpus.name)
    with pytest.raises(CorpusError, match="at least one row"):
        run_job(Shouting(corpus), tmp_path / "new", shard_rows=0)


def _together(jobs, output):
    barrier, failures = threading.Barrier(len(jobs)), []

    def work(job):
        try:
            barrier.wait()
            run_job(job, output, shard_rows=4)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not failures


def test_workers_share_the_shards(corpus, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_POLL_SECONDS", 0.01)
    jobs = [Shouting(corpus) for _ in range(4)]
    _together(jobs, tmp_path / "output")
    made = [name for job in jobs for name in job.made]
    assert len(made) == len(set(made)) == NUM_SHARDS
    assert folder_bytes(tmp_path / "output") == expected


def without_locks(self, timeout):
    raise NotImplementedError


def test_workers_without_locks_make_the_same_bytes(corpus, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr("filelock.FileLock.acquire", without_locks)
    _together([Shouting(corpus) for _ in range(3)], tmp_path / "output")
    assert folder_bytes(tmp_path / "output") == expected


def test_processes_of_a_launcher_start_at_different_shards(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert shards._from_own_place([1, 2, 3, 4, 5]) == [3, 4, 5, 1, 2]


def test_rejected_rows_are_listed_in_order_after_those_of_the_input(corpus, tmp_path):
    previous = {"split": "train", "utterance_id": "gone", "dialogue_id": "d", "reason": "long ago"}
    with open(f"{corpus.name}/{REJECTED_FILE}", "w") as file:
        file.write(json.dumps(previous) + "\n")
    job = Shouting(corpus, rejects=("test1_0", "train2_1", "train0_0"))
    output = run_job(job, tmp_path / "output", shard_rows=4)
    lines = [json.loads(line) for line in (output / REJECTED_FILE).read_text().splitlines()]
    assert [line["utterance_id"] for line in lines] == ["gone", "train0_0", "train2_1", "test1_0"]
    rows = load_corpus(str(output)).splits
    assert {split: len(rows[split]) for split in rows} == {"train": 10, "test": 4}


def test_strict_and_empty_splits_end_the_job(corpus, tmp_path):
    with pytest.raises(CorpusError, match="'train2_1': too loud"):
        run_job(Shouting(corpus, rejects=("train2_1",)), tmp_path / "output", shard_rows=4, strict=True)
    # Also where the rejections are of a run that was not strict.
    first = Shouting(corpus, rejects=("train2_1",), fails_at="test-00001")
    with pytest.raises(RuntimeError):
        run_job(first, tmp_path / "other", shard_rows=4)
    with pytest.raises(CorpusError, match="'train2_1': too loud"):
        run_job(Shouting(corpus, rejects=("train2_1",)), tmp_path / "other", shard_rows=4, strict=True)
    all_test = tuple(corpus.splits["test"]["utterance_id"])
    with pytest.raises(CorpusError, match="every row of split test was rejected; the first one: .*'test0_0'"):
        run_job(Shouting(corpus, rejects=all_test), tmp_path / "empty", shard_rows=4)
    assert not (tmp_path / "empty").exists()


def test_a_shard_may_lose_all_its_rows(corpus, tmp_path):
    lost = ("train0_0", "train0_1", "train0_2", "train1_0")
    output = run_job(Shouting(corpus, rejects=lost), tmp_path / "output", shard_rows=4)
    assert len(load_corpus(str(output)).splits["train"]) == sum(SIZES["train"]) - 4


def test_processes_of_a_launcher_have_a_device_each(monkeypatch):
    assert shards.own_device("cuda:3") == "cuda:3"
    assert shards.device_kind("cuda:3") == "cuda"
    accelerator = shards.torch.accelerator
    monkeypatch.setattr(accelerator, "is_available", lambda: False)
    assert shards.own_device(None) is None
    assert shards.device_kind(None) == "cpu"
    monkeypatch.setattr(accelerator, "is_available", lambda: True)
    monkeypatch.setattr(accelerator, "current_accelerator", lambda: shards.torch.device("cuda"))
    monkeypatch.setattr(accelerator, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert shards.own_device(None) == "cuda:1"
    assert shards.device_kind(None) == "cuda"


def test_pages_have_checksums(corpus, tmp_path):
    file = next((run_job(Shouting(corpus), tmp_path / "output", shard_rows=4) / "data").glob("*.parquet"))
    assert pq.read_table(file, page_checksum_verification=True).num_rows
    column = pq.read_metadata(file).row_group(0).column(0)
    content = bytearray(file.read_bytes())
    content[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(OSError):
        pq.read_table(file, page_checksum_verification=True)


def test_lines_of_all_shards_are_never_in_memory_together(corpus, tmp_path):
    class Talkative(Shouting):
        def shout(self, shard, rows, advance):
            result = super().shout(shard, rows, advance)
            lines = [{"shard": shard.name, "number": number, "text": "x" * 1000} for number in range(2000)]
            return ShardResult(result.table, {"notes.jsonl": lines})

    splits = {"train": media_rows((4,) * 20, prefix="train")}
    job = Talkative(load_corpus(str(write_media_corpus(tmp_path / "long", splits))))
    tracemalloc.start()
    try:
        run_job(job, tmp_path / "output", shard_rows=4)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    file = tmp_path / "output" / "notes.jsonl"
    entries = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(entry["shard"], entry["number"]) for entry in entries] == [
        (f"train-{shard:05d}", number) for shard in range(20) for number in range(2000)
    ]
    # Those of two shards as objects, and of one as text.
    assert peak < file.stat().st_size / 3


def test_an_error_of_the_writer_ends_the_job_which_then_resumes(corpus, expected, tmp_path, monkeypatch):
    write = shards._write_parquet

    def full(table, features, file):
        if "train-00001" in file.name:
            raise OSError(errno.ENOSPC, "No space left on device", str(file))
        write(table, features, file)

    job = Shouting(corpus)
    with monkeypatch.context() as disk, pytest.raises(OSError, match="No space left"):
        disk.setattr(shards, "_write_parquet", full)
        run_job(job, tmp_path / "output", shard_rows=4)
    # The next one had been made before the error was met; neither is taken for written.
    assert job.made == ["train-00000", "train-00001", "train-00002"]
    left = sorted(file.name for file in (tmp_path / "output.partial" / "shards").glob("*.parquet"))
    assert left == ["train-00000.parquet"]
    run_job(Shouting(corpus), tmp_path / "output", shard_rows=4)
    assert folder_bytes(tmp_path / "output") == expected
