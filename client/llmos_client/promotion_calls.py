"""The calls about aliases; see `calls`."""

from collections.abc import Iterable
from typing import Any

from llmos.v1 import model_service_pb2 as pb
from llmos_client import parsing, parsing_operations, parsing_promotions, results
from llmos_client.calls import Call
from llmos_client.promotion_requests import gate_condition
from llmos_client.promotions import GateCondition, Promotion, PromotionResult


def set_alias(name: str, alias: str, version: str, expected: str) -> Call[results.Model]:
    """Call SetModelAlias."""
    request = pb.SetModelAliasRequest(name=name, alias=alias, version=version, expected=expected)
    return Call("models", "SetModelAlias", request, parsing.model)


def delete_alias(name: str, alias: str) -> Call[results.Model]:
    """Call DeleteModelAlias."""
    request = pb.DeleteModelAliasRequest(name=name, alias=alias)
    return Call("models", "DeleteModelAlias", request, parsing.model)


def promote(request: pb.PromoteModelVersionRequest) -> Call[results.Operation[PromotionResult]]:
    """Call PromoteModelVersion."""
    return Call("models", "PromoteModelVersion", request, parsing_operations.operation)


def roll_back(name: str, alias: str, request_id: str) -> Call[results.Operation[PromotionResult]]:
    """Call RollbackModel."""
    request = pb.RollbackModelRequest(name=name, alias=alias, request_id=request_id)
    return Call("models", "RollbackModel", request, parsing_operations.operation)


def list_promotions(model: str, page_token: str) -> Call[tuple[list[Promotion], str]]:
    """Call ListPromotions for one page; the answer has the next page's token."""

    def parse(response: Any) -> tuple[list[Promotion], str]:
        found = map(parsing_promotions.promotion, response.promotions)
        return list(found), response.next_page_token

    request = pb.ListPromotionsRequest(parent=model, page_token=page_token)
    return Call("models", "ListPromotions", request, parse)


def set_gate_policy(
    name: str, alias: str, conditions: Iterable[GateCondition]
) -> Call[tuple[GateCondition, ...]]:
    """Call SetGatePolicy."""
    wanted = map(gate_condition, conditions)
    request = pb.SetGatePolicyRequest(name=name, alias=alias, conditions=wanted)
    return Call("models", "SetGatePolicy", request, parsing_promotions.conditions)


def get_gate_policy(name: str, alias: str) -> Call[tuple[GateCondition, ...]]:
    """Call GetGatePolicy."""
    request = pb.GetGatePolicyRequest(name=name, alias=alias)
    return Call("models", "GetGatePolicy", request, parsing_promotions.conditions)
