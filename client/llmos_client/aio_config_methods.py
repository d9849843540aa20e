"""What an asyncio client does with the daemon's settings: look at them, have them read again."""

from llmos_client import config_calls
from llmos_client.aio_connection import AsyncConnection
from llmos_client.configs import ConfigReload, ConfigSetting
from llmos_client.garbage import GarbageResult


class AsyncConfigMethods(AsyncConnection):
    """The part of AsyncClient about settings."""

    async def get_config(self) -> list[ConfigSetting]:
        """Get every setting that holds, in the order of llmosd.toml."""
        return await self._call(config_calls.get_config())

    async def reload_config(self) -> ConfigReload:
        """Have the settings read again; raises InvalidConfigError, and then nothing changed."""
        return await self._call(config_calls.reload_config())

    async def collect_garbage(
        self, *, dry_run: bool = False, keep: int | None = None, older_than: float = 0.0
    ) -> GarbageResult:
        """Remove caches and what ended jobs left; with `keep` also older versions of each model.

        Only jobs and versions that are `older_than` seconds.
        """
        return await self._call(
            config_calls.collect_garbage(dry_run=dry_run, keep=keep, older_than=older_than)
        )
