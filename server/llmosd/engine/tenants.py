"""Who got how much: virtual token counters.

Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024. In each class of work a tenant
has a counter of the service it received, divided by its weight; the lowest is served next. Who
comes with nothing waiting or running is lifted to the lowest of those that have: time spent away
is no credit.
"""

from collections.abc import Mapping

from llmosd.ipc.messages import HIGH, TenantShare

# A drawn token costs about as much as two of a prompt, as in the paper.
_DRAWN_COST = 2.0
# Accounts of tenants without work that are remembered; names are the callers' choice.
_MOST_IDLE = 128
_CLASSES = HIGH + 1


class Tenant:
    """One tenant's account."""

    def __init__(self, name: str, weight: float) -> None:
        self.name = name
        self.weight = weight
        self.counters = [0.0] * _CLASSES
        self.active = [0] * _CLASSES  # answers running and waiting
        self.prompt_tokens = self.generated_tokens = 0


class Tenants:
    """All accounts of one engine."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        """`weights` are those that are not 1."""
        self._weights = weights
        self._tenants: dict[str, Tenant] = {}
        self._last = [0.0] * _CLASSES  # counter of the last one that had work, by class
        self.generated_tokens = 0

    def set_weights(self, weights: Mapping[str, float]) -> None:
        """Share by these from now on; what was received stays as it was counted."""
        self._weights = weights
        for name, tenant in self._tenants.items():
            tenant.weight = weights.get(name, 1.0)

    def counter(self, name: str, priority: int) -> float:
        """Weighted service in a class, lifted where the tenant has no work there."""
        tenant = self._get(name)
        if tenant.active[priority]:
            return tenant.counters[priority]
        others = [t.counters[priority] for t in self._tenants.values() if t.active[priority]]
        return max(tenant.counters[priority], min(others, default=self._last[priority]))

    def enter(self, name: str, priority: int) -> None:
        """Note one more answer of a tenant."""
        tenant = self._get(name)
        tenant.counters[priority] = self.counter(name, priority)
        tenant.active[priority] += 1

    def leave(self, name: str, priority: int) -> None:
        """Note one answer less."""
        tenant = self._get(name)
        tenant.active[priority] -= 1
        if not tenant.active[priority]:
            self._last[priority] = max(self._last[priority], tenant.counters[priority])
            self._tenants[name] = self._tenants.pop(name)  # the last one to be forgotten

    def charge_prompt(self, name: str, priority: int, tokens: int) -> None:
        """Count tokens of a prompt that are going to be computed."""
        tenant = self._get(name)
        tenant.counters[priority] += tokens / tenant.weight
        tenant.prompt_tokens += tokens

    def charge_drawn(self, name: str, priority: int) -> None:
        """Count one drawn token."""
        tenant = self._get(name)
        tenant.counters[priority] += _DRAWN_COST / tenant.weight
        tenant.generated_tokens += 1
        self.generated_tokens += 1

    def cost(self, name: str, prompt: float, drawn: float) -> float:
        """What so many tokens would add to a tenant's counter."""
        return (prompt + _DRAWN_COST * drawn) / self._get(name).weight

    def shares(self, running: Mapping[str, int], waiting: Mapping[str, int]) -> list[TenantShare]:
        """Every account, with the answers that run and wait."""
        return [
            TenantShare(
                each.name,
                each.weight,
                running.get(each.name, 0),
                waiting.get(each.name, 0),
                each.prompt_tokens,
                each.generated_tokens,
            )
            for each in self._tenants.values()
        ]

    def _get(self, name: str) -> Tenant:
        tenant = self._tenants.get(name)
        if tenant is None:
            self._forget_idle()
            tenant = self._tenants[name] = Tenant(name, self._weights.get(name, 1.0))
        return tenant

    def _forget_idle(self) -> None:
        """Keep the accounts of those that have work, and of the last that had it."""
        if len(self._tenants) <= 2 * _MOST_IDLE:
            return
        idle = [name for name, tenant in self._tenants.items() if not any(tenant.active)]
        for name in idle[: max(0, len(idle) - _MOST_IDLE)]:
            del self._tenants[name]
