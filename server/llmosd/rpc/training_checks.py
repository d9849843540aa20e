"""What a training request may not ask for, by what its model is."""

from llmos.v1 import training_service_pb2 as pb
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.family import Family
from llmosd.architectures.families.table import families
from llmosd.errors import InvalidField
from llmosd.jobs.specs import Objective
from llmosd.store.records import VersionRecord
from llmosd.store.versions import VersionStore

# What is left to say where nothing is stepped towards.
_OF_COUNTING = frozenset({"sequence_length", "seed", "threads", "evaluate_rows"})


def check_heads(store: VersionStore, objective: Objective, **records: VersionRecord | None) -> None:
    """Raise InvalidField where a model that knows labels is asked for words.

    `records` are the versions that a job is to learn from, by the request's fields.
    """
    if objective in ("classify", "regress"):
        return
    for field, record in records.items():
        if record is None:
            continue
        head = store.config(record.model_id, record.version, ModelConfig).head
        if head != "language":
            gives = "labels" if head == "classify" else "a grade"
            raise InvalidField.of(
                field, f"{objective} needs a model of language, and {record.name} gives {gives}"
            )


def check_counted(request: pb.TrainModelRequest, family: Family) -> None:
    """Raise InvalidField for what means nothing to a family that takes no steps."""
    if not family.closed_form:
        return
    if request.init_from:
        raise InvalidField.of(
            "init_from",
            f"{family.name} is counted from nothing: set family, and tokenizer_from for its tokens",
        )
    for field in ("optimizer", "schedule", "early_stopping"):
        if request.HasField(field):
            raise InvalidField.of(field, f"{family.name} is counted, and takes no steps")
    for given, _ in request.parameters.ListFields():
        if given.name not in _OF_COUNTING:
            raise InvalidField.of(
                f"parameters.{given.name}", f"{family.name} is counted, and takes no steps"
            )


def check_sampling(objective: Objective, request: pb.TrainModelRequest, family: Family) -> None:
    """Raise InvalidField where texts are not to be read the way that is asked for."""
    sampling = request.parameters.sampling
    if sampling in ("windows", "tracks") and objective != "language_model":
        raise InvalidField.of(
            "parameters.sampling", f"{sampling} are of texts, objective language_model"
        )
    if sampling != "tracks":
        return
    if not family.carries:
        fit = ", ".join(each.name for each in families().values() if each.carries)
        raise InvalidField.of(
            "parameters.sampling",
            f"tracks carry a state, which networks of family {fit} have; not {family.name}",
        )
    if request.HasField("privacy"):
        raise InvalidField.of("parameters.sampling", "tracks do not go with privacy")


# Whose examples learn by themselves: of others a gradient would be of several.
_PRIVATE = frozenset(
    {"language_model", "masked_language_model", "classify", "regress", "sft", "distill"}
)


def check_private(objective: Objective, request: pb.TrainModelRequest) -> None:
    """Raise InvalidField for what differential privacy does not go with."""
    if objective not in _PRIVATE:
        raise InvalidField.of("privacy", f"is not for the objective {objective}")
    if not request.privacy.noise_multiplier:
        raise InvalidField.of("privacy.noise_multiplier", "must be above 0; 1 is a usual value")
    for field in ("adversarial_epsilon", "answer_rows"):
        if getattr(request.parameters, field):
            raise InvalidField.of(f"parameters.{field}", "does not go with privacy")
