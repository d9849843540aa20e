"""Pages of what was said or measured of versions, the newest first."""

from typing import Any, Protocol, TypeVar

from llmosd.rpc import paging
from llmosd.store.catalog import Catalog
from llmosd.store.names import ModelRef

R = TypeVar("R", bound="_Placed")


class _Placed(Protocol):
    @property
    def position(self) -> int: ...


class _Table(Protocol[R]):
    def newest(
        self, limit: int, before: int, model_id: str | None = None, version: int | None = None
    ) -> list[R]: ...


def newest(table: _Table[R], catalog: Catalog, request: Any) -> tuple[list[R], str]:
    """The records of a page, and the token of the next one; "": there is none.

    `request` has page_size, page_token and model: a model or version, that may be gone, or ""
    for all. Raises InvalidField, and ModelNotFound for an alias that is not there.
    """
    size = paging.size(request.page_size)
    at = paging.position(request.page_token, 1)
    model_id = version = None
    if request.model:
        ref = ModelRef.parse(request.model)
        version = catalog.resolve(ref).version if ref.alias else ref.version
        model_id = ref.model_id
    found = table.newest(size + 1, paging.number(at[0]) if at else 0, model_id, version)
    more = len(found) > size
    return found[:size], paging.token(found[size - 1].position) if more else ""
