# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""MOSEI with one frame a word in all modalities: the file that HHMPN, TAILOR, RobMMR and CARAT were published on.

`train_valid_test.pt` is a dictionary that `torch.save` wrote. Its keys, and how it codes labels, are those that the
public readers of HHMPN and CARAT ask for; the file itself was not at hand when this was written.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.schema import CorpusError, RowError
from ..data.stored_arrays import StoredArray
from ..data.torch_files import load_torch_file
from ..models.configuration_univa import MOSEI_EMOTIONS
from ..models.processing_univa import PRECOMPUTED
from ..options import counted, verb
from .builder import CorpusDescription, UnivaCorpusBuilder
from .precomputed_features import StorableFrames


__all__ = ["BUILDER", "MoseiAligned"]

_FILE = "train_valid_test.pt"
_SPLITS = ("train", "valid", "test")
_FEATURES = {"text": "src-text", "audio": "src-audio", "vision": "src-visual"}
_LABELS = "tgt"
# Smaller ids are markers: padding, unknown, begin and end.
_FIRST_LABEL = 4
_MADE_BY = {"text": ("glove.840B.300d", 300), "audio": ("covarep", 74), "vision": ("facet-4.2", 35)}


class MoseiAligned(UnivaCorpusBuilder):
    """Build MOSEI aligned to words from the file train_valid_test.pt of HHMPN, which TAILOR, RobMMR and CARAT use too.

    Every utterance has a word vector (GloVe, 300), a frame of speech (COVAREP, 74) and a frame of the face (FACET, 35)
    for each word. The file has neither transcripts nor names: an utterance is `train_00000` and so on, in the order of
    the file, and a dialogue of its own. At most the features of one split are in memory.
    """

    PRETTY_NAME = "CMU-MOSEI (aligned to words)"
    LANGUAGE = "en"
    SOURCE_HELP = f"folder that holds {_FILE}"
    PROVENANCE = (
        f"Made of `{_FILE}`, on which HHMPN, TAILOR, RobMMR and CARAT were published (16,326, 1,871 and 4,659 "
        "utterances); nothing was extracted again. The file has no valence and arousal: `text_va`, `audio_va` and "
        "`vision_va` are unknown (NaN) in every row, and a system whose loss needs them, such as UniVA, cannot be "
        "trained on this corpus. It has no transcripts, names or dialogues either: `text` is null, and utterances are "
        "numbered in the order of the file, each a dialogue of its own. The frames at the end that are zero in all "
        "three modalities were padding, and are cut off."
    )

    def describe(self) -> CorpusDescription:
        """Open the file, of which everything large stays where it is."""
        self._path = Path(self.config.source, _FILE)
        if not self._path.is_file():
            raise CorpusError(f"{self.config.source} holds no {_FILE}; pass the folder of that file")
        content = load_torch_file(self._path)
        _check_keys(content, _SPLITS, str(self._path))
        self._tables = {split: _table(content[split], f"{self._path}: {split}") for split in _SPLITS}
        self._emotion_of = self._label_ids(content)
        # Systems that read one frame a word need as many of all modalities.
        self._storable = {
            modality: StorableFrames(name, keeps_length=True) for modality, (name, _) in _MADE_BY.items()
        }
        self._columns: dict[str, Any] = {}
        return CorpusDescription(
            label_names=list(MOSEI_EMOTIONS),
            splits=dict.fromkeys(_SPLITS, _FILE),
            extractors={
                modality: {"extractor_type": PRECOMPUTED, "name": name, "feature_size": size}
                for modality, (name, size) in _MADE_BY.items()
            },
            files=[self._path],
            transcripts=False,
        )

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """The utterances in the order of the file, with the emotions of their label ids where these are sound."""
        for index, ids in enumerate(self._column(split, _LABELS)):
            name = f"{split}_{index:05d}"
            try:
                emotions = self._emotions(ids)
            except RowError:
                emotions = []  # `check_row` says why
            yield {
                "utterance_id": name,
                "dialogue_id": name,
                "position": 0,
                "speaker": None,
                "text": None,
                "emotions": emotions,
            }

    def check_row(self, split: str, row: Mapping[str, Any]) -> None:
        """Refuse rows whose label ids are not sound."""
        self._emotions(self._columns[_LABELS][_index(split, row)])

    def signals(self, split: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """The frames of the words, without the padding behind them."""
        index = _index(split, row)
        found = {modality: _frames(self._columns[key][index], modality) for modality, key in _FEATURES.items()}
        lengths = {modality: len(frames) for modality, frames in found.items()}
        if len(set(lengths.values())) > 1:
            raise RowError(f"expected as many frames in every modality, one a word, found {lengths}")
        is_word = np.any([_says_anything(frames) for frames in found.values()], axis=0)
        length = int(is_word.nonzero()[0][-1]) + 1 if is_word.any() else 0
        self._padded_in_front += length > 0 and not is_word[0]
        return {f"{name}_features": self._storable[name](frames[:length]) for name, frames in found.items()}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        # First, or two splits would be in memory.
        self._columns.clear()
        self._columns.update({key: self._column(split, key) for key in (*_FEATURES.values(), _LABELS)})
        self._padded_in_front = 0
        yield from super()._generate_examples(split)
        for storable in self._storable.values():
            self.notes += storable.notes(split)
        if self._padded_in_front:
            utterances, begin = (
                counted(self._padded_in_front, "utterance"),
                verb(self._padded_in_front, "begins", "begin"),
            )
            self.notes.append(
                f"{split}: {utterances} {begin} with a frame that is zero in all modalities; only such frames at the "
                "end were cut off."
            )

    def _label_ids(self, content: Mapping[str, Any]) -> dict[int, str]:
        """The emotion of each label id: by the file's own vocabulary where it knows all six, else as readers do."""
        named, assumed = _vocabulary(content), dict(enumerate(MOSEI_EMOTIONS, start=_FIRST_LABEL))
        if set(named.values()) == set(MOSEI_EMOTIONS):
            return named
        if named:
            self.notes.append(f"The file calls its label ids {named}; they were taken for {assumed}.")
        return assumed

    def _column(self, split: str, key: str) -> Any:
        """The entries under a key, one an utterance; where each is an array, these stay in the file."""
        found = self._tables[split][key]
        try:
            return found.read() if isinstance(found, StoredArray) else found
        except CorpusError as error:
            raise CorpusError(f"{self._path}: {split}: {key!r}: {error}") from None

    def _emotions(self, ids: Any) -> list[str]:
        """The emotions of label ids between two markers. Raises `RowError`."""
        found = _array(ids, _LABELS)
        if found.ndim != 1 or found.dtype.kind not in "iu" or len(found) < 2:
            raise RowError(f"{_LABELS!r}: expected a marker, label ids and a marker, found {str(found.tolist())[:80]}")
        first, *labels, last = found.tolist()
        if not set(labels) <= set(self._emotion_of) or {first, last} & set(self._emotion_of):
            known = ", ".join(f"{number} {name}" for number, name in self._emotion_of.items())
            raise RowError(
                f"{_LABELS!r}: expected label ids ({known}) between two markers, found {str(found.tolist())[:80]}"
            )
        return list(dict.fromkeys(self._emotion_of[one] for one in labels))


def _check_keys(found: Any, keys: Sequence[str], where: str) -> None:
    if not isinstance(found, Mapping) or not set(keys) <= set(found):
        names = f"{', '.join(map(repr, found))}"[:200] if isinstance(found, Mapping) else type(found).__name__
        raise CorpusError(f"{where}: expected a dictionary with the keys {', '.join(map(repr, keys))}, found {names}")


def _table(found: Any, where: str) -> Mapping[str, Any]:
    """A split: one entry an utterance under each key."""
    keys = (*_FEATURES.values(), _LABELS)
    _check_keys(found, keys, where)
    odd = [key for key in keys if not isinstance(found[key], list | tuple | np.ndarray | StoredArray)]
    if odd:
        kind = type(found[odd[0]]).__name__
        raise CorpusError(f"{where}: expected a list or an array under {odd[0]!r}, found {kind}")
    lengths = {key: len(found[key]) for key in keys}
    if len(set(lengths.values())) > 1:
        raise CorpusError(f"{where}: expected as many entries under every key, one an utterance, found {lengths}")
    return found


def _vocabulary(content: Mapping[str, Any]) -> dict[int, str]:
    """What the file itself calls its label ids, as far as it does."""
    vocabularies = content.get("dict")
    ids = vocabularies.get(_LABELS) if isinstance(vocabularies, Mapping) else None
    pairs = ids.items() if isinstance(ids, Mapping) else ()
    return {number: str(name) for name, number in pairs if isinstance(number, int) and number >= _FIRST_LABEL}


def _index(split: str, row: Mapping[str, Any]) -> int:
    return int(row["utterance_id"].removeprefix(f"{split}_"))


def _array(value: Any, key: str) -> np.ndarray:
    try:
        return value.read() if isinstance(value, StoredArray) else np.asarray(value)
    except ValueError as error:
        raise RowError(f"{key!r}: {error}") from None


def _frames(value: Any, modality: str) -> np.ndarray:
    key, (_, size) = _FEATURES[modality], _MADE_BY[modality]
    found = _array(value, key)
    if found.dtype.kind not in "fiu" or found.ndim != 2 or found.shape[1] != size:
        raise RowError(f"{key!r}: expected numbers of shape (words, {size}), found {found.dtype} of {found.shape}")
    return found


def _says_anything(frames: np.ndarray) -> np.ndarray:
    """Which frames are not all zero, shape (words,), where -inf, the logarithm of nothing, is zero too."""
    return ((frames != 0) & (frames != -np.inf)).any(axis=1)


BUILDER = MoseiAligned
