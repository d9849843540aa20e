"""Sequence generative adversarial nets (Yu et al., 2017): a generator learns from a judge.

First the generator learns the data as any language model does, then a discriminator learns to tell
what it says from the data; then they take turns. Tokens are no numbers that a gradient could pass
through, so the generator learns by policy gradient: the reward of a token is how often sequences
that go on from it, drawn by the generator itself, pass for real.
"""

import time

import torch
from torch import Generator, Tensor

from llmosd.architectures.trainable.network import Network
from llmosd.architectures.trainable.recurrent import Recurrent
from llmosd.errors import InvalidField, TrainingDiverged
from llmosd.jobs.specs import AdversarialSpec, OptimizerSpec, TrainSpec
from llmosd.jobs.training.batches import Batches, Examples
from llmosd.jobs.training.checkpoint import Loaded, RunState
from llmosd.jobs.training.events import Events
from llmosd.jobs.training.health import check_finite
from llmosd.jobs.training.judge import Judge
from llmosd.jobs.training.loop import Trainer
from llmosd.jobs.training.optimizers import Optimizers
from llmosd.jobs.training.policy import Drawn, Policy
from llmosd.jobs.training.seeds import EVALUATION, GAME, seed_of
from llmosd.objectives.cross_entropy import log_probabilities
from llmosd.objectives.objective import Objective

_JUDGE, _PLAY = "discriminator.", "policy/"
_EVALUATED = 1000


class AdversarialTrainer(Trainer):
    """See Trainer. A step is one of three things, by its number.

    Up to `likelihood_steps` the generator learns from the data; then for `discriminator_steps`
    steps the discriminator does; after these a step is a round: one of the generator by policy
    gradient, `rounds_discriminator_steps` of the discriminator.
    """

    def __init__(
        self,
        network: Network,
        objective: Objective,
        batches: Batches,
        validation: Examples | None,
        spec: TrainSpec,
        steps: int,
        events: Events,
        *,
        begin: int,
        end: int,
        oracle: Network | None,
    ) -> None:
        """`begin` and `end` are the tokens around a sequence; an oracle judges quality.

        Raises:
            InvalidField: the generator is not recurrent.
        """
        super().__init__(network, objective, batches, validation, spec, steps, events)
        if not isinstance(network, Recurrent):
            raise InvalidField.of("family", "a generator is recurrent: lstm, gru or rnn")
        assert spec.adversarial is not None
        self._game: AdversarialSpec = spec.adversarial
        self._oracle = oracle
        self._begin = begin
        self._real = batches
        longest = int(batches.examples.lengths.max())
        self._policy = Policy(network, begin, end, longest)
        self._judge = Judge(network.config, self._game, spec)
        rate = OptimizerSpec(name="adam", beta2=0.999)
        self._playing = Optimizers(network.named_parameters(), rate)

    def step(self) -> None:
        """Learn from the data, judge, or play a round; see the class."""
        game, run = self._game, self.run
        if run.step < game.likelihood_steps:
            super().step()
            return
        if run.step == game.likelihood_steps:
            run.before = self.evaluate()
            self.record(run.before)
        began = time.perf_counter()
        rounds = run.step >= game.likelihood_steps + game.discriminator_steps
        sums = {"loss": 0.0}
        norm = 0.0
        if rounds:
            sums, norm = self._play()
        for number in range(game.round_discriminator_steps if rounds else 1):
            for name, value in self._learn_to_judge(number).items():
                sums[name] = value
        run.step += 1
        tokens = self._spec.batch_size * self._policy.longest
        run.tokens += tokens
        taken = time.perf_counter() - began
        run.seconds += taken
        self._meter.add(run, sums, game.generator_rate if rounds else 0.0, norm, tokens, taken)

    def evaluate(self) -> dict[str, float]:
        """Quality and diversity: the oracle's loss of what is drawn, and one's own of real data."""
        means = super().evaluate()
        if self._oracle is not None and means:
            drawn = self._policy.draw(_EVALUATED, self._generator(EVALUATION, 0))
            means["nll_oracle"] = self._loss_of(self._oracle, drawn)
        return means

    def check(self) -> None:
        """Both have to hold: better samples, and a likelihood of real data that is still good.

        Either alone is cheap: a lower temperature makes better samples of fewer kinds (Caccia et
        al., 2020), and no change at all keeps the likelihood.

        Raises:
            TrainingDiverged.
        """
        check_finite(self.network)
        before, after = self.run.before, self.run.latest
        rise = after["loss"] - before["loss"]
        numbers = {
            f"{name}_{when}": f"{values[name]:.4f}"
            for when, values in (("before", before), ("after", after))
            for name in ("loss", "nll_oracle")
            if name in values
        }
        if rise > self._game.most_rise:
            raise TrainingDiverged(
                f"the loss of real data rose by {rise:.3f} in the game, from {before['loss']:.3f}; "
                f"{self._game.most_rise:g} is allowed (adversarial.most_rise)",
                metadata=numbers,
            )
        if "nll_oracle" in after and after["nll_oracle"] >= before["nll_oracle"]:
            raise TrainingDiverged(
                f"the oracle's loss of samples is {after['nll_oracle']:.3f}, and was "
                f"{before['nll_oracle']:.3f} before the game: it made them no better",
                metadata=numbers,
            )

    def state(self) -> tuple[dict[str, Tensor], dict[str, Tensor], RunState]:
        """See Trainer.state: both networks, three optimizers."""
        weights, optimizer, run = super().state()
        for name, each in self._judge.network.named_parameters():
            weights[_JUDGE + name] = each.detach()
        parts = {_JUDGE: self._judge.optimizer.state(), _PLAY: self._playing.state()}
        for prefix, values in parts.items():
            optimizer |= {prefix + name: each for name, each in values.items()}
        return weights, optimizer, run

    def restore(self, loaded: Loaded) -> None:
        """Go on from what `state` gave."""
        parts: dict[str, dict[str, Tensor]] = {"": {}, _JUDGE: {}, _PLAY: {}}
        for name, each in loaded.optimizer.items():
            prefix = next((p for p in (_JUDGE, _PLAY) if name.startswith(p)), "")
            parts[prefix][name.removeprefix(prefix)] = each
        self._judge.optimizer.restore(parts[_JUDGE])
        self._playing.restore(parts[_PLAY])
        super().restore(Loaded(loaded.weights, parts[""], loaded.state))

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Of both networks."""
        super().load_weights(weights)
        with torch.no_grad():
            for name, each in self._judge.network.named_parameters():
                each.copy_(weights[_JUDGE + name])

    def _generator(self, purpose: int, number: int) -> Generator:
        return Generator(self._device).manual_seed(seed_of(self._spec.seed, purpose, number))

    def _play(self) -> tuple[dict[str, float], float]:
        """One step of policy gradient; the mean reward, and the gradient's norm."""
        network = self.network
        generator = self._generator(GAME, self.run.step << 8)
        network.eval()
        drawn = self._policy.draw(self._spec.batch_size, generator, keep=True)
        rewards = self._rewards(drawn, generator)
        spoken = torch.arange(drawn.ids.shape[1], device=self._device) < drawn.lengths.unsqueeze(1)
        counts = spoken.sum(0).clamp_min(1)
        # What a place's rewards are on average says nothing about the token: the baseline.
        baseline = (rewards * spoken).sum(0) / counts
        advantage = (rewards - baseline)[spoken]
        network.train()
        ids, targets, lengths = drawn.read(self._begin)
        logprobs = log_probabilities(network(ids, lengths), network.head, targets)
        loss = -(advantage * logprobs).sum() / len(targets)
        loss.backward()
        limit = self._spec.clip_norm or torch.inf
        norm = float(torch.nn.utils.clip_grad_norm_(self._playing.parameters, limit))
        self._playing.step(self._game.generator_rate)
        self._playing.zero_grad()
        means = {
            "loss": -float(logprobs.detach().mean()),
            "reward": float(rewards[spoken].mean()),
        }
        return means, norm

    def _rewards(self, drawn: Drawn, generator: Generator) -> Tensor:
        """(sequences, longest): how real it looks what goes on from each token."""
        longest = drawn.ids.shape[1]
        copies = self._game.rollouts
        rewards = self._judge.passes(drawn.ids, drawn.lengths).unsqueeze(1).repeat(1, longest)
        for place in range(longest - 1):
            going = (drawn.lengths > place + 1).nonzero().squeeze(1)
            if len(going):
                others = self._policy.rest(drawn, place, going, copies, generator)
                rewards[going, place] = self._judge.passes(*others).view(-1, copies).mean(1)
        return rewards

    def _learn_to_judge(self, number: int) -> dict[str, float]:
        """One step of the discriminator: as many real sequences as drawn ones."""
        step = self.run.step << 8 | (number + 1)
        drawn = self._policy.draw(self._spec.batch_size, self._generator(GAME, step))
        real = self._real.at(step).to(self._device)
        seed = seed_of(self._spec.seed, GAME, step)
        return self._judge.learn(real, drawn.ids, drawn.lengths, seed)

    def _loss_of(self, network: Network, drawn: Drawn) -> float:
        """Mean over tokens of -log p(token) of what was drawn."""
        ids, targets, lengths = drawn.read(self._begin)
        with torch.no_grad():
            logprobs = log_probabilities(network(ids, lengths), network.head, targets)
        return -float(logprobs.double().mean())
