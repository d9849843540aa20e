"""How patient the client is with a daemon that went away while an operation runs."""

import pytest

from llmos.v1 import operation_service_pb2 as pb
from llmos_client import DaemonUnreachable, EngineLostError, OperationNotFoundError
from llmos_client.watching import RECONNECT_SECONDS, Watch

AWAY = DaemonUnreachable("gone", code="UNAVAILABLE")


def test_delays_grow_and_begin_again_after_an_event():
    watch = Watch("operations/a", clock=lambda: 0.0)
    assert [watch.delay_after(AWAY) for _ in range(3)] == [0.1, 0.2, 0.4]
    watch.accept(pb.OperationEvent(sequence=1, progress={"stage": "x"}))
    assert watch.delay_after(AWAY) == 0.1
    assert watch.request().after_sequence == 1


def test_it_gives_up_at_last():
    now = [0.0]
    watch = Watch("operations/a", clock=lambda: now[0])
    watch.delay_after(AWAY)
    now[0] = RECONNECT_SECONDS + 1
    with pytest.raises(DaemonUnreachable):
        watch.delay_after(AWAY)
    with pytest.raises(DaemonUnreachable, match="events stopped"):
        watch.delay_after(None)


def test_other_errors_are_final():
    with pytest.raises(OperationNotFoundError):
        Watch("operations/a").delay_after(OperationNotFoundError("no", code="NOT_FOUND"))


def test_the_daemons_own_advice_is_heeded():
    busy = EngineLostError("back soon", code="UNAVAILABLE", retry_after=2.0)
    assert Watch("operations/a").delay_after(busy) == 2.0


def test_repeated_events_and_heartbeats_are_dropped():
    watch = Watch("operations/a", 4)
    assert watch.accept(pb.OperationEvent(sequence=4, progress={"stage": "x"})) is None
    assert watch.accept(pb.OperationEvent(heartbeat={})) is None
    assert watch.accept(pb.OperationEvent(sequence=5, progress={"stage": "x"})).sequence == 5
