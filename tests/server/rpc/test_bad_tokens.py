"""How often a peer may come with a token that is not valid (T27)."""

from contextlib import suppress

import pytest

from llmosd.errors import LimitExceeded
from llmosd.rpc.bad_tokens import BadTokens, host_of


def test_ten_and_then_one_a_second():
    now = 0.0
    bad = BadTokens(lambda: now)
    for _ in range(10):
        bad.count("a")
    for _ in range(90):
        with pytest.raises(LimitExceeded) as caught:
            bad.count("a")
    assert caught.value.retry_after == 1.0
    bad.count("b")  # another one is not concerned
    now += 1.0
    bad.count("a")
    with pytest.raises(LimitExceeded):
        bad.count("a")


def test_a_thousand_peers_are_remembered():
    bad = BadTokens(lambda: 0.0)
    for number in range(3000):
        with suppress(LimitExceeded):
            bad.count(str(number))
    assert len(bad._left) == 1000


@pytest.mark.parametrize(
    ("peer", "host"),
    [("ipv4:192.0.2.1:5000", "ipv4:192.0.2.1"), ("ipv6:[::1]:7", "ipv6:[::1]"), ("unix:", "unix:")],
)
def test_peers_without_their_port(peer, host):
    assert host_of(peer) == host
