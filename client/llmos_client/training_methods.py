"""What a client does with jobs that train: start, pause, save, resume."""

from typing import Any, Unpack

from llmos_client import results, training_calls
from llmos_client.connection import Connection
from llmos_client.options import TrainOptions
from llmos_client.training_requests import train_request


class TrainingMethods(Connection):
    """The part of Client about training; watch a job by `watch_operation`."""

    def train_model(
        self, model_id: str, dataset: str, **options: Unpack[TrainOptions]
    ) -> results.Operation[results.TrainingResult]:
        """Queue a job that trains; `settings` as {"optimizer.learning_rate": 1e-3}."""
        request = train_request(model_id, dataset, **options)
        return self._call(training_calls.train_model(request))

    def estimate_training(
        self, model_id: str, dataset: str, **options: Unpack[TrainOptions]
    ) -> results.TrainingEstimate:
        """Tell what a job would take, without starting it."""
        request = train_request(model_id, dataset, **options)
        return self._call(training_calls.estimate_training(request))

    def pause_operation(self, name: str) -> results.Operation[Any]:
        """Let a job save, and give its memory and its place back."""
        return self._call(training_calls.pause_operation(name))

    def resume_operation(self, name: str) -> results.Operation[Any]:
        """Queue a paused job again."""
        return self._call(training_calls.resume_operation(name))

    def save_checkpoint(self, name: str) -> None:
        """Ask a running job for a checkpoint after its next step."""
        self._call(training_calls.save_checkpoint(name))

    def list_checkpoints(self, name: str) -> list[results.Checkpoint]:
        """List a job's checkpoints, oldest first."""
        return self._call(training_calls.list_checkpoints(name))
