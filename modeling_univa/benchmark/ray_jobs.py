# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Jobs as tasks of a Ray cluster that is there already; they end when the process that started them does."""

import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..options import nearest
from . import cluster_command
from .cluster_command import ClusterCommand


__all__ = ["RayJobs", "ray_parameters"]

# Of `--ray`; what Ray calls otherwise.
_OPTIONS = {"cpus": "num_cpus", "gpus": "num_gpus"}
_RESOURCES = {"num_cpus": "CPU", "num_gpus": "GPU"}
_SECONDS_TO_CONNECT = 10
# Variables of this process that a job needs: of the Hub, and of a translator.
_PASSED_ON = ("HF_", "DEEPL_")
_KILLED = -signal.SIGTERM if not hasattr(signal, "SIGKILL") else -signal.SIGKILL


class RayJobs:
    """
    Jobs of a Ray cluster, spread over its nodes, which see the same files as this machine.

    Args:
        options: of `ray_parameters`.
        jobs: how many run at a time.

    Raises:
        ImportError: Ray is not installed; the message names the extra.
        ValueError: fewer than one job, no Ray cluster, or none of its nodes has what a job needs.
    """

    def __init__(self, options: Mapping[str, str], jobs: int):
        if jobs < 1:
            raise ValueError(f"`jobs` must be at least 1, got {jobs}.")
        self.jobs, self.parameters = jobs, ray_parameters(options)
        self._ray = _connected()
        _check_nodes(self._ray.nodes(), self.parameters)
        # Nodes have Ray, and this package only for the command itself.
        self._ray.cloudpickle.register_pickle_by_value(cluster_command)
        self._run = self._ray.remote(cluster_command.exit_status)

    def find(self, log: Path) -> None:
        """See `Executor`; there are none."""

    def start(self, command: Sequence[str], log: Path, slot: int) -> "_RayJob":
        """See `Executor`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        call = ClusterCommand(command, log.resolve(), self._environment(), Path.cwd())
        # A job that dies is started again by whoever waits for it, with its log begun anew.
        options = {**self.parameters, "max_retries": 0, "scheduling_strategy": "SPREAD"}
        return _RayJob(self._ray, self._run.options(**options).remote(call))

    def _environment(self) -> dict[str, str]:
        """Workers have that of `ray start`, not of this process."""
        paths = os.pathsep.join(path for path in sys.path if path)
        threads = str(self.parameters["num_cpus"])
        own = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
        own |= {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        return {**own, "PYTHONPATH": paths, "TOKENIZERS_PARALLELISM": "false"}


class _RayJob:
    def __init__(self, ray: Any, reference: Any):
        self._ray, self._reference = ray, reference

    def exit_code(self) -> int | None:
        ended, _ = self._ray.wait([self._reference], timeout=0)
        if not ended:
            return None
        try:
            return int(self._ray.get(self._reference))
        except self._ray.exceptions.RayError:
            # Its worker or its node is gone.
            return _KILLED

    def stop(self) -> None:
        with suppress(self._ray.exceptions.RayError):
            self._ray.cancel(self._reference, force=True)


def ray_parameters(options: Mapping[str, str]) -> dict[str, int]:
    """
    Parameters of `ray.remote`.

    Args:
        options: cpus (1 by default) and gpus of a job.

    Raises:
        ValueError: an option that there is not, or a value that is not a whole number.
    """
    found = {"num_cpus": 1, "num_gpus": 0}
    for name, value in options.items():
        if name not in _OPTIONS:
            hint = nearest(name, _OPTIONS) or f"; there are {', '.join(_OPTIONS)}"
            raise ValueError(f"`ray` has the unknown option {name!r}{hint}.")
        if not value.isdecimal() or (name == "cpus" and not int(value)):
            raise ValueError(f"`ray` has {name}={value!r}, expected a whole number{' from 1' * (name == 'cpus')}.")
        found[_OPTIONS[name]] = int(value)
    return found


def _connected() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ImportError('tasks of Ray need ray: pip install "univa[scale]"') from error
    if not ray.is_initialized():
        address = os.environ.get("RAY_ADDRESS", "auto")
        try:
            _check_reachable(address)
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"`executor` ray found no Ray cluster at the address {address!r}: start one with `ray start --head`, "
                "or set RAY_ADDRESS."
            ) from error
    return ray


def _check_reachable(address: str) -> None:
    """Ray would try for minutes where nothing listens."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=_SECONDS_TO_CONNECT).close()


def _check_nodes(nodes: Sequence[Mapping[str, Any]], parameters: Mapping[str, int]) -> None:
    """A task that no node can hold would wait for ever."""
    needed = {_RESOURCES[name]: count for name, count in parameters.items()}
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    if not any(all(node.get(name, 0) >= count for name, count in needed.items()) for node in alive):
        wanted = " and ".join(f"{count} {name}" for name, count in needed.items() if count)
        raise ValueError(f"`ray` asks for {wanted} a task, and no node of the cluster has as many.")
