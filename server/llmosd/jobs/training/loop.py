"""The training loop: one step at a time, of any objective. Knows nothing of processes or files."""

import math
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import msgspec
import torch
from torch import Tensor

from llmosd.architectures.trainable.carried import Carried
from llmosd.architectures.trainable.network import ClosedForm, Labelled, Network
from llmosd.errors import InvalidField, TrainingDiverged
from llmosd.jobs.specs import TrainSpec
from llmosd.jobs.training.batches import Batches, Examples
from llmosd.jobs.training.checkpoint import Loaded, RunState
from llmosd.jobs.training.evaluator import Evaluator, nothing_carried
from llmosd.jobs.training.events import Evaluation, Events, Warned
from llmosd.jobs.training.gradients import Gradients
from llmosd.jobs.training.health import check_health
from llmosd.jobs.training.meter import Meter
from llmosd.jobs.training.optimizers import Optimizers
from llmosd.jobs.training.privacy import PrivateGradients, epsilon
from llmosd.jobs.training.schedules import learning_rate
from llmosd.jobs.training.seeds import DROPOUT, MASKING, seed_of
from llmosd.jobs.training.tracks import Tracks
from llmosd.objectives.batch import Batch
from llmosd.objectives.objective import Objective

_FORGIVEN = 100
"""Finite steps after which an earlier one that was not is forgotten."""
_KEPT_LOSSES = 100
_CARRIED = "carried"


class Trainer:
    """A network, what it minimizes, and the data.

    A step depends on the parameters, the optimizer's state, the seed, the step's number and what
    tracks carry, and on nothing else: so `state` and `restore` at any step change no bit of what
    follows.
    """

    def __init__(
        self,
        network: Network,
        objective: Objective,
        batches: Batches | Tracks,
        validation: Examples | None,
        spec: TrainSpec,
        steps: int,
        events: Events,
    ) -> None:
        """`steps` are those of the whole run; a network that is given Tracks is Carrying."""
        self.network = network
        self.run = RunState()
        self.steps = steps
        self.rollback: Callable[[], Loaded] | None = None
        self._objective = objective
        self._batches = batches
        self._validation = validation
        self._spec = spec
        self._events = events
        self._device = torch.device(spec.device)
        self._optimizers = Optimizers(network.named_parameters(), spec.optimizer)
        self._gradients = Gradients(network, spec)
        if spec.privacy is not None:
            self._gradients = PrivateGradients(network, spec, spec.privacy)
            self.run.secret = secrets.randbits(63)
        self._meter = Meter(events, spec.log_every, steps)
        self._evaluator = Evaluator(
            network, objective, spec, self._prepared, self._gradients.autocast
        )
        self._carried: Carried | None = None
        if isinstance(batches, Tracks):
            self._carried = nothing_carried(network, batches, spec.device)

    @property
    def done(self) -> bool:
        """Whether all steps are."""
        return self.run.step >= self.steps

    def step(self) -> None:
        """Learn from the next batch; or from everything, where the network needs no steps.

        Raises:
            TrainingDiverged: see `_not_finite`.
        """
        if isinstance(self.network, ClosedForm):
            self._fit(self.network)
            return
        began = time.perf_counter()
        run, spec = self.run, self._spec
        self.network.train()
        batch = self._prepared(self._batch(), MASKING, run.step, spec.accumulation)
        torch.manual_seed(seed_of(spec.seed, DROPOUT, run.step))
        count = max(1, self._objective.count(batch)) if batch.lengths else 1
        sums = self._gradients.accumulate(batch, self._objective, count)
        norm = float(self._clip())
        rate = learning_rate(spec.schedule, spec.optimizer.learning_rate, run.step, self.steps)
        rate *= run.rate_scale
        if math.isfinite(sums["loss"]) and math.isfinite(norm):
            self._optimizers.step(rate)
            if self._carried is not None:
                self._carried.advance()
            run.good_steps += 1
            run.losses = [*run.losses, sums["loss"]][-_KEPT_LOSSES:]
        else:
            self._optimizers.zero_grad()
            if self._carried is not None:
                self._carried.forget()
            if not self._skips(batch):
                return
        self._optimizers.zero_grad()
        run.step += 1
        run.tokens += len(batch.ids)
        taken = time.perf_counter() - began
        run.seconds += taken
        self._meter.add(run, sums, rate, norm, len(batch.ids), taken)

    def judged_by(self, judge: Callable[[Network], dict[str, float]]) -> None:
        """Evaluations have its metrics, too."""
        self._evaluator.judge = judge

    def evaluate(self) -> dict[str, float]:
        """Means over the validation rows, each once, in order; nothing random changes.

        Without validation rows, the mean loss of the last steps.
        """
        if self._validation is None:
            losses = self.run.losses
            return ({"loss": sum(losses) / len(losses)} if losses else {}) | self._spent()
        return self._evaluator.means(self._validation, self._spec.evaluate_rows) | self._spent()

    def _spent(self) -> dict[str, float]:
        """What the steps so far have told of single examples, where that is counted."""
        how = self._spec.privacy
        if how is None:
            return {}
        assert isinstance(self._batches, Batches)
        rate = self._batches.rate
        return {"epsilon": epsilon(how.noise_multiplier, rate, self.run.step, how.delta)}

    def record(self, metrics: dict[str, float]) -> bool:
        """Note what an evaluation said, and say so; True where it is the best so far."""
        run = self.run
        stopping = self._spec.early_stopping
        name = stopping.metric if stopping else "loss"
        if name not in metrics:
            known = ", ".join(sorted(metrics))
            raise InvalidField.of("early_stopping.metric", f"{name!r} is not one of {known}")
        value = metrics[name]
        sign = -1 if stopping and stopping.maximize else 1
        least = stopping.min_delta if stopping else 0.0
        best = run.best_step < 0 or sign * value < sign * run.best - least
        run.latest = metrics
        run.evaluated = [*run.evaluated, (run.step, value)]
        if best:
            run.best_step, run.best = run.step, value
        self._events(Evaluation(step=run.step, metrics=metrics, best=best))
        return best

    def check(self) -> None:
        """What must hold before the network becomes a version; see health.

        Naive Bayes is too sure of what it says: its loss may be above that of guessing while its
        guesses are good (Domingos and Pazzani, 1997).
        """
        guess = None if isinstance(self.network, ClosedForm) else self._objective.guess()
        check_health(self.network, self.run.latest, self.run.before, guess)

    def stops_early(self) -> bool:
        """Whether the watched metric has not improved for too long."""
        stopping = self._spec.early_stopping
        if stopping is None:
            return False
        since = [step for step, _ in self.run.evaluated if step > self.run.best_step]
        return len(since) >= stopping.patience

    def state(self) -> tuple[dict[str, Tensor], dict[str, Tensor], RunState]:
        """Weights that are trained, other tensors that a step depends on, and the rest."""
        weights = {
            name: each.detach()
            for name, each in self.network.named_parameters()
            if each.requires_grad
        }
        tensors = self._optimizers.state()
        if self._carried is not None:
            tensors[_CARRIED] = self._carried.state().clone()
        return weights, tensors, msgspec.structs.replace(self.run)

    def restore(self, loaded: Loaded) -> None:
        """Go on from what `state` gave."""
        self.load_weights(loaded.weights)
        tensors = dict(loaded.optimizer)
        if self._carried is not None:
            self._carried.restore(tensors.pop(_CARRIED))
        self._optimizers.restore(tensors)
        self.run = loaded.state

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Put other values into the weights that are trained."""
        with torch.no_grad():
            for name, each in self.network.named_parameters():
                if each.requires_grad:
                    each.copy_(weights[name])

    def _fit(self, network: ClosedForm) -> None:
        """The whole run as one step: from all examples at once."""
        began = time.perf_counter()
        run, examples = self.run, self._batches.examples

        def labelled() -> Iterator[Labelled]:
            for batch in self._evaluator.batches(examples, 0):
                own = batch.to(self._device)
                assert own.labels is not None
                run.tokens += len(own.ids)
                yield own.ids, own.lengths, own.labels

        network.fit(labelled())
        means = self._evaluator.means(examples, 0)
        run.losses = [means["loss"]]
        run.step = self.steps
        taken = time.perf_counter() - began
        run.seconds += taken
        self._meter.add(run, means, 0.0, 0.0, run.tokens, taken)

    def _prepared(self, batch: Batch, purpose: int, number: int, parts: int) -> Batch:
        generator = torch.Generator().manual_seed(seed_of(self._spec.seed, purpose, number))
        moved = replace(batch.to(self._device), step=number, steps=self.steps)
        if not moved.lengths:
            return moved
        return self._objective.prepare(self.network, moved, generator, parts)

    def _batch(self) -> Batch:
        if isinstance(self._batches, Tracks):
            assert self._carried is not None
            return self._batches.at(self.run.step, self._carried)
        if not isinstance(self._gradients, PrivateGradients):
            return self._batches.at(self.run.step)
        self._gradients.secret = self.run.secret
        return self._batches.drawn(self.run.step, self.run.secret)

    def _clip(self) -> Tensor:
        # A private gradient is clipped before the noise.
        limit = math.inf if self._spec.privacy is not None else self._spec.clip_norm or math.inf
        return torch.nn.utils.clip_grad_norm_(self._optimizers.parameters, limit)

    def _skips(self, batch: Batch) -> bool:
        """What to do where the loss or the gradient is not finite; True: the step is skipped.

        The first such step is skipped. The next goes back to the last checkpoint with half the
        learning rate, once in a run. After that the run ends.

        Raises:
            TrainingDiverged: with the step and the examples.
        """
        run = self.run
        strikes = 0 if run.good_steps >= _FORGIVEN else run.strikes
        what = f"step {run.step + 1}: the loss or its gradient is not finite"
        if strikes == 0:
            run.strikes, run.good_steps = 1, 0
            self._warn(f"{what}; the step is skipped")
            return True
        if run.rate_scale == 1.0 and self.rollback is not None:
            self.restore(self.rollback())
            self.run.strikes, self.run.good_steps, self.run.rate_scale = 1, 0, 0.5
            self._meter.reset()
            self._warn(f"{what}; back to step {self.run.step} with half the learning rate")
            return False
        examples = ", ".join(str(each + 1) for each in batch.examples[:8])
        raise TrainingDiverged(
            f"{what}, again" + (f"; examples {examples}" if examples else ""),
            metadata={"step": str(run.step + 1), "examples": examples},
        )

    def _warn(self, message: str) -> None:
        self._events(Warned(step=self.run.step, message=message))
