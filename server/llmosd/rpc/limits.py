"""What the server accepts from a connection, and how it watches over it."""

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_STREAMS = 100
_MAX_ANSWER_BYTES = 64 * 1024 * 1024

CHANNEL_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_ANSWER_BYTES),
    # Against rapid reset (CVE-2023-44487): honest calls wait in their client instead.
    ("grpc.max_concurrent_streams", MAX_STREAMS),
    # A second daemon on the port must fail, not share it.
    ("grpc.so_reuseport", 0),
    ("grpc.max_metadata_size", 8 * 1024),
    ("grpc.absolute_max_metadata_size", 16 * 1024),
    # All three are needed to notice a frozen peer; the last two let clients ping as we do.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # PING flood: this many too early, then GOAWAY (ENHANCE_YOUR_CALM).
    ("grpc.http2.max_ping_strikes", 2),
]

# Besides, by TLS: who connects and then says nothing is not kept. Plain ports have no handshake.
TLS_OPTIONS: list[tuple[str, int]] = [("grpc.server_handshake_timeout_ms", 5_000)]


def connection_options(most: int, idle_seconds: float) -> list[tuple[str, int]]:
    """At most so many connections, and none without a call for so long: clients connect again.

    One without the other locks honest callers out, once somebody holds all connections.
    """
    return [
        ("grpc.max_allowed_incoming_connections", most),
        ("grpc.max_connection_idle_ms", round(idle_seconds * 1000)),
    ]
