"""The part of ModelService about aliases: translate, call, translate."""

from typing import Any

from google.longrunning import operations_proto_pb2 as lro

from llmos.v1 import model_pb2, promotion_pb2
from llmos.v1 import model_service_pb2 as pb
from llmosd.errors import AliasConflict, InvalidField
from llmosd.operations.manager import OperationManager, Report, Work
from llmosd.rpc import convert, convert_promotions, paging, resources
from llmosd.rpc.gates import Asked
from llmosd.rpc.promoter import Promoter, Wish
from llmosd.rpc.publishing import remember
from llmosd.store.catalog import Catalog
from llmosd.store.names import LIVE, ModelRef, model_name, version_name
from llmosd.store.records import VersionRecord
from llmosd.supervisor.pool import ModelPool


class PromotionMethods:
    """Mixed into ModelServicer, which is what gRPC calls."""

    _catalog: Catalog
    _pool: ModelPool
    _operations: OperationManager
    _promoter: Promoter

    async def SetModelAlias(
        self, request: pb.SetModelAliasRequest, _context: Any
    ) -> model_pb2.Model:
        """Point an alias at a version, unchecked."""
        model_id = ModelRef.parse(request.name, "name").model_id
        record = self._version_of(model_id, request.version, "version")
        number = self._catalog.aliases.at(model_id, request.alias)
        if request.expected:
            expected = ModelRef.parse(request.expected, "expected")
            if expected != ModelRef(model_id, number):
                at = "nothing" if number is None else version_name(model_id, number)
                raise AliasConflict(f'alias "{request.alias}" points at {at}, not at {expected}')
        if self._catalog.aliases.policy(model_id, request.alias):
            raise AliasConflict(
                f'alias "{request.alias}" has a gate policy: call PromoteModelVersion, which checks'
            )
        served = None
        if number is not None:
            served = self._pool.resident(self._catalog.resolve(ModelRef(model_id, number)))
        self._catalog.set_alias(model_id, request.alias, record.version)
        if served is not None:
            # Who asks for the alias was answered, and must be: the next request loads it.
            self._pool.want(record, served.keep_alive, served.dtype)
            remember(self._catalog, self._pool, record)
        return resources.model(self._catalog.model(model_id), self._pool)

    async def DeleteModelAlias(
        self, request: pb.DeleteModelAliasRequest, _context: Any
    ) -> model_pb2.Model:
        """Remove an alias."""
        model_id = ModelRef.parse(request.name, "name").model_id
        if request.alias == LIVE:
            raise InvalidField.of("alias", 'every model has "live"; point it at another version')
        self._catalog.model(model_id)
        self._catalog.aliases.delete(model_id, request.alias)
        return resources.model(self._catalog.model(model_id), self._pool)

    async def PromoteModelVersion(
        self, request: pb.PromoteModelVersionRequest, _context: Any
    ) -> lro.Operation:
        """Move an alias to a version that has been loaded and checked."""
        record = self._catalog.resolve(ModelRef.parse(request.name, "name"))
        alias = request.alias or LIVE
        policy = self._catalog.aliases.policy(record.model_id, alias)
        wish = Wish(
            record=record,
            alias=alias,
            asked=Asked(
                [*policy, *convert_promotions.conditions("gate", request.gate)],
                request.allow_restricted_license,
            ),
            keep_alive=(
                convert.seconds("keep_alive", request.keep_alive)
                if request.HasField("keep_alive")
                else None
            ),
            dtype=convert.compute_dtype(request),
            watching=convert_promotions.watching(request.probation),
        )

        async def work(report: Report) -> bytes:
            moved = await self._promoter.promote(wish, started.operation_id, report)
            response = pb.PromoteModelVersionResponse(version=resources.version(record, self._pool))
            if moved is not None:
                response.promotion.CopyFrom(convert_promotions.promotion(moved))
            return resources.packed(response)

        started = self._begin("promote-model-version", record.model_id, alias, work, request)
        return resources.operation(started, self._operations)

    async def RollbackModel(self, request: pb.RollbackModelRequest, _context: Any) -> lro.Operation:
        """Take an alias's last move back."""
        model_id = ModelRef.parse(request.name, "name").model_id
        self._catalog.model(model_id)
        alias = request.alias or LIVE

        async def work(report: Report) -> bytes:
            undone = await self._promoter.roll_back(model_id, alias, report)
            record = self._catalog.resolve(ModelRef(model_id, None, alias))
            return resources.packed(
                pb.RollbackModelResponse(
                    promotion=convert_promotions.promotion(undone),
                    version=resources.version(record, self._pool),
                )
            )

        started = self._begin("rollback-model", model_id, alias, work, request)
        return resources.operation(started, self._operations)

    async def ListPromotions(
        self, request: pb.ListPromotionsRequest, _context: Any
    ) -> pb.ListPromotionsResponse:
        """Moves of a model's aliases, newest first."""
        model_id = ModelRef.parse(request.parent, "parent").model_id
        self._catalog.model(model_id)
        size = paging.size(request.page_size)
        at = paging.position(request.page_token, 1)
        before = paging.number(at[0]) if at else None
        found = self._catalog.aliases.page(model_id, size + 1, before)
        response = pb.ListPromotionsResponse(
            promotions=[convert_promotions.promotion(each) for each in found[:size]]
        )
        if len(found) > size:
            response.next_page_token = paging.token(found[size - 1].position)
        return response

    async def SetGatePolicy(
        self, request: pb.SetGatePolicyRequest, context: Any
    ) -> promotion_pb2.GatePolicy:
        """Say what must hold before an alias moves."""
        model_id = ModelRef.parse(request.name, "name").model_id
        self._catalog.model(model_id)
        found = convert_promotions.conditions("conditions", request.conditions)
        self._catalog.aliases.set_policy(model_id, request.alias, found)
        wanted = pb.GetGatePolicyRequest(name=request.name, alias=request.alias)
        return await self.GetGatePolicy(wanted, context)

    async def GetGatePolicy(
        self, request: pb.GetGatePolicyRequest, _context: Any
    ) -> promotion_pb2.GatePolicy:
        """What must hold before an alias moves."""
        model_id = ModelRef.parse(request.name, "name").model_id
        self._catalog.model(model_id)
        policy = self._catalog.aliases.policy(model_id, request.alias)
        return promotion_pb2.GatePolicy(
            model=model_name(model_id),
            alias=request.alias,
            conditions=map(convert_promotions.condition, policy),
        )

    def _version_of(self, model_id: str, name: str, field: str) -> VersionRecord:
        ref = ModelRef.parse(name, field)
        if ref.model_id != model_id:
            raise InvalidField.of(field, f"must be a version of {model_name(model_id)}")
        return self._catalog.resolve(ref)

    def _begin(self, kind: str, model_id: str, alias: str, work: Work, request: Any) -> Any:
        """Start an operation on an alias, of which there is one at a time."""
        return self._operations.start(
            kind,
            f"{model_name(model_id)}@{alias}",
            work,
            request_id=request.request_id,
            payload_digest=convert.payload_digest(request),
        )
