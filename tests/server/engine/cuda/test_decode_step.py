"""What decoding on a GPU prepares on the host, and what is captured; neither needs a GPU."""

import contextlib
import dataclasses

import pytest
import torch

from llmosd.engine.cuda.decode_step import DecodeStep, buckets
from llmosd.engine.cuda.runner import capture
from llmosd.engine.kv_cache import BLOCK_TOKENS
from llmosd.engine.sequence import Sequence
from llmosd.engine.slices import Slice
from llmosd.ipc.messages import SamplingSpec, Submit

GREEDY = SamplingSpec(0.0, 0, 1.0, 0.0, 1.0, 0.0, 0.0, 0, {})


class Inputs:
    """A network whose hidden state is what it was given."""

    def forward(self, batch, cache):
        return torch.stack([batch.ids, batch.positions, batch.slots, batch.tiles[:, 1]], 1)

    def logits(self, hidden):
        return hidden


@pytest.fixture
def step():
    return DecodeStep(Inputs(), None, torch.device("cpu"), 6, 4)


@pytest.fixture
def part():
    """Token 20 of a sequence of 40, in the second of its two blocks."""
    request = Submit(1, list(range(20)), 1, 9, 0, [], GREEDY, -1)
    sequence = Sequence(request, 0, list(range(40)), None)
    sequence.blocks, sequence.computed = [5, 3], 20
    return Slice(sequence, 1, draws=True, drafts=[])


def test_buckets():
    assert buckets(1) == [1]
    assert buckets(2) == [1, 2]
    assert buckets(6) == [1, 2, 4, 6]
    assert buckets(64) == [1, 2, 4, 8, 16, 32, 64]


def test_an_empty_step_is_padding(step):
    assert step.compute(6)[:, 2:].tolist() == [[-1, 0]] * 6


def test_a_step_s_inputs(step, part):
    """Rows and padding are as the slices say; a smaller step later leaves nothing of them."""
    assert step.fill([part] * 3) == 4
    row = [20, 20, 3 * BLOCK_TOKENS + 4, 1]
    assert step.compute(4).tolist() == [row] * 3 + [[0, 0, -1, 0]]
    assert step.fill([part]) == 1
    assert step.compute(2).tolist() == [row, [0, 0, -1, 0]]


def test_tables_are_sent_when_they_change(step, part):
    """The same blocks are not sent again; others are, to the row that has them."""
    step.fill([part] * 3)
    assert step._tables[:4, :2].tolist() == [[5, 3]] * 3 + [[0, 0]]
    step._tables.zero_()
    part.sequence.computed = 21
    step.fill([part] * 2)
    assert not step._tables.any()
    part.sequence.blocks.append(9)
    part.sequence.computed = 32
    step.fill([part])
    assert step.compute(1).tolist() == [[32, 32, 9 * BLOCK_TOKENS, 1]]
    assert step._tables[0].tolist() == [5, 3, 9, 0]


def test_what_is_captured(step, part):
    """Decoding alone is; prompts, guesses and rows without a draw are not."""
    assert step.takes([part] * 6)
    assert not step.takes([part] * 7)
    assert not step.takes([part, dataclasses.replace(part, drafts=[1])])
    assert not step.takes([dataclasses.replace(part, draws=False)])
    assert not step.takes([dataclasses.replace(part, count=2)])
    part.sequence.blocks = [1] * 5
    assert not step.takes([part])


class FakeCuda:
    """torch.cuda without a device: a graph runs again what ran while it was captured."""

    def __init__(self, compute):
        self.captured = []
        self.outputs = {}
        self._compute = compute

    def compute(self, bucket):
        """As the step does, and noted."""
        self.captured.append(bucket)
        self.outputs[bucket] = self._compute(bucket)
        return self.outputs[bucket]

    def replayed(self, bucket):
        self.outputs[bucket].copy_(self._compute(bucket))

    def graph_pool_handle(self):
        return "pool"

    def Stream(self):  # noqa: N802
        return self

    def current_stream(self):
        return self

    def wait_stream(self, _other):
        pass

    def stream(self, _stream):
        return contextlib.nullcontext()

    def CUDAGraph(self):  # noqa: N802
        return FakeGraph(self)

    @contextlib.contextmanager
    def graph(self, graph, pool):
        assert pool == "pool"
        before = len(self.captured)
        yield
        (graph.bucket,) = self.captured[before:]


class FakeGraph:
    def __init__(self, cuda):
        self._cuda = cuda
        self.bucket = None

    def replay(self):
        self._cuda.replayed(self.bucket)


def test_capture(step, part, monkeypatch):
    """Every bucket once, the largest first, each warmed up; a replay sees the new inputs."""
    cuda = FakeCuda(step.compute)
    for name in ("graph_pool_handle", "Stream", "current_stream", "stream", "CUDAGraph", "graph"):
        monkeypatch.setattr(torch.cuda, name, getattr(cuda, name))
    monkeypatch.setattr(step, "compute", cuda.compute)
    replay = capture(step)
    assert cuda.captured == [6, 6, 4, 4, 2, 2, 1, 1]
    logits = replay(step.fill([part] * 3))
    assert len(logits) == 4
    assert logits[:3].tolist() == [[20, 20, 3 * BLOCK_TOKENS + 4, 1]] * 3
    assert cuda.captured == [6, 6, 4, 4, 2, 2, 1, 1]
