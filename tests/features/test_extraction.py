# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
import json
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from media_corpora import folder_bytes, media_rows, write_media, write_media_corpus, write_sound
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from modeling_univa.cli import main
from modeling_univa.commands.extract import extract as extract_command
from modeling_univa.data.loading import load_corpus
from modeling_univa.data.schema import CorpusError
from modeling_univa.features.arguments import extractor_from_argument
from modeling_univa.features.extraction import ExtractionJob, ExtractionOptions
from modeling_univa.features.shards import REJECTED_FILE, run_job
from modeling_univa.features.workers import Workers
from modeling_univa.models import utterance_media_univa
from modeling_univa.models.light_features_univa import HogExtractor, LogMelExtractor
from modeling_univa.models.media_univa import read_audio, read_image


SPLITS = {"train": (3, 2, 4), "test": (2, 3)}


@pytest.fixture
def root(tmp_path):
    return write_media(tmp_path / "media")


@pytest.fixture
def folder(tmp_path):
    return write_media_corpus(tmp_path / "corpus", {name: media_rows(sizes, name) for name, sizes in SPLITS.items()})


def extract(corpus, output, root, extractors=None, shard_rows=5, strict=False, **options):
    extractors = extractors or {"audio": LogMelExtractor(), "vision": HogExtractor()}
    job = ExtractionJob(load_corpus(str(corpus)), extractors, ExtractionOptions(root, **options))
    return run_job(job, output, shard_rows=shard_rows, strict=strict)


def rows_of(folder):
    return {split: rows.to_list() for split, rows in load_corpus(str(folder)).splits.items()}


@pytest.fixture(scope="session")
def speech_encoder(tmp_path_factory) -> str:
    """A wav2vec 2.0 with random weights and layer normalisation, so that it takes padded batches."""
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, conv_dim=(16, 16, 16),
        conv_kernel=(10, 8, 8), conv_stride=(10, 8, 4), num_feat_extract_layers=3, num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2, feat_extract_norm="layer", do_stable_layer_norm=True,
    )  # fmt: skip
    folder = str(tmp_path_factory.mktemp("encoder"))
    Wav2Vec2Model(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
    return folder


def test_features_are_those_of_the_files_and_all_else_stays(folder, root, tmp_path):
    output = extract(folder, tmp_path / "output", root)
    before, after = rows_of(folder), rows_of(output)
    absent = Counter()
    for split, rows in before.items():
        for row, found in zip(rows, after[split], strict=True):
            audio, vision = found.pop("audio_features"), found.pop("vision_features")
            assert found == row
            absent.update(audio=row["audio"] is None, vision=row["faces"] is None)
            if row["audio"] is None:
                assert audio is None
            else:
                expected = LogMelExtractor()(read_audio(root / row["audio"]), 16000)
                np.testing.assert_array_equal(audio, expected.astype(np.float16))
            if row["faces"] is None:
                assert vision is None
            else:
                expected = HogExtractor()([read_image(root / face) for face in row["faces"]])
                np.testing.assert_array_equal(vision, expected.astype(np.float16))
    assert absent["audio"] and absent["vision"]
    assert load_corpus(str(output)).extractors == {
        "audio": LogMelExtractor().to_dict(),
        "vision": HogExtractor().to_dict(),
    }
    assert not (output / REJECTED_FILE).exists()


def test_the_card_counts_what_there_is_now(folder, root, tmp_path):
    card = (extract(folder, tmp_path / "output", root) / "README.md").read_text()
    assert card.startswith("---\nlicense: mit\ntask_categories:\n- text-classification\n- audio-classification\n")
    assert "# Tiny" in card
    assert "| train | audio | 121 | 1 |" in card
    assert "| train | 9 | 3 | 0 | 0 |" in card
    assert "In a test.\n\nFeatures were then made by `univa extract`" in card
    assert card.count("## ") == 6


def test_features_of_other_modalities_are_kept(folder, root, tmp_path):
    first = extract(folder, tmp_path / "first", root, {"audio": LogMelExtractor()})
    second = extract(first, tmp_path / "second", root, {"vision": HogExtractor()})
    both = extract(folder, tmp_path / "both", root)
    assert rows_of(second) == rows_of(both)
    assert list(load_corpus(str(second)).extractors) == ["audio", "vision"]


def test_a_bad_clip_takes_its_row_and_nothing_else(folder, root, tmp_path):
    whole = rows_of(extract(folder, tmp_path / "whole", root))
    (root / "speech" / "1.wav").write_bytes(b"RIFF no sound")
    (root / "faces" / "5.png").unlink()
    output = extract(folder, tmp_path / "output", root)
    lines = [json.loads(line) for line in (output / REJECTED_FILE).read_text().splitlines()]
    bad = [
        row
        for split in ("train", "test")
        for row in whole[split]
        if row["audio"] == "speech/1.wav" or "faces/5.png" in (row["faces"] or ())
    ]
    assert [line["utterance_id"] for line in lines] == [row["utterance_id"] for row in bad]
    assert all(line["reason"].startswith(("speech/1.wav: ", "faces/5.png: No such file")) for line in lines)
    for split, rows in rows_of(output).items():
        kept = [row for row in whole[split] if row not in bad]
        positions = Counter()
        for row, expected in zip(rows, kept, strict=True):
            assert row["position"] == positions[row["dialogue_id"]]
            positions[row["dialogue_id"]] += 1
            assert {**row, "position": None} == {**expected, "position": None}
    with pytest.raises(CorpusError, match=rf"{bad[0]['utterance_id']}.*(1.wav|5.png)"):
        extract(folder, tmp_path / "strict", root, strict=True)


def test_each_file_is_read_once_a_shard(folder, root, tmp_path, monkeypatch):
    read = Counter()
    for module, name in ((utterance_media_univa, "read_audio"), (utterance_media_univa, "read_image")):
        function = getattr(module, name)

        def counting(path, *args, function=function):
            read[path.relative_to(root).as_posix()] += 1
            return function(path, *args)

        monkeypatch.setattr(module, name, counting)
    extract(folder, tmp_path / "output", root, shard_rows=100, batch_size=1)
    rows = rows_of(folder)
    named = Counter()
    for split in rows.values():
        named.update({row["audio"] for row in split if row["audio"]})
        named.update({face for row in split for face in row["faces"] or ()})
    assert read == named


@pytest.mark.parametrize("shard_rows", [4, 100])
def test_light_features_do_not_depend_on_batches(folder, root, tmp_path, shard_rows):
    expected = rows_of(extract(folder, tmp_path / "one", root, batch_size=1))
    found = rows_of(extract(folder, tmp_path / "many", root, batch_size=7, shard_rows=shard_rows, workers=3))
    assert found == expected


@pytest.mark.slow
def test_processes_make_the_same_bytes(folder, root, tmp_path, monkeypatch):
    monkeypatch.setattr(Workers, "patience", 0.0)
    one, two = (extract(folder, tmp_path / f"{workers}", root, workers=workers) for workers in (1, 2))
    assert folder_bytes(one) == folder_bytes(two)


def test_pretrained_features_agree_over_batch_sizes_and_are_the_same_bytes_again(
    folder, root, tmp_path, speech_encoder
):
    extractor = {"audio": extractor_from_argument("audio", speech_encoder)}
    one, many, again = (
        extract(folder, tmp_path / f"{name}", root, extractor, batch_size=size)
        for name, size in (("one", 1), ("many", 6), ("again", 6))
    )
    assert folder_bytes(many) == folder_bytes(again)
    lengths = set()
    for split, rows in rows_of(one).items():
        for row, other in zip(rows, rows_of(many)[split], strict=True):
            if row["audio_features"] is not None:
                a, b = np.array(row["audio_features"]), np.array(other["audio_features"])
                lengths.add(len(a))
                # Half a step of float16 either way.
                np.testing.assert_allclose(a, b, rtol=2**-10, atol=2**-12)
    assert len(lengths) > 3


def test_a_network_that_cannot_be_loaded_ends_the_job(folder, root, tmp_path, speech_encoder, monkeypatch):
    extractor = extractor_from_argument("audio", speech_encoder)

    def fail(self, items):
        raise ValueError("the weights are gone")

    monkeypatch.setattr(type(extractor), "extract_batch", fail)
    with pytest.raises(ValueError, match="the weights are gone"):
        extract(folder, tmp_path / "output", root, {"audio": extractor})


def test_another_batch_size_or_extractor_is_refused(folder, root, tmp_path):
    extract(folder, tmp_path / "output", root)
    with pytest.raises(CorpusError, match="batch_size = 16, and now it is 8"):
        extract(folder, tmp_path / "output", root, batch_size=8)
    with pytest.raises(CorpusError, match="of a run with extractors"):
        extract(folder, tmp_path / "output", root, {"audio": LogMelExtractor(frame_rate=2.0)})


def test_start_and_end_cut_the_clip(root, tmp_path):
    write_sound(root / "long.wav", 4.0, seed=9)
    rows = media_rows((3,))
    for row, (start, end) in zip(rows, ((None, 1.0), (1.0, 2.5), (3.0, None)), strict=True):
        row |= {"audio": "long.wav", "start": start, "end": end}
    corpus = write_media_corpus(tmp_path / "timed", {"train": rows})
    found = rows_of(extract(corpus, tmp_path / "output", root, {"audio": LogMelExtractor()}))["train"]
    for row, times in zip(found, ((None, 1.0), (1.0, 2.5), (3.0, None)), strict=True):
        expected = LogMelExtractor()(read_audio(root / "long.wav", 16000, *times), 16000)
        np.testing.assert_array_equal(row["audio_features"], expected.astype(np.float16))


def test_words_become_features_and_a_text_without_known_words_has_none(folder, tmp_path):
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("this 1 0 0\nis 0 1 0\nnumber 0 0 1\n")
    extractor = extractor_from_argument(
        "text", f'{{"extractor_type": "word-vectors", "model": "{vectors}", "unknown": "skip"}}'
    )
    rows = media_rows((2,))
    rows[1]["text"] = "hm"
    corpus = write_media_corpus(tmp_path / "words", {"train": rows})
    output = extract(corpus, tmp_path / "output", None, {"text": extractor})
    first, second = rows_of(output)["train"]
    assert first["text_features"] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert second["text_features"] is None
    line = json.loads((output / "absent_modalities.jsonl").read_text())
    assert (line["utterance_id"], line["modality"]) == ("d0_1", "text")


def test_arguments_name_extractors(tmp_path, speech_encoder):
    assert extractor_from_argument("audio", "log-mel") == LogMelExtractor()
    assert extractor_from_argument("vision", '{"extractor_type": "hog", "image_size": 48}') == HogExtractor(48)
    (tmp_path / "settings.json").write_text(json.dumps(LogMelExtractor(frame_rate=2.0).to_dict()))
    assert extractor_from_argument("audio", str(tmp_path / "settings.json")) == LogMelExtractor(frame_rate=2.0)
    encoder = extractor_from_argument("audio", speech_encoder, "cpu", "float32")
    assert (encoder.extractor_type, encoder.device, encoder.dtype) == ("speech-encoder", "cpu", "float32")
    for modality, argument, message in (
        ("vision", "log-mel", "log-mel makes audio features"),
        ("audio", '{"extractor_type": "log-mel", "hops": 1}', "no setting hops"),
        ("audio", '{"extractor_type": "log-mel"', "`audio_extractor`"),
        ("audio", str(tmp_path / "nothing"), "nothing"),
        ("text", str(tmp_path / "nothing.txt"), "does not exist"),
    ):
        with pytest.raises(CorpusError, match=message):
            extractor_from_argument(modality, argument)


def test_the_command_line(folder, root, tmp_path, capsys):
    command = ["extract", str(folder), "--output", str(tmp_path / "output")]
    for options, message in (
        ([], "nothing to extract"),
        (["--audio-extractor", "log-mel"], "pass it as --media-root"),
        (["--audio-extractor", "log-mel", "--media-root", "/nowhere"], "/nowhere is not a folder"),
        (
            ["--vision-extractor", "hog", "--face-detector", "haar", "--media-root", str(root)],
            "--face-detector is for faces of",
        ),
        (["--vision-extractor", "hog", "--media-root", str(root), "--batch-size", "0"], "must be at least 1"),
    ):
        assert main([*command, *options]) == 2
        assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("output*"))
    (root / "faces" / "0.png").write_text("")
    assert main([*command, "--vision-extractor", "hog", "--media-root", str(root)]) == 0
    printed = capsys.readouterr().out
    assert "rejections are listed in" in printed
    assert "faces/0.png: the file is empty (0 bytes)" in printed
    # The same from Python.
    called = extract_command(str(folder), tmp_path / "called", vision_extractor="hog", media_root=root)
    assert folder_bytes(called) == folder_bytes(tmp_path / "output")


def test_a_shard_without_a_good_row_is_empty(folder, root, tmp_path):
    corpus = load_corpus(str(folder))
    rows = corpus.splits["train"]
    first = rows[0]["dialogue_id"]
    bad = [number for number, row in enumerate(rows) if row["dialogue_id"] == first]
    for number in bad:
        (root / rows[number]["audio"]).write_bytes(b"no sound")
    output = extract(folder, tmp_path / "output", root, {"audio": LogMelExtractor()}, shard_rows=len(bad))
    kept = load_corpus(str(output)).splits["train"]
    assert first not in kept["dialogue_id"]
    assert len(kept) > 0
    shards = sorted((output / "data").glob("train-*.parquet"))
    assert pq.read_metadata(shards[0]).num_rows == 0
