"""The calls about jobs that train; see `calls`."""

from typing import Any

from llmos.v1 import operation_service_pb2
from llmos.v1 import training_service_pb2 as pb
from llmos_client import parsing_operations, results
from llmos_client.calls import Call


def train_model(request: pb.TrainModelRequest) -> Call[results.Operation[results.TrainingResult]]:
    """Call TrainModel."""
    return Call("training", "TrainModel", request, parsing_operations.operation)


def estimate_training(request: pb.TrainModelRequest) -> Call[results.TrainingEstimate]:
    """Call EstimateTraining."""
    return Call("training", "EstimateTraining", request, parsing_operations.training_estimate)


def save_checkpoint(name: str) -> Call[None]:
    """Call SaveCheckpoint."""
    request = pb.SaveCheckpointRequest(name=name)
    return Call("training", "SaveCheckpoint", request, lambda _: None)


def list_checkpoints(name: str) -> Call[list[results.Checkpoint]]:
    """Call ListCheckpoints."""

    def parse(response: Any) -> list[results.Checkpoint]:
        return [parsing_operations.checkpoint(each) for each in response.checkpoints]

    return Call("training", "ListCheckpoints", pb.ListCheckpointsRequest(name=name), parse)


def pause_operation(name: str) -> Call[results.Operation[Any]]:
    """Call PauseOperation."""
    request = operation_service_pb2.PauseOperationRequest(name=name)
    return Call("watching", "PauseOperation", request, parsing_operations.operation)


def resume_operation(name: str) -> Call[results.Operation[Any]]:
    """Call ResumeOperation."""
    request = operation_service_pb2.ResumeOperationRequest(name=name)
    return Call("watching", "ResumeOperation", request, parsing_operations.operation)
