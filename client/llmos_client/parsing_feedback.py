"""From protos to what the SDK says about feedback."""

from llmos.v1 import feedback_service_pb2 as pb
from llmos_client import feedback as kinds
from llmos_client import parsing, parsing_datasets, parsing_evaluations
from llmos_client.parsing_base import enum, moment


def feedback(proto: pb.Feedback) -> kinds.Feedback:
    """Parse a Feedback."""
    names = [n for n in kinds.Feedback.__slots__ if n not in ("create_time", "kind")]
    return kinds.Feedback(
        create_time=moment(proto, "create_time"),
        kind=enum(kinds.FeedbackKind, pb.FeedbackKind, "FEEDBACK_KIND_", proto.kind),
        **{name: getattr(proto, name) for name in names},
    )


def forgotten(proto: pb.DeleteFeedbackResponse) -> kinds.Forgotten:
    """Parse a DeleteFeedbackResponse."""
    return kinds.Forgotten(
        proto.deleted_count, tuple(proto.removed_datasets), tuple(proto.marked_versions)
    )


def ratings(proto: pb.RateModelsResponse) -> kinds.Ratings:
    """Parse a RateModelsResponse."""
    names = kinds.ModelRating.__slots__
    return kinds.Ratings(
        tuple(
            kinds.ModelRating(**{name: getattr(each, name) for name in names})
            for each in proto.ratings
        ),
        proto.comparison_count,
        proto.agreement if proto.HasField("agreement") else None,
    )


def learned(proto: pb.LearnFromFeedbackResponse) -> kinds.LearnResult:
    """Parse a LearnFromFeedbackResponse."""
    before, after = (
        parsing_evaluations.evaluation(getattr(proto, name)) if proto.HasField(name) else None
        for name in ("before", "after")
    )
    return kinds.LearnResult(
        version=parsing.model_version(proto.version) if proto.HasField("version") else None,
        dataset=(
            parsing_datasets.dataset_version(proto.dataset) if proto.HasField("dataset") else None
        ),
        before=before,
        after=after,
        promoted=proto.promoted,
        outcome=proto.outcome,
    )
