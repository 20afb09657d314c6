# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Dialogues and features or raw media to the inputs of a UniVA model."""

import filecmp
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
import torch
from huggingface_hub import HfApi, snapshot_download
from transformers import BatchFeature, PreTrainedTokenizerBase, PreTrainedTokenizerFast, ProcessorMixin
from transformers.dynamic_module_utils import custom_object_save
from transformers.utils import AUDIO_TOKENIZER_NAME, CONFIG_NAME, PROCESSOR_NAME, cached_file, logging

from .checked_loading_univa import refusal
from .configuration_emotion import FACE_EMOTIONS, MODALITIES, EmotionConfig, feature_column, size_field
from .extractors_univa import extractor_from_dict
from .faces_univa import FaceReader, FaceTrack
from .files_univa import whole_folder
from .limits_univa import check_limit
from .trusted_paths_univa import EMBEDDED, check_settings, embedded_parts, embedded_place, from_hub_cache
from .utterance_media_univa import UtteranceMedia, check_clips, check_finite_rows, check_width, checked_frames


logger = logging.get_logger(__name__)

_SETTINGS = (
    "auto_map", "chat_template", "extractors", "face_emotion_size", "feature_sizes", "has_tokenizer", "max_lengths",
    "modalities", "processor_class",
)  # fmt: skip
_HUB_ARGUMENTS = ("cache_dir", "local_files_only", "revision", "subfolder", "token")
# What says where utterances are and by whom, in the order of a batch.
_PLACE_INPUTS = (
    "dialogue_index", "utterance_span", "position", "speaker_index", "input_ids", "attention_mask",
)  # fmt: skip
# `extractor_type` of features that came ready-made, by something that this package cannot run.
PRECOMPUTED = "precomputed"


@dataclass(frozen=True)
class DialogueRow:
    """
    One row of `input_ids`.

    Args:
        input_ids (`np.ndarray` of shape `(L,)`): token ids, special tokens included.
        spans (`np.ndarray` of shape `(utterances, 2)`): tokens [start, end) of each utterance in the row.
    """

    input_ids: np.ndarray
    spans: np.ndarray


@dataclass(frozen=True)
class EncodedDialogue:
    """
    A dialogue as rows of token ids.

    Args:
        rows: whose `spans` together are the dialogue's utterances in order.
    """

    rows: list[DialogueRow]

    def __len__(self) -> int:
        return int(self._ends[-1]) if self.rows else 0

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum([len(row.spans) for row in self.rows])

    def locate(self, utterance: int) -> tuple[int, np.ndarray]:
        """Index of the row of an utterance, and its span there."""
        row = int(np.searchsorted(self._ends, utterance, side="right"))
        return row, self.rows[row].spans[utterance - self._ends[row]]


_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
_PROCESSOR_FILES = (PROCESSOR_NAME, *_TOKENIZER_FILES)


class UnivaProcessor(ProcessorMixin):
    """
    Turns dialogues of strings, and features or raw media of single utterances, into the inputs of a UniVA model.

    Args:
        tokenizer (`PreTrainedTokenizerBase`, *optional*): that of the text encoder; `None` on the word-vector route.
        extractors (`dict[str, dict]`, *optional*): for audio, vision or text, what made its features, by
            `Extractor.to_dict()`. With it raw media meet the same features as in training. A path in it that begins
            with `./` is relative to the folder or the Hub repository that the processor was loaded from. Under
            `faces` stands how faces are found in video, by `FaceReader.to_dict()`.
        modalities (`list[str]`): modalities of the model.
        feature_sizes (`dict[str, int]`, *optional*): frame width of each modality that comes as features.
        max_lengths (`dict[str, int]`, *optional*): longest dialogue in tokens (or utterance in words) for text,
            longest clip in frames for audio and vision.
        face_emotion_size (`int`, defaults to 0): expressions in `face_emotions`, for a model that reads them.
    """

    model_input_names: ClassVar[tuple[str, ...]] = _PLACE_INPUTS

    # Folder or Hub id that the processor (or what it knows of extractors) was loaded from, and how.
    _source: tuple[str, dict[str, Any]] | None = None

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase | None = None,
        extractors: dict[str, dict[str, Any]] | None = None,
        modalities: Sequence[str] = MODALITIES,
        feature_sizes: dict[str, int] | None = None,
        max_lengths: dict[str, int] | None = None,
        face_emotion_size: int = 0,
        chat_template: str | None = None,
    ):
        _check_settings(extractors, modalities, feature_sizes, max_lengths)
        if face_emotion_size != 0:
            check_limit("width", face_emotion_size, "`face_emotion_size`")
        self.face_emotion_size = face_emotion_size
        self.chat_template = chat_template  # ProcessorMixin has one; UniVA has no use for it.
        self.tokenizer: Any = tokenizer
        self.modalities = list(modalities)
        # In this order in every batch, also after loading: JSON files are sorted by name.
        self.feature_sizes = dict(sorted((feature_sizes or {}).items(), key=lambda item: MODALITIES.index(item[0])))
        self.max_lengths = dict(max_lengths or {})
        self.extractors = {name: dict(value) for name, value in (extractors or {}).items() if value}
        self._check_extractors()

    @classmethod
    def from_config(
        cls,
        config: EmotionConfig,
        tokenizer: PreTrainedTokenizerBase | None = None,
        extractors: dict[str, dict[str, Any]] | None = None,
        source: str | None = None,
    ) -> "UnivaProcessor":
        """
        The processor of a model.

        Args:
            config: configuration of the model.
            tokenizer: that of its text encoder.
            extractors: what made its features.
            source: folder or Hub id of the corpus that `extractors` came with; without it they are this user's own,
                and may name any file of this machine.

        Raises:
            `ValueError`: the model has a text encoder and there is no tokenizer, or an extractor makes frames of
                another width than the model takes.
        """
        if config.reads_tokens and tokenizer is None:
            raise ValueError("A model with a pretrained text encoder needs its tokenizer: pass `tokenizer`.")
        sizes = config.feature_sizes, config.max_lengths, config.extracted_sizes.get(FACE_EMOTIONS, 0)
        processor = cls(tokenizer, extractors, config.modalities, *sizes)
        processor._source = None if source is None else (source, {})
        return processor

    def _check_extractors(self) -> None:
        for modality, extractor in self.extractors.items():
            size, expected = extractor.get("feature_size"), self.extracted_sizes.get(modality)
            if expected is not None and size != expected:
                raise ValueError(
                    f"The {modality} extractor {extractor.get('extractor_type')!r} makes frames of width {size}, and "
                    f"the model takes `{size_field(modality)}` = {expected}: use the extractor that made the training "
                    "features."
                )

    @property
    def extracted_sizes(self) -> dict[str, int]:
        """Frame width of each modality that comes as features, and of `face_emotions` where they are read."""
        return {**self.feature_sizes, **({FACE_EMOTIONS: self.face_emotion_size} if self.face_emotion_size else {})}

    # Saving and loading. A processor without a tokenizer is not a case that ProcessorMixin knows.

    def to_dict(self) -> dict[str, Any]:
        """Everything but the tokenizer, which has files of its own."""
        return {**super().to_dict(), "has_tokenizer": self.tokenizer is not None}

    def save_pretrained(self, save_directory: str | PathLike, push_to_hub: bool = False, **kwargs: Any) -> list[str]:
        """Write `processor_config.json`, code, tokenizer, and the extractors that lie with the model."""
        self._copy_embedded(Path(save_directory))
        if self.tokenizer is not None:
            return super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)
        if push_to_hub:
            raise ValueError("Save first, then call `push_to_hub(repo_id)`: this processor has no tokenizer.")
        # ProcessorMixin cannot save a component that is None.
        Path(save_directory).mkdir(parents=True, exist_ok=True)
        custom_object_save(self, save_directory, config=self)
        file = Path(save_directory, PROCESSOR_NAME)
        self.to_json_file(file)
        return [str(file)]

    @classmethod
    def _get_arguments_from_pretrained(cls, pretrained_model_name_or_path, processor_dict=None, **kwargs):
        if processor_dict is not None and not processor_dict.pop("has_tokenizer", True):
            return [None]
        # Trusting this processor's code is not trusting that of a tokenizer, which a folder may name as well.
        options = {**kwargs, "trust_remote_code": False}
        # First, since transformers believes the configuration while it looks for the tokenizer's class.
        known = _known_tokens(pretrained_model_name_or_path, options)
        with refusal(pretrained_model_name_or_path, "The tokenizer of {} cannot be loaded", *_TOKENIZER_FILES):
            arguments = super()._get_arguments_from_pretrained(
                pretrained_model_name_or_path, processor_dict, **options
            )
        _check_tokenizer(pretrained_model_name_or_path, arguments[0], known, options)
        return arguments

    @classmethod
    def get_processor_dict(
        cls, pretrained_model_name_or_path: str | PathLike, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The settings of a file that this processor has."""
        _check_no_audio_tokenizer(pretrained_model_name_or_path, kwargs)
        settings, unused = super().get_processor_dict(pretrained_model_name_or_path, **kwargs)
        return {name: value for name, value in settings.items() if name in _SETTINGS}, unused

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | PathLike, **kwargs: Any) -> "UnivaProcessor":
        """
        Load from a folder or from the Hub, where the extractors that lie with the model are then looked for.

        `trust_remote_code=True` of `AutoProcessor` holds for the code of this processor; that of a tokenizer is never
        run.

        Raises:
            `ValueError`: the settings cannot be used, or the tokenizer is missing or not that of the text encoder.
            `OSError`: there is no such folder or repository.
        """
        name = os.fspath(pretrained_model_name_or_path)
        with refusal(name, "The processor of {} cannot be used", *_PROCESSOR_FILES):
            folder = Path(name, kwargs.get("subfolder") or "")
            if folder.is_dir() and not (folder / PROCESSOR_NAME).is_file():
                raise ValueError(f"it has no file {PROCESSOR_NAME}. Save the processor again, or name another folder.")
            processor = super().from_pretrained(name, **kwargs)
            longest = getattr(processor.tokenizer, "model_max_length", 1)
            if not isinstance(longest, int | float) or not longest >= 1:
                raise ValueError(f"`model_max_length` of its tokenizer is {longest!r}, expected a number of tokens.")
        names = ("cache_dir", "local_files_only", "revision", "subfolder", "token")
        hub = {name: kwargs[name] for name in names if kwargs.get(name)}
        processor._source = (name, hub)
        return processor

    def resolved_extractor(self, modality: str) -> dict[str, Any]:
        """
        Settings of an extractor, with the path of what lies in the model's folder or repository as it is here.

        Users of the settings take them from here: those of a processor that was loaded come from someone else.

        Raises:
            `ValueError`: they name a place that the settings of others may not name.
        """
        on_hub = self._source is not None and (not Path(self._source[0]).is_dir() or from_hub_cache(self._source[0]))
        config = self.extractors[modality]
        if self._source is None and not any(str(value).startswith(EMBEDDED) for value in config.values()):
            return dict(config)
        return check_settings(config, self._embedded_root, on_hub)

    def _embedded_folders(self) -> set[str]:
        """`./extractors/NAME` of every extractor that lies with the model."""
        values = [value for config in self.extractors.values() for value in config.values() if isinstance(value, str)]
        return {str(PurePosixPath(*embedded_parts(value))) for value in values if value.startswith(EMBEDDED)}

    def _embedded_root(self, path: str) -> Path:
        """The folder to which `path` is relative; what lies there on the Hub is downloaded."""
        folder = PurePosixPath(*embedded_parts(path))
        if self._source is None:
            raise ValueError(f"{path} lies in the folder of a model: load the processor from there.")
        name, hub = self._source
        hub = dict(hub)
        subfolder = hub.pop("subfolder", "")
        if Path(name).is_dir():
            return Path(name, subfolder)
        snapshot = snapshot_download(name, allow_patterns=str(PurePosixPath(subfolder, folder, "*")), **hub)
        return Path(snapshot, subfolder)

    def _copy_embedded(self, target: Path) -> None:
        for modality, config in self.extractors.items():
            if Path(str(config.get("model", ""))).is_absolute():
                logger.warning_once(
                    f"The {modality} extractor is in {config['model']}, where only this machine finds it: "
                    "`univa complete` copies it into the model's folder."
                )
        for folder in sorted(self._embedded_folders()):
            source, copy = embedded_place(folder, self._embedded_root(folder)), target / folder
            if not source.is_dir():
                raise ValueError(f"{source} is missing: the extractor that lies with the model.")
            if copy.is_dir() and (source.samefile(copy) or _same_files(source, copy)):
                continue
            with whole_folder(copy) as new:
                shutil.copytree(source, new, dirs_exist_ok=True)

    def _upload_modified_files(
        self, working_dir, repo_id, files_timestamps, commit_message=None, token=None, create_pr=False, revision=None,
        commit_description=None,
    ):  # fmt: skip
        # That of transformers takes folders of one level only.
        api = HfApi(token=token)
        if revision is not None and not create_pr:
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        names = [
            item.name for item in Path(working_dir).iterdir()
            if item.is_file() and item.stat().st_mtime > files_timestamps.get(item.name, 0)
        ]  # fmt: skip
        return api.upload_folder(
            repo_id=repo_id,
            folder_path=working_dir,
            allow_patterns=[*names, *(f"{folder}/*" for folder in self._embedded_folders())],
            commit_message=commit_message or "Upload processor",
            commit_description=commit_description,
            create_pr=create_pr,
            revision=revision,
        )

    # Text

    @cached_property
    def _special_tokens(self) -> tuple[list[int], list[int], list[int]]:
        """Ids before the first utterance, between two, and after the last, as the tokenizer itself joins a pair."""
        encoded = self.tokenizer("a", "b", return_special_tokens_mask=True)
        special = np.flatnonzero(encoded["special_tokens_mask"])
        ids, content = np.array(encoded["input_ids"]), np.flatnonzero(np.logical_not(encoded["special_tokens_mask"]))
        between = special[(special > content[0]) & (special < content[-1])]
        if len(between) == 0:
            raise ValueError(
                f"{type(self.tokenizer).__name__} puts no special token between two texts, so that utterances cannot "
                "be told apart: use an encoder whose tokenizer does (BERT, RoBERTa, …)."
            )
        return (ids[special[special < content[0]]].tolist(), ids[between].tolist(),
                ids[special[special > content[-1]]].tolist())  # fmt: skip

    @property
    def max_text_length(self) -> int:
        """Longest row of `input_ids`, in tokens."""
        return min(self.max_lengths.get("text", 512), self.tokenizer.model_max_length)

    def tokenize(self, utterances: Sequence[str]) -> list[list[int]]:
        """Token ids of each utterance by itself, without special tokens and without truncation."""
        texts, tokenizer = list(utterances), self.tokenizer
        if not _encodes_plainly(tokenizer):
            return tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        # As a call of the tokenizer does, but for the places of tokens in the text, which nothing here asks for.
        backend = tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = tokenizer.split_special_tokens
        return [found.ids for found in backend.encode_batch_fast(texts, add_special_tokens=False)]

    def build_dialogue(self, token_ids: Sequence[Sequence[int]]) -> list[DialogueRow]:
        """
        Join a dialogue's utterances with special tokens to rows of at most `max_text_length` tokens.

        A dialogue is one row: while it is too long, the longest utterance (the earliest of several) loses its last
        token, as in the released code. Only where not even one token an utterance would fit is it cut into windows of
        consecutive utterances, one row each.

        Args:
            token_ids: ids of each utterance, from `tokenize`.

        Returns:
            The rows, whose `spans` together are the dialogue's utterances in order.
        """
        prefix, separator, suffix = self._special_tokens
        room = self.max_text_length - len(prefix) - len(suffix)
        most = (room + len(separator)) // (len(separator) + 1)
        if most < 1:
            raise ValueError(f"`max_text_length` ({self.max_text_length}) leaves no room for a single token.")
        windows = np.array_split(np.arange(len(token_ids)), -(-len(token_ids) // most))
        return [self._build_row([token_ids[index] for index in window]) for window in windows]

    def encode_dialogue(self, utterances: Sequence[str]) -> EncodedDialogue:
        """A dialogue ready for any number of calls: tokenised, joined and truncated once."""
        return EncodedDialogue(self.build_dialogue(self.tokenize(utterances)))

    def _build_row(self, token_ids: Sequence[Sequence[int]]) -> DialogueRow:
        prefix, separator, suffix = self._special_tokens
        special = len(prefix) + len(suffix) + len(separator) * (len(token_ids) - 1)
        kept = truncated_lengths([len(ids) for ids in token_ids], self.max_text_length - special)
        starts = len(prefix) + np.concatenate([[0], np.cumsum(kept[:-1] + len(separator))]).astype(int)
        pieces = [prefix, token_ids[0][: kept[0]]]
        for ids, length in zip(token_ids[1:], kept[1:], strict=True):
            pieces += [separator, ids[:length]]
        row = np.fromiter((token for piece in [*pieces, suffix] for token in piece), dtype=np.int64)
        return DialogueRow(row, np.stack([starts, starts + kept], axis=1))

    def pad_dialogues(self, rows: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
        """`input_ids` and `attention_mask`, `(D, L)` long, of rows of token ids, padded to the longest."""
        lengths = np.array([len(row) for row in rows])
        mask = np.arange(lengths.max()) < lengths[:, None]
        input_ids = np.full(mask.shape, self.tokenizer.pad_token_id, dtype=np.int64)
        input_ids[mask] = np.concatenate(rows)
        return {"input_ids": torch.from_numpy(input_ids), "attention_mask": torch.from_numpy(mask.astype(np.int64))}

    # Features

    def pad_features(
        self, modality: str, values: np.ndarray, lengths: np.ndarray, name_of: Callable[[int], str] | None = None
    ) -> dict[str, torch.Tensor]:
        """
        Frames of several clips, end to end, to one padded tensor and its mask.

        Args:
            modality: "text", "audio" or "vision".
            values (`np.ndarray` of shape `(sum of lengths, k)`): the frames, clip after clip.
            lengths (`np.ndarray` of shape `(B,)`): frames of each clip; 0 where the modality is absent. Clips longer
                than the model takes are cut at the end.
            name_of: from the place of a clip to what a message calls it.

        Returns:
            `{modality}_features (B, T, k)` float32 and `{modality}_attention_mask (B, T)` long, T at least 1.

        Raises:
            `ValueError`: the frames have another width than the model takes, or hold NaN or infinity.
        """
        size = self.feature_sizes[modality]
        check_width(modality, values, size)
        padded, mask = pad_frames(values.reshape(-1, size), lengths, self.max_lengths.get(modality))
        check_finite_rows(modality, padded, name_of)
        return {
            f"{modality}_features": torch.from_numpy(padded),
            f"{modality}_attention_mask": torch.from_numpy(mask),
        }

    def pad_face_emotions(
        self,
        values: np.ndarray,
        lengths: np.ndarray,
        frames: int,
        name_of: Callable[[int], str] | None = None,
    ) -> torch.Tensor:
        """
        Probabilities of expressions of several clips, end to end, beside `frames` frames of face features each.

        Args:
            values (`np.ndarray` of shape `(sum of lengths, E)`): those of each face, clip after clip.
            lengths (`np.ndarray` of shape `(B,)`): faces of each clip; 0 where nothing is known of them.
            frames: of the padded face features.
            name_of: from the place of a clip to what a message calls it.

        Returns:
            `face_emotions (B, frames, E)` float32, zero where there are none.

        Raises:
            `ValueError`: another number of expressions than the model takes, or NaN or infinity.
        """
        size = self.face_emotion_size
        check_width(FACE_EMOTIONS, values, size)
        padded, _ = pad_frames(values.reshape(-1, size), lengths, self.max_lengths.get("vision"), frames)
        check_finite_rows("face emotion", padded, name_of)
        return torch.from_numpy(padded)

    def extract_audio(self, clip: Any) -> np.ndarray | None:
        """
        Speech frames `(frames, audio_feature_size)` of one clip, by the extractor that made the training features.

        Args:
            clip: a path (or bytes) of sound or video, a waveform with its rate as `(array, sampling_rate)`, an entry
                of a column of `datasets.Audio`, a part of any of them as `(clip, start, end)` in seconds, or `None`
                for no sound.
        """
        return self.extract("audio", [self.read("audio", UtteranceMedia.of_clip("audio", clip))])[0]

    def extract_vision(self, faces: Iterable[Any] | None) -> np.ndarray | None:
        """
        Face frames `(faces, vision_feature_size)` of one clip, by the extractor that made the training features.

        Args:
            faces: paths or images (`np.ndarray`, H × W × 3 RGB or H × W grey, uint8; PIL images; entries of a column
                of `datasets.Image`) of the clip's faces in order, or a single one; `None` or nothing for no face.
        """
        return self.extract("vision", [self.read("vision", UtteranceMedia.of_clip("faces", faces))])[0]

    def extract_faces(self, video: Any) -> FaceTrack:
        """
        The face of one clip, found as the processor's face reader says.

        Args:
            video: a path (or bytes) of a video, or a part of one as `(path, start, end)` in seconds.

        Returns:
            [`FaceTrack`], without images where the clip shows no face or has no picture.

        Raises:
            `ValueError`: the processor has no face reader.
            `MediaError`: the video cannot be read.
        """
        return UtteranceMedia.of_clip("video", video, self._find_faces).faces()

    def _find_faces(self, source: Any, start: float | None, end: float | None) -> FaceTrack:
        if "faces" not in self.extractors:
            raise ValueError(
                "This processor does not say how faces are found in video: pass `faces`, or set "
                "`processor.extractors['faces'] = FaceReader(detector=…).to_dict()` with the detector that made the "
                "training faces (yunet, haar, mtcnn or whole-frame)."
            )
        return FaceReader.from_dict(self.resolved_extractor("faces"))(source, start, end)

    def read(self, modality: str, media: UtteranceMedia) -> Any:
        """
        What `extract` takes of an utterance's media; `None` where there is nothing of the modality.

        Args:
            modality: "audio" or "vision".
            media: its sound and faces.

        Raises:
            `ValueError`: the processor cannot make features of the modality.
            `MediaError`: a file that cannot be read.
        """
        if not media.has(modality):
            return None
        extractor = self.extractor(modality)
        return media.speech(extractor.sampling_rate) if modality == "audio" else media.faces().images or None

    def extract(self, modality: str, items: Sequence[Any]) -> list[np.ndarray | None]:
        """
        Features `(frames, k)` of several clips at once, `None` where a clip is `None`.

        Args:
            modality: "text", "audio", "vision" or "face_emotions".
            items: texts, `(waveform, sampling_rate)` at the rate of the extractor, or lists of face images.

        Raises:
            `ValueError`: the processor cannot make features of the modality, or an item is not such.
        """
        present = [item for item in items if item is not None]
        frames = iter(self.extractor(modality).extract_batch(present) if present else ())
        return [None if item is None else next(frames) for item in items]

    def can_extract(self, modality: str) -> bool:
        """Whether the features of a modality can be made from raw media."""
        return self.extractors.get(modality, {}).get("extractor_type", PRECOMPUTED) != PRECOMPUTED

    def extractor(self, modality: str) -> Any:
        """
        The extractor that made the training features of a modality.

        Raises:
            `ValueError`: it is not known, or its settings name a place that the settings of others may not name.
        """
        if not self.can_extract(modality):
            config = self.extractors.get(modality)
            made_by = f"by {config.get('name')!r}" if config else "elsewhere"
            raise ValueError(
                f"This model's {modality} features were made {made_by} and this processor cannot make them from raw "
                f"media: pass `{feature_column(modality)}`."
            )
        return extractor_from_dict(self.resolved_extractor(modality))

    # The whole

    def __call__(
        self,
        dialogues: Sequence[Sequence[str] | EncodedDialogue] | None = None,
        utterances: Sequence[tuple[int, int]] | None = None,
        *,
        speakers: Sequence[Sequence[str | None]] | None = None,
        audio: Sequence[Any] | None = None,
        faces: Sequence[Any] | None = None,
        video: Sequence[Any] | None = None,
        text_features: Sequence[np.ndarray | None] | None = None,
        audio_features: Sequence[np.ndarray | None] | None = None,
        vision_features: Sequence[np.ndarray | None] | None = None,
        face_emotions: Sequence[np.ndarray | None] | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """
        Model inputs of B utterances out of some dialogues.

        Args:
            dialogues: every dialogue as the list of its utterances, or as `encode_dialogue` made it of them. On the
                word-vector route `text_features` may be given instead.
            utterances: `(dialogue, utterance)` indices of the utterances wanted; by default all, in order. The lists
                of media and features are in their order, one entry each, `None` where the modality is absent.
            speakers: of every dialogue the names of who speaks its utterances, `None` where it is not known.
            audio: clips of speech; see `extract_audio`.
            faces: faces of each clip; see `extract_vision`.
            video: video of each clip, from which sound and faces are taken where they are not given otherwise; see
                `extract_faces`. What a video lacks (sound, picture, a face) is absent, with a warning.
            text_features, audio_features, vision_features: precomputed features, `(frames, k)` each.
            face_emotions: beside `vision_features` the probabilities of expressions, `(frames, E)` each, for a model
                that reads them.

        Returns:
            `BatchFeature` of tensors, named and shaped as [`EmotionModel.forward`] takes them. `dialogue_index`,
            `position` and `speaker_index` are among them where `dialogues`, `utterances` or `speakers` say anything
            of dialogues.

        Raises:
            `ValueError`: lists of unequal length, features and raw media of the same modality, an index out of range,
                an argument of a modality that the model does not have.
        """
        if kwargs:
            raise ValueError(f"Unknown arguments {sorted(kwargs)}.")
        given = {
            "text": text_features, "audio": audio_features, "vision": vision_features, FACE_EMOTIONS: face_emotions,
        }  # fmt: skip
        for name, clips in (("audio", audio), ("faces", faces), ("video", video)):
            if clips is not None:
                check_clips(name, clips)
        self._read_media(audio, faces, video, given)
        return BatchFeature(self._inputs(dialogues, utterances, speakers, given))

    def _inputs(
        self, dialogues: Any, utterances: Any, speakers: Any, given: dict[str, Any]
    ) -> dict[str, torch.Tensor]:
        """Model inputs of utterances whose media have become features."""
        if dialogues is not None and "text" not in self.modalities:
            raise ValueError(f"This model takes {self.modalities} and no text: leave `dialogues` out.")
        with_tokens = "text" in self.modalities and self.tokenizer is not None
        if with_tokens and not dialogues:
            raise _no_dialogues(dialogues)
        places: Any = _checked_places(dialogues, utterances, speakers)
        if dialogues is not None and not with_tokens:
            given["text"] = self._from_raw("text", [dialogues[row][place] for row, place in places], given["text"])
        batch: dict[str, torch.Tensor] = {} if places is None else _place_inputs(places, speakers)
        size = self._batch_size(batch, given)
        if with_tokens:
            batch |= self._text_inputs(dialogues, places)
            batch = {name: batch[name] for name in _PLACE_INPUTS}
        for modality in self.feature_sizes:
            batch.update(self._feature_inputs(modality, given[modality], size))
        if self.face_emotion_size:
            faces = given["vision"] or [None] * size
            counts = np.array([0 if clip is None else len(clip) for clip in faces])
            batch[FACE_EMOTIONS] = self._face_emotions(
                given[FACE_EMOTIONS], counts, batch["vision_attention_mask"].shape[1]
            )
        return batch

    def _read_media(self, audio: Any, faces: Any, video: Any, given: dict[str, Any]) -> None:
        """Put the features of raw media among those that are given."""
        if video is not None and not {"audio", "vision"}.intersection(self.feature_sizes):
            raise ValueError(f"This model takes {self.modalities} and nothing of a video: leave `video` out.")
        clips = [UtteranceMedia.of_clip("video", clip, self._find_faces) for clip in video or ()]
        for modality, kind, raw in (("audio", "audio", audio), ("vision", "faces", faces)):
            media = [UtteranceMedia.of_clip(kind, clip) for clip in raw or ()]
            if raw is None and video is not None and modality in self.feature_sizes and given[modality] is None:
                raw, media = video, clips
            items = None if raw is None else (self.read(modality, one) for one in media)
            given[modality] = self._from_raw(modality, items, given[modality])
            if modality == "vision" and raw is not None and self.face_emotion_size and given[FACE_EMOTIONS] is None:
                given[FACE_EMOTIONS] = self.extract(FACE_EMOTIONS, [self.read("vision", one) for one in media])
        for note in (note for clip in clips for note in clip.notes.values()):
            logger.warning_once(f"{note}.")

    def _from_raw(self, modality: str, items: Iterable[Any] | None, features: Any) -> Any:
        if items is None:
            return features
        if features is not None:
            raise ValueError(f"Pass the {modality} modality as raw media or as features, not both.")
        return self.extract(modality, list(items))

    def _text_inputs(
        self, dialogues: Sequence[Sequence[str] | EncodedDialogue], utterances: Sequence[tuple[int, int]]
    ) -> dict[str, torch.Tensor]:
        rows: list[np.ndarray] = []
        where: dict[tuple[int, int], tuple[int, ...]] = {}
        for dialogue in sorted({row for row, _ in utterances}):
            given = dialogues[dialogue]
            encoded = given if isinstance(given, EncodedDialogue) else self.encode_dialogue(given)
            for place in sorted({place for row, place in utterances if row == dialogue}):
                row, span = encoded.locate(place)
                where[dialogue, place] = (len(rows) + row, *span)
            rows += [built.input_ids for built in encoded.rows]
        found = np.array([where[row, place] for row, place in utterances])
        used, index = np.unique(found[:, 0], return_inverse=True)
        return {
            "dialogue_index": torch.from_numpy(index.astype(np.int64)),
            "utterance_span": torch.from_numpy(found[:, 1:].astype(np.int64)),
            **self.pad_dialogues([rows[row] for row in used]),
        }

    def _batch_size(self, batch: dict[str, torch.Tensor], given: dict[str, Any]) -> int:
        sizes = {f"{name} features": len(value) for name, value in given.items() if value is not None}
        if batch:
            sizes["utterances"] = len(batch["dialogue_index"])
        surplus = [name for name, value in given.items() if value is not None and name not in self.extracted_sizes]
        if surplus:
            raise ValueError(f"This model takes {list(self.feature_sizes)} features, not {surplus}.")
        if len(set(sizes.values())) != 1:
            raise ValueError(f"Every modality needs one entry an utterance; got {sizes or 'nothing'}.")
        return next(iter(sizes.values()))

    def _feature_inputs(
        self, modality: str, features: Sequence[np.ndarray | None] | None, size: int
    ) -> dict[str, torch.Tensor]:
        if features is None:
            logger.warning_once(f"No {modality} was given: the model takes it as absent in every utterance.")
            features = [None] * size
        width = self.feature_sizes[modality]
        frames = [checked_frames(modality, () if clip is None else clip, width) for clip in features]
        lengths = np.array([len(clip) for clip in frames])
        longest = self.max_lengths.get(modality)
        if longest and (lengths > longest).any():
            logger.warning_once(
                f"{(lengths > longest).sum()} of {size} clips have more than `max_{modality}_length` = {longest} "
                "frames; they are cut at the end."
            )
        return self.pad_features(modality, np.concatenate(frames), lengths)

    def _face_emotions(
        self, emotions: Sequence[np.ndarray | None] | None, counts: np.ndarray, longest: int
    ) -> torch.Tensor:
        """Those of clips with `counts` faces, padded to `longest`."""
        if emotions is None:
            if counts.any():
                logger.warning_once("No `face_emotions` were given: the model takes them as unknown in every frame.")
            emotions = [None] * len(counts)
        size = self.face_emotion_size
        frames = [checked_frames("face_emotions", () if clip is None else clip, size) for clip in emotions]
        lengths = np.array([len(clip) for clip in frames])
        if ((lengths != counts) & (lengths > 0)).any():
            raise ValueError(
                f"`face_emotions` must have a frame for each of those of `vision_features`, {counts.tolist()}, got "
                f"{lengths.tolist()}: make both of the same faces."
            )
        return self.pad_face_emotions(np.concatenate(frames), lengths, longest)


def _check_settings(extractors: Any, modalities: Any, feature_sizes: Any, max_lengths: Any) -> None:
    """Refuse settings of other types or beyond the limits, as a file may have them."""
    if not isinstance(modalities, list | tuple) or not set(map(str, modalities)) <= set(MODALITIES):
        raise ValueError(f"`modalities` must be some of {list(MODALITIES)}, got {modalities!r}.")
    for name, sizes, kind in (("feature_sizes", feature_sizes, "width"), ("max_lengths", max_lengths, "length")):
        if sizes is None:
            continue
        if not isinstance(sizes, dict) or not set(sizes) <= set(MODALITIES):
            raise ValueError(f"`{name}` must have a number for some of {list(MODALITIES)}, got {sizes!r}.")
        for modality, size in sizes.items():
            check_limit(kind, size, f"`{name}` of {modality}")
            if not isinstance(size, int):
                raise ValueError(f"`{name}` of {modality} must be a whole number, got {size!r}.")
    if extractors is not None and not isinstance(extractors, dict):
        raise ValueError(f"`extractors` must have the settings of an extractor by modality, got {extractors!r}.")
    for modality, settings in (extractors or {}).items():
        if settings is not None and not isinstance(settings, dict):
            raise ValueError(f"`extractors` must have a dictionary for {modality}, got {settings!r}.")


def _check_no_audio_tokenizer(name: Any, options: dict[str, Any]) -> None:
    """Refuse what makes transformers load a further model, of any class and from any path, while it reads settings."""
    hub = {key: options[key] for key in _HUB_ARGUMENTS if options.get(key)}
    file = cached_file(str(name), PROCESSOR_NAME, _raise_exceptions_for_missing_entries=False, **hub)
    named = file is not None and "audio_tokenizer" in json.loads(Path(file).read_text(encoding="utf-8"))
    if named or _is_there(name, AUDIO_TOKENIZER_NAME, hub):
        raise ValueError("it names an audio tokenizer, which this processor does not have.")


def _known_tokens(name: Any, options: dict[str, Any]) -> int | None:
    """Tokens of the text encoder beside a processor; `None` where there is none."""
    hub = {key: options[key] for key in _HUB_ARGUMENTS if options.get(key)}
    if not _is_there(name, CONFIG_NAME, hub):
        return None
    settings = EmotionConfig.get_config_dict(name, **hub)[0]
    if "modalities" not in settings:
        return None
    with refusal(name, "The configuration of {} cannot be used"):
        # Whichever system it is of: the fields that all of them have.
        known = {*EmotionConfig.__dataclass_fields__, "num_labels"}
        shared = {key: value for key, value in settings.items() if key in known}
        config = EmotionConfig.from_dict({**shared, "model_type": EmotionConfig.model_type})
        return getattr(config.text_config, "vocab_size", None)


def _encodes_plainly(tokenizer: Any) -> bool:
    """Whether the ids of a tokenizer are those of the `tokenizers` library, with nothing of its class in between."""
    own: Any = type(tokenizer)
    plain: Any = PreTrainedTokenizerFast
    same = ("__call__", "_encode_plus")
    return isinstance(tokenizer, plain) and all(getattr(own, name) is getattr(plain, name, None) for name in same)


def _check_tokenizer(name: Any, tokenizer: Any, known: int | None, options: dict[str, Any]) -> None:
    """Refuse a tokenizer whose vocabulary is not there, or has tokens that the text encoder does not know."""
    hub = {key: options[key] for key in _HUB_ARGUMENTS if options.get(key)}
    files = [file for kind, file in tokenizer.vocab_files_names.items() if kind != "merges_file"]
    if files and not any(_is_there(name, file, hub) for file in files):
        raise ValueError(f"{name} has no {' or '.join(files)}, the vocabulary of its tokenizer: save it again.")
    if tokenizer.pad_token_id is None:
        raise ValueError(
            f"The tokenizer of {name} has no padding token, which tokenizer_config.json names: copy that file again, "
            "or set `pad_token` and save the tokenizer again."
        )
    if isinstance(known, int) and len(tokenizer) > known:
        raise ValueError(
            f"The tokenizer of {name} ({', '.join(files)}) has {len(tokenizer):,} tokens, and its text encoder knows "
            f"{known:,}: it belongs to another model."
        )


def _is_there(name: Any, file: str, hub: dict[str, Any]) -> bool:
    return cached_file(str(name), file, _raise_exceptions_for_missing_entries=False, **hub) is not None


def _checked_places(dialogues: Any, utterances: Any, speakers: Any) -> Sequence[tuple[int, int]] | None:
    """
    The utterances that are wanted, all where none are named; `None` where nothing is said of dialogues.

    Raises:
        `ValueError`: arguments of other shapes, or that contradict each other.
    """
    if dialogues is not None and (not dialogues or any(isinstance(dialogue, str) for dialogue in dialogues)):
        raise _no_dialogues(dialogues)
    if speakers is not None:
        _check_speakers(speakers, dialogues)
    name, known = ("dialogues", dialogues) if speakers is None or dialogues else ("speakers", speakers)
    if utterances is None:
        if known is None:
            return None
        utterances = [(row, place) for row, dialogue in enumerate(known) for place in range(len(dialogue))]
    if len(utterances) == 0:
        raise ValueError("`dialogues` and `utterances` name no utterance.")
    for row, place in utterances:
        if min(row, place) < 0 or known is not None and not (row < len(known) and place < len(known[row])):
            raise ValueError(f"`utterances` names ({row}, {place}), which is not in `{name}`.")
    return utterances


def _no_dialogues(found: Any) -> ValueError:
    return ValueError(
        "`dialogues` must be a list of dialogues, each the list of its utterances, such as "
        f'[["How was it?", "Wonderful!"]]; got {found!r}.'
    )


def _check_speakers(speakers: Any, dialogues: Any) -> None:
    if any(names is None or isinstance(names, str) for names in speakers):
        raise ValueError(
            "`speakers` must have a list for every dialogue, with a name (or `None`) for each of its utterances, such "
            f'as [["Ada", "Grace"]]; got {speakers!r}.'
        )
    sizes, expected = list(map(len, speakers)), list(map(len, speakers if dialogues is None else dialogues))
    if sizes != expected:
        raise ValueError(f"`speakers` are of dialogues of {sizes} utterances, and `dialogues` have {expected}.")


def _place_inputs(
    utterances: Sequence[tuple[int, int]], speakers: Sequence[Sequence[str | None]] | None
) -> dict[str, torch.Tensor]:
    """In which dialogue utterances are, where in it, and who speaks."""
    where = np.array(utterances, dtype=np.int64)
    numbers = np.full(len(where), -1)
    if speakers is not None:
        known = {row: speaker_indices(speakers[row], [row] * len(speakers[row])) for row in np.unique(where[:, 0])}
        numbers = np.array([known[row][place] for row, place in utterances])
    index = np.unique(where[:, 0], return_inverse=True)[1]
    found = {"dialogue_index": index, "position": where[:, 1], "speaker_index": numbers}
    return {name: torch.from_numpy(values.astype(np.int64)) for name, values in found.items()}


def speaker_indices(speakers: Iterable[Any], dialogues: Iterable[Hashable]) -> np.ndarray:
    """
    Speakers of each dialogue numbered 0, 1, 2, … as they first speak in it.

    Args:
        speakers: name of who speaks each utterance; `None` or an empty one where it is not known.
        dialogues: what tells the dialogue of each utterance from others.

    Returns:
        `np.ndarray` of shape `(utterances,)`, int64; -1 where the speaker is not known.
    """
    numbers: dict[Hashable, dict[Any, int]] = defaultdict(dict)
    found = []
    for name, dialogue in zip(speakers, dialogues, strict=True):
        known = numbers[dialogue]
        is_known = name is not None and str(name).strip()
        found.append(known.setdefault(name, len(known)) if is_known else -1)
    return np.array(found, dtype=np.int64)


def _same_files(folder: Path, other: Path) -> bool:
    """Whether two folders hold files of the same names, sizes and times."""
    compared = filecmp.dircmp(folder, other, ignore=[])
    return not (compared.left_only or compared.right_only or compared.diff_files or compared.funny_files)


def pad_frames(
    values: np.ndarray, lengths: np.ndarray, longest: int | None = None, frames: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """
    Frames of several clips, end to end, side by side with padding.

    Args:
        values (`np.ndarray` of shape `(sum of lengths, k)`): the frames, clip after clip.
        lengths (`np.ndarray` of shape `(B,)`): frames of each clip.
        longest: frames of a clip beyond this number are cut.
        frames: T; by default the frames of the longest clip, at least 1.

    Returns:
        The frames `(B, T, k)` float32, zero where there are none, and their mask `(B, T)` int64.
    """
    longest = longest or max(lengths.max(), 1)
    kept = np.minimum(lengths, longest)
    mask = np.arange(frames or max(kept.max(), 1)) < kept[:, None]
    padded = np.zeros((*mask.shape, values.shape[1]), dtype=np.float32)
    position = np.arange(len(values)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    with np.errstate(over="ignore"):
        padded[mask] = values[position < longest]
    return padded, mask.astype(np.int64)


def truncated_lengths(lengths: Sequence[int], budget: int) -> np.ndarray:
    """
    Lengths after dropping the last token of the longest utterance (ties: the earliest) until `budget` is met.

    Args:
        lengths: tokens of each utterance.
        budget: tokens allowed in all; at least 0.

    Returns:
        `np.ndarray` of shape `(len(lengths),)`, what the step-by-step rule gives.
    """
    full = np.asarray(lengths, dtype=np.int64)
    if full.sum() <= budget:
        return full
    # The highest level to which all of them can be cut, found by bisection.
    level, above = 0, int(full.max())
    while above - level > 1:
        middle = (level + above) // 2
        level, above = (middle, above) if np.minimum(full, middle).sum() <= budget else (level, middle)
    kept = np.minimum(full, level)
    # What is left goes to the latest of the long ones, since the earliest lose a token first.
    candidates = np.flatnonzero(full > level)
    kept[candidates[len(candidates) - (budget - kept.sum()) :]] += 1
    return kept


UnivaProcessor.register_for_auto_class()

__all__ = [
    "PRECOMPUTED",
    "DialogueRow",
    "EncodedDialogue",
    "UnivaProcessor",
    "pad_frames",
    "speaker_indices",
    "truncated_lengths",
]
