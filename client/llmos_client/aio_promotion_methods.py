"""What a client does with aliases: set, promote, roll back."""

from collections.abc import Iterable

from llmos_client import promotion_calls, results
from llmos_client.aio_connection import AsyncConnection
from llmos_client.promotion_requests import promote_request
from llmos_client.promotions import GateCondition, Probation, Promotion, PromotionResult
from llmos_client.upload import OnProgress


class AsyncPromotionMethods(AsyncConnection):
    """The part of AsyncClient about aliases."""

    async def set_alias(
        self, model: str, alias: str, version: str, *, expected: str = ""
    ) -> results.Model:
        """Point an alias at a version, unchecked; with `expected` only if it points there now."""
        return await self._call(promotion_calls.set_alias(model, alias, version, expected))

    async def delete_alias(self, model: str, alias: str) -> results.Model:
        """Remove an alias."""
        return await self._call(promotion_calls.delete_alias(model, alias))

    async def promote(
        self,
        version: str,
        *,
        alias: str = "",
        keep_alive: float | None = None,
        dtype: str | None = None,
        allow_restricted_license: bool = False,
        gate: Iterable[GateCondition] = (),
        probation: Probation | None = None,
        wait: bool = True,
        on_progress: OnProgress | None = None,
        request_id: str = "",
    ) -> results.Operation[PromotionResult]:
        """Load a version, check it, and move an alias ("live") to it while requests run."""
        request = promote_request(
            version,
            alias=alias,
            keep_alive=keep_alive,
            dtype=dtype,
            allow_restricted_license=allow_restricted_license,
            gate=gate,
            probation=probation,
            request_id=request_id,
        )
        operation = await self._call(promotion_calls.promote(request))
        return await self.wait_operation(operation, on_progress) if wait else operation

    async def roll_back(
        self,
        model: str,
        *,
        alias: str = "",
        wait: bool = True,
        on_progress: OnProgress | None = None,
        request_id: str = "",
    ) -> results.Operation[PromotionResult]:
        """Move an alias ("live") back to where it was before its last move."""
        operation = await self._call(promotion_calls.roll_back(model, alias, request_id))
        return await self.wait_operation(operation, on_progress) if wait else operation

    async def list_promotions(self, model: str) -> list[Promotion]:
        """List the moves of a model's aliases, newest first."""
        promotions, token = await self._call(promotion_calls.list_promotions(model, ""))
        while token:
            page, token = await self._call(promotion_calls.list_promotions(model, token))
            promotions += page
        return promotions

    async def set_gate_policy(
        self, model: str, alias: str, conditions: Iterable[GateCondition]
    ) -> tuple[GateCondition, ...]:
        """Say what must hold before an alias moves; no conditions: nothing."""
        return await self._call(promotion_calls.set_gate_policy(model, alias, conditions))

    async def get_gate_policy(self, model: str, alias: str) -> tuple[GateCondition, ...]:
        """Get what must hold before an alias moves."""
        return await self._call(promotion_calls.get_gate_policy(model, alias))
