# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa zero-shot`: an endpoint that answers well, badly, late or not at all, and a model of transformers."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from chat_server import ChatServer, write_image_text_model
from media_corpora import LABELS, media_rows, write_media, write_media_corpus
from testing_utils import subprocess_environment
from video_files import level_index, levels, write_video

from modeling_univa.cli import main
from modeling_univa.commands.zero_shot import zero_shot
from modeling_univa.data.schema import CorpusError
from modeling_univa.prediction.chat import ChatError, EndpointChat, PipelineChat
from modeling_univa.prediction.zero_shot import Prompts, pictures_of
from modeling_univa.scores.predictions import read_predictions


SIZES = (3, 2)
TRUTH = [[number % len(LABELS)] for number in range(sum(SIZES))]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("zero_shot")
    write_media(folder / "media")
    return write_media_corpus(folder / "corpus", {"test": media_rows(SIZES)})


def media(corpus: Path) -> Path:
    return corpus.parent / "media"


def number_of(prompt: str) -> int | None:
    """Which row a prompt asks about, `None` for a caption."""
    return int(prompt.split("this is number ")[1].split()[0]) if "this is number" in prompt else None


def truthful(prompt: str) -> str:
    number = number_of(prompt)
    return "a face" if number is None else json.dumps([LABELS[label] for label in TRUTH[number]])


def ask(corpus: Path, server: ChatServer, output: Path, **options):
    return zero_shot(str(corpus), "stub", output, endpoint=server.url, media_root=media(corpus), **options)


def test_true_answers_are_right_predictions(corpus, tmp_path):
    with ChatServer(truthful) as server:
        report = ask(corpus, server, tmp_path, workers=2)
    assert report.answers == {"parsed": 5, "empty": 0, "refused": 0, "unknown": 0, "failed": 0}
    assert report.metrics["micro_f1"] == report.metrics["accuracy"] == 100 and report.metrics["num_rows"] == 5
    splits, names, threshold = read_predictions(tmp_path / "predictions.parquet")
    assert (list(splits), names, threshold) == (["test"], list(LABELS), 0.5)
    np.testing.assert_array_equal(splits["test"].scores, splits["test"].labels)
    assert json.loads((tmp_path / "report.json").read_text())["prompts_sha256"] == report.prompts_sha256
    # The last row has no faces, and needs no caption; the questions are asked about captions alone.
    shown = dict(zip(map(number_of, server.prompts), server.pictures, strict=True))
    assert len(server.prompts) == 9 and shown.pop(None) > 0
    assert shown == dict.fromkeys(range(5), 0)


def test_one_question_shows_the_pictures(corpus, tmp_path):
    with ChatServer(truthful) as server:
        ask(corpus, server, tmp_path, stages="direct", pictures=2)
    assert len(server.prompts) == 5 and sorted(server.pictures) == [0, 1, 1, 2, 2]


def test_bad_answers_are_counted_and_have_no_label(corpus, tmp_path):
    said = {0: '["boredom"]', 1: "", 2: "I'm sorry, I can't say whether she is happy.", 3: "FILTERED", 4: "sad"}
    with ChatServer(lambda prompt: said.get(number_of(prompt), "a face")) as server:
        report = ask(corpus, server, tmp_path)
    assert report.answers == {"parsed": 1, "empty": 1, "refused": 2, "unknown": 1, "failed": 0}
    scores = read_predictions(tmp_path / "predictions.parquet")[0]["test"].scores
    np.testing.assert_array_equal(scores.sum(axis=1), [0, 0, 0, 0, 1])
    assert report.metrics["num_rows_without_prediction"] == 4


def test_a_server_that_fails_for_a_while_is_asked_again(corpus):
    answers = iter([503, 429, "[]"])
    with ChatServer(lambda prompt: next(answers)) as server:
        chat = EndpointChat(server.url, "stub")
        chat._client._calculate_retry_timeout = lambda *arguments: 0.01
        assert chat.ask("which?", ()).text == "[]"
    assert len(server.prompts) == 3


def test_what_gets_no_answer_is_listed_and_asked_again(corpus, tmp_path, capsys, monkeypatch):
    """A refused request (400) is not repeated within a run; one that times out neither beyond its tries."""
    monkeypatch.setattr("modeling_univa.commands.zero_shot.EndpointChat", lambda *args: EndpointChat(*args, retries=0))
    bad = {1: 400, 2: 3.0}
    command = ["zero-shot", str(corpus), "--model", "stub", "--output", str(tmp_path), "--media-root",
               str(media(corpus)), "--timeout", "0.5"]  # fmt: skip
    with ChatServer(lambda prompt: bad.get(number_of(prompt), truthful(prompt))) as server:
        assert main([*command, "--endpoint", server.url]) == 1
        asked = len(server.prompts)
        told = capsys.readouterr().out
        rejected = [json.loads(line) for line in (tmp_path / "rejected.jsonl").read_text().splitlines()]
        assert sorted(entry["utterance_id"] for entry in rejected) == ["d0_1", "d0_2"]
        assert any("status 400" in entry["reason"] for entry in rejected)
        assert any("timed out" in entry["reason"].lower() for entry in rejected)
        assert "failed 2 (40.0 %)" in told and "parsed 3" in told
        bad.clear()
        assert main([*command, "--endpoint", server.url]) == 0
        assert len(server.prompts) - asked == 4  # Two captions and two questions.
    assert (tmp_path / "rejected.jsonl").read_text() == ""
    assert "parsed 5 (100.0 %)" in capsys.readouterr().out


def test_strict_stops(corpus, tmp_path, monkeypatch):
    with ChatServer(lambda prompt: 400) as server, pytest.raises(CorpusError, match="utterance 'd.*status 400"):
        ask(corpus, server, tmp_path, strict=True)


def test_another_question_is_asked_anew(corpus, tmp_path):
    with ChatServer(truthful) as server:
        ask(corpus, server, tmp_path, stages="direct")
        ask(corpus, server, tmp_path, stages="direct")
        assert len(server.prompts) == 5
        ask(corpus, server, tmp_path, stages="direct", pictures=1)
    assert len(server.prompts) == 10


@pytest.mark.slow
def test_killed_half_way_it_goes_on(corpus, tmp_path):
    """Killed while the third row is asked about; the answers of before are kept, also beside a line that was cut."""
    command = [
        sys.executable, "-m", "modeling_univa.cli", "zero-shot", corpus, "--model", "stub", "--output",
        tmp_path / "out", "--media-root", media(corpus), "--stages", "direct",
    ]  # fmt: skip
    slow = {2: 60.0}
    with ChatServer(lambda prompt: slow.get(number_of(prompt), truthful(prompt))) as server:
        whole = [*map(str, command), "--endpoint", server.url]
        job = subprocess.Popen(whole, env=subprocess_environment(tmp_path / "cache"), cwd=Path(__file__).parents[2])
        until = time.monotonic() + 120
        while len(server.prompts) < 3 and time.monotonic() < until:
            time.sleep(0.05)
        job.send_signal(signal.SIGKILL)
        job.wait()
        answers = tmp_path / "out" / "answers.jsonl"
        kept = answers.read_text()
        assert kept.count("\n") == 2
        answers.write_text(kept + '{"key": "cut')
        slow.clear()
        report = ask(corpus, server, tmp_path / "out", stages="direct")
    assert report.answers["parsed"] == 5 and len(server.prompts) == 6
    assert [json.loads(line)["utterance_id"] for line in answers.read_text().splitlines()][:2] == ["d0_0", "d0_1"]


def test_no_key_of_the_environment_is_sent(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("MY_KEY", "mine")
    with ChatServer(truthful) as server:
        ask(corpus, server, tmp_path, limit=1)
        assert not [key for key in server.keys if "secret" in str(key)]
        ask(corpus, server, tmp_path / "named", limit=1, key_variable="MY_KEY")
        assert server.keys[-1] == "Bearer mine"
        with pytest.raises(ValueError, match="NO_KEY, which is not set"):
            ask(corpus, server, tmp_path, key_variable="NO_KEY")


def test_a_model_of_transformers_from_end_to_end(corpus, tmp_path, capsys):
    model = write_image_text_model(tmp_path / "model")
    command = ["zero-shot", str(corpus), "--model", str(model), "--output", str(tmp_path / "out"), "--media-root",
               str(media(corpus)), "--max-tokens", "6", "--device", "cpu"]  # fmt: skip
    assert main(command) == 0
    said = [json.loads(line)["said"] for line in (tmp_path / "out" / "answers.jsonl").read_text().splitlines()]
    assert sorted(map(len, said)) == [1, 2, 2, 2, 2] and all(answer[-1] for answer in said)
    assert "miF1" in capsys.readouterr().out
    # Decoding is greedy, and sees the pictures.
    chat = PipelineChat(str(model), device="cpu", max_tokens=6)
    dark, light = (np.full((20, 20, 3), value, np.uint8) for value in (0, 255))
    assert chat.ask("Who?", [dark]) == chat.ask("Who?", [dark])
    with pytest.raises(ValueError, match="could not be loaded as a model of images and text"):
        PipelineChat(str(tmp_path / "nothing"))
    with pytest.raises(ChatError):
        EndpointChat("http://127.0.0.1:9/v1", "stub", retries=0).ask("Who?", [light])


def test_pictures_are_of_the_middles(tmp_path):
    video = write_video(tmp_path / "clip.mp4", levels(20), frame_rate=10)
    row = {"video": "clip.mp4"}
    assert [level_index(image) for image in pictures_of(row, tmp_path, 5)] == [2, 6, 10, 14, 18]
    part = {**row, "start": 1.0, "end": 2.0}
    assert [level_index(image) for image in pictures_of(part, tmp_path, 5)] == [11, 13, 15, 17, 19]
    assert pictures_of({"faces": None, "video": None}, None) == []
    assert video.is_file()


def test_nothing_in_a_transcript_is_filled_in():
    prompts = Prompts("captioned", ("happy", "sad"))
    question = prompts.question("I said {labels} and {caption}", "smiles {text}")
    assert "I said {labels} and {caption}" in question and "happy, sad" in question and "smiles {text}" in question


def test_mistakes_are_told(corpus, tmp_path, capsys):
    def told(*more: str) -> str:
        assert main(["zero-shot", str(corpus), "--model", "m", "--output", str(tmp_path), *more]) == 2
        return capsys.readouterr().err

    assert "--workers and --key-variable are of an --endpoint" in told("--workers", "2")
    assert "--pictures must be at least 1" in told("--pictures", "0")
    assert "pass it as --media-root" in told("--endpoint", "http://127.0.0.1:9")
    assert "has no split 'dev'" in told("--endpoint", "http://127.0.0.1:9", "--split", "dev")
