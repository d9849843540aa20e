"""What a training starts from: a version's weights, or an adapter over those of its base."""

from typing import Any

from llmosd.architectures.config import ModelConfig
from llmosd.errors import InvalidField
from llmosd.jobs.specs import LoraSpec, Objective
from llmosd.store.adapter_config import read_config
from llmosd.store.catalog import Catalog
from llmosd.store.manifest import ADAPTER_CONFIG
from llmosd.store.names import ModelRef
from llmosd.store.records import VersionRecord
from llmosd.store.versions import VersionStore


def base_of(
    catalog: Catalog, store: VersionStore, record: VersionRecord, objective: Objective
) -> VersionRecord | None:
    """The base of an adapter that is to be trained on; None where the version is whole.

    Raises InvalidField: it has to be merged first.
    """
    name = store.manifest(record.model_id, record.version).adapter_base
    if not name:
        return None
    head = store.config(record.model_id, record.version, ModelConfig).head
    if head != "language" or objective in ("classify", "regress"):
        raise InvalidField.of(
            "init_from",
            f"{record.name} is an adapter, and heads for labels begin from whole weights: merge it "
            f"first (llmos optimize {record.name} --merge)",
        )
    return catalog.resolve(ModelRef.parse(name))


def lora_of(store: VersionStore, record: VersionRecord, given: dict[str, Any]) -> LoraSpec:
    """The settings of an adapter that goes on, with those of the request that it leaves open.

    Raises InvalidField: the request wants another shape than the adapter has.
    """
    told = read_config(store.read_file(record.model_id, record.version, ADAPTER_CONFIG))
    own = {"rank": told.r, "alpha": told.lora_alpha, "targets": tuple(sorted(told.target_modules))}
    wanted = given | ({"targets": tuple(sorted(given["targets"]))} if "targets" in given else {})
    for name, value in own.items():
        if wanted.get(name, value) != value:
            raise InvalidField.of(f"lora.{name}", f"{record.name} has {value}; leave it out")
    return LoraSpec(**(wanted | own))
