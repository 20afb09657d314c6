# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Published checkpoints to folders that `from_pretrained` loads."""

import argparse
import json
import mmap
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer
from transformers.utils import logging

from ..data.unpickler import plain
from ..models.checked_loading_univa import read_config
from ..models.configuration_emotion import MODALITIES
from ..models.configuration_univa import M3ED_EMOTIONS, MOSEI_EMOTIONS, UnivaConfig
from ..models.modeling_univa import UnivaForEmotionClassification
from ..models.processing_univa import PRECOMPUTED, UnivaProcessor


logger = logging.get_logger(__name__)

# What the authors call their text encoders, and where the Hub has them.
TEXT_MODELS = {
    "roberta-base": "FacebookAI/roberta-base",
    "chinese-roberta-wwm-ext": "hfl/chinese-roberta-wwm-ext",
}
# What made the features of the authors' two corpora (section 4.1 of the paper).
AUDIO_MODELS = {
    "MOSEI": "jonatasgrosmann/wav2vec2-large-xlsr-53-english",
    "M3ED": "jonatasgrosmann/wav2vec2-large-xlsr-53-chinese-zh-cn",
}
VISION_MODEL = "inception-resnet-v1-casia-webface"

_LAYER = r"(text|audio|vision)_utt_level_transformer\.layer\.(\d+)\."
_LAYER_TO = r"univa.encoders.\1.layers.\2."
_RENAMES = [
    (r"text_plm\.", "univa.encoders.text.encoder."),
    (r"text_linear_(?:plm|glove)\.0\.", "univa.encoders.text.projection."),
    (r"(audio|vision)_linear\.0\.", r"univa.encoders.\1.projection."),
    (r"(text|audio|vision)_utt_level_transformer\.position_embeddings\.", r"univa.encoders.\1.position_embeddings."),
    (_LAYER + r"transformer_self_attention\.selfatt\.", _LAYER_TO + "attention.self."),
    (_LAYER + r"transformer_self_attention\.dense_norm\.", _LAYER_TO + "attention.output."),
    (_LAYER, _LAYER_TO),
    (r"(text|audio|vision)_attention_mapping\.query_vector", r"univa.encoders.\1.pooling.query_vector"),
    (r"(text|audio|vision)_attention_mapping\.value\.", r"univa.encoders.\1.pooling.score."),
    (r"(text|audio|vision)_attention_mapping\.P\.", r"univa.encoders.\1.pooling.key."),
    (r"(text|audio|vision)_attention_mapping\.Q\.", r"univa.encoders.\1.pooling.query."),
    (r"fc\.0\.", "classifier."),
    (r"label_similar_matrix$", "correlation_prior.label_similarity"),
]
_NOT_USED = re.compile(r"text_plm\.(pooler\.|embeddings\.(position_ids|token_type_ids)$)")


def convert_univa(checkpoint: str | Path, output: str | Path, text_model: str | None = None) -> Path:
    """
    Convert the authors' checkpoint (`*.pth`: a state dict and the run's arguments) to a model folder.

    Args:
        checkpoint: the file, read without running any code that it may hold.
        output: folder to write: weights, config, code, processor where a tokenizer is found, and the run's arguments
            as they were in `authors_arguments.json`.
        text_model: folder or Hub id of the text encoder's configuration and tokenizer; by default the one on the Hub
            that the checkpoint names. Not used for word vectors.

    Returns:
        `output`.

    Raises:
        `ValueError`: not such a checkpoint, or its parameters do not fit its arguments.
    """
    state, arguments = _read_checkpoint(Path(checkpoint))
    uses_word_vectors = arguments["text_plm_checkpoint"] == "glove"
    text_model = None if uses_word_vectors else text_model or TEXT_MODELS.get(arguments["text_plm_checkpoint"])
    if not uses_word_vectors and text_model is None:
        raise ValueError(
            f"{checkpoint} was trained on the text encoder {arguments['text_plm_checkpoint']!r}, which is none of "
            f"{list(TEXT_MODELS)}: name its folder or Hub id with `text_model`."
        )
    config = config_from_arguments(arguments, has_prior="label_similar_matrix" in state)
    config.text_config = None if text_model is None else read_config(text_model)
    model = UnivaForEmotionClassification(config)
    _load(model, {rename(key): value for key, value in state.items() if not _NOT_USED.match(key)}, checkpoint)
    model.save_pretrained(output)
    _save_processor(config, arguments["DATASET"], text_model, output)
    Path(output, "authors_arguments.json").write_text(json.dumps(arguments, indent=2, default=str) + "\n")
    return Path(output)


def config_from_arguments(arguments: dict[str, Any], has_prior: bool = True) -> UnivaConfig:
    """The configuration that the authors' command-line arguments describe, without `text_config`."""
    try:
        return _config_from_arguments(arguments, has_prior)
    except KeyError as error:
        raise ValueError(f"The checkpoint's arguments lack {error}: is it one of the released code?") from error


def _config_from_arguments(arguments: dict[str, Any], has_prior: bool) -> UnivaConfig:
    labels = {"MOSEI": MOSEI_EMOTIONS, "M3ED": M3ED_EMOTIONS}[arguments["DATASET"]]
    if arguments["num_multi_labels"] != len(labels):
        raise ValueError(
            f"{arguments['DATASET']} has {len(labels)} labels, but the checkpoint has {arguments['num_multi_labels']}."
        )
    uses_word_vectors = arguments["text_plm_checkpoint"] == "glove"
    return UnivaConfig(
        id2label=dict(enumerate(labels)),
        text_feature_size=arguments.get("text_feat_dim", 300),
        audio_feature_size=arguments["audio_feat_dim"],
        vision_feature_size=arguments["vision_feat_dim"],
        max_text_length=arguments["get_text_utt_max_lens"] if uses_word_vectors else 512,
        max_audio_length=arguments["get_audio_utt_max_lens"],
        max_vision_length=arguments["get_vision_utt_max_lens"],
        **{f"{name}_num_hidden_layers": arguments[f"{name}_num_transformer_layers"] for name in MODALITIES},
        hidden_size=arguments["hidden_size"],
        num_attention_heads=arguments["num_attention_heads"],
        intermediate_size=arguments["intermediate_size"],
        hidden_act=arguments.get("hidden_act", "gelu"),
        layer_norm_eps=arguments.get("layer_norm_eps", 1e-12),
        projection_dropout=arguments.get("fc_dropout", 0.1),
        hidden_dropout_prob=arguments.get("hidden_dropout_prob", 0.1),
        attention_probs_dropout_prob=arguments.get("attention_probs_dropout_prob", 0.1),
        classifier_dropout=arguments.get("final_dropout", 0.1),
        modalities=_modalities(arguments.get("choice_modality", "T+A+V")),
        contrastive_loss="va" if arguments["SupConLoss"] else "none",
        contrastive_weight=arguments["alpha"],
        contrastive_temperature=arguments["temp"],
        contrastive_modality_weights=[3.0 if arguments["DATASET"] == "MOSEI" else 1.0, 1.0, 1.0],
        va_distance_threshold=arguments["thres_dist"],
        correlation_prior_weight=1.0 if has_prior and arguments["labelSimilar_regulari"] else 0.0,
        decision_threshold=arguments["thres_kl"],
    )


def rename(key: str) -> str:
    """Our name of one of the authors' parameters; a name that is not theirs stays as it is."""
    for pattern, replacement in _RENAMES:
        renamed, count = re.subn("^" + pattern, replacement, key)
        if count:
            return renamed
    return key


def _modalities(choice: str) -> list[str]:
    return [name for name in MODALITIES if name[0].upper() in choice.split("+")]


def load_checkpoint(checkpoint: Path, *classes: type) -> Any:
    """
    What `torch.save` wrote, on the CPU, without running any code that it may hold.

    Raises:
        `ValueError`: no such file, it holds more than tensors, plain values and `classes`, or it unpacks to more than
            it holds.
    """
    if not checkpoint.is_file():
        raise ValueError(f"{checkpoint} is not a file: `checkpoint` needs a published checkpoint.")
    try:
        _check_growth(checkpoint)
        with torch.serialization.safe_globals([*classes]):
            return torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, zipfile.BadZipFile, RecursionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{checkpoint} cannot be read as tensors and plain values: {reason}") from error


def _check_growth(checkpoint: Path) -> None:
    """Refuse what would take more room than the file: packed records, which `torch.save` never writes, and arrays of
    bytes by their length."""
    with open(checkpoint, "rb") as file:
        if checkpoint.stat().st_size:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                if content.find(b"bytearray") >= 0:
                    raise ValueError(f"{checkpoint} makes arrays of bytes, as no checkpoint does: it was not read.")
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                records = archive.infolist()
            if sum(one.file_size for one in records) > checkpoint.stat().st_size:
                raise ValueError(f"{checkpoint} unpacks to more than it holds: save it again with `torch.save`.")


def _read_checkpoint(checkpoint: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    content = load_checkpoint(checkpoint, argparse.Namespace)
    if not isinstance(content, dict) or not {"model", "config"} <= content.keys():
        found = sorted(map(str, content))[:5] if isinstance(content, dict) else type(content).__name__
        raise ValueError(
            f"{checkpoint} must hold 'model' and 'config', as the released code saves them; found {found}."
        )
    state, arguments = content["model"], content["config"]
    if not isinstance(arguments, argparse.Namespace) or not isinstance(state, dict):
        raise ValueError(
            f"{checkpoint} must hold the tensors and the run's arguments, found {type(state).__name__} and "
            f"{type(arguments).__name__}."
        )
    if not all(isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items()):
        raise ValueError(f"'model' of {checkpoint} must hold tensors by their names.")
    try:
        return state, plain(dict(vars(arguments)), checkpoint.stat().st_size)
    except pickle.UnpicklingError as error:
        raise ValueError(f"'config' of {checkpoint} cannot be read: {error}.") from error


def _load(model: UnivaForEmotionClassification, state: dict[str, torch.Tensor], checkpoint: str | Path) -> None:
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ValueError(f"{checkpoint} does not fit its own arguments. {error}") from error
    # The absent embeddings are ours, and M is absent where the prior was off: both keep their initial values.
    missing = [key for key in missing if not re.search(r"absent_embedding|label_similarity|\.pooler\.", key)]
    if missing or unexpected:
        raise ValueError(f"{checkpoint} lacks the parameters {missing} and has the unknown ones {unexpected}.")


def _save_processor(config: UnivaConfig, dataset: str, text_model: str | None, output: str | Path) -> None:
    tokenizer = None
    if text_model is not None:
        try:
            tokenizer = AutoTokenizer.from_pretrained(text_model, trust_remote_code=False)
        except (OSError, ValueError) as error:
            logger.warning(f"No tokenizer in {text_model} ({error}); {output} is written without a processor.")
            return
    names = {"audio": AUDIO_MODELS[dataset], "vision": VISION_MODEL, "text": "glove.840B.300d"}
    extractors = {
        modality: {"extractor_type": PRECOMPUTED, "name": names[modality], "feature_size": size}
        for modality, size in config.feature_sizes.items()
    }
    UnivaProcessor.from_config(config, tokenizer, extractors).save_pretrained(output)


__all__ = ["AUDIO_MODELS", "VISION_MODEL", "config_from_arguments", "convert_univa", "load_checkpoint", "rename"]
