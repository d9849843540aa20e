"""How much a tenant may ask for: generations at once, and tokens per minute."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from llmosd.errors import LimitExceeded

EVERYBODY_ELSE = "*"
_MINUTE = 60.0


class Quota(Protocol):
    """Limits of one tenant, 0 for none; see config.TenantQuota."""

    @property
    def generations(self) -> int:
        """That run or wait at once."""

    @property
    def tokens_per_minute(self) -> int:
        """Of prompts and answers; as many may be used at once after a minute of rest."""


class Quotas:
    """Counts what tenants have running, and lets each one's tokens grow back with time."""

    def __init__(
        self, quotas: Mapping[str, Quota], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._quotas = quotas
        self._clock = clock
        self._running: dict[str, int] = {}
        self._left: dict[str, tuple[float, float]] = {}

    def set_quotas(self, quotas: Mapping[str, Quota]) -> None:
        """Bound tenants by these from now on; what runs and what was used stays counted."""
        self._quotas = quotas

    def check(self, tenant: str) -> None:
        """See that a tenant may begin a generation.

        Raises:
            LimitExceeded: as many run as may, or its tokens are used up; says when to come back.
        """
        quota = self._quota(tenant)
        if quota is None:
            return
        metadata = {"tenant": tenant}
        if quota.generations and self._running.get(tenant, 0) >= quota.generations:
            raise LimitExceeded(
                f"the tenant {tenant!r} has {quota.generations} generations running or waiting, "
                "as many as it may (tenant_quotas); wait for one to end",
                metadata={**metadata, "limit": str(quota.generations)},
                retry_after=1.0,
            )
        left = self._tokens_left(tenant, quota)
        if quota.tokens_per_minute and left <= 0:
            wait = math.ceil((1 - left) * _MINUTE / quota.tokens_per_minute)
            raise LimitExceeded(
                f"the tenant {tenant!r} has used its {quota.tokens_per_minute} tokens per minute "
                f"(tenant_quotas); try again in {wait} s",
                metadata={**metadata, "limit": str(quota.tokens_per_minute)},
                retry_after=float(wait),
            )

    def begin(self, tenant: str, tokens: int) -> None:
        """Count a generation and its prompt; `check` let it through."""
        self._running[tenant] = self._running.get(tenant, 0) + 1
        self._use(tenant, tokens)

    def end(self, tenant: str, tokens: int) -> None:
        """Count a generation out, and its answer's tokens in."""
        self._running[tenant] -= 1
        if not self._running[tenant]:
            del self._running[tenant]
        self._use(tenant, tokens)

    def _use(self, tenant: str, tokens: int) -> None:
        quota = self._quota(tenant)
        if quota is not None and quota.tokens_per_minute:
            # Below nothing, too: how long an answer becomes is known when it has ended.
            self._left[tenant] = (self._tokens_left(tenant, quota) - tokens, self._clock())

    def _tokens_left(self, tenant: str, quota: Quota) -> float:
        most = float(quota.tokens_per_minute)
        left, then = self._left.get(tenant, (most, 0.0))
        left += (self._clock() - then) * most / _MINUTE
        if left >= most:
            self._left.pop(tenant, None)  # rested: nothing need be remembered of it
            return most
        return left

    def _quota(self, tenant: str) -> Quota | None:
        return self._quotas.get(tenant) or self._quotas.get(EVERYBODY_ELSE)
