"""Every unary call as a value: which method, which request, how to read the answer, how long.

Client and AsyncClient only carry them out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, Unpack

from google.longrunning import operations_proto_pb2

from llmos.v1 import (
    admin_service_pb2,
    generation_service_pb2,
    model_service_pb2,
    tokenization_service_pb2,
)
from llmos_client import parsing, parsing_generations, parsing_operations, requests, results
from llmos_client.generations import Generation
from llmos_client.options import GenerateOptions, MessageLike
from llmos_client.parsing_base import enum

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One unary call; `service` names an attribute of Stubs.

    A small one has the client's deadline, another its own `timeout`, None meaning none.
    """

    service: str
    method: str
    request: Any
    parse: Callable[[Any], T]
    small: bool = True
    timeout: float | None = None


def generate(
    model: str,
    prompt: str | None,
    timeout: float | None,
    **options: Unpack[GenerateOptions],
) -> Call[Generation]:
    """Call Generate."""
    request = requests.generate_request(model, prompt, **options)
    parse = parsing_generations.generation
    return Call("generation", "Generate", request, parse, small=False, timeout=timeout)


def cancel_generation(generation: str) -> Call[results.CancelOutcome]:
    """Call CancelGeneration."""
    state = generation_service_pb2.CancelGenerationResponse.State

    def parse(response: Any) -> results.CancelOutcome:
        return enum(results.CancelOutcome, state, "STATE_", response.state)

    request = generation_service_pb2.CancelGenerationRequest(generation=generation)
    return Call("generation", "CancelGeneration", request, parse)


def count_tokens(
    request: generation_service_pb2.CountTokensRequest,
) -> Call[results.TokenCount]:
    """Call CountTokens."""

    def parse(response: Any) -> results.TokenCount:
        return results.TokenCount(response.tokens, response.context_length)

    return Call("generation", "CountTokens", request, parse)


def tokenize(
    model: str, text: str, *, add_special: bool, parse_special: bool
) -> Call[tuple[results.Token, ...]]:
    """Call Tokenize."""

    def parse(response: Any) -> tuple[results.Token, ...]:
        return tuple(results.Token(t.id, t.bytes, t.special) for t in response.tokens)

    request = tokenization_service_pb2.TokenizeRequest(
        model=model, text=text, add_special=add_special, parse_special=parse_special
    )
    return Call("tokenization", "Tokenize", request, parse)


def detokenize(model: str, ids: Sequence[int], *, keep_special: bool) -> Call[str]:
    """Call Detokenize."""
    request = tokenization_service_pb2.DetokenizeRequest(
        model=model, ids=ids, keep_special=keep_special
    )
    return Call("tokenization", "Detokenize", request, lambda response: str(response.text))


def render_chat(
    model: str,
    messages: Sequence[MessageLike],
    tools: Sequence[Any],
) -> Call[results.RenderedChat]:
    """Call RenderChat."""

    def parse(response: Any) -> results.RenderedChat:
        return results.RenderedChat(response.text, tuple(response.ids))

    request = tokenization_service_pb2.RenderChatRequest(
        model=model, chat=requests.chat_input(messages, tools)
    )
    return Call("tokenization", "RenderChat", request, parse)


def list_models(page_token: str) -> Call[tuple[list[results.Model], str]]:
    """Call ListModels for one page; the answer has the next page's token."""

    def parse(response: Any) -> tuple[list[results.Model], str]:
        return [parsing.model(m) for m in response.models], response.next_page_token

    request = model_service_pb2.ListModelsRequest(page_token=page_token)
    return Call("models", "ListModels", request, parse)


def list_versions(model: str, page_token: str) -> Call[tuple[list[results.ModelVersion], str]]:
    """Call ListModelVersions for one page; "-" means all models."""

    def parse(response: Any) -> tuple[list[results.ModelVersion], str]:
        return [parsing.model_version(v) for v in response.versions], response.next_page_token

    parent = "models/-" if model == "-" else model
    request = model_service_pb2.ListModelVersionsRequest(parent=parent, page_token=page_token)
    return Call("models", "ListModelVersions", request, parse)


def get_model(name: str) -> Call[results.Model]:
    """Call GetModel."""
    request = model_service_pb2.GetModelRequest(name=name)
    return Call("models", "GetModel", request, parsing.model)


def get_version(name: str) -> Call[results.ModelVersion]:
    """Call GetModelVersion."""
    request = model_service_pb2.GetModelVersionRequest(name=name)
    return Call("models", "GetModelVersion", request, parsing.model_version)


def list_tensors(name: str) -> Call[list[results.TensorInfo]]:
    """Call ListTensors."""

    def parse(response: Any) -> list[results.TensorInfo]:
        return [results.TensorInfo(t.name, tuple(t.shape), t.dtype) for t in response.tensors]

    request = model_service_pb2.ListTensorsRequest(name=name)
    return Call("models", "ListTensors", request, parse)


def delete_model(name: str, *, force: bool) -> Call[None]:
    """Call DeleteModel."""
    request = model_service_pb2.DeleteModelRequest(name=name, force=force)
    return Call("models", "DeleteModel", request, _nothing)


def delete_version(name: str, *, force: bool) -> Call[None]:
    """Call DeleteModelVersion."""
    request = model_service_pb2.DeleteModelVersionRequest(name=name, force=force)
    return Call("models", "DeleteModelVersion", request, _nothing)


def load_model(
    request: model_service_pb2.LoadModelRequest,
) -> Call[results.Operation[results.LoadResult]]:
    """Call LoadModel."""
    return Call("models", "LoadModel", request, parsing_operations.operation)


def unload_model(
    name: str, *, force: bool, request_id: str
) -> Call[results.Operation[results.UnloadResult]]:
    """Call UnloadModel."""
    request = model_service_pb2.UnloadModelRequest(name=name, force=force, request_id=request_id)
    return Call("models", "UnloadModel", request, parsing_operations.operation)


def get_operation(name: str) -> Call[results.Operation[Any]]:
    """Call google.longrunning.Operations.GetOperation."""
    request = operations_proto_pb2.GetOperationRequest(name=name)
    return Call("operations", "GetOperation", request, parsing_operations.operation)


def list_operations(page_token: str) -> Call[tuple[list[results.Operation[Any]], str]]:
    """Call google.longrunning.Operations.ListOperations for one page."""

    def parse(response: Any) -> tuple[list[results.Operation[Any]], str]:
        operations = map(parsing_operations.operation, response.operations)
        return list(operations), response.next_page_token

    request = operations_proto_pb2.ListOperationsRequest(name="operations", page_token=page_token)
    return Call("operations", "ListOperations", request, parse)


def cancel_operation(name: str) -> Call[None]:
    """Call google.longrunning.Operations.CancelOperation."""
    request = operations_proto_pb2.CancelOperationRequest(name=name)
    return Call("operations", "CancelOperation", request, _nothing)


def delete_operation(name: str) -> Call[None]:
    """Call google.longrunning.Operations.DeleteOperation."""
    request = operations_proto_pb2.DeleteOperationRequest(name=name)
    return Call("operations", "DeleteOperation", request, _nothing)


def server_info() -> Call[results.ServerInfo]:
    """Call GetServerInfo."""
    request = admin_service_pb2.GetServerInfoRequest()
    return Call("admin", "GetServerInfo", request, parsing.server_info)


def health(name: str) -> Call[results.Health]:
    """Call grpc.health.v1.Health.Check for the daemon (""), a service or a model."""
    members = list(results.Health)

    def parse(response: Any) -> results.Health:
        known = 0 <= response.value < len(members)
        return members[response.value] if known else results.Health.UNKNOWN

    return Call("health", "Check", name, parse)


def _nothing(_: Any) -> None:
    return None
