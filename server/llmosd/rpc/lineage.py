"""Where a version comes from: what its manifest says, and those of what it was made from."""

from llmos.v1 import scoring_service_pb2 as pb
from llmosd.errors import LlmosError
from llmosd.store.catalog import Catalog
from llmosd.store.names import ModelRef
from llmosd.store.records import VersionRecord
from llmosd.store.versions import VersionStore

# A chain that were longer would have been trained a hundred times over.
_MOST = 100


def lineage_of(catalog: Catalog, store: VersionStore, record: VersionRecord) -> list[pb.Ancestor]:
    """A version, what it was trained from, and so on, until one was imported or is gone."""
    found: list[pb.Ancestor] = []
    seen: set[str] = set()
    while len(found) < _MOST and record.name not in seen:
        seen.add(record.name)
        manifest = store.manifest(record.model_id, record.version)
        known = manifest.lineage
        base = known.get("adapter") or manifest.adapter_base or known.get("base", "")
        found.append(
            pb.Ancestor(
                version=record.name,
                digest=record.digest,
                license=manifest.license,
                source=manifest.source,
                objective=known.get("objective", ""),
                method=known.get("method", ""),
                dataset=known.get("dataset", ""),
                dataset_digest=known.get("dataset_digest", ""),
                base=base,
                adapter=bool(manifest.adapter_base),
            )
        )
        try:
            record = catalog.resolve(ModelRef.parse(base)) if base else record
        except LlmosError:  # it was deleted: its name is all that is left
            break
    return found
