"""One training run from its spec to a version folder: what the job's process calls."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import torch
from tokenizers import Tokenizer

from llmosd.architectures.trainable.network import ClosedForm, Network
from llmosd.architectures.trainable.rest import set_rest
from llmosd.errors import DataCorrupt, InsufficientDisk, OperationCancelled, OperationInterrupted
from llmosd.jobs.data.tokenized import TokenizedDataset
from llmosd.jobs.specs import TrainSpec
from llmosd.jobs.training.adversarial import AdversarialTrainer
from llmosd.jobs.training.answers import Answers
from llmosd.jobs.training.batches import Batches, Examples, Rules
from llmosd.jobs.training.build import Parts
from llmosd.jobs.training.checkpoint import Checkpoints, Loaded, check_disk
from llmosd.jobs.training.events import (
    CheckpointSaved,
    Control,
    Events,
    Sample,
    TrainResult,
    Warned,
)
from llmosd.jobs.training.loop import Trainer
from llmosd.jobs.training.result import ModelFiles, write_result
from llmosd.jobs.training.samples import sample
from llmosd.jobs.training.seeds import SAMPLES, seed_of
from llmosd.jobs.training.tracks import Tracks
from llmosd.objectives.registry import EVERY_TOKEN
from llmosd.store.manifest import GenerationDefaults, digest_of

CHECKPOINTS, OUTPUT = "ckpt", "out"
_POLL_SECONDS = 0.2


def train(
    spec: TrainSpec,
    data: TokenizedDataset,
    validation: TokenizedDataset | None,
    files: ModelFiles,
    folder: Path,
    events: Events,
    control: Control,
    identity: bytes = b"",
    between: Callable[[], None] | None = None,
) -> TrainResult:
    """Train, from the newest valid checkpoint in `folder`/ckpt on, and fill `folder`/out.

    Args:
        spec: what is asked for.
        data: what is learned from.
        validation: what is evaluated on; None: the training loss stands for it.
        files: that the result takes over.
        folder: of the run. What out/ held is replaced.
        events: told what happens.
        control: asked between steps; see events.Control.
        identity: what tells this run's checkpoints from another's: the spec as it was written,
            which a newer version of this code would write otherwise. Empty: the spec.
        between: called several times in a step, to rest there where others wait.

    Raises:
        InvalidField, InvalidDataset, FeatureUnavailable: the run cannot begin.
        OperationCancelled, OperationInterrupted: as `control` said, with a checkpoint.
        TrainingDiverged: numbers that are not finite, or a result worse than it may be.
        InsufficientDisk: and the last checkpoint stays.
    """
    if spec.threads:
        torch.set_num_threads(spec.threads)
    identity = identity or msgspec.json.encode(spec, order="sorted")
    run = _Run(spec, data, validation, files, folder, events, control, identity)
    set_rest(between)
    run.begin()
    run.drive()
    return run.finish(files)


class _Run:
    """The parts of one run."""

    def __init__(
        self,
        spec: TrainSpec,
        data: TokenizedDataset,
        validation: TokenizedDataset | None,
        files: ModelFiles,
        folder: Path,
        events: Events,
        control: Control,
        identity: bytes,
    ) -> None:
        self._spec, self._folder = spec, folder
        self._events, self._control = events, control
        self._generation = msgspec.json.decode(files.generation, type=GenerationDefaults)
        start = self._generation.start_token_id
        self._parts = Parts(spec, data, files.tokenizer, -1 if start is None else start)
        self._tokenizer = Tokenizer.from_str(files.tokenizer.decode())
        self._prompts = files.prompts
        self._trainer = self._make_trainer(data, validation)
        run = digest_of(identity + data.digest.encode())
        self._checkpoints = Checkpoints(folder / CHECKPOINTS, run=run, keep=spec.keep_checkpoints)
        self._trainer.rollback = self._last
        if spec.answer_rows:
            self._trainer.judged_by(
                Answers(validation, self._tokenizer, self._generation, spec.answer_rows)
            )
        self._saved = -1

    def begin(self) -> None:
        """Resume, or note where the run starts."""
        trainer, spec = self._trainer, self._spec
        loaded, wrong = self._checkpoints.newest()
        for message in wrong:
            self._events(Warned(step=0, message=message))
        if loaded is not None:
            trainer.restore(loaded)
            self._saved = trainer.run.step
            return
        weights, _, _ = trainer.state()
        # Those that are kept, the best, and the one being written; two moments per weight.
        most = spec.keep_checkpoints + 2
        check_disk(self._folder, 3 * most * sum(each.nbytes for each in weights.values()))
        if spec.init_from:
            trainer.run.before = trainer.evaluate()
            if trainer.run.before:
                trainer.record(trainer.run.before)
        self._save()

    def drive(self) -> None:
        """Step until all are done, or it is enough."""
        trainer, spec = self._trainer, self._spec
        while not trainer.done and not trainer.stops_early():
            self._obey()
            trainer.step()
            step = trainer.run.step
            best = False
            if trainer.done or (spec.evaluate_every and step % spec.evaluate_every == 0):
                best = trainer.record(trainer.evaluate())
                self._say_samples()
            if best or trainer.done or step % max(1, spec.checkpoint_every) == 0:
                self._save()

    def finish(self, files: ModelFiles) -> TrainResult:
        """Choose the weights, check them, and write the version."""
        trainer, spec = self._trainer, self._spec
        run = trainer.run
        early = not trainer.done
        published = run.step
        if spec.early_stopping is not None and run.best_step != run.step:
            published = run.best_step
            trainer.load_weights(self._checkpoints.load(published).weights)
            run.latest = trainer.evaluate()
        network = self._parts.network
        trainer.check()
        out = _emptied(self._folder / OUTPUT)
        written = write_result(out, network.cpu(), spec, files, run)
        return TrainResult(
            digest=written.digest,
            manifest=written.manifest,
            byte_size=written.byte_size,
            step=published,
            steps=run.step,
            tokens=run.tokens,
            seconds=run.seconds,
            stopped_early=early,
            metrics=run.latest,
            before=run.before,
        )

    def _make_trainer(self, data: TokenizedDataset, validation: TokenizedDataset | None) -> Trainer:
        spec, objective = self._spec, self._parts.objective
        rules = Rules(
            objective.shifted,
            objective.group,
            spec.objective in EVERY_TOKEN,
            spec.sequence_length,
        )
        examples = Examples(data, rules)
        held_out = None if validation is None else Examples(validation, rules)
        network = self._parts.network
        if spec.sampling == "tracks":
            tracks = Tracks(examples, spec.batch_size)
            steps = _steps(spec, tracks.steps_per_epoch)
            return Trainer(network, objective, tracks, held_out, spec, steps, self._events)
        batches = Batches(examples, spec)
        steps = 1 if isinstance(network, ClosedForm) else _steps(spec, batches.steps_per_epoch)
        if spec.adversarial is None:
            return Trainer(network, objective, batches, held_out, spec, steps, self._events)
        tokens = self._generation
        begin, end = tokens.bos_token_id, next(iter(tokens.eos_token_ids), -1)
        return AdversarialTrainer(
            network, objective, batches, held_out, spec, steps, self._events,
            begin=end if begin is None else begin, end=end, oracle=self._parts.oracle,
        )  # fmt: skip

    def _obey(self) -> None:
        order = self._control()
        if order == "save":
            self._save()
        elif order != "run":
            try:
                self._save()
            except InsufficientDisk as error:  # the last one is whole, and is gone on from
                self._events(Warned(step=self._trainer.run.step, message=error.message))
        while order == "pause":
            time.sleep(_POLL_SECONDS)
            order = self._control()
        if order == "cancel":
            raise OperationCancelled("the training was cancelled")
        if order == "stop":
            raise OperationInterrupted(
                "the training was stopped, and goes on from its last checkpoint when resumed"
            )

    def _save(self) -> None:
        weights, optimizer, state = self._trainer.state()
        if state.step == self._saved:
            return
        size = self._checkpoints.save(weights, optimizer, state)
        self._saved = state.step
        self._events(CheckpointSaved(step=state.step, byte_size=size))

    def _last(self) -> Loaded:
        loaded, _ = self._checkpoints.newest()
        if loaded is None:
            raise DataCorrupt("no checkpoint is whole any more")
        self._saved = loaded.state.step
        return loaded

    def _say_samples(self) -> None:
        network: Network = self._parts.network
        if network.config.head != "language" or not network.causal:
            return
        step = self._trainer.run.step
        prompts = zip(self._spec.samples, self._prompts, strict=True)
        for number, (prompt, ids) in enumerate(prompts):
            text = sample(
                network,
                self._tokenizer,
                ids,
                tokens=self._spec.sample_tokens,
                generation=self._generation,
                seed=seed_of(self._spec.seed, SAMPLES, step << 16 | number),
            )
            self._events(Sample(step=step, prompt=prompt, text=text))


def _steps(spec: TrainSpec, per_epoch: int) -> int:
    return spec.steps or max(1, round(spec.epochs * per_epoch))


def _emptied(folder: Path) -> Path:
    """An empty folder; a run that was interrupted while it wrote starts over."""
    if folder.exists():
        for path in folder.iterdir():
            path.unlink()
    folder.mkdir(exist_ok=True)
    return folder
