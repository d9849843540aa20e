"""llmos.v1.GenerationService, all but Converse: translate, call, translate."""

from collections.abc import AsyncIterator
from typing import Any

from google.longrunning import operations_proto_pb2 as lro

from llmos.v1 import generation_service_pb2 as pb
from llmos.v1 import generation_service_pb2_grpc
from llmosd.errors import InvalidField
from llmosd.operations.manager import OperationManager
from llmosd.rpc import batch, convert
from llmosd.rpc.answer import ChoiceEnd, Delta, Outcome
from llmosd.rpc.batch import batch_spec
from llmosd.rpc.caller import Caller
from llmosd.rpc.converse import Conversations
from llmosd.rpc.events import numbered
from llmosd.rpc.generator import Generator, Running
from llmosd.rpc.queueing import Job, queued
from llmosd.rpc.text_models import TextModels
from llmosd.store.catalog import Catalog
from llmosd.store.names import DatasetRef, ModelRef, dataset_name


class GenerationServicer(generation_service_pb2_grpc.GenerationServiceServicer):
    """Serves generations from the pool's engines."""

    def __init__(
        self,
        generator: Generator,
        catalog: Catalog,
        texts: TextModels,
        operations: OperationManager,
    ) -> None:
        self._generator = generator
        self._catalog = catalog
        self._texts = texts
        self._operations = operations

    async def Generate(self, request: pb.GenerateRequest, context: Any) -> pb.GenerateResponse:
        """The whole answer in one message."""
        running = await self._generator.start(request, Caller.of(context))
        try:
            return await _collect(running)
        finally:
            self._generator.end(running.generation)

    async def StreamGenerate(
        self, request: pb.GenerateRequest, context: Any
    ) -> AsyncIterator[pb.GenerateEvent]:
        """The answer as it grows."""
        running = await self._generator.start(request, Caller.of(context))
        try:
            async for event in numbered(running, running.generation.name, turn=1, first=1):
                yield event
        finally:
            self._generator.end(running.generation)

    async def Converse(
        self, requests: AsyncIterator[pb.ConverseRequest], context: Any
    ) -> AsyncIterator[pb.GenerateEvent]:
        """Many generations on one stream."""
        conversations = Conversations(self._generator, Caller.of(context))
        try:
            async for event in conversations.run(requests):
                yield event
        finally:
            await conversations.close()

    async def CancelGeneration(
        self, request: pb.CancelGenerationRequest, context: Any
    ) -> pb.CancelGenerationResponse:
        """End a generation from outside its call."""
        state = pb.CancelGenerationResponse
        cancelled = self._generator.cancel(request.generation, Caller.of(context).owner)
        return state(state=state.STATE_CANCELLED if cancelled else state.STATE_ALREADY_ENDED)

    async def CountTokens(
        self, request: pb.CountTokensRequest, _context: Any
    ) -> pb.CountTokensResponse:
        """How many tokens a prompt has."""
        record = self._catalog.resolve(ModelRef.parse(request.model))
        ids = await self._texts.encode_input(record, request)
        return pb.CountTokensResponse(tokens=len(ids), context_length=record.context_length)

    async def BatchGenerate(self, request: pb.BatchGenerateRequest, context: Any) -> lro.Operation:
        """Queue a job that answers a dataset's rows."""

        def make() -> Job:
            if request.sampling.n > 1:
                raise InvalidField.of("sampling.n", "a row has one answer")
            model = self._catalog.resolve(ModelRef.parse(request.model))
            self._generator.heads.check_language(model)
            ref = DatasetRef.parse(request.dataset, "dataset")
            dataset = self._catalog.datasets.resolve(ref)
            tenant = Caller.of(context).tenant
            spec = batch_spec(request, dataset.name, model.name, tenant, chat=model.chat)
            target = dataset_name(request.output_dataset_id)
            return Job(target, spec, [dataset.name, model.name])

        return queued(self._operations, batch.KIND, request, make)


async def _collect(running: Running) -> pb.GenerateResponse:
    """Run a generation to its end."""
    generation = running.generation
    response = pb.GenerateResponse(
        generation=generation.name,
        model_version=running.record.name,
        parameters=convert.effective(running.parameters),
        choices=[pb.Choice(index=at) for at in range(running.parameters.num_choices)],
    )
    async for step in generation.events():
        if isinstance(step, Delta):
            tokens = map(convert.token_output, step.tokens)
            response.choices[step.choice].tokens.extend(tokens)
        elif isinstance(step, ChoiceEnd):
            choice = response.choices[step.choice]
            choice.text = generation.text(step.choice)
            choice.tool_calls.extend(map(convert.tool_call, generation.tool_calls(step.choice)))
            choice.finish_reason, choice.stop = step.reason, step.stop
        elif isinstance(step, Outcome):
            response.usage.CopyFrom(convert.usage(step))
            response.timings.CopyFrom(convert.timings(step))
    return response
