"""A step's gradients: its batch in parts, one after another or several at once.

Several at once are threads that each take examples of their own, and a processor of their own for
all of it: forward and backward. The alternative, every operation spread over the processors, waits
for the slowest at each of hundreds of operations.
"""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from llmosd.architectures.trainable.lora import adapters
from llmosd.architectures.trainable.network import Network
from llmosd.jobs.specs import TrainSpec
from llmosd.objectives.batch import Batch
from llmosd.objectives.objective import Objective, Outcome

_MOST_THREADS = 4
_MOST_BYTES = 256 << 20
"""Of all threads' gradients together: beyond, adding them up costs more than is gained."""
_BALANCED = 1.15
"""What the longest part may be over its share; beyond, the others would wait for it."""


class Gradients:
    """Adds up the gradients of a step's mean loss; the same in bits for the same threads."""

    def __init__(self, network: Network, parameters: list[nn.Parameter], spec: TrainSpec) -> None:
        """`spec.threads`, or torch's own number of them, are shared out."""
        self._network = network
        self._objective: Objective
        self._parameters = parameters
        self._spec = spec
        threads = spec.threads or torch.get_num_threads()
        self._ways = _ways(network, spec, parameters, threads)
        self._inner = max(1, threads // self._ways)
        self._pool: ThreadPoolExecutor | None = None
        self._known = threading.local()

    def accumulate(self, batch: Batch, objective: Objective, count: int) -> dict[str, float]:
        """Set every parameter's gradient; returns means of the metrics over the batch."""
        self._objective = objective
        parts = batch.split(self._spec.accumulation * self._ways, objective.group)
        if self._ways > 1 and _balanced(parts, self._ways):
            outcomes = self._at_once(parts, count)
        else:
            parts = batch.split(self._spec.accumulation, objective.group)
            outcomes = [self._learn(part, count) for part in parts]
        sums: dict[str, float] = {}
        for outcome in outcomes:
            for name, value in outcome.metrics.items():
                sums[name] = sums.get(name, 0.0) + value / count
        return sums

    def _at_once(self, parts: list[Batch], count: int) -> list[Outcome]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._ways, thread_name_prefix="gradients")
        shares = [parts[at :: self._ways] for at in range(self._ways)]
        done = list(self._pool.map(lambda share: self._share(share, count), shares))
        for index, parameter in enumerate(self._parameters):
            each = [grads[index] for grads, _ in done]
            total = each[0]
            for further in each[1:]:
                total = _added(total, further)
            parameter.grad = total
        return [outcome for _, outcomes in done for outcome in outcomes]

    def _share(
        self, parts: Sequence[Batch], count: int
    ) -> tuple[list[Tensor | None], list[Outcome]]:
        """One thread's gradients, kept apart from the parameters', which all threads share."""
        if not getattr(self._known, "ready", False):
            torch.set_num_threads(self._inner)
            self._known.ready = True
        totals: list[Tensor | None] = [None] * len(self._parameters)
        outcomes = []
        for part in parts:
            outcome, grads = self._apart(part, count)
            totals = [_added(one, two) for one, two in zip(totals, grads, strict=True)]
            outcomes.append(outcome)
        return totals, outcomes

    def _apart(self, part: Batch, count: int) -> tuple[Outcome, Sequence[Tensor | None]]:
        with self.autocast():
            outcome = self._objective.loss(self._network, part)
        grads = torch.autograd.grad(outcome.loss / count, self._parameters, allow_unused=True)
        return outcome, grads

    def _learn(self, part: Batch, count: int) -> Outcome:
        """Add the part's gradients, and those of its worst neighbourhood where wanted.

        Adversarial training (Miyato et al., 2017): embeddings move by epsilon along the gradient,
        normalized per example, and the loss there is learned too.
        """
        epsilon = self._spec.adversarial_epsilon
        if not epsilon:
            with self.autocast():
                outcome = self._objective.loss(self._network, part)
            (outcome.loss / count).backward()
            return outcome
        shape = len(part.ids), self._network.config.hidden_size
        still = torch.zeros(shape, device=part.ids.device, requires_grad=True)
        with self.autocast():
            outcome = self._objective.loss(self._network, part.perturbed(still))
        (outcome.loss / count).backward()
        assert still.grad is not None
        with self.autocast():
            moved = part.perturbed(epsilon * part.normalized(still.grad))
            worse = self._objective.loss(self._network, moved)
        (worse.loss / count).backward()
        return outcome

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Mixed precision, where it is wanted."""
        enabled = self._spec.precision == "bfloat16"
        with torch.autocast(torch.device(self._spec.device).type, torch.bfloat16, enabled=enabled):
            yield


def _ways(network: Network, spec: TrainSpec, parameters: list[nn.Parameter], threads: int) -> int:
    """How many threads take parts of their own; 1: none.

    Dropout draws from one generator: in threads, who draws first would be chance. Adversarial
    steps, rare and long, go one after another.
    """
    random = network.dropout or any(each.lora_dropout for _, each in adapters(network))
    if spec.device != "cpu" or random or spec.adversarial_epsilon:
        return 1
    size = max(1, sum(each.nbytes for each in parameters))
    return max(1, min(threads, _MOST_THREADS, _MOST_BYTES // size))


def _balanced(parts: list[Batch], ways: int) -> bool:
    sizes = [sum(len(part.ids) for part in parts[at::ways]) for at in range(ways)]
    return min(sizes) > 0 and max(sizes) * ways <= _BALANCED * sum(sizes)


def _added(total: Tensor | None, further: Tensor | None) -> Tensor | None:
    if total is None or further is None:
        return further if total is None else total
    return total.add_(further)
