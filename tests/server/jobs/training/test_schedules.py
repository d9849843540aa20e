"""Learning rates are functions of the step alone."""

import math

import pytest
import torch

from llmosd.jobs.specs import ScheduleSpec
from llmosd.jobs.training.schedules import learning_rate


def nanogpt(at, warmup=100, steps=2000, peak=1e-3, least=1e-4):
    """get_lr of nanoGPT's train.py."""
    if at < warmup:
        return peak * (at + 1) / (warmup + 1)
    if at > steps:
        return least
    ratio = (at - warmup) / (steps - warmup)
    return least + 0.5 * (1.0 + math.cos(math.pi * ratio)) * (peak - least)


def test_cosine_is_nanogpts():
    spec = ScheduleSpec(name="cosine", warmup_steps=100, minimum=0.1)
    for step in range(2001):
        assert learning_rate(spec, 1e-3, step, 2000) == pytest.approx(nanogpt(step), rel=1e-12)


def test_linear_is_torchs():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.5)
    wanted = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.2, total_iters=50)
    spec = ScheduleSpec(name="linear", minimum=0.2)
    for step in range(50):
        assert learning_rate(spec, 0.5, step, 50) == pytest.approx(wanted.get_last_lr()[0])
        optimizer.step()
        wanted.step()


def test_wsd_and_constant():
    """Up, level, and down in the last fifth."""
    spec = ScheduleSpec(name="wsd", warmup_steps=10, minimum=0.0, decay_share=0.2)
    rates = [learning_rate(spec, 1.0, step, 110) for step in range(111)]
    assert rates[:10] == pytest.approx([(at + 1) / 11 for at in range(10)])
    assert set(rates[10:90]) == {1.0}
    assert rates[90:] == pytest.approx([(110 - at) / 20 for at in range(90, 111)])
    flat = ScheduleSpec(name="constant", warmup_steps=2)
    assert [learning_rate(flat, 3.0, at, 5) for at in range(5)] == pytest.approx([1, 2, 3, 3, 3])
