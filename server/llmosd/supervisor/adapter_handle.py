"""An adapter in the process of its base: its rows are in one batch with all others there."""

from pathlib import Path
from typing import Any

import msgspec

from llmosd.ipc.messages import EngineStats, Submit
from llmosd.supervisor.engine_handle import EngineHandle
from llmosd.supervisor.model_handle import Account, Listener, ModelHandle, no_load


class AdapterHandle(ModelHandle):
    """See ModelHandle. What its process counts and has to do is told of its base."""

    def __init__(self, base: EngineHandle, number: int) -> None:
        """Use `start`."""
        runner = f"{base.ready.runner}+adapter"
        self.ready = msgspec.structs.replace(base.ready, runner=runner, kv_blocks=0)
        self.account = Account()
        self.load = no_load()
        self._base = base
        self._number = number

    @classmethod
    async def start(cls, base: EngineHandle, folder: Path) -> "AdapterHandle":
        """Have the base's engine read an adapter.

        Raises:
            DataCorrupt: its files are damaged, or not for this base.
            EngineLost, ModelLoadFailed: the engine is gone, or silent.
        """
        return cls(base, await base.load_adapter(folder))

    @property
    def stats(self) -> EngineStats:
        """Its requests; steps, blocks and tokens are counted for the base."""
        return EngineStats(self.account.running, self.account.waiting, 0, 0, 0, 0, 0, 0, 0)

    @property
    def pid(self) -> int:
        """Of its base's process."""
        return self._base.pid

    def submit(self, listener: Listener, request: Any) -> int:
        """See ModelHandle."""

        def adapted(identifier: int) -> Submit:
            submit: Submit = request(identifier)
            return msgspec.structs.replace(submit, adapter=self._number)

        return self._base.submit(listener, adapted, self.account)

    def cancel(self, identifier: int, choice: int = -1) -> None:
        """See ModelHandle."""
        self._base.cancel(identifier, choice)

    async def stop(self) -> None:
        """Let its weights go; requests that still run are told so."""
        self._base.drop_adapter(self._number, self.account)
