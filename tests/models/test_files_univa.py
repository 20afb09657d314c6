# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A folder belongs to one process at a time, and to nobody once that process is gone."""

import errno
import hashlib
import os
import signal
import subprocess
import sys

import pytest
from testing_utils import subprocess_environment

from modeling_univa.models.files_univa import (
    LOCK_FILE,
    exclusive,
    locked,
    one_line,
    scratch_folder,
    sha256_of_files,
    whole_file,
    whole_folder,
    write_text,
)


HOLD = """
import sys, time
from modeling_univa.models.files_univa import exclusive
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


def test_other_errors_of_a_lock_are_not_hidden(tmp_path, monkeypatch):
    for number in (errno.ENOLCK, errno.EACCES):

        def refuse(self, timeout, number=number):
            raise OSError(number, "refused")

        monkeypatch.setattr("filelock.FileLock.acquire", refuse)
        if number == errno.ENOLCK:
            with locked(tmp_path / "lock") as mine:
                assert mine
        else:
            with pytest.raises(OSError, match="refused"), locked(tmp_path / "lock"):
                pass


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


def test_what_is_not_a_file_is_written_to(tmp_path):
    """As root a rename would put a file in the place of /dev/null, and no program of the machine would start again."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    write_text(pipe, "content")
    assert pipe.is_fifo() and os.read(reader, 100) == b"content"
    os.close(reader)


def test_output_that_goes_to_a_file_is_written_to_where_it_stands(tmp_path):
    """`/dev/stdout` is such a link; its target is a file where the shell writes the output to one."""
    link = tmp_path / "stdout"
    with open(tmp_path / "output.txt", "wb", buffering=0) as stream:
        link.symlink_to(f"/proc/self/fd/{stream.fileno()}")
        stream.write(b"before ")
        write_text(link, "content ")
        stream.write(b"after")
    assert link.is_symlink() and sorted(os.listdir(tmp_path)) == ["output.txt", "stdout"]
    assert (tmp_path / "output.txt").read_bytes() == b"before content after"


def test_file_is_replaced_as_a_whole_or_left_as_it_was(tmp_path):
    file = tmp_path / "new" / "file.txt"
    write_text(file, "été")
    assert file.read_bytes() == "été".encode()
    with pytest.raises(RuntimeError), whole_file(file) as place:
        place.write_text("half")
        assert place.parent == file.parent and place.name.startswith(".")
        raise RuntimeError
    assert file.read_text("utf-8") == "été"
    assert os.listdir(file.parent) == [file.name]


def test_folder_is_replaced_as_a_whole_or_left_as_it_was(tmp_path):
    folder = tmp_path / "new" / "folder"
    for content in ("one", "two"):
        with whole_folder(folder) as place:
            assert list(place.iterdir()) == []
            (place / content).touch()
            assert not (folder / content).exists()
        assert os.listdir(folder) == [content]
    with pytest.raises(RuntimeError), whole_folder(folder) as place:
        (place / "half").touch()
        raise RuntimeError
    assert os.listdir(folder) == ["two"]
    assert os.listdir(folder.parent) == [folder.name]


def test_digest_is_that_of_all_contents(tmp_path):
    parts = [os.urandom(5_000_000), b"end"]
    for index, content in enumerate(parts):
        (tmp_path / str(index)).write_bytes(content)
    assert sha256_of_files(tmp_path / "0", tmp_path / "1") == hashlib.sha256(b"".join(parts)).hexdigest()
    assert sha256_of_files(tmp_path / "1") == hashlib.sha256(b"end").hexdigest()


def test_one_line_takes_errors_and_cuts_what_is_long():
    assert one_line(ValueError("two\n  lines\x1b[0m")) == "two lines[0m"
    assert len(one_line("word " * 10_000)) < 1000
