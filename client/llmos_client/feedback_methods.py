"""What a client does with feedback: give, list, delete, export, and learn from it."""

from collections.abc import Sequence
from typing import Unpack

from llmos_client import datasets, feedback, feedback_calls, results
from llmos_client.connection import Connection
from llmos_client.options import FeedbackOptions, LearnOptions


class FeedbackMethods(Connection):
    """The part of Client about what people say."""

    def create_feedback(
        self, generation: str, kind: str, **options: Unpack[FeedbackOptions]
    ) -> feedback.Feedback:
        """Say something about an answer: "up", "down", "edit", or "better", "tie", "worse".

        With `consent` the texts are kept and may be learned from; `subject` is by whom it can be
        deleted. `edit` is what should have been said, `other` the generation it is compared with.
        """
        return self._call(feedback_calls.create_feedback(generation, kind, options))

    def list_feedback(self, model: str = "") -> list[feedback.Feedback]:
        """List feedback, on one model or version or on all, the newest first."""
        found, token = self._call(feedback_calls.list_feedback(model, ""))
        while token:
            page, token = self._call(feedback_calls.list_feedback(model, token))
            found += page
        return found

    def delete_feedback(
        self, name: str | None = None, *, subject: str | None = None
    ) -> feedback.Forgotten:
        """Delete one, or all of a subject, with everything that holds it."""
        return self._call(feedback_calls.delete_feedback(name, subject))

    def export_feedback(
        self,
        dataset_id: str,
        kind: str,
        *,
        model: str = "",
        replay: str = "",
        replay_share: float | None = None,
        max_tenant_share: float | None = None,
    ) -> results.Operation[datasets.DatasetVersion]:
        """Make a dataset version of it: "rated", "preference" or "pairs"."""
        call = feedback_calls.export_feedback(
            dataset_id, kind, model, replay, replay_share, max_tenant_share
        )
        return self._call(call)

    def rate_models(
        self, versions: Sequence[str] = (), *, resamples: int | None = None
    ) -> feedback.Ratings:
        """Tell how versions stand in people's comparisons, and whether people agree."""
        return self._call(feedback_calls.rate_models(versions, resamples))

    def learn_from_feedback(
        self, model: str, **options: Unpack[LearnOptions]
    ) -> results.Operation[feedback.LearnResult]:
        """Queue a job that exports, trains, judges, and with `promote` promotes what holds."""
        return self._call(feedback_calls.learn(model, options))
