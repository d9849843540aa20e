"""What an asyncio client does with the daemon's settings: look at them, have them read again."""

from llmos_client import config_calls
from llmos_client.aio_connection import AsyncConnection
from llmos_client.configs import ConfigReload, ConfigSetting


class AsyncConfigMethods(AsyncConnection):
    """The part of AsyncClient about settings."""

    async def get_config(self) -> list[ConfigSetting]:
        """Get every setting that holds, in the order of llmosd.toml."""
        return await self._call(config_calls.get_config())

    async def reload_config(self) -> ConfigReload:
        """Have the settings read again; raises InvalidConfigError, and then nothing changed."""
        return await self._call(config_calls.reload_config())
