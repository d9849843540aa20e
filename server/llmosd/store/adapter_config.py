"""adapter_config.json of a version that is an adapter, as the peft library writes it."""

import msgspec

from llmosd.errors import DataCorrupt


class AdapterConfig(msgspec.Struct, frozen=True):
    """What a version's adapter_config.json says of its adapter."""

    r: int
    lora_alpha: float
    target_modules: tuple[str, ...]


def read_config(data: bytes) -> AdapterConfig:
    """Read adapter_config.json; raises DataCorrupt."""
    try:
        config = msgspec.json.decode(data, type=AdapterConfig)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataCorrupt(f"the adapter's files are damaged: {error}") from None
    if config.r < 1:
        raise DataCorrupt("the adapter's files are damaged: r is below 1")
    return config
