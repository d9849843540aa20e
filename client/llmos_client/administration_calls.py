"""The calls about the daemon itself; see `calls`."""

from typing import Any

from llmos.v1 import admin_service_pb2 as pb
from llmos_client.administration import CheckResult, LogLevel, ServerCheck
from llmos_client.calls import Call
from llmos_client.parsing_base import enum
from llmos_client.requests import enum_value

_LEVEL = "LOG_LEVEL_"


def metrics() -> Call[str]:
    """Call GetMetrics."""
    return Call("admin", "GetMetrics", pb.GetMetricsRequest(), lambda response: str(response.text))


def log_level() -> Call[LogLevel]:
    """Call GetLogLevel."""
    return Call("admin", "GetLogLevel", pb.GetLogLevelRequest(), lambda r: _level(r.level))


def set_log_level(level: str) -> Call[LogLevel]:
    """Call SetLogLevel; the answer is the level before."""
    request = pb.SetLogLevelRequest(level=enum_value(pb.LogLevel, _LEVEL, level))
    return Call("admin", "SetLogLevel", request, lambda r: _level(r.previous_level))


def check_server() -> Call[list[ServerCheck]]:
    """Call CheckServer."""

    def parse(response: Any) -> list[ServerCheck]:
        return [
            ServerCheck(
                each.name,
                enum(CheckResult, pb.ServerCheck.Result, "RESULT_", each.result),
                each.message,
                each.fix,
            )
            for each in response.checks
        ]

    return Call("admin", "CheckServer", pb.CheckServerRequest(), parse)


def _level(number: int) -> LogLevel:
    return enum(LogLevel, pb.LogLevel, _LEVEL, number)
