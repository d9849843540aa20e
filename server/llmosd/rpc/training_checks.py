"""What a training request may not ask for, by what its model is."""

from llmos.v1 import training_service_pb2 as pb
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.family import Family
from llmosd.errors import InvalidField
from llmosd.jobs.specs import Objective

# What is left to say where nothing is stepped towards.
_OF_COUNTING = frozenset({"sequence_length", "seed", "threads", "evaluate_rows"})


def check_head(config: ModelConfig, field: str, objective: Objective) -> None:
    """Raise InvalidField where a model that knows labels is asked for words."""
    if config.head != "language" and objective not in ("classify", "regress"):
        raise InvalidField.of(
            field,
            f"{objective} needs a model of language, and this one gives "
            + ("labels" if config.head == "classify" else "a grade"),
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
