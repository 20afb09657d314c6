# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The benchmarks run, compare like with like, and notice when they do not."""

import importlib
import json
import math
import subprocess
import sys

import datasets
import numpy as np
import pytest
import torch
import yaml
from testing_utils import (
    MAX_TOKENS,
    REPOSITORY,
    random_rows,
    subprocess_environment,
    tiny_config,
    tiny_model,
    tiny_processor,
    write_corpus,
    write_text_encoder,
)
from transformers.utils import logging
from video_files import levels, tone, write_clip, write_video

from modeling_univa.features.workers import Workers
from modeling_univa.models import packed_rows_univa
from modeling_univa.models.losses_univa import CONTRASTIVE_LOSSES, UnivaObjective
from modeling_univa.models.modeling_univa import UnivaOutput
from modeling_univa.prediction import onnx_export


@pytest.fixture(scope="module")
def scripts():
    """The scripts, which import each other as those of one folder do."""
    sys.path.insert(0, str(REPOSITORY / "benchmarks"))
    names = (
        "speed", "naive", "memory", "interrupted_jobs", "text_states", "large_batches", "contrastive_terms",
        "precision", "step", "growth", "contrastive_time", "extraction", "extraction_processes",
        "prediction",
    )  # fmt: skip
    yield {name: importlib.import_module(name) for name in names}
    sys.path.remove(str(REPOSITORY / "benchmarks"))


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    splits = {
        "train": random_rows([3, 5, 1, 4, 6, 2, 3], seed=1, longest=12),
        "validation": random_rows([4, 3, 5], seed=2, longest=12, prefix="v"),
    }
    content = {
        "dataset": str(write_corpus(folder / "corpus", splits)),
        "output_dir": str(folder / "output"),
        "text_model": str(write_text_encoder(folder / "encoder")),
        "hidden_size": 16,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "audio_num_hidden_layers": 1,
        "vision_num_hidden_layers": 1,
        "max_audio_length": 8,
        "va_distance_threshold": 0.8,
        "va_scaling": "none",
        "per_device_train_batch_size": 4,
        "per_device_eval_batch_size": 5,
    }
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.fixture(autouse=True)
def surroundings(tmp_path_factory, monkeypatch):
    """Processes that a benchmark starts do not see the caches that conftest.py set in this one; it silences logs."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path_factory.getbasetemp() / "benchmark_cache"))
    verbosity = logging.get_verbosity()
    yield
    logging.set_verbosity(verbosity)
    logging.enable_progress_bar()
    datasets.enable_progress_bars()


@pytest.fixture
def loops(scripts, recipe):
    return scripts["speed"].build_loops([str(recipe), "--use_cpu", "true"])


def test_naive_batch_shares_nothing_and_is_padded_to_the_end(loops):
    rows = [0, 1, 2, 9]
    ours, naive = (loop.train_collator(loop.trainer.train_dataset.__getitems__(rows)) for loop in loops.values())
    assert len(ours["input_ids"]) == 2
    assert naive["input_ids"].shape == (4, MAX_TOKENS)
    assert naive["audio_features"].shape == (4, 8, 5)
    assert naive["vision_features"].shape == (4, 12, 3)
    assert ours["labels"].equal(naive["labels"])
    for index in range(4):
        (start, end), row = ours["utterance_span"][index], ours["dialogue_index"][index]
        tokens = ours["input_ids"][row, start:end]
        (start, end), row = naive["utterance_span"][index], naive["dialogue_index"][index]
        assert tokens.equal(naive["input_ids"][row, start:end])


def test_logits_and_losses_are_equal_and_a_difference_is_noticed(scripts, loops):
    speed, batches = scripts["speed"], [[0, 1, 2, 9], [20, 5, 23, 3]]
    equality = speed.check_equal(loops, batches)
    assert equality["rows"] == 8
    assert equality["largest_logit_difference"] <= 1e-5
    assert equality["largest_relative_loss_difference"] <= 1e-4
    loops["naive"].trainer.model.config.va_distance_threshold = 0.1
    with pytest.raises(RuntimeError, match="differ: loss"):
        speed.check_equal({name: loops[name] for name in ("ours", "naive")}, batches)
    with torch.no_grad():
        loops["naive"].trainer.model.classifier.bias[0] += 1e-4
    with pytest.raises(RuntimeError, match="differ: logits"):
        speed.check_equal(loops, batches)


@pytest.mark.parametrize("contrastive_loss", CONTRASTIVE_LOSSES)
def test_naive_objective_is_the_objective(scripts, contrastive_loss):
    generator = torch.Generator().manual_seed(0)
    embeds = {f"{name}_embeds": torch.randn(6, 4, generator=generator) for name in ("text", "audio", "vision")}
    va = {f"{name}_va": torch.rand(6, 2, generator=generator) for name in ("text", "audio", "vision")}
    va["audio_va"][2] = math.nan
    labels = torch.tensor([[0, 1], [0, 1], [1, 1], [0, 0], [0, 0], [1, 0]])
    outputs = UnivaOutput(logits=torch.randn(6, 2, generator=generator), label_similarity=torch.eye(2), **embeds)
    options = {
        "modalities": ["text", "audio", "vision"], "objective": "released", "contrastive_loss": contrastive_loss,
        "contrastive_weight": 0.4, "contrastive_temperature": 0.7, "contrastive_modality_weights": [3, 1, 1],
        "va_distance_threshold": 0.4, "correlation_prior_weight": 1.0,
    }  # fmt: skip
    ours, naive = (
        kind(**options)(outputs, labels=labels, **va) for kind in (UnivaObjective, scripts["naive"].NaiveObjective)
    )
    for name, value in ours.items():
        torch.testing.assert_close(naive[name], value)


def test_speed_reports_ratios_of_one_run(scripts, recipe, tmp_path, capsys):
    output = tmp_path / "speed.json"
    arguments = ["--recipe", str(recipe), "--batches", "3", "--skip-memory", "--output", str(output)]
    assert scripts["speed"].main(arguments) == 0
    report = json.loads(output.read_text())
    assert report["equality"]["rows"] == 8 + 12
    assert (report["training"]["batches"], report["training"]["rows"]) == (3, 12)
    assert (report["evaluation"]["batches"], report["evaluation"]["rows"]) == (3, 12)
    for phase in ("training", "evaluation"):
        found = report[phase]
        assert found["ratio"] == pytest.approx(found["naive"]["seconds"] / found["ours"]["seconds"])
        assert found["tokens"]["ours"] < found["tokens"]["naive"] == 12 * MAX_TOKENS
    assert set(report["batchings"]) == {"length", "dialogue", "whole_dialogues", "random"}
    assert {found["rows"] for name, found in report["batchings"].items() if name != "whole_dialogues"} == {12}
    tokens = {name: found["tokens_per_epoch"] for name, found in report["batchings"].items()}
    assert tokens["dialogue"] < tokens["random"]
    printed = capsys.readouterr().out
    assert f"{report['training']['ratio']:.1f}x" in printed and "torch threads" in printed


def test_states_are_timed_against_the_encoder_that_they_are_of(scripts, recipe, tmp_path, capsys):
    output, kept = tmp_path / "states.json", datasets.config.HF_DATASETS_CACHE
    arguments = ["--recipe", str(recipe), "--batches", "3", "--output", str(output)]
    assert scripts["text_states"].main(arguments) == 0
    report = json.loads(output.read_text())
    assert 0 < report["largest_logit_difference"] < 1e-2 and report["states_mb"] > 0
    for phase, rows in (("training", 24), ("evaluation", 12)):
        found = report[phase]
        assert found["rows_timed"] == 12 and found["states_seconds"] > 0
        assert found["ratio"] == pytest.approx(found["tokens_seconds"] / found["states_seconds"])
        assert report["rows"][{"training": "train", "evaluation": "validation"}[phase]] == rows
    assert f"{report['training']['ratio']:.1f}x" in capsys.readouterr().out
    assert kept == datasets.config.HF_DATASETS_CACHE
    assert scripts["text_states"].main([*arguments, "--frozen_text_layers", "1"]) == 2
    assert "freezes all 2 layers" in capsys.readouterr().err


def test_tokens_of_batches_are_those_of_the_batches(scripts, loops):
    loop = loops["ours"]
    dataset, batches = loop.trainer.train_dataset, [[0, 1, 2, 9], [20, 5, 23]]
    encoded = sum(loop.train_collator(dataset.__getitems__(rows))["input_ids"].numel() for rows in batches)
    assert scripts["speed"].encoded_tokens(dataset, batches) == encoded


@pytest.mark.slow
def test_peak_memory_in_a_process_of_its_own(scripts, recipe):
    arguments = ([str(recipe), "--use_cpu", "true"], 1, "naive", "training")
    found = scripts["memory"].in_fresh_process(scripts["speed"].peak_memory, *arguments)
    assert found["rows"] == 8
    assert 100 < found["start_mb"] <= found["peak_mb"] < 4000


def test_speed_refuses_a_recipe_without_a_text_encoder(scripts, recipe, capsys):
    assert scripts["speed"].main(["--recipe", str(recipe), "--modalities", "audio"]) == 2
    assert "text_model" in capsys.readouterr().err


@pytest.mark.slow
def test_precisions_take_turns_and_are_compared(scripts, tmp_path, monkeypatch, capsys):
    precision = scripts["precision"]
    monkeypatch.setattr(precision, "FRAMES", {"audio": (3, 9), "vision": (2, 7)})
    monkeypatch.setattr(precision, "TOKENS", 60)
    sizes = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 32}
    text = {**sizes, "num_hidden_layers": 1, "vocab_size": 99}
    fields = {"text_config": json.dumps({"model_type": "roberta", "max_position_embeddings": 514, **text}), **sizes}
    options = ["--steps", "1", "--rounds", "2", "--output", str(tmp_path / "report.json")]
    given = [part for name, value in fields.items() for part in (f"--{name}", str(value))]
    assert precision.main([*options, *given]) == 0
    found = json.loads((tmp_path / "report.json").read_text())["systems"]["univa"]
    assert {"float32", "bfloat16"} <= set(found) and found["float32"]["difference"] == 0
    assert all(one["training"] > 0 and one["evaluation"] > 0 for one in found.values())
    assert 0 < found["bfloat16"]["difference"] < 0.02
    assert "| univa | bfloat16 |" in capsys.readouterr().out
    assert precision.main([*options, "--hidden_size", "many"]) == 2
    assert "precision.py: " in capsys.readouterr().err


def test_packed_and_padded_steps_take_turns_and_are_compared(scripts, tmp_path, monkeypatch, capsys):
    step = scripts["step"]
    monkeypatch.setattr(packed_rows_univa, "LEAST_WORK", 0)
    monkeypatch.setattr(step, "FRAMES", {"audio": (3, 9), "vision": (2, 7)})
    monkeypatch.setattr(step, "DIALOGUES", {"two-dialogues": (50, 22), "random": tuple(range(12, 24))})
    monkeypatch.setattr(step, "PEAK_SIZE", 64)
    sizes = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 32}
    text = {**sizes, "num_hidden_layers": 1, "vocab_size": 99}
    fields = {"text_config": json.dumps({"model_type": "roberta", "max_position_embeddings": 514, **text}), **sizes}
    given = [part for name, value in fields.items() for part in (f"--{name}", str(value))]
    options = ["--ways", "naive", "padded", "packed", "--steps", "1", "--output", str(tmp_path / "report.json")]
    assert step.main([*options, *given]) == 0
    found = json.loads((tmp_path / "report.json").read_text())["batches"]
    assert set(found) == {"two-dialogues", "random"}
    # Layers over 72 tokens, and 72 and 54 frames: products with weights, then of tokens with each other.
    layers = {"text": (1, 72), "audio": (5, 72), "vision": (3, 54)}
    weights = sum(count * 2 * (4 * 32 * 32 + 2 * 32 * 32) * tokens for count, tokens in layers.values()) / 1e9
    assert weights < found["two-dialogues"]["useful_gflop"] < 1.2 * weights
    for one in found.values():
        assert 0 < one["logits_differ_by"] < 1e-5 and 0 < one["padding"]["audio"] < 1
        assert all(value > 0 for parts in one["seconds"].values() for value in parts.values())
        assert list(one["seconds"]) == ["naive", "padded", "packed"]
    said = capsys.readouterr().out
    assert "| two-dialogues | 28%" in said and "| naive / packed | padded / packed |" in said
    assert step.main(["--hidden_size", "many"]) == 2
    assert "step.py: " in capsys.readouterr().err


def test_a_naive_batch_has_the_dialogue_of_each_utterance(scripts):
    step = scripts["step"]
    config = step.make_model({"text_config": {"model_type": "roberta", "num_hidden_layers": 1}}).config
    batch = step.make_batch(config, (512, 226))
    naive = step.naive_batch(batch)
    assert naive["input_ids"].shape == naive["attention_mask"].shape == (12, 512)
    for row, (dialogue, (start, end)) in enumerate(zip(batch["dialogue_index"], batch["utterance_span"], strict=True)):
        assert torch.equal(naive["input_ids"][row, start:end], batch["input_ids"][dialogue, start:end])
    assert naive["attention_mask"].sum(1).tolist() == [512] * 6 + [226] * 6


@pytest.mark.slow
def test_memory_of_a_step_in_chunks_does_not_grow_with_the_batch(scripts, tmp_path, monkeypatch, capsys):
    output = tmp_path / "batches.json"
    arguments = ["--batches", "16", "128", "--chunk", "8", "--frames", "30", "--hidden-size", "64", "--layers", "2"]
    assert scripts["large_batches"].main([*arguments, "--output", str(output)]) == 0
    report = json.loads(output.read_text())
    small, large = report["sizes"]
    assert large["whole"]["step_mb"] > 3 * small["whole"]["step_mb"]
    grown = large["chunked"]["step_mb"] - small["chunked"]["step_mb"]
    assert grown < 0.25 * (large["whole"]["step_mb"] - small["whole"]["step_mb"])
    assert "    128" in capsys.readouterr().out
    monkeypatch.setattr(scripts["large_batches"], "GRADIENT_TOLERANCE", -1)
    assert scripts["large_batches"].main(arguments) == 2
    assert "The gradients differ" in capsys.readouterr().err


def test_contrastive_time_is_set_against_the_arithmetic_of_its_products(scripts, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(scripts["step"], "PEAK_SIZE", 64)
    output = tmp_path / "time.json"
    options = ["--batch", "128", "--widths", "8", "16", "--repeats", "2", "--output", str(output)]
    assert scripts["contrastive_time"].main(options) == 0
    small, large = json.loads(output.read_text())["widths"]
    for found in (small, large):
        bound = 2 * 128**2 * found["width"] / found["ms"]["peak"] / 1e6
        assert found["bound_ms"] == pytest.approx({"loss": bound, "loss and gradient": 3 * bound})
        assert 0 < found["ms"]["product"] < found["ms"]["loss"] < found["ms"]["loss and gradient"]
    assert "| 128 | 16 | loss and gradient |" in capsys.readouterr().out


def test_gradients_of_contrastive_terms_are_as_large_as_their_weight(scripts, recipe, tmp_path, capsys):
    main, output, found = scripts["contrastive_terms"].main, tmp_path / "terms.json", {}
    for weight in (0.5, 0.8):
        options = ["--recipe", str(recipe), "--steps", "4", "--learning_rate", "0", "--output", str(output)]
        assert main([*options, "--contrastive_weight", str(weight)]) == 0
        found[weight] = json.loads(output.read_text())["modalities"]
    assert list(found[0.5]) == ["text", "audio", "vision"]
    for modality, facts in found[0.5].items():
        assert found[0.8][modality]["gradient"] == pytest.approx(4 * facts["gradient"], rel=1e-4)
        assert facts["gradient"] > 0 and 0 < facts["own_copy"] < 1 and 0 < facts["positives"] < 3
        others = ("own_copy", "positives", "cosine_of_positives", "cosine_of_others", "length")
        assert all(facts[name] == found[0.8][modality][name] for name in others)
    assert "gradient / KL" in capsys.readouterr().out
    assert main(["--recipe", str(recipe), "--contrastive_loss", "none"]) == 2
    assert "has no contrastive loss" in capsys.readouterr().err
    assert main(["--recipe", str(recipe), "--contrastive_chunk_size", "2"]) == 2
    assert "leave it out" in capsys.readouterr().err


def test_contrastive_terms_without_positives_have_no_cosine_of_them(scripts, recipe, tmp_path):
    output = tmp_path / "terms.json"
    options = ["--recipe", str(recipe), "--steps", "2", "--contrastive_loss", "self", "--output", str(output)]
    assert scripts["contrastive_terms"].main(options) == 0
    for facts in json.loads(output.read_text())["modalities"].values():
        assert facts["positives"] == 0 and np.isnan(facts["cosine_of_positives"]) and facts["gradient"] > 0


def test_own_share_is_that_of_one_copy_among_two_of_the_others(scripts):
    rows = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    views, expected = torch.cat([rows, rows]), []
    for anchor in range(5):
        weights = {other: float((rows[anchor] @ views[other]).exp()) for other in range(10) if other != anchor}
        expected.append(weights[anchor + 5] / sum(weights.values()))
    found = scripts["contrastive_terms"].own_share(rows @ rows.T)
    torch.testing.assert_close(found, torch.tensor(expected))


@pytest.mark.slow
def test_memory_reads_every_row_of_its_corpus(scripts, tmp_path, capsys):
    output, encoder = tmp_path / "memory.json", write_text_encoder(tmp_path / "encoder")
    arguments = ["--rows", "200", "--frames", "9", "--width", "16", "--tokenizer", str(encoder), "--folder",
                 str(tmp_path), "--output", str(output)]  # fmt: skip
    assert scripts["memory"].main(arguments) == 0
    report = json.loads(output.read_text())
    (size,) = report["sizes"]
    assert (size["rows"], size["frames"], size["batches"]) == (200, 200 * 9, 13)
    assert size["features_gb"] == 200 * 9 * 16 * 2 / 1e9
    assert 50 < size["rss_anon_imported_mb"] <= size["rss_anon_opened_mb"] <= size["rss_anon_mb"] < 1500
    assert report["rss_anon_difference_percent"] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["encoder", "memory.json"]
    assert "RssAnon" in capsys.readouterr().out


def test_memory_corpus_is_finite_and_in_several_shards(scripts, tmp_path, monkeypatch):
    monkeypatch.setattr(scripts["memory"], "_SHARD_BYTES", 10_000)
    scripts["memory"].write_corpus(tmp_path / "corpus", 100, 5, 32)
    assert len(list((tmp_path / "corpus" / "data").iterdir())) == 4
    rows = datasets.load_dataset(str(tmp_path / "corpus"), split="train").with_format("numpy")
    frames = np.stack(rows["audio_features"][:])
    assert frames.shape == (100, 5, 32) and np.isfinite(frames).all() and frames.std() > 0.1
    assert len(set(rows["dialogue_id"])) == 10


def test_memory_refuses_what_does_not_fit_on_the_disk(scripts, tmp_path, capsys):
    assert scripts["memory"].main(["--rows", "1000000000", "--folder", str(tmp_path)]) == 2
    assert "GB are free" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("job", ["build", "extract", "score-affect", "train", "push"])
def test_killed_jobs_end_as_one_that_was_left_alone(job, tmp_path):
    script = REPOSITORY / "benchmarks" / "interrupted_jobs.py"
    options = ["--runs", "2", "--dialogues", "6", "--folder", str(tmp_path), "--output", str(tmp_path / "report.json")]
    # By itself: a job is a fork, and OpenCV's threads, which other tests have started, do not live on in one.
    run = subprocess.run(
        [sys.executable, script, job, *options],
        env=subprocess_environment(tmp_path.with_name("cache")),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert sum(run["killed"] for run in report["runs"]) == 2
    assert (report["different"], report["job"]) == (0, job) and report["files"] > 3
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_what_a_killed_job_leaves_is_seen(scripts, tmp_path):
    digests = scripts["interrupted_jobs"].digests
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "a").write_text("1")
    before = digests(tmp_path)
    (tmp_path / ".output-1234").mkdir()
    assert digests(tmp_path).keys() - before.keys() == {".output-1234"}
    (tmp_path / "output" / "a").write_text("2")
    assert digests(tmp_path)["output/a"] != before["output/a"]


def test_growth_has_a_row_for_each_case(scripts, tmp_path, monkeypatch, capsys):
    # Processes of their own are tested above.
    monkeypatch.setattr(scripts["growth"], "in_fresh_process", lambda function, *arguments: function(*arguments))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", datasets.config.HF_DATASETS_CACHE)
    monkeypatch.setattr(datasets, "disable_progress_bars", lambda: None)
    output, tokenizer = tmp_path / "growth.json", write_text_encoder(tmp_path / "encoder")
    options = ["--rows", "200", "4000", "--dialogues", "1", "--batches", "32", "--steps", "1", "--frames", "2"]
    assert scripts["growth"].main([*options, "--tokenizer", str(tokenizer), "--output", str(output)]) == 0
    report = json.loads(output.read_text())
    small, large = report["corpus"]
    assert 10 < large["arrow_mb"] / small["arrow_mb"] < 30 and large["parquet_mb"] > 10 * small["parquet_mb"]
    assert min(small["step_ms"], small["loader_ms"], small["first_batch_s"]) > 0
    said = capsys.readouterr().out
    assert said.count("\n|---") == 3 and "| dialogues of 1 |" in said and "| B = 32 |" in said


@pytest.fixture
def extraction(scripts, monkeypatch):
    """The script with encoders of no size; all is done in this process."""
    script = scripts["extraction"]
    small = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "num_conv_pos_embeddings": 8}
    small |= {"hidden_size": 16, "conv_dim": (16,) * 7, "num_conv_pos_embedding_groups": 2}
    monkeypatch.setattr(script, "ENCODERS", {"tiny": {**small, "feat_extract_norm": "layer"}, "base": small})
    monkeypatch.setattr(script, "in_fresh_process", lambda function, *arguments: function(*arguments))
    monkeypatch.setattr(Workers, "patience", Workers.patience)
    monkeypatch.setattr(datasets, "disable_progress_bars", lambda: None)
    return script


def test_extraction_has_each_stage_detector_and_encoder(extraction, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(extraction, "WAITS", {"reading": (0.2, 0.1, 0.05)})
    monkeypatch.setattr(extraction, "_WAITING_ROWS", 64)
    media, output = tmp_path / "media", tmp_path / "extraction.json"
    media.mkdir()
    write_video(media / "one.mp4", levels(50), sound=tone(48000, 2.0))
    write_video(media / "still.mp4", levels(25))
    options = ["--media", str(media), "--clips", "6", "--seconds", "1", "--rounds", "2", "--corpora", "4", "8"]
    one_process = ["--workers", "1", "--detector", "whole-frame", "--yunet", str(tmp_path / "none.onnx")]
    assert extraction.main([*options, *one_process, "--output", str(output)]) == 0
    report = json.loads(output.read_text())
    assert list(report["stages"]) == ["decoding", "detection", "features", "reading", "network", "writing"]
    assert all(seconds > 0 for stage in report["stages"].values() for seconds in stage.values())
    for name in ("of_slowest", "of_bound"):
        median, low, high = report[name]
        assert 0 < low <= median <= high < 1.5
    assert report["of_bound"][0] >= report["of_slowest"][0]
    assert report["detectors"]["whole-frame"]["faces"] == report["detectors"]["whole-frame"]["pictures"] == 30
    assert "none.onnx" in report["detectors"]["yunet"]["absent"]
    assert all(found["speech_seconds"] == pytest.approx(3) for found in report["encoders"].values())
    assert [found["clips"] for found in report["memory"]] == [4, 8]
    assert all(found["main_mb"] > 50 for found in report["memory"])
    # With one process nothing overlaps.
    assert 0 < report["waits"]["reading"]["efficiency"] < 0.2 / 0.3
    printed = capsys.readouterr().out
    assert "| of reading: detection |" in printed and "| tiny |" in printed and "| yunet | not measured" in printed


def test_extraction_without_videos_is_refused(extraction, tmp_path, capsys):
    assert extraction.main(["--media", str(tmp_path)]) == 2
    assert "no video in" in capsys.readouterr().err


def test_efficiency_is_bound_by_the_slowest_stage_and_by_the_cores(extraction, monkeypatch):
    monkeypatch.setattr(extraction.os, "sched_getaffinity", lambda pid: {0, 1})
    reading, network, writing = ({"clock": clock, "cpu": cpu} for clock, cpu in ((8, 16), (6, 12), (1, 1)))
    # What is part of reading counts once.
    stages = {"decoding": {"clock": 9, "cpu": 9}, "reading": reading, "network": network, "writing": writing}
    found = extraction.efficiency(stages, {"clock": 16, "cpu": 30})
    assert found == {"of_slowest": 8 / 16, "of_bound": 29 / 2 / 16, "cpu_overhead": 30 / 29}
    found = extraction.efficiency({"reading": reading, "writing": writing}, {"clock": 10, "cpu": 17})
    assert found == {"of_slowest": 0.8, "of_bound": 0.85, "cpu_overhead": 1}


def test_processes_are_counted_with_those_that_they_have_started(scripts):
    code = "import time; kept = bytearray(b'1') * 60_000_000; started = time.process_time()\n"
    code += "while time.process_time() - started < 0.5: pass\ntime.sleep(0.3)"
    counting = "from extraction_processes import ProcessTree\nimport subprocess, sys\nwith ProcessTree() as tree:\n"
    counting += "    subprocess.run(['sh', '-c', '\"$0\" -c \"$1\"; true', sys.executable, sys.argv[1]], check=True)\n"
    counting += "print(tree.cpu_seconds, tree.largest_worker_bytes, tree.workers_bytes, tree.main_bytes)"
    # A process of its own, since that of the tests has others from before.
    command = [sys.executable, "-c", counting, code]
    said = subprocess.run(command, cwd=REPOSITORY / "benchmarks", check=True, capture_output=True, text=True).stdout
    seconds, largest, together, main = map(float, said.split())
    assert 0.4 < seconds < 5
    assert 60e6 < largest <= together < 200e6 and main > 2e6


def test_prediction_compares_before_it_times(scripts, tmp_path, monkeypatch, capsys):
    prediction, output = scripts["prediction"], tmp_path / "prediction.json"
    tiny = {"hidden_size": 12, "num_attention_heads": 2, "intermediate_size": 16}
    layers = {"audio_num_hidden_layers": 1, "vision_num_hidden_layers": 1}
    monkeypatch.setitem(prediction.SIZES, "minilm", {"text": {**tiny, "num_hidden_layers": 1}, **tiny, **layers})
    monkeypatch.setattr(prediction, "MINILM", str(write_text_encoder(tmp_path / "encoder")))
    monkeypatch.setattr(prediction, "TOKENS", (16, 20, 30, 40))
    for seed in range(2):
        write_clip(tmp_path / "clips" / f"{seed}.mp4", seed=seed)
        (tmp_path / "clips" / f"{seed}.txt").write_text("yes no")
    options = ["--rounds", "1", "--videos", str(tmp_path / "clips"), "--clips", "3", "--output", str(output)]
    assert prediction.main(options) == 0
    report = json.loads(output.read_text())
    ways = ["naive", "padded", "torch", "onnx", "int8"]
    for batch in ("one", "many"):
        assert list(report["network"][batch]) == ways
        assert all(one["ms"] > 0 and one["cpu_ms"] > 0 for one in report["network"][batch].values())
        found = report["agreement"][batch]
        assert found["torch"] == 0 < found["int8"] and max(found[name] for name in ways[:4]) < 1e-5
    assert report["padding"]["many"]["attention_mask"] == pytest.approx(1 - sum((16, 20, 30, 40)) / 160)
    assert not any(report["padding"]["one"].values())
    assert (report["clips"]["videos"], report["clips"]["clips"]) == (2, 3)
    for kind in ("clip", "folder"):
        assert all(0 < one["network_ms"] < one["ms"] for one in report["clips"][kind].values())
    printed = capsys.readouterr().out
    assert "| 32 utterances | int8 |" in printed and "| 3 clips | onnx |" in printed
    monkeypatch.setattr(prediction, "TOLERANCE", -1.0)
    assert prediction.main(options) == 2
    assert "The ways differ: logits of " in capsys.readouterr().err


def test_prediction_scores_a_trained_model(scripts, tmp_path, monkeypatch):
    config, output = tiny_config(), tmp_path / "prediction.json"
    tiny_model(config).save_pretrained(tmp_path / "model")
    tiny_processor(config).save_pretrained(tmp_path / "model")
    corpus = write_corpus(tmp_path / "corpus", {"validation": random_rows([9, 2, 8, 10, 8])})
    # A random model has no micro-F1 worth the name.
    monkeypatch.setattr(onnx_export, "INT8_TOLERANCE", 100.0)
    options = ["--model", str(tmp_path / "model"), "--dataset", str(corpus), "--rounds", "1", "--output", str(output)]
    assert scripts["prediction"].main(options) == 0
    report = json.loads(output.read_text())
    assert [(score["runtime"], score["num_rows"]) for score in report["scores"]] == [
        ("eager", 37),
        ("onnx", 37),
        ("int8", 37),
    ]
    assert "clips" not in report
    rows = scripts["prediction"]._rows_of(np.repeat(np.arange(5), [9, 2, 8, 10, 8]))
    assert rows == [*range(8), *range(11, 19), *range(19, 27), *range(29, 37)]
    assert scripts["prediction"]._rows_of(np.zeros(5, int)) == [0, 1, 2, 3, 4]
