# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Emotions of the rows of a corpus by a language model that was not trained on them.

Table 2 of the paper has such a row ("Gemini"): some pictures of a clip are captioned, and the model is asked about
caption and transcript. Its prompts are not published; ours are the files of `prompts/`, and a report holds their hash.
"""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tqdm.auto import tqdm

from ..data.corpus import Corpus
from ..data.schema import MEDIA_COLUMNS, TIME_COLUMNS, CorpusError
from ..data.utterances import speaker_names
from ..features.shards import REJECTED_FILE
from ..models.files_univa import exclusive, explanation, write_text
from ..models.media_univa import MediaError, iter_frames, media_duration, read_image
from ..models.trusted_paths_univa import OutsideError, inside
from ..scores.metrics import multilabel_metrics
from ..scores.predictions import PREDICTIONS_FILE, Predictions, write_predictions
from .answers import ANSWER_KINDS, parse_answer
from .chat import ChatError, ChatModel


__all__ = ["PICTURES", "Prompts", "ZeroShotJob", "ZeroShotReport", "pictures_of"]

PICTURES = 5
ANSWERS_FILE = "answers.jsonl"
REPORT_FILE = "report.json"
_THRESHOLD = 0.5


@dataclass(frozen=True)
class Prompts:
    """
    What a model is asked.

    Args:
        stages: "captioned" has the pictures described first and asks about the description and the transcript;
            "direct" asks about pictures and transcript at once.
        label_names: emotions of the data set.
    """

    stages: Literal["captioned", "direct"]
    label_names: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Files of `prompts/` that are used."""
        return ["caption", "captioned"] if self.stages == "captioned" else ["direct"]

    @cached_property
    def sha256(self) -> str:
        """Of the files."""
        return hashlib.sha256("\0".join(_prompt(name) for name in self.names).encode()).hexdigest()

    def question(self, text: str, caption: str = "") -> str:
        """What is asked of an utterance."""
        example = json.dumps(list(self.label_names[:2]))
        labels = ", ".join(self.label_names)
        # The transcript comes last, so that nothing in it is taken for a place to fill.
        filled = _prompt(self.names[-1]).replace("{labels}", labels).replace("{example}", example)
        before, after = filled.split("{text}")
        return f"{before.replace('{caption}', caption)}{text}{after}".strip()

    def answer(self, model: ChatModel, text: str, pictures: Sequence[np.ndarray]) -> tuple[list[str], bool]:
        """
        Ask about an utterance.

        Returns:
            What the model said, the last being what is parsed, and whether a filter held the last back.

        Raises:
            ChatError: there is no answer.
        """
        if self.stages == "direct" or not len(pictures):
            reply = model.ask(self.question(text, "nothing, there are no pictures"), pictures)
            return [reply.text], reply.refused
        caption = model.ask(_prompt("caption").strip(), pictures)
        reply = model.ask(self.question(text, caption.text.strip() or "nothing"), ())
        return [caption.text, reply.text], reply.refused


@dataclass(frozen=True)
class ZeroShotReport:
    """
    What came of a split.

    Args:
        model, revision: who answered.
        prompts: which stages; prompts_sha256: of their files.
        split: which rows.
        answers: rows by the kind of their answer, see [`Answer`], and "failed" where there is none.
        seconds_per_clip: mean time of an answer, over the rows that were asked about, now or before.
        metrics: of `metrics/multilabel_emotion`; a row without a parsed answer counts as one without a label.
    """

    model: str
    revision: str | None
    prompts: str
    prompts_sha256: str
    split: str
    answers: dict[str, int]
    seconds_per_clip: float
    metrics: dict[str, float] = field(default_factory=dict)


class ZeroShotJob:
    """
    Asks about every row of a split; started again with the same settings, about those without an answer.

    Args:
        corpus: built from raw media; of its columns text, video or faces are read.
        split: which rows.
        model: who is asked.
        output: folder for `answers.jsonl` (every answer, as it comes), `rejected.jsonl`, `predictions.parquet` and
            `report.json`.
        stages: see [`Prompts`].
        media_root: folder that the corpus was built from.
        outside: whether paths and links of the corpus may lead out of it.
        pictures: of a clip, from the middles of equal parts.
        workers: rows that are asked about at the same time.
        limit: of rows, the first ones; by default all.
        strict: whether the first row without an answer ends the job.

    Raises:
        CorpusError: no such split, or media without a `media_root`.
    """

    def __init__(
        self,
        corpus: Corpus,
        split: str,
        model: ChatModel,
        output: str | Path,
        *,
        stages: Literal["captioned", "direct"] = "captioned",
        media_root: str | Path | None = None,
        outside: bool = False,
        pictures: int = PICTURES,
        workers: int = 1,
        limit: int | None = None,
        strict: bool = False,
    ):
        rows = corpus.split(split)
        columns = ["utterance_id", "dialogue_id", "text", "emotions", *MEDIA_COLUMNS, *TIME_COLUMNS]
        rows = rows.select_columns([name for name in columns if name in rows.column_names])
        self.rows = rows if limit is None else rows.select(range(min(limit, len(rows))))
        if media_root is None and {"faces", "video"} & set(rows.column_names):
            raise CorpusError("The paths of the corpus are relative to the folder that it was built from: "
                              "pass it as `media_root`.")  # fmt: skip
        self.split, self.model, self.output = split, model, Path(output)
        self.prompts = Prompts(stages, tuple(corpus.label_names))
        self.media_root, self.outside = None if media_root is None else Path(media_root), outside
        self.pictures, self.workers, self.strict = pictures, workers, strict

    def run(self) -> ZeroShotReport:
        """
        Ask, and write what came of it.

        Raises:
            CorpusError: with `strict`, a row without an answer.
            ValueError: another process writes to `output`.
        """
        self.output.mkdir(parents=True, exist_ok=True)
        with exclusive(self.output):
            known = self._known()
            failed = self._ask_all(known)
            write_text(self.output / REJECTED_FILE, "".join(f"{json.dumps(entry)}\n" for entry in failed))
            return self._report(known, len(failed))

    def _known(self) -> dict[str, dict[str, Any]]:
        """Answers of before by the key of what was asked; a line that was cut off is dropped from the file."""
        file = self.output / ANSWERS_FILE
        lines = file.read_text(encoding="utf-8").split("\n") if file.is_file() else []
        # What follows the last line break was being written when the job was killed.
        whole = [line for line in lines[:-1] if line]
        if lines and lines[-1]:
            write_text(file, "".join(f"{line}\n" for line in whole))
        return {entry["key"]: entry for entry in map(json.loads, whole)}

    def _ask_all(self, known: dict[str, dict[str, Any]]) -> list[dict[str, str]]:
        """Ask about the rows that are not among the known ones, and add them; returns those without an answer."""
        left = [row for row in self.rows if self._key(row) not in known]
        failed: list[dict[str, str]] = []
        with (
            open(self.output / ANSWERS_FILE, "a", encoding="utf-8") as file,
            ThreadPoolExecutor(self.workers) as pool,
            tqdm(total=len(self.rows), initial=len(self.rows) - len(left), desc="zero-shot", unit="clip") as progress,
        ):
            futures = {pool.submit(self._ask, row): row for row in left}
            try:
                for entry in self._entries(futures, failed):
                    known[entry["key"]] = entry
                    file.write(json.dumps(entry, ensure_ascii=False) + "\n")
                    file.flush()
                    progress.update()
            finally:
                pool.shutdown(cancel_futures=True)
        return failed

    def _entries(
        self, futures: Mapping[Future, Mapping[str, Any]], failed: list[dict[str, str]]
    ) -> Iterator[dict[str, Any]]:
        for future in as_completed(futures):
            try:
                yield future.result()
            except (ChatError, MediaError, OutsideError) as error:
                name = futures[future]["utterance_id"]
                if self.strict:
                    raise CorpusError(f"utterance {name!r}: {explanation(error)}") from error
                failed.append({"split": self.split, "utterance_id": name, "reason": explanation(error)})

    def _ask(self, row: Mapping[str, Any]) -> dict[str, Any]:
        pictures = pictures_of(row, self.media_root, self.pictures, self.outside)
        started = time.perf_counter()
        said, refused = self.prompts.answer(self.model, row["text"] or "", pictures)
        seconds = round(time.perf_counter() - started, 3)
        entry = {"key": self._key(row), "utterance_id": row["utterance_id"], "said": said, "seconds": seconds}
        return {**entry, "refused": True} if refused else entry

    def _key(self, row: Mapping[str, Any]) -> str:
        """Of all that an answer depends on."""
        shown = {name: row.get(name) for name in ("text", "faces", "video", *TIME_COLUMNS)}
        asked = [self.model.name, self.model.revision, self.prompts.sha256, self.prompts.label_names, self.pictures]
        content = json.dumps([row["utterance_id"], shown, asked], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:32]

    def _report(self, known: Mapping[str, dict[str, Any]], failed: int) -> ZeroShotReport:
        names = self.prompts.label_names
        scores = np.zeros((len(self.rows), len(names)), np.float32)
        labels = np.zeros((len(self.rows), len(names)), np.int8)
        kinds: Counter[str] = Counter(failed=failed)
        seconds = []
        for index, row in enumerate(self.rows):
            labels[index, row["emotions"]] = 1
            entry = known.get(self._key(row))
            if entry is None:
                continue
            answer = parse_answer(entry["said"][-1], names)
            kinds["refused" if entry.get("refused") else answer.kind] += 1
            seconds.append(entry["seconds"])
            if not entry.get("refused"):
                scores[index, [names.index(name) for name in answer.emotions]] = 1.0
        rows = self.rows
        found = Predictions(rows["utterance_id"], rows["dialogue_id"], scores, labels, speaker_names(rows))
        write_predictions(self.output / PREDICTIONS_FILE, {self.split: found}, names, _THRESHOLD)
        report = ZeroShotReport(
            self.model.name, self.model.revision, self.prompts.stages, self.prompts.sha256, self.split,
            {kind: kinds[kind] for kind in (*ANSWER_KINDS, "failed")},
            float(np.mean(seconds)) if seconds else 0.0,
            multilabel_metrics(scores, labels, _THRESHOLD, names),
        )  # fmt: skip
        write_text(self.output / REPORT_FILE, json.dumps(asdict(report), indent=2) + "\n")
        return report


def pictures_of(
    row: Mapping[str, Any], root: Path | None, count: int = PICTURES, outside: bool = False
) -> list[np.ndarray]:
    """
    Pictures of a clip from the middles of equal parts, RGB uint8 `(height, width, 3)`: of its face images where it has
    any, else of its video; none of a row without either.

    Args:
        row: its `faces`, `video`, `start` and `end`.
        root: folder that its paths are relative to.
        count: how many parts.
        outside: whether paths and links may lead out of `root`.

    Raises:
        MediaError, OutsideError: a file that cannot be read, or lies outside of `root`.
    """
    root = root or Path()
    faces = row.get("faces") or []
    if faces:
        middles = sorted({int((part + 0.5) * len(faces) / count) for part in range(count)})
        return [read_image(inside(root, faces[place], outside)) for place in middles]
    if not row.get("video"):
        return []
    return list(_of_video(inside(root, row["video"], outside), row.get("start"), row.get("end"), count))


def _of_video(video: Path, start: float | None, end: float | None, count: int) -> Iterable[np.ndarray]:
    first = start or 0.0
    seconds = (media_duration(video) if end is None else end) - first
    frames = iter_frames(video, count / seconds, first + seconds / (2 * count), end)
    return [frame.image for frame, _ in zip(frames, range(count), strict=False)]


@cache
def _prompt(name: str) -> str:
    return (files(__package__) / "prompts" / f"{name}.txt").read_text(encoding="utf-8")
