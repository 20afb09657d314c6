# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""A folder belongs to one process at a time, and to nobody once that process is gone."""

import signal
import subprocess
import sys

import pytest
from testing_utils import subprocess_environment

from modeling_univa.models.files_univa import LOCK_FILE, exclusive, scratch_folder


HOLD = """
import sys, time
from modeling_univa.locks import exclusive
with exclusive(sys.argv[1]):
    print(1, flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
def test_second_process_is_refused_until_the_first_is_gone(tmp_path):
    folder = tmp_path / "output"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, env=subprocess_environment(tmp_path)
    )
    try:
        assert holder.stdout.readline()
        message = f"Another process is writing to {folder}: .* choose another `output_dir`"
        with pytest.raises(ValueError, match=message), exclusive(folder, "output_dir"):
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with exclusive(folder):
        assert (folder / LOCK_FILE).is_file()


def test_folder_is_free_after_the_context_and_after_an_error(tmp_path):
    for error in (None, RuntimeError):
        with pytest.raises(RuntimeError) if error else exclusive(tmp_path):
            if error:
                with exclusive(tmp_path):
                    raise error
    with exclusive(tmp_path):
        pass


def test_disk_without_locks_is_told(tmp_path, monkeypatch, caplog):
    def refuse(self, timeout):
        raise NotImplementedError

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with caplog.at_level("WARNING"), exclusive(tmp_path):
        assert "has no locks" in caplog.text


def test_scratch_of_a_killed_job_is_removed_and_that_of_a_living_one_is_not(tmp_path):
    output = tmp_path / "corpus"
    left = tmp_path / ".corpus.scratch" / "job" / "half"
    left.parent.mkdir(parents=True)
    left.write_text("half")
    with scratch_folder(output) as place:
        assert list(place.iterdir()) == []
        with pytest.raises(ValueError, match=f"writing to {output}: "), scratch_folder(output):
            pass
        assert place.is_dir()
    assert list(tmp_path.iterdir()) == []
