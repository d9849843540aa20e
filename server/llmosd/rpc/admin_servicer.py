"""llmos.v1.AdminService: translate, call, translate."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import structlog

from llmos.v1 import admin_service_pb2 as pb
from llmos.v1 import admin_service_pb2_grpc, backup_pb2, config_pb2, garbage_pb2
from llmosd import __version__, device, log
from llmosd.errors import ServerDraining
from llmosd.observing.observation import Observation
from llmosd.operations.manager import OperationManager
from llmosd.rpc import convert, resources
from llmosd.rpc.backups import Backups
from llmosd.rpc.convert_config import read_config, reload_config
from llmosd.rpc.garbage import Garbage
from llmosd.rpc.generator import Generator
from llmosd.rpc.limits import MAX_MESSAGE_BYTES, MAX_STREAMS
from llmosd.rpc.loads import model_load
from llmosd.settings import Settings
from llmosd.store.disk import Disk
from llmosd.supervisor.pool import ModelPool

_MOST_CHOICES, _MOST_LOGPROBS = 64, 20  # as sampling.proto rules
_WATCH_SECONDS = 1.0
_LEVEL = "LOG_LEVEL_"
_log = structlog.get_logger()
_FAMILIES = ("gpt2", "llama", "mistral", "qwen2", "qwen3")


class AdminServicer(admin_service_pb2_grpc.AdminServiceServicer):
    """The daemon about itself."""

    def __init__(
        self,
        settings: Settings,
        pool: ModelPool,
        generator: Generator,
        resident_bytes: Callable[[], int],
        observation: Observation,
        operations: OperationManager,
        backups: Backups,
        garbage: Garbage,
        disk: Disk,
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._generator = generator
        self._resident_bytes = resident_bytes
        self._observation = observation
        self._operations = operations
        self._backups = backups
        self._garbage = garbage
        self._disk = disk
        self._began = time.monotonic()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End the calls that would go on for ever."""
        self._stopping.set()

    async def GetServerInfo(
        self, _request: pb.GetServerInfoRequest, _context: Any
    ) -> pb.GetServerInfoResponse:
        """Version, limits and load."""
        return pb.GetServerInfoResponse(
            version=__version__,
            uptime=convert.duration(time.monotonic() - self._began),
            pid=os.getpid(),
            api_versions=["llmos.v1"],
            limits=pb.ServerLimits(
                max_message_bytes=MAX_MESSAGE_BYTES,
                max_streams_per_connection=MAX_STREAMS,
                max_queue=self._settings.config.max_queue,
                max_choices=_MOST_CHOICES,
                max_logprobs=_MOST_LOGPROBS,
            ),
            cpu_count=device.cpu_count(),
            memory_total_bytes=device.total_memory(),
            memory_available_bytes=device.available_memory(),
            resident_bytes=self._resident_bytes(),
            generations=self._generator.num_running,
            models_loaded=self._pool.num_loaded,
            architectures=_FAMILIES,
        )

    async def WatchLoad(
        self, request: pb.WatchLoadRequest, _context: Any
    ) -> AsyncIterator[pb.WatchLoadResponse]:
        """What the models in memory have to do, every interval."""
        interval = _WATCH_SECONDS
        if request.HasField("interval"):
            interval = convert.seconds("interval", request.interval)
        while not self._stopping.is_set():
            loaded = [(r.record.name, r.handle) for r in self._pool.residents()]
            yield pb.WatchLoadResponse(
                time=convert.timestamp(datetime.now(UTC)),
                models=[model_load(name, handle) for name, handle in loaded if handle is not None],
                resident_bytes=self._resident_bytes(),
                memory_available_bytes=device.available_memory(),
                memory_total_bytes=device.total_memory(),
                jobs=[
                    resources.operation(record, self._operations)
                    for record in self._operations.unfinished()
                ],
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await self._stopping.wait()
        raise ServerDraining("the daemon is stopping", retry_after=5.0)

    async def GetMetrics(
        self, _request: pb.GetMetricsRequest, _context: Any
    ) -> pb.GetMetricsResponse:
        """All metrics, in Prometheus' text format."""
        text, _ = await self._observation.text()
        return pb.GetMetricsResponse(text=text.decode())

    async def GetLogLevel(
        self, _request: pb.GetLogLevelRequest, _context: Any
    ) -> pb.GetLogLevelResponse:
        """From which level on lines are logged."""
        return pb.GetLogLevelResponse(level=_level(log.current_level()))

    async def SetLogLevel(
        self, request: pb.SetLogLevelRequest, _context: Any
    ) -> pb.SetLogLevelResponse:
        """Log more or less from now on."""
        before = log.current_level()
        level = pb.LogLevel.Name(request.level).removeprefix(_LEVEL).lower()
        log.set_level(level)
        _log.warning("log_level_set", to=level, before=before)
        return pb.SetLogLevelResponse(previous_level=_level(before))

    async def CheckServer(
        self, _request: pb.CheckServerRequest, _context: Any
    ) -> pb.CheckServerResponse:
        """What the daemon finds when it looks at itself."""
        response = pb.CheckServerResponse()
        for check in await self._observation.checks():
            result = pb.ServerCheck.Result.Value(f"RESULT_{check.result}")
            response.checks.add(
                name=check.name, result=result, message=check.message, fix=check.fix
            )
        return response

    async def GetConfig(
        self, _request: config_pb2.GetConfigRequest, _context: Any
    ) -> config_pb2.GetConfigResponse:
        """The settings that hold."""
        return read_config(self._settings)

    async def ReloadConfig(
        self, _request: config_pb2.ReloadConfigRequest, _context: Any
    ) -> config_pb2.ReloadConfigResponse:
        """Read the settings again."""
        return reload_config(self._settings)

    async def BackUpState(
        self, requests: AsyncIterator[backup_pb2.BackUpStateRequest], _context: Any
    ) -> AsyncIterator[backup_pb2.BackUpStateResponse]:
        """The state as it is now."""
        async for part in self._backups.send(requests):
            yield part

    async def CollectGarbage(
        self, request: garbage_pb2.CollectGarbageRequest, _context: Any
    ) -> garbage_pb2.CollectGarbageResponse:
        """Remove what nobody needs."""
        keep = request.keep if request.HasField("keep") else None
        older_than = convert.seconds("older_than", request.older_than)
        items = self._garbage.find(keep=keep, older_than=older_than)
        for item in () if request.dry_run else items:
            item.remove()
        response = garbage_pb2.CollectGarbageResponse(
            used_bytes=await asyncio.to_thread(self._disk.usage), quota_bytes=self._disk.quota
        )
        for item in items:
            response.items.add(kind=item.kind, name=item.name, byte_size=item.byte_size)
        return response


def _level(name: str) -> Any:
    """A level's number in the API."""
    return pb.LogLevel.Value(f"{_LEVEL}{name.upper()}")
