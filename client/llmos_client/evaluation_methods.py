"""What a client does with evaluations: run, look into, compare, remove."""

from collections.abc import Sequence
from typing import Unpack

from llmos_client import evaluation_calls, evaluations, results
from llmos_client.connection import Connection
from llmos_client.options import EvaluateOptions, EvaluationPart


class EvaluationMethods(Connection):
    """The part of Client about evaluations; watch one that runs by `watch_operation`."""

    def evaluate_model(
        self,
        model: str | None,
        parts: Sequence[EvaluationPart | str],
        *,
        answers: str | None = None,
        **options: Unpack[EvaluateOptions],
    ) -> results.Operation[evaluations.Evaluation]:
        """Queue a job that judges a version, or the answers in a dataset.

        A part is the name of a dataset, "suites/ID", or a dict that says more.
        """
        return self._call(evaluation_calls.evaluate_model(model, parts, answers, options))

    def get_evaluation(self, name: str) -> evaluations.Evaluation:
        """Get an evaluation."""
        return self._call(evaluation_calls.get_evaluation(name))

    def list_evaluations(self, model: str = "") -> list[evaluations.Evaluation]:
        """List evaluations, of one model or version or of all, the newest first."""
        found, token = self._call(evaluation_calls.list_evaluations(model, ""))
        while token:
            page, token = self._call(evaluation_calls.list_evaluations(model, token))
            found += page
        return found

    def delete_evaluation(self, name: str) -> None:
        """Remove an evaluation."""
        self._call(evaluation_calls.delete_evaluation(name))

    def list_evaluation_examples(
        self, name: str, result: str = "", *, limit: int | None = 50
    ) -> list[evaluations.EvaluationExample]:
        """List what was said to each example of a part, `limit` at most; None: all."""
        found: list[evaluations.EvaluationExample] = []
        token = ""
        while limit is None or len(found) < limit:
            call = evaluation_calls.list_examples(name, result, limit or 0, token)
            page, token = self._call(call)
            found += page
            if not token:
                break
        return found[:limit]

    def compare_evaluations(
        self,
        first: str,
        second: str,
        *,
        resamples: int | None = None,
        confidence: float | None = None,
    ) -> list[evaluations.EvaluationDifference]:
        """Compare two evaluations on the examples that both were judged on."""
        call = evaluation_calls.compare_evaluations(first, second, resamples, confidence)
        return self._call(call)

    def list_suites(self) -> list[evaluations.Suite]:
        """List the suites that come with the daemon."""
        return self._call(evaluation_calls.list_suites())
