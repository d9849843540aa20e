"""Quotas: what is counted, what is refused, and when to come back."""

import pytest

from llmosd.config import TenantQuota
from llmosd.errors import LimitExceeded
from llmosd.rpc.quotas import Quotas


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_generations_at_once(clock):
    quotas = Quotas({"a": TenantQuota(generations=2)}, clock)
    for _ in range(2):
        quotas.check("a")
        quotas.begin("a", 10)
    with pytest.raises(LimitExceeded, match="2 generations") as caught:
        quotas.check("a")
    assert caught.value.retry_after == 1.0
    quotas.check("b")  # nobody else is bound
    quotas.end("a", 5)
    quotas.check("a")


def test_tokens_grow_back(clock):
    quotas = Quotas({"a": TenantQuota(tokens_per_minute=60)}, clock)
    quotas.check("a")
    quotas.begin("a", 40)
    quotas.check("a")
    quotas.end("a", 29)  # nine more than there were
    with pytest.raises(LimitExceeded, match="60 tokens per minute") as caught:
        quotas.check("a")
    assert caught.value.retry_after == 10.0
    clock.now += 9.5
    quotas.check("a")
    clock.now += 1000
    quotas.begin("a", 60)  # no more than a minute's worth is saved up
    with pytest.raises(LimitExceeded):
        quotas.check("a")


def test_everybody_else(clock):
    quotas = Quotas({"*": TenantQuota(generations=1), "a": TenantQuota(generations=3)}, clock)
    for tenant, most in (("", 1), ("b", 1), ("a", 3)):
        for _ in range(most):
            quotas.check(tenant)
            quotas.begin(tenant, 1)
        with pytest.raises(LimitExceeded):
            quotas.check(tenant)
        for _ in range(most):
            quotas.end(tenant, 1)
        quotas.check(tenant)
    assert not quotas._running
