"""The calls about feedback, and what their requests are made of; see `calls`."""

from collections.abc import Sequence
from typing import Any

from llmos.v1 import dataset_pb2
from llmos.v1 import feedback_service_pb2 as pb
from llmos_client import datasets, feedback, parsing_feedback, parsing_operations, results
from llmos_client.calls import Call
from llmos_client.evaluation_calls import make_part
from llmos_client.options import FeedbackOptions, LearnOptions, check_names
from llmos_client.requests import enum_value
from llmos_client.training_requests import train_request


def create_feedback(
    generation: str, kind: str, options: FeedbackOptions
) -> Call[feedback.Feedback]:
    """Call CreateFeedback."""
    check_names(options, FeedbackOptions)
    request = pb.CreateFeedbackRequest(
        generation=generation,
        choice=options.get("choice", 0),
        kind=enum_value(pb.FeedbackKind, "FEEDBACK_KIND_", kind),
        edit=options.get("edit", ""),
        other_generation=options.get("other", ""),
        other_choice=options.get("other_choice", 0),
        comment=options.get("comment", ""),
        consent=options.get("consent", False),
        subject=options.get("subject", ""),
    )
    return Call("feedback", "CreateFeedback", request, parsing_feedback.feedback)


def list_feedback(model: str, page_token: str) -> Call[tuple[list[feedback.Feedback], str]]:
    """Call ListFeedback for one page; the answer has the next page's token."""

    def parse(response: Any) -> tuple[list[feedback.Feedback], str]:
        found = [parsing_feedback.feedback(each) for each in response.feedback]
        return found, response.next_page_token

    request = pb.ListFeedbackRequest(model=model, page_token=page_token)
    return Call("feedback", "ListFeedback", request, parse)


def delete_feedback(name: str | None, subject: str | None) -> Call[feedback.Forgotten]:
    """Call DeleteFeedback."""
    if (name is None) == (subject is None):
        raise TypeError("say either a name or a subject")
    if name is not None and not name.startswith("feedback/"):
        name = f"feedback/{name}"
    request = pb.DeleteFeedbackRequest(name=name, subject=subject)
    return Call("feedback", "DeleteFeedback", request, parsing_feedback.forgotten, small=False)


def export_feedback(
    dataset_id: str,
    kind: str,
    model: str,
    replay: str,
    replay_share: float | None,
    max_tenant_share: float | None,
) -> Call[results.Operation[datasets.DatasetVersion]]:
    """Call ExportFeedback."""
    request = pb.ExportFeedbackRequest(
        model=model,
        dataset_id=dataset_id,
        kind=enum_value(dataset_pb2.DatasetKind, "DATASET_KIND_", kind),
        replay_dataset=replay,
        replay_share=replay_share,
        max_tenant_share=max_tenant_share,
    )
    return Call("feedback", "ExportFeedback", request, parsing_operations.operation)


def rate_models(versions: Sequence[str], resamples: int | None) -> Call[feedback.Ratings]:
    """Call RateModels."""
    request = pb.RateModelsRequest(versions=versions, resamples=resamples)
    return Call("feedback", "RateModels", request, parsing_feedback.ratings, small=False)


def learn(model: str, options: LearnOptions) -> Call[results.Operation[feedback.LearnResult]]:
    """Call LearnFromFeedback."""
    check_names(options, LearnOptions)
    request = pb.LearnFromFeedbackRequest(
        model=model,
        replay_dataset=options.get("replay", ""),
        replay_share=options.get("replay_share"),
        max_tenant_share=options.get("max_tenant_share"),
        evaluate_on=map(make_part, options.get("evaluate_on", ())),
        max_metric_regression=options.get("max_metric_regression"),
        promote=options.get("promote", False),
        min_rows=options.get("min_rows"),
        request_id=options.get("request_id", ""),
    )
    training = train_request(
        "unused",
        "unused",
        objective=options.get("objective"),
        method=options.get("method"),
        settings=options.get("settings"),
    )
    request.training.CopyFrom(training)
    return Call("feedback", "LearnFromFeedback", request, parsing_operations.operation)
