"""Handling strangers' words, and libraries that choke on them."""

from collections.abc import Callable
from typing import TypeVar

from llmosd.errors import InvalidModelFile, LlmosError

T = TypeVar("T")


def shown(name: str) -> str:
    """A stranger's name as it may stand in a message: quoted, on one line, not long."""
    return ascii(name if len(name) <= 64 else f"{name[:64]}…")


def guarded(what: str, build: Callable[[], T]) -> T:
    """Call a library that answers bad input with bare Exception, or panics: InvalidModelFile."""
    try:
        return build()
    except LlmosError:
        raise
    except Exception as error:  # noqa: BLE001 - tokenizers raises nothing narrower
        raise InvalidModelFile(f"{what} cannot be built: {str(error)!a:.200}") from None
    except BaseException as error:
        # A panic of a Rust library is no Exception.
        if type(error).__name__ == "PanicException":
            raise InvalidModelFile(f"{what} cannot be built") from None
        raise
