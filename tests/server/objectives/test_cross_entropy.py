"""The head and the cross-entropy in pieces, against torch's whole table of scores."""

import pytest
import torch
from torch.nn import functional

from llmosd.objectives import cross_entropy as module
from llmosd.objectives.cross_entropy import cross_entropy, log_probabilities


@pytest.fixture(params=[1, 1 << 23], ids=["many pieces", "one piece"])
def parts(request, monkeypatch):
    """Hidden states, a head, targets; pieces of 64 rows, or all at once."""
    monkeypatch.setattr(module, "_SCORES", request.param)
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(200, 16, generator=generator, requires_grad=True)
    head = torch.randn(300, 16, generator=generator, requires_grad=True)
    return hidden, head, torch.randint(300, (200,), generator=generator)


def taken(*tensors):
    found = [each.grad.clone() for each in tensors]
    for each in tensors:
        each.grad = None
    return found


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_equal_to_torch(parts, smoothing):
    """Loss and both gradients; the plain loss has no smoothing."""
    hidden, head, targets = parts
    sums = cross_entropy(hidden, head, targets, smoothing)
    (0.5 * sums.loss).backward()
    found = taken(hidden, head)
    scores = hidden @ head.T
    wanted = functional.cross_entropy(scores, targets, reduction="sum", label_smoothing=smoothing)
    torch.testing.assert_close(sums.loss, wanted)
    plain = functional.cross_entropy(scores, targets, reduction="sum")
    assert sums.plain == pytest.approx(float(plain.detach()), rel=1e-5)
    (0.5 * wanted).backward()
    for one, two in zip(found, taken(hidden, head), strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        still = cross_entropy(hidden, head, targets, smoothing)
    torch.testing.assert_close(still.loss, wanted.detach())
    assert still.hits == int((scores.argmax(1) == targets).sum())


def test_a_frozen_head_gets_no_gradient(parts):
    """As under an adapter."""
    hidden, head, targets = parts
    head.requires_grad_(False)
    cross_entropy(hidden, head, targets).loss.backward()
    assert hidden.grad is not None
    assert head.grad is None


def test_log_probabilities(parts):
    """Each row has a share of its own in the gradient."""
    hidden, head, targets = parts
    share = torch.linspace(-1, 2, len(targets))
    found = log_probabilities(hidden, head, targets)
    (found * share).sum().backward()
    ours = taken(hidden, head)
    wanted = (hidden @ head.T).log_softmax(1).gather(1, targets[:, None]).squeeze(1)
    torch.testing.assert_close(found, wanted)
    (wanted * share).sum().backward()
    for one, two in zip(ours, taken(hidden, head), strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)


def test_no_table_of_scores_is_made():
    """No tensor of (rows, words) is ever allocated: what the module is for."""
    hidden = torch.randn(4096, 8, requires_grad=True)
    head = torch.randn(20_000, 8, requires_grad=True)
    targets = torch.randint(20_000, (4096,))
    with torch.profiler.profile(profile_memory=True) as profile:
        cross_entropy(hidden, head, targets).loss.backward()
    largest = max(event.cpu_memory_usage for event in profile.events())
    assert largest < 4096 * 20_000 * 4 / 4
