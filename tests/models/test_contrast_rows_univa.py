# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The rows of past batches as a list, and those of other processes; `test_several_processes` has two of them."""

import torch

from modeling_univa.models.contrast_rows_univa import ContrastMemory, gather_rows


def test_memory_is_the_end_of_a_list_of_all_rows():
    memory, written = ContrastMemory(size=5), []
    assert memory.rows is None
    for count in (2, 1, 3, 4, 7, 1):
        rows = torch.arange(len(written), len(written) + count).float()[:, None, None].expand(-1, 2, 3)
        written += rows.unbind()
        memory.write(rows)
        assert torch.equal(memory.rows, torch.stack(written[-5:]))


def test_what_is_written_has_no_gradient_and_is_a_copy():
    memory, rows = ContrastMemory(size=4), torch.ones(2, 3, requires_grad=True)
    memory.write(rows * 2)
    memory.write(rows)
    with torch.no_grad():
        rows.fill_(7)
    assert not memory.rows.requires_grad
    assert memory.rows.tolist() == [[2.0] * 3] * 2 + [[1.0] * 3] * 2


def test_rows_of_one_process_are_its_own():
    rows = torch.ones(2, 3, requires_grad=True)
    assert gather_rows(rows, with_gradient=True) is rows
    constant = gather_rows(rows)
    assert torch.equal(constant, rows) and not constant.requires_grad
