"""Every reason of the daemon is an exception here, and every status without a reason is some."""

import grpc
import pytest
from fake_status import make_status

from llmos.v1 import error_reason_pb2
from llmos_client import Client, errors

REASONS = {
    name.removeprefix("ERROR_REASON_")
    for name, number in error_reason_pb2.ErrorReason.items()
    if number
}


def test_the_enum_and_the_exceptions_are_the_same_set():
    assert set(errors.by_reason()) == REASONS
    assert len({c.reason for c in errors.by_reason().values()}) == len(REASONS)


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_each_reason_arrives_as_its_exception(client, daemon, reason):
    daemon.fail["GetServerInfo"] = make_status(
        "FAILED_PRECONDITION", "no", reason, metadata={"limit": "5"}
    )
    with pytest.raises(errors.by_reason()[reason]) as caught:
        client.server_info()
    error = caught.value
    assert (error.code, error.reason, error.message) == ("FAILED_PRECONDITION", reason, "no")
    assert error.label == f"FAILED_PRECONDITION/{reason}"
    assert error.metadata == {"limit": "5"}
    assert error.request_id == daemon.metadata[-1]["x-request-id"]


def test_violations_and_retry_come_along(client, daemon):
    daemon.fail["GetServerInfo"] = make_status(
        "INVALID_ARGUMENT",
        "two fields",
        "INVALID_FIELD",
        violations=[("sampling.top_p", "must be <= 1"), ("model", "bad")],
        retry_after=1.5,
    )
    with pytest.raises(errors.InvalidFieldError) as caught:
        client.server_info()
    assert [v.field for v in caught.value.violations] == ["sampling.top_p", "model"]
    assert caught.value.retry_after == 1.5


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("UNAVAILABLE", errors.DaemonUnreachable),
        ("DEADLINE_EXCEEDED", errors.DeadlineExceededError),
        ("CANCELLED", errors.CallCancelledError),
        ("UNAUTHENTICATED", errors.NotAuthorizedError),
        ("PERMISSION_DENIED", errors.NotAuthorizedError),
        ("UNIMPLEMENTED", errors.FeatureUnavailableError),
        ("RESOURCE_EXHAUSTED", errors.LimitExceededError),
        ("INTERNAL", errors.InternalError),
        ("NOT_FOUND", errors.LlmosError),
        ("UNKNOWN", errors.LlmosError),
    ],
)
def test_a_status_without_details_is_some_sensible_class(client, daemon, code, kind):
    daemon.fail["GetServerInfo"] = make_status(code, "plain")
    with pytest.raises(kind) as caught:
        client.server_info()
    assert type(caught.value) is kind
    assert caught.value.code == code


def test_a_reason_from_a_newer_daemon_falls_back_to_its_status(client, daemon):
    daemon.fail["GetServerInfo"] = make_status("UNAUTHENTICATED", "no", "BRAND_NEW")
    with pytest.raises(errors.NotAuthorizedError):
        client.server_info()


def test_nobody_there(tmp_path):
    with Client(f"unix:{tmp_path}/none.sock") as client:
        with pytest.raises(errors.DaemonUnreachable) as caught:
            client.server_info()
        with client.stream("m", "x") as events, pytest.raises(errors.DaemonUnreachable):
            next(events)
    assert caught.value.address == f"unix:{tmp_path}/none.sock"


def test_small_calls_have_a_deadline(tmp_path):
    import socket

    # A listener that never speaks HTTP/2.
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent.sock"))
        silent.listen()
        impatient = (errors.DeadlineExceededError, errors.DaemonUnreachable)
        address = f"unix:{tmp_path}/silent.sock"
        with Client(address, timeout=0.3) as client, pytest.raises(impatient):
            client.server_info()


def test_messages_too_large_are_refused_here(client):
    with pytest.raises(errors.LimitExceededError):
        client.tokenize("smollm2", "x" * (5 * 1024 * 1024))


def test_every_channel_option_is_there():
    from llmos_client.transport import OPTIONS

    options = dict(OPTIONS)
    assert options["grpc.keepalive_time_ms"] == 10_000
    assert options["grpc.keepalive_timeout_ms"] == 5_000
    assert options["grpc.http2.ping_timeout_ms"] == 5_000
    assert options["grpc.http2.max_pings_without_data"] == 0
    assert options["grpc.default_authority"] == "localhost"
    assert isinstance(grpc.insecure_channel("unix:/x", options=OPTIONS), grpc.Channel)
