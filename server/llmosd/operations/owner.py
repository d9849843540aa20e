"""For whom an operation is, and who may see it: told by the context that a call makes.

A caller whose token or certificate says a tenant is confined to that tenant's operations, unless it
is an administrator; to it others' do not exist. Who comes without one, on a Unix socket, sees all.
"""

from contextvars import ContextVar
from typing import NamedTuple

from llmosd.errors import OperationNotFound
from llmosd.store.records import OperationRecord

# Of a model, which everybody sees; two who ask for the same share one.
SHARED = frozenset({"load-model", "unload-model"})


class Owner(NamedTuple):
    """A tenant, "" for nobody's; `confined` callers see what is theirs."""

    tenant: str
    confined: bool


_NOBODY = Owner("", confined=False)
_owner: ContextVar[Owner] = ContextVar("owner", default=_NOBODY)


def act_for(owner: Owner) -> None:
    """Do what follows in this task for an owner."""
    _owner.set(owner)


def owner() -> Owner:
    """Whom this task works for."""
    return _owner.get()


def seen(record: OperationRecord) -> OperationRecord:
    """The record; raises OperationNotFound, as if there were none, where it is another's."""
    now = owner()
    if now.confined and record.tenant != now.tenant and record.kind not in SHARED:
        raise OperationNotFound(
            f'operation "{record.operation_id}" does not exist',
            metadata={"operation": record.operation_id},
        )
    return record


def request_key(request_id: str) -> str:
    """A request_id as it is kept: each tenant's are its own."""
    tenant = owner().tenant
    return f"{tenant}\x1f{request_id}" if tenant and request_id else request_id
