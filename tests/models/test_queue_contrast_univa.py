# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The contrastive loss over batch and queue against a naive loop, and the queue as a ring."""

import os

import pytest
import torch
from forks import run_forked

from modeling_univa.models import queue_contrast_univa
from modeling_univa.models.queue_contrast_univa import ContrastQueue, label_classes, queue_contrastive_loss


CLASSES = 5


def naive_loss(features, classes, queue, queue_classes, temperature, queue_anchors):
    """Row by row, as the released codes of CARAT and LDDU have it."""
    rows = [*features, *queue.detach()]
    names = [*classes.tolist(), *queue_classes.tolist()]
    losses = []
    for i, anchor in enumerate(rows if queue_anchors else rows[: len(features)]):
        similarities = [anchor @ row / temperature for row in rows]
        largest = max(similarities)
        others = sum(torch.exp(s - largest) for j, s in enumerate(similarities) if j != i)
        positives = [j for j in range(len(rows)) if j != i and names[j] == names[i] >= 0]
        log_probs = [similarities[j] - largest - torch.log(others + 1e-12) for j in positives]
        losses.append(-sum(log_probs) / len(log_probs) if log_probs else torch.tensor(0.0))
    return torch.stack(losses).mean()


def example(seed: int = 0, count: int = 9, size: int = 7):
    """Unit features; one class has a single feature, and the last places of the queue were never written."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.nn.functional.normalize(torch.randn(count, 4, generator=generator), dim=1)
    queue = torch.nn.functional.normalize(torch.randn(size, 4, generator=generator), dim=1)
    classes = torch.randint(CLASSES - 1, (count,), generator=generator)
    classes[0] = CLASSES - 1
    queue_classes = torch.randint(CLASSES - 1, (size,), generator=generator)
    queue_classes[-2:] = -1
    return features, classes, queue, queue_classes


@pytest.mark.parametrize("chunk", [3, 1024])
@pytest.mark.parametrize("queue_anchors", [True, False])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_loss_is_that_of_a_naive_loop(temperature, queue_anchors, chunk, monkeypatch):
    monkeypatch.setattr(queue_contrast_univa, "_CHUNK", chunk)
    features, classes, queue, queue_classes = example()
    ours, theirs = features.clone().requires_grad_(), features.clone().requires_grad_()
    found = queue_contrastive_loss(ours, classes, queue, queue_classes, CLASSES, temperature, queue_anchors)
    expected = naive_loss(theirs, classes, queue, queue_classes, temperature, queue_anchors)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    found.backward(), expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)


def test_anchors_of_the_queue_are_part_of_the_mean():
    features, classes, queue, queue_classes = example()
    both = [queue_contrastive_loss(features, classes, queue, queue_classes, CLASSES, 0.07, on) for on in (True, False)]
    assert abs(both[0] - both[1]) > 0.01


def test_nothing_is_the_positive_of_a_place_that_was_never_written():
    features, _, queue, _ = example()
    apart = torch.arange(len(features))
    loss = queue_contrastive_loss(features, apart, queue, torch.full((len(queue),), -1), len(features), 0.07)
    assert loss == 0


def test_one_feature_alone_has_no_loss_and_a_finite_gradient():
    features = torch.ones(1, 4, requires_grad=True)
    none = torch.tensor([-1])
    loss = queue_contrastive_loss(features, torch.tensor([0]), torch.zeros(1, 4), none, CLASSES, 0.07)
    loss.backward()
    assert loss == 0 and torch.isfinite(features.grad).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    features, classes, queue, queue_classes = example()
    features, queue = features.to(dtype), queue.to(dtype)
    expected = naive_loss(features.float(), classes, queue.float(), queue_classes, 0.07, True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = queue_contrastive_loss(features, classes, queue, queue_classes, CLASSES, 0.07)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_classes_of_labels():
    labels = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    first = [[0, 4, 2], [6, 10, 8]]
    second = [[3, 4, 5], [9, 10, 11]]
    assert label_classes(labels, 2).tolist() == [first, second]
    assert label_classes(labels.bool(), 2).tolist() == [first, second]


# The queue


def features_of(numbers: range) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([[float(number), -float(number)] for number in numbers]), torch.tensor(list(numbers))


def test_the_oldest_are_overwritten():
    queue = ContrastQueue(size=5, width=2)
    written = 0
    for count in (2, 2, 3, 1, 5, 4):
        queue.write(*features_of(range(written, written + count)))
        written += count
        expected = {number % 5: number for number in range(max(0, written - 5), written)}
        found = {place: name for place, name in enumerate(queue.classes.tolist()) if name >= 0}
        assert found == expected
        for place, number in expected.items():
            assert queue.features[place].tolist() == [number, -number]
        assert queue.position == written % 5


def test_of_more_features_than_places_the_last_stay():
    queue, one_by_one = ContrastQueue(size=5, width=2), ContrastQueue(size=5, width=2)
    queue.write(*features_of(range(13)))
    for number in range(13):
        one_by_one.write(*features_of(range(number, number + 1)))
    for name, value in one_by_one.state_dict().items():
        assert torch.equal(queue.state_dict()[name], value), name


def test_it_starts_with_columns_of_length_1_and_no_class():
    queue = ContrastQueue(size=50, width=3)
    torch.testing.assert_close(queue.features.norm(dim=0), torch.ones(3))
    assert (queue.classes == -1).all() and queue.position == 0


def test_what_is_written_after_the_loss_does_not_change_its_gradient():
    """A fault of the released codes: graph tensors in the queue; and a queue that is changed before backward."""
    features, classes, queue, queue_classes = example()
    features.requires_grad_()
    ring = ContrastQueue(size=7, width=4)
    ring.features.copy_(queue), ring.classes.copy_(queue_classes)
    loss = ring.loss(features, classes, CLASSES, 0.07)
    ring.write(features, classes)
    assert not ring.features.requires_grad
    loss.backward()
    found, features.grad = features.grad, None
    naive_loss(features, classes, queue, queue_classes, 0.07, True).backward()
    torch.testing.assert_close(found, features.grad, rtol=1e-4, atol=1e-6)


TWO_PROCESSES = """
import os, sys, torch
from torch import distributed
from modeling_univa.models.contrast_rows_univa import gather_rows
from modeling_univa.models.queue_contrast_univa import ContrastQueue
distributed.init_process_group("gloo")
rank = distributed.get_rank()
assert distributed.get_world_size() == 2
queue = ContrastQueue(size=8, width=2)
for counts in ((3, 1), (0, 2), (2, 2)):
    numbers = torch.arange(counts[rank]) + 10 * rank
    queue.write(gather_rows(torch.stack([numbers, numbers], dim=1).float()), gather_rows(numbers))
sys.stdout.write(f"{queue.classes.tolist()} {queue.features[:, 0].int().tolist()} {queue.position.item()}\\n")
distributed.destroy_process_group()
"""


@pytest.mark.processes
def test_two_processes_write_what_both_have_in_the_same_order(tmp_path):
    """With numbers of features that differ, and none at all."""
    (tmp_path / "driver.py").write_text(TWO_PROCESSES)
    said = run_forked(tmp_path / "driver.py", [], os.environ, tmp_path)
    # 0 1 2 10 | 10 11 | 0 1 and, around the corner, 10 11
    places = [10, 11, 2, 10, 10, 11, 0, 1]
    assert [text.splitlines()[-1] for text in said] == [f"{places} {places} 2"] * 2
