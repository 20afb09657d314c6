# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""UniVA as a pipeline of transformers: text, sound, video, faces or precomputed features of utterances to emotions."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import replace
from itertools import chain
from os import PathLike
from typing import Any, ClassVar

import numpy as np
import torch
from torch.utils.data import DataLoader
from transformers import Pipeline
from transformers.pipelines.pt_utils import PipelineDataset, PipelineIterator
from transformers.utils import logging

from .affect_scorers_univa import SAMPLING_RATE, as_scorer
from .configuration_emotion import MODALITIES, feature_column
from .extractor_base_univa import same_extractor
from .faces_univa import FaceReader, reader_at_hand
from .pipeline_inputs_univa import (
    FEATURES,
    OF_MEDIA,
    PreparedInput,
    checked_input,
    dialogue_of,
    dialogues_of,
    named_inputs,
    packed_dialogues,
    place_of,
)
from .processing_univa import EncodedDialogue, UnivaProcessor
from .utterance_media_univa import UtteranceMedia, check_finite_rows, checked_frames
from .word_vectors_univa import tokenize_words


logger = logging.get_logger(__name__)

# Inputs mostly come dialogue by dialogue, so that few are needed again.
_ENCODED_DIALOGUES = 16


class UnivaPipeline(Pipeline):
    """
    Emotions of utterances from whatever of text, sound and picture there is.

    ```python
    classifier = pipeline(model="ORG/NAME", trust_remote_code=True)
    classifier({"text": ["How was it?", "Wonderful!"], "video": "clip.mp4"})
    # [{'label': 'happy', 'score': 0.31}]
    ```

    An input is a string (the text), or a dict with any of the following, `None` being as good as left out. What the
    model does not take is left aside.

    - `text`: the transcript; or the dialogue as a list of utterances, with `utterance` the index of the wanted one
      (by default the last).
    - `audio`: path or bytes of a sound or video file, or a waveform in [-1, 1] (samples,) with `sampling_rate` in Hz
      beside it; also the entries of a column of `datasets.Audio`.
    - `video`: path or bytes of a video, or an entry of a column of `datasets.Video`; gives sound and faces where they
      are not given otherwise.
    - `start`, `end`: the part of `audio` and `video` that is meant, in seconds.
    - `faces`: the images of the face in order, or a single one: paths, bytes, uint8 arrays (H, W, 3) RGB or (H, W)
      grey, or PIL images.
    - `text_features`, `audio_features`, `vision_features`: precomputed features (frames, k), taken before raw media;
      and `face_emotions`, the probabilities of expressions in each face frame.
    - `speaker`: who speaks; or, where `text` is a dialogue, the list of who speaks its utterances, `None` where it is
      not known.
    - `dialogue_id`, `position`: which dialogue the utterance is of, and where in it, as in the rows of a corpus.

    Lists of inputs give lists; generators and data sets (rows with further columns of a corpus of this package too)
    are gone through as their results are asked for. `batch_size` inputs go through the model together.

    A model that reads across the utterances of a dialogue (`model.reads_dialogues`) gets whole dialogues: inputs that
    follow each other and have the same `dialogue_id`, or the same dialogue as `text`. Utterances of `text` that are no
    input are there with their text alone, and an input without either is a dialogue of its own. A batch has as many
    dialogues as have at most `batch_size` utterances together, and at least one.

    Args:
        va_scorers (`dict`, *optional*): by modality, what scores its valence and arousal for `return_va`: an object
            whose `score(items)`, or a function that, returns (N, 2) numbers in [-1, 1], NaN where there is nothing to
            score; EmoNet (vision) or the network of Wagner et al. (audio), loaded with `AutoModel`; or the name of a
            model to load: for text one whose labels are valence and arousal, for the others one of the networks or
            what `univa train-affect` made (of which no code is run: where this package is not installed, load the
            network yourself and pass it). Items are strings, `(waveform, sampling_rate)` and lists of face images, or
            `None`.
        face_reader (`FaceReader` or `dict`, *optional*): how faces are found in videos, for a model that does not say
            so because it was trained on images of faces.
        kwargs: those of [`Pipeline`], and defaults of what is given with each call:

            - **threshold** (`float`, or a list of one for each label, *optional*): only emotions of a greater
              probability are returned; by default that of the model's configuration, and all emotions with `None`.
            - **top_k** (`int`, *optional*): maximum number of emotions to return.
            - **return_va** (`bool`): also return valence and arousal by modality.
            - **return_attention** (`bool`): also return what the pooling attended to, by modality.

    Returns:
        `list[dict]`: `label` and `score` (probability) of the emotions, likeliest first. Scores of a model of one
        distribution (`decision` "softmax", as UniVA's) sum to 1 over all emotions and are trained to be the softmax of
        the labels, so that of 6 emotions a perfect model gives 0.35 to one that holds alone: compare them with
        `model.config.label_thresholds`. With `return_va` or `return_attention` a `dict` with that list as `emotions`,
        and

        - `valence_arousal`: by modality, `{"valence": …, "arousal": …}` in [-1, 1], or `None` without anything of it;
        - `attention`: by modality the list of its tokens or frames, `None` where it is absent. Each has a `weight`
          (they sum to 1); tokens have `token` and, in characters of the utterance, `start` and `end`; frames `start`
          and `end` in seconds of the file where they are known, else `None`. What was cut at the model's longest input
          is not among them.

    Raises:
        ValueError: an input that cannot be used; the message says why.
        MediaError: a file that cannot be read.
        ImportError: a library to read media is not installed; the message names it.
    """

    _load_processor: ClassVar[bool] = True
    _load_tokenizer: ClassVar[bool] = False
    _load_feature_extractor: ClassVar[bool] = False
    _load_image_processor: ClassVar[bool] = False
    _load_video_processor: ClassVar[bool] = False

    processor: UnivaProcessor

    def __init__(
        self,
        *args: Any,
        va_scorers: Mapping[str, Any] | None = None,
        face_reader: FaceReader | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        unknown = sorted(set(va_scorers or {}) - set(MODALITIES))
        if unknown:
            raise ValueError(f"`va_scorers` has {unknown[0]!r}; the modalities are {', '.join(MODALITIES)}.")
        self.va_scorers = {name: scorer for name in MODALITIES if (scorer := (va_scorers or {}).get(name)) is not None}
        self._encoded: OrderedDict[tuple[str, ...], EncodedDialogue] = OrderedDict()
        super().__init__(*args, **kwargs)
        if self.processor is None:
            raise ValueError("Pass `processor`, the UnivaProcessor that was saved with the model.")
        lacking = [name for name in self.model.config.feature_sizes if name not in self.processor.feature_sizes]
        if lacking:
            sizes = ", ".join(lacking)
            raise ValueError(f"The model's processor has no `feature_sizes` of {sizes}: save the processor again.")
        self.reads_dialogues: bool = getattr(self.model, "reads_dialogues", False)
        extra = self.model.config.extra_inputs
        self._reads_speakers = "speaker_index" in extra
        self._joins_dialogues = self.reads_dialogues or self._reads_speakers or "position" in extra
        given_scorers = self.va_scorers.items()
        self.va_scorers = {name: as_scorer(name, scorer, self.device) for name, scorer in given_scorers}
        given = FaceReader.from_dict(dict(face_reader)) if isinstance(face_reader, Mapping) else face_reader
        self._face_reader = self._checked_face_reader(given)

    def _checked_face_reader(self, given: FaceReader | None) -> FaceReader | None:
        own = self.processor.extractors.get("faces")
        if own and given is not None and not same_extractor(given.to_dict(), own):
            raise ValueError(f"The model was trained on faces that {own} found: leave `face_reader` out.")
        return given

    def save_pretrained(self, save_directory: str | PathLike[str], **kwargs: Any) -> None:
        """Save the model and its processor, which is all that `pipeline` needs."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory, **kwargs)

    def _sanitize_parameters(
        self,
        threshold: float | Sequence[float] | str | None = "model",
        top_k: int | None = None,
        return_va: bool | None = None,
        return_attention: bool | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        selection: dict[str, Any] = {}
        if threshold != "model":
            selection["threshold"] = self._checked_threshold(threshold)
        if top_k is not None:
            if not isinstance(top_k, int) or top_k < 1:
                raise ValueError(f"`top_k` must be an integer of at least 1, got {top_k!r}.")
            selection["top_k"] = top_k
        if return_va and not self.va_scorers:
            raise ValueError(
                "`return_va` needs scorers of valence and arousal: make the pipeline with "
                '`va_scorers={"text": MODEL}`.'
            )
        va = {} if return_va is None else {"return_va": return_va}
        attention = {} if return_attention is None else {"return_attention": return_attention}
        return va, {**va, **attention}, selection

    def __call__(self, inputs: Any, **kwargs: Any) -> Any:
        """Emotions of one input or of several; see the class."""
        if isinstance(inputs, list) and not inputs:
            return []
        # Data sets of `datasets` are none for transformers.
        is_single = isinstance(inputs, str | Mapping)
        if not is_single and not isinstance(inputs, list) and isinstance(inputs, Iterable):
            inputs = (one for one in inputs)
        return super().__call__(inputs, **kwargs)

    def get_iterator(
        self,
        inputs: Any,
        num_workers: int,
        batch_size: int,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> Iterator[Any]:
        """Results in order. Batches are made by the processor, since utterances share dialogues."""
        kind = PipelineDataset if isinstance(inputs, Sized) else PipelineIterator
        if kind is PipelineIterator and num_workers > 1:
            logger.warning_once("What is gone through in order has one worker: `num_workers` is 1.")
            num_workers = 1
        data = kind(inputs, self.preprocess, preprocess_params)
        read_together = 1 if self._joins_dialogues else batch_size
        batches = named_inputs(DataLoader(data, batch_size=read_together, num_workers=num_workers, collate_fn=list))
        if self._joins_dialogues:
            batches = packed_dialogues(dialogues_of(chain.from_iterable(batches)), batch_size)
        for batch in batches:
            for output in self.forward(batch, **forward_params):
                yield self.postprocess(output, **postprocess_params)

    def run_single(
        self,
        inputs: Any,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> Any:
        """The result of one input."""
        return next(self.get_iterator([inputs], 0, 1, preprocess_params, forward_params, postprocess_params))

    # Reading

    def preprocess(self, input_: Any, return_va: bool = False) -> PreparedInput:
        """Read the media of one input."""
        item = checked_input(input_)
        media = self.media(**{name: item[name] for name in OF_MEDIA if name in item})
        features = {name: item[name] for name in FEATURES if name in item}
        dialogue, place = dialogue_of(item)
        where = place_of(item, dialogue, place) if self._joins_dialogues else {}
        prepared = self.read(dialogue, place, media, features, return_va, **where)
        for note in media.notes.values():
            logger.warning_once(f"{note}.")
        return prepared

    def media(self, **parts: Any) -> UtteranceMedia:
        """Sound and faces of an utterance for `read`; see [`UtteranceMedia`], whose `face_reader` is the model's."""
        return UtteranceMedia(**parts, face_reader=lambda *clip: self.resolved_face_reader()(*clip))

    def read(
        self,
        dialogue: tuple[str, ...],
        place: int,
        media: UtteranceMedia,
        features: Mapping[str, Any] | None = None,
        return_va: bool = False,
        *,
        speakers: Sequence[Any] | None = None,
        position: int | None = None,
        dialogue_id: Any = None,
    ) -> PreparedInput:
        """
        Read one utterance, for `forward`.

        Args:
            dialogue, place: the transcripts of its dialogue, and which of them is its own; "" where there is no text.
            media: its sound and faces, whose `notes` say what is absent.
            features: by the names of an input, what goes before raw media.
            return_va: whether a scorer of valence and arousal will be asked for.
            speakers: who speaks the utterances of the dialogue, `None` where it is not known.
            position: where it is in the dialogue; by default `place`.
            dialogue_id: what tells the dialogue from others, also such of the same text.

        Raises:
            ValueError: there is nothing to predict from, or features of another shape.
            MediaError: a file that cannot be read.
        """
        names = (None,) * len(dialogue) if speakers is None else tuple(speakers)
        joined = dialogue_id if self._joins_dialogues else None
        prepared = PreparedInput(dialogue, place, media.start or 0.0, names, position, joined)
        for modality, size in self.processor.extracted_sizes.items():
            ready = (features or {}).get(feature_column(modality))
            if ready is None:
                prepared.raw[modality] = self._to_extract(modality, prepared, media)
            else:
                frames = checked_frames(modality, ready, size)
                prepared.features[modality] = frames if len(frames) else None
        self._check_something(prepared, media.notes.values())
        if return_va:
            prepared.scored = {modality: self._to_score(modality, prepared, media) for modality in self.va_scorers}
        return prepared

    def _check_something(self, item: PreparedInput, notes: Iterable[Any] = ()) -> None:
        """Refuse an input with nothing in it that the model takes."""
        # Text is among the features where it comes as word vectors.
        with_tokens = self.processor.tokenizer is not None and "text" in self.processor.modalities
        if with_tokens and item.text or any(one is not None for one in (*item.raw.values(), *item.features.values())):
            return
        why = "; ".join(map(str, notes))
        raise ValueError(
            f"There is nothing to predict from: the model takes {', '.join(self.processor.modalities)}, and "
            f"{item.name} has none of these{f' ({why})' if why else ''}."
        )

    def _to_extract(self, modality: str, prepared: PreparedInput, media: UtteranceMedia) -> Any:
        if modality == "text":
            return prepared.text or None
        raw = self.processor.read(modality, media)
        if modality == "vision" and raw is not None and (times := media.faces().times):
            step = 1 / self.resolved_face_reader().frame_rate
            prepared.times["vision"] = [(time, time + step) for time in times]
        return raw

    def _to_score(self, modality: str, prepared: PreparedInput, media: UtteranceMedia) -> Any:
        if modality == "text":
            return prepared.text or None
        if not media.has(modality):
            return None
        if modality == "vision":
            return media.faces().images or None
        return media.speech(getattr(self.va_scorers["audio"], "sampling_rate", SAMPLING_RATE))

    def resolved_face_reader(self) -> FaceReader:
        """What finds faces in videos: the model's own, the one that was passed, or the usual one."""
        if self._face_reader is None:
            if self.processor.extractors.get("faces"):
                self._face_reader = FaceReader.from_dict(self.processor.resolved_extractor("faces"))
            else:
                self._face_reader = reader_at_hand()
                logger.warning_once(
                    "The model does not say how faces are found in videos (it was trained on images of faces): they "
                    f"are found by {self._face_reader}; pass `face_reader` for another one."
                )
        return self._face_reader

    # Scoring

    def _forward(
        self, input_tensors: list[PreparedInput], return_va: bool = False, return_attention: bool = False
    ) -> list[dict[str, Any]]:
        items = input_tensors
        rows = self._with_whole_dialogues(items) if self.reads_dialogues else items
        for modality in self.processor.extracted_sizes:
            self._extract(modality, rows)
        for item in items:
            self._check_something(item)
        inputs = self._encode(rows).to(self.device)
        outputs = self.model(**inputs, **({"output_pooling_attentions": True} if return_attention else {}))
        if not torch.isfinite(outputs.logits).all():
            raise ValueError("The model gives scores that are not finite: load it in float32, or download it again.")
        found = {id(row): index for index, row in enumerate(rows)}
        places = [found[id(item)] for item in items]
        results: list[dict[str, Any]] = [{"logits": outputs.logits[index]} for index in places]
        if return_va:
            for modality, scorer in self.va_scorers.items():
                pairs = np.asarray(scorer.score([item.scored[modality] for item in items]))
                for result, pair in zip(results, pairs, strict=True):
                    result.setdefault("valence_arousal", {})[modality] = _affect(pair)
        if return_attention:
            for index, item, result in zip(places, items, results, strict=True):
                result["attention"] = {
                    modality: self._attention(modality, item, outputs[f"{modality}_attention"][index], inputs, index)
                    for modality in self.processor.modalities
                }
        return results

    def _with_whole_dialogues(self, items: Sequence[PreparedInput]) -> list[PreparedInput]:
        """The items dialogue by dialogue and in order, with the utterances between them that are not an input."""
        dialogues: dict[Any, dict[int, PreparedInput]] = {}
        for item in items:
            dialogues.setdefault(item.key, {})[item.place] = item
        rows: list[PreparedInput] = []
        for known in dialogues.values():
            one = next(iter(known.values()))
            rows += [known.get(place) or self._text_alone(one, place) for place in range(len(one.dialogue))]
        return rows

    def _text_alone(self, one: PreparedInput, place: int) -> PreparedInput:
        """Another utterance of a dialogue, without sound and faces."""
        position = None if one.position is None else one.position + place - one.place
        found = replace(one, place=place, position=position, raw={}, times={}, scored={}, name="another utterance")
        found.features = dict.fromkeys(self.processor.extracted_sizes)
        if "text" in found.features and self.processor.can_extract("text"):
            found.raw["text"] = found.text or None
        return found

    def _extract(self, modality: str, items: Sequence[PreparedInput]) -> None:
        """Make the features of some utterances together."""
        waiting = [item for item in items if modality in item.raw]
        found = self.processor.extract(modality, [item.raw[modality] for item in waiting])
        for item, frames in zip(waiting, found, strict=True):
            raw = item.raw.pop(modality)
            if modality == "audio" and frames is not None:
                extractor = self.processor.extractor(modality)
                item.times["audio"] = _frame_times(extractor, len(frames), item.start, len(raw[0]) / raw[1])
            item.features[modality] = frames if frames is not None and len(frames) else None
        for item in items:
            if (made := item.features[modality]) is not None:
                check_finite_rows(modality, made[None], [item.name].__getitem__)

    def _encode(self, items: Sequence[PreparedInput]) -> Any:
        processor = self.processor
        options: dict[str, Any] = {
            feature_column(name): [item.features[name] for item in items] for name in processor.extracted_sizes
        }
        # A dialogue is encoded once, whatever number of its utterances is asked for.
        dialogues = {item.key: item for item in items}
        numbers = {key: number for number, key in enumerate(dialogues)}
        texts = None
        if processor.tokenizer is not None and "text" in processor.modalities:
            texts = [self._encoded_dialogue(one.dialogue) for one in dialogues.values()]
        if self._reads_speakers:
            options["speakers"] = [one.speakers for one in dialogues.values()]
        inputs = processor(texts, [(numbers[item.key], item.place) for item in items], **options)
        if any(item.position is not None for item in items):
            places = [item.place if item.position is None else item.position for item in items]
            inputs["position"] = torch.tensor(places)
        return inputs

    def _encoded_dialogue(self, dialogue: tuple[str, ...]) -> EncodedDialogue:
        """A dialogue as token ids, made once for the batches that it is in."""
        encoded = self._encoded.get(dialogue)
        if encoded is None:
            encoded = self._encoded[dialogue] = self.processor.encode_dialogue(dialogue)
            while len(self._encoded) > _ENCODED_DIALOGUES:
                self._encoded.popitem(last=False)
        return encoded

    def _checked_threshold(self, given: Any) -> Any:
        """`None`, a number, or a number for each label."""
        several = isinstance(given, list | tuple)
        numbers = given if several else [] if given is None else [given]
        if not all(isinstance(one, int | float) and 0 <= one < 1 for one in numbers):
            raise ValueError(f"`threshold` must lie in [0, 1), or be None for all emotions, got {given!r}.")
        if several and len(given) != self.model.config.num_labels:
            raise ValueError(
                f"`threshold` must be one number, or one for each of the {self.model.config.num_labels} labels, got "
                f"{len(given)}."
            )
        return given

    def _attention(
        self, modality: str, item: PreparedInput, weights: torch.Tensor, inputs: Any, index: int
    ) -> list[dict[str, Any]] | None:
        if modality == "text" and "text" not in self.processor.feature_sizes:
            start, end = inputs["utterance_span"][index].tolist()
            weights = weights[start:end]
            return _with_weights(_tokens(self.processor.tokenizer, item.text), weights) or None
        weights = weights[: int(inputs[f"{modality}_attention_mask"][index].sum())]
        if modality == "text":
            words = tokenize_words(item.text)
            frames = item.features["text"]
            # Words may have no vector, or several.
            known = frames is not None and len(words) == len(frames)
            tokens = words if known else [None] * len(weights)
            return _with_weights([{"token": word, "start": None, "end": None} for word in tokens], weights) or None
        frame_times = [{"start": start, "end": end} for start, end in item.times.get(modality, ())]
        return _with_weights(frame_times or [{"start": None, "end": None}] * len(weights), weights) or None

    def postprocess(
        self,
        model_outputs: dict[str, Any],
        threshold: float | Sequence[float] | str | None = "model",
        top_k: int | None = None,
    ) -> Any:
        """Emotions above the threshold, likeliest first, with what else was asked for."""
        output = dict(model_outputs)
        config = self.model.config
        scores = config.probabilities(output.pop("logits")).tolist()
        given: Any = config.label_thresholds if threshold == "model" else threshold
        limits = given if isinstance(given, list | tuple) else [given] * len(scores)
        found = [
            {"label": label, "score": score}
            for label, score, limit in zip(config.label_names, scores, limits, strict=True)
            if limit is None or score > limit
        ]
        found.sort(key=lambda one: -one["score"])
        return {"emotions": found[:top_k], **output} if output else found[:top_k]


# Outputs


def _frame_times(extractor: Any, count: int, start: float, duration: float) -> list[tuple[float, float]]:
    """When each frame of speech begins and ends, in seconds of the file; evenly where the extractor has no rate."""
    rate = getattr(extractor, "frame_rate", None) or count / duration
    borders = [start + index / rate for index in range(count)] + [start + duration]
    return list(zip(borders[:-1], borders[1:], strict=True))


def _tokens(tokenizer: Any, text: str) -> list[dict[str, Any]]:
    if not tokenizer.is_fast:
        return [{"token": token, "start": None, "end": None} for token in tokenizer.tokenize(text)]
    encoded = tokenizer(text, add_special_tokens=False, verbose=False, return_offsets_mapping=True)
    return [{"token": text[start:end], "start": start, "end": end} for start, end in encoded["offset_mapping"]]


def _with_weights(places: list[dict[str, Any]], weights: torch.Tensor) -> list[dict[str, Any]]:
    """Each place with its weight; the model's longest input cuts what is beyond it."""
    return [{**place, "weight": weight} for place, weight in zip(places, weights.tolist(), strict=False)]


# Valence and arousal


def _affect(pair: np.ndarray) -> dict[str, float] | None:
    if pair.shape != (2,):
        raise ValueError(f"A scorer must return (valence, arousal) of each item, got a row of shape {pair.shape}.")
    return None if np.isnan(pair).any() else {"valence": float(pair[0]), "arousal": float(pair[1])}


__all__ = ["UnivaPipeline"]
