# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A benchmark on the Hub: what is there, how it is read back, and what is not pushed."""

import json
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from benchmark_stores import LABELS, make_predictions, write_folds, write_plan, write_run
from hub_server import HubServer
from huggingface_hub import DatasetCard, parse_eval_result_entries, snapshot_download

from modeling_univa import cli
from modeling_univa.benchmark.store import RunStore
from modeling_univa.models.files_univa import exclusive
from modeling_univa.scores.metrics import multilabel_metrics
from modeling_univa.scores.predictions import read_predictions, write_predictions
from modeling_univa.scores.thresholds import predicted_labels


NAME = "lab/emotions"
SECRET = "Not for others"
THRESHOLDS = {"full": 0.5, "less": [0.4, 0.5, 0.6], "noise": 0.3}
COLUMNS = ["row", "run", "seed", "utterance_id", "dialogue_id", "speaker", "label_names", "labels", "scores",
           "threshold"]  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    """Two plans, the second one with another row for a run of the first; of "noise" a run failed, one is missing."""
    store = RunStore(tmp_path / "store")
    file = write_plan(store, {"full": [1, 2], "less": [1], "noise": [1, 2, 3]})
    content = json.loads(file.read_text())
    rows = {"again": {**content["tables"]["table2"]["rows"]["full"], "runs": {"1": "full-1"}}}
    table = {**content["tables"]["table2"], "title": "Once | more", "rows": rows}
    file.with_name("other.json").write_text(json.dumps({**content, "name": "other", "tables": {"table3": table}}))
    for row, seed in (("full", 1), ("full", 2), ("less", 1), ("noise", 1)):
        splits = {split: make_predictions(0.6, seed, split=split) for split in ("validation", "test")}
        speakers = [f"$s{row % 3}" if row else None for row in range(48)]
        splits["test"] = replace(splits["test"], speakers=speakers)
        write_run(store, f"{row}-{seed}", splits, THRESHOLDS[row])
    write_run(store, "noise-2", None)
    hide_secrets(store, tmp_path)
    return store


def hide_secrets(store: RunStore, folder: Path) -> None:
    """Paths of this machine, and a text, wherever a store that is not ours may have some."""
    run = store.run_folder("full-1")
    settings = {"text_model": f"{folder}/encoder", "audio": [f"--audio={folder}/a.npz"]}
    (run / "run.json").write_text(json.dumps({"status": "complete", "system": "univa", "settings": settings}))
    (run / "log.txt").write_text(SECRET)
    (run / "analyses").mkdir()
    (run / "analyses" / "embeddings.json").write_text(json.dumps({"status": "failed", "reason": f"{folder}/x is bad"}))
    table = pq.read_table(run / "predictions.parquet")
    pq.write_table(table.append_column("text", [[SECRET] * len(table)]), run / "predictions.parquet")
    failed = {"reason": f"{folder}/corpora/mine is damaged.", "log": SECRET}
    (store.run_folder("noise-2") / "error.json").write_text(json.dumps(failed))


def report(store: RunStore, *arguments: str) -> int:
    """With the options of a push."""
    output = ["--output", str(store.folder.parent / "report"), "--draws", "200", "--no-figures"]
    return cli.main(["report", str(store.folder), *output, *arguments])


def head(hub: HubServer) -> str:
    return hub.repository(NAME, "datasets").branches["main"]


def pushed(hub: HubServer) -> dict[str, bytes]:
    names = set(hub.repository(NAME, "datasets").at("main").files) - {".gitattributes"}
    return {name: hub.content(NAME, name, kind="datasets") for name in names}


def test_predictions_are_read_back_by_datasets(store, hub_for_datasets):
    assert report(store, "--push", NAME) == 0
    assert datasets.get_dataset_config_names(NAME) == ["mine-table2", "other-table3"]
    found = datasets.load_dataset(NAME)
    assert {split: len(rows) for split, rows in found.items()} == {"validation": 4 * 48, "test": 4 * 48}
    assert found["test"].column_names == COLUMNS
    rows = found["test"].with_format("numpy")
    for row, seed in (("full", 1), ("full", 2), ("less", 1), ("noise", 1)):
        one = rows.filter(lambda line, row=row, seed=seed: line["row"] == row and line["seed"] == seed)
        expected, names, threshold = read_predictions(store.run_folder(f"{row}-{seed}") / "predictions.parquet")
        test = expected["test"]
        assert set(one["run"]) == {f"{row}-{seed}"} and list(one[0]["label_names"]) == names == LABELS
        assert (list(one["utterance_id"]), list(one["dialogue_id"])) == (test.utterance_ids, test.dialogue_ids)
        assert list(one.with_format(None)["speaker"]) == test.speakers
        assert np.array_equal(np.stack(list(one["labels"])), test.labels)
        scores, limits = np.stack(list(one["scores"])), np.stack(list(one["threshold"]))
        assert scores.dtype == np.float32 and np.array_equal(scores, test.scores)
        assert np.array_equal(scores.astype(np.float64) > limits, predicted_labels(test.scores, threshold))
    again = datasets.load_dataset(NAME, "other-table3", split="test")
    assert set(again["row"]) == {"again"} and set(again["run"]) == {"full-1"} and len(again) == 48


def test_nothing_but_names_labels_and_scores_is_pushed(store, hub_client, tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "old.csv").write_text(SECRET)
    assert report(store, "--push", NAME) == 0
    files = pushed(hub_client)
    for name, content in files.items():
        assert str(tmp_path).encode() not in content and SECRET.encode() not in content, name
        if name.endswith(".parquet"):
            table = pq.read_table(hub_file(tmp_path, content))
            assert SECRET not in str(table.to_pydict()) and "text" not in table.column_names
    assert {name for name in files if not name.startswith("report/tables/")} == {
        "README.md", "eval.yaml", "report/index.html", "report/report.md", "plans/mine.json", "plans/other.json",
        *(f"data/{table}/{split}.parquet" for table in ("mine-table2", "other-table3")
          for split in ("validation", "test")),
        *(f"runs/{run}/{file}" for run in ("full-1", "full-2", "less-1", "noise-1")
          for file in ("run.json", "predictions.parquet")),
        "runs/noise-2/run.json", "runs/noise-2/error.json",
    }  # fmt: skip
    settings = json.loads(files["runs/full-1/run.json"])["settings"]
    assert settings == {"text_model": "encoder", "audio": ["--audio=a.npz"]}
    assert json.loads(files["runs/noise-2/error.json"]) == {"status": "failed", "reason": "mine is damaged."}
    assert b"mine is damaged." in files["report/tables/mine-table2-missing.csv"]


def hub_file(folder: Path, content: bytes) -> Path:
    file = folder / "one.parquet"
    file.write_bytes(content)
    return file


def test_others_make_the_same_report_of_what_is_there(store, hub_client, tmp_path):
    (store.run_folder("full-1") / "analyses" / "embeddings.json").unlink()  # analyses stay at home
    assert report(store, "--push", NAME) == 0
    folder = snapshot_download(NAME, repo_type="dataset", local_dir=tmp_path / "downloaded")
    output = tmp_path / "again"
    assert cli.main(["report", str(folder), "--output", str(output), "--draws", "200", "--no-figures"]) == 0
    files = {file.relative_to(output).as_posix(): file.read_bytes() for file in output.rglob("*") if file.is_file()}
    assert len(files) > 10
    assert files == {
        name.removeprefix("report/"): one for name, one in pushed(hub_client).items() if "report/" in name
    }


def test_card_and_tasks_name_configurations_that_are_there(store, hub_client):
    assert report(store, "--push", NAME, "--private", "--license", "cc-by-4.0") == 0
    assert hub_client.repository(NAME, "datasets").private
    files = pushed(hub_client)
    card = DatasetCard(files["README.md"].decode())
    assert card.data.license == "cc-by-4.0" and "univa-benchmark" in card.data.tags
    assert [one["config_name"] for one in card.data.configs if one.get("default")] == ["mine-table2"]
    splits = {(one["config_name"], part["split"]) for one in card.data.configs for part in one["data_files"]}
    assert {part["path"] for one in card.data.configs for part in one["data_files"]} <= set(files)
    assert f'load_dataset("{NAME}", "mine-table2", split="test")' in card.text and "ORG/NAME" not in card.text
    assert "| `other-table3` | Once \\| more | My corpus | 1 | 1 | validation 48, test 48 |" in card.text
    assert "| `mine-table2` | Systems | My corpus | 3 | 4 | validation 192, test 192 |" in card.text
    tasks = yaml.safe_load(files["eval.yaml"])["tasks"]
    assert [task["id"] for task in tasks][:3] == [f"mine-table2_test_{name}" for name in
                                                  ("accuracy", "micro_f1", "macro_f1")]  # fmt: skip
    assert len(tasks) == 6 and {(task["config"], task["split"]) for task in tasks} <= splits


def test_pushing_again_changes_nothing(store, hub_client, capsys):
    assert report(store, "--push", NAME) == 0
    first = head(hub_client)
    assert report(store, "--push", NAME) == 0
    assert head(hub_client) == first and capsys.readouterr().out.count(f"commit/{first}") == 2
    write_run(store, "noise-3", {"test": make_predictions(0.1, 3)})
    assert report(store, "--push", NAME) == 0
    assert head(hub_client) != first and "runs/noise-3/predictions.parquet" in pushed(hub_client)


def test_models_that_were_kept_get_their_scores(store, hub_client, capsys):
    for run in ("full-1", "less-1"):
        store.model_folder(run).mkdir()
        (store.model_folder(run) / "predictions.parquet").write_bytes(b"")
    assert report(store, "--push", NAME) == 0
    oid, tasks = head(hub_client), {task["id"] for task in yaml.safe_load(pushed(hub_client)["eval.yaml"])["tasks"]}
    told = capsys.readouterr().out
    for run, tables in {"full-1": ["mine-table2", "other-table3"], "less-1": ["mine-table2"]}.items():
        file = store.model_folder(run) / ".eval_results" / "lab--emotions-test.yaml"
        assert f"wrote {file}: univa push {store.model_folder(run)} ORG/MODEL sends it" in told
        entries = parse_eval_result_entries(yaml.safe_load(file.read_text()))
        splits, names, threshold = read_predictions(store.run_folder(run) / "predictions.parquet")
        scores = multilabel_metrics(splits["test"].scores, splits["test"].labels, threshold, names)
        found = {entry.task_id: entry.value for entry in entries}
        metrics = ("accuracy", "hamming_loss", "micro_f1", "macro_f1")
        assert found == {f"{table}_test_{name}": round(scores[name], 4) for table in tables for name in metrics}
        assert {name for name in found if "hamming" not in name} <= tasks
        assert {(entry.dataset_id, entry.dataset_revision) for entry in entries} == {(NAME, oid)}
        url = f"{hub_client.url}/datasets/{NAME}/blob/{oid}/runs/{run}/predictions.parquet"
        assert {entry.source_url for entry in entries} == {url}
    assert not (store.model_folder("full-2") / ".eval_results").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--private"], "--private is about what is pushed: add --push"),
        (["--license", "mit"], "--license is about what is pushed: add --push"),
        (["--push", NAME, "--case-texts", "corpus"], "--case-texts shows transcripts, which are not pushed"),
        (["--push", NAME, "--license", "CC BY 4.0"], "--license CC BY 4.0 is not an identifier of the Hub"),
        (["--push", "other/emotions"], "The benchmark was not pushed to other/emotions"),
        (["--push", NAME, "--split", "dev"], "has predictions of dev rows: there is nothing to push"),
    ],
)
def test_what_cannot_be_pushed_is_told(arguments, message, store, hub_client, capsys):
    assert report(store, *arguments) == 2
    assert message in capsys.readouterr().err
    is_late = "dev" in arguments
    assert (store.folder.parent / "report").exists() is is_late
    assert not is_late or set(pushed(hub_client)) == set()


def test_runs_that_are_being_made_are_not_pushed(store, hub_client, capsys):
    with exclusive(store.folder):
        assert report(store, "--push", NAME) == 2
        assert "Another process is writing to" in capsys.readouterr().err
        assert report(store) == 0


def test_no_repository_is_made_for_a_folder_without_plans(tmp_path, hub_client, capsys):
    assert report(RunStore(tmp_path / "empty"), "--push", NAME) == 2
    assert "has no plans" in capsys.readouterr().err and ("datasets", NAME) not in hub_client.repositories


def test_complete_folds_of_a_seed_that_lacks_one_are_pushed(tmp_path, hub_for_datasets):
    store = RunStore(tmp_path / "store")
    write_folds(store, write_plan(store, {"folded": [1, 2]}), "folded", 0.6, [0.3, 0.4, 0.5])
    store.remove("folded-2-3")
    assert report(store, "--push", NAME) == 0
    rows = datasets.load_dataset(NAME, split="test")
    assert set(rows["run"]) == {f"folded-1-{fold}" for fold in (1, 2, 3)} | {"folded-2-1", "folded-2-2"}
    assert len(rows) == 48 + 32
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "Folds that are missing, of 3: 3. The run was not made yet." in text
    again = Path(snapshot_download(NAME, repo_type="dataset"))
    assert cli.main(["report", str(again), "--output", str(tmp_path / "again"), "--draws", "200", "--no-figures"]) == 0
    assert (tmp_path / "again" / "report.md").read_text(encoding="utf-8") == text


def test_folds_and_another_corpus_are_pushed_and_reported_again(tmp_path, hub_for_datasets):
    store = RunStore(tmp_path / "store")
    plan = write_plan(store, {"full": [1], "folded": [1]})
    write_folds(store, plan, "folded", 0.6, [0.3, 0.5, [0.4, 0.5, 0.6]])
    write_run(store, "full-1", {"validation": make_predictions(0.7, 1, split="validation")})
    other = store.run_folder("full-1") / "test_dataset_predictions.parquet"
    write_predictions(other, {"other/test": make_predictions(0.7, 1)}, LABELS, 0.4, "Excluded rows: 7.")
    for run in ("full-1", "folded-1-2"):  # models that were not tested on all rows
        model = store.model_folder(run)
        model.mkdir()
        for file in store.run_folder(run).glob("*.parquet"):
            (model / file.name).write_bytes(file.read_bytes())
    settings = {"num_folds": 3, "fold": 2}
    (store.run_folder("folded-1-2") / "run.json").write_text(json.dumps({"status": "complete", "settings": settings}))
    assert report(store, "--push", NAME, "--split", "validation") == 0
    assert not list(store.folder.rglob(".eval_results"))  # all labels there, those in common in the repository
    assert report(store, "--push", NAME) == 0
    rows = datasets.load_dataset(NAME, split="test").with_format("numpy")
    assert len(rows) == 48 + 48
    assert set(rows["run"]) == {"full-1", "folded-1-1", "folded-1-2", "folded-1-3"}
    folded = rows.filter(lambda line: line["run"] == "folded-1-3")
    assert np.allclose(np.stack(list(folded["threshold"])), [0.4, 0.5, 0.6]) and len(folded) == 16
    assert not list(store.folder.rglob(".eval_results"))
    again = Path(snapshot_download(NAME, repo_type="dataset"))
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert cli.main(["report", str(again), "--output", str(tmp_path / "again"), "--draws", "200", "--no-figures"]) == 0
    assert (tmp_path / "again" / "report.md").read_text(encoding="utf-8") == text
    assert "folded: cross-validation, 3 folds" in text and "another corpus. Excluded rows: 7." in text
