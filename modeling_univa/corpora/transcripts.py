# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Text that a corpus lacks, by a speech recognition model; a build that was stopped does not hear it again."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..data.schema import RowError
from ..features.arguments import with_revision
from ..features.media import Item, MediaReader, Missing
from ..features.transcription import Transcriber
from ..models.files_univa import write_text


__all__ = ["Transcripts"]


class Transcripts:
    """The transcripts of items of sound.

    Args:
        model: Folder or Hub id of the model, with `@REVISION` where one is meant.
        root: Folder of the media.
        outside: Whether paths may lead out of it.
        file: Where they are kept, if anywhere; what is there of another `state` is dropped.
        state: What they depend on beside the model, as text.

    Raises:
        ValueError: The model cannot be loaded.
    """

    def __init__(self, model: str, root: Path, outside: bool, file: Path | None, state: str):
        self._transcriber = Transcriber(*with_revision(model))
        self._reader = MediaReader(root, sampling_rate=self._transcriber.sampling_rate, outside=outside)
        self._file = file
        self._found: dict[str, dict[str, Any]] = {}
        if file is not None:
            plan = json.dumps({"model": model, "state": state}) + "\n"
            lines = list(_lines(file))
            if lines[:1] != [json.loads(plan)]:
                file.parent.mkdir(parents=True, exist_ok=True)
                write_text(file, plan)
            self._found = {line["item"]: line for line in lines[1:] if lines[0] == json.loads(plan)}

    def text(self, item: Item) -> str:
        """The words in it, none where it has no sound. Raises `RowError` where it cannot be read or recognised."""
        key = json.dumps(item)
        if key not in self._found:
            self._found[key] = {"item": key, **self._heard(item)}
            if self._file is not None:
                with open(self._file, "a", encoding="utf-8") as file:
                    file.write(json.dumps(self._found[key], ensure_ascii=False) + "\n")
        found = self._found[key]
        if found.get("problem"):
            raise RowError(found["problem"])
        return found["text"]

    def remove(self) -> None:
        """Remove the file, when all is built."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def _heard(self, item: Item) -> dict[str, str]:
        sound, _ = self._reader.read(item)
        if isinstance(sound, Missing):
            return {"problem": sound.reason} if sound.rejected else {"text": ""}
        try:
            return {"text": self._transcriber(sound[0])}
        except ValueError as error:
            return {"problem": f"{item.name}: {error}"}


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file; the last one may have been cut off."""
    if file.is_file():
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                return
