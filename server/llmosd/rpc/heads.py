"""What versions answer with: text, labels or grades."""

from llmosd.architectures.config import ModelConfig
from llmosd.errors import InvalidField
from llmosd.store.records import VersionRecord
from llmosd.store.versions import VersionStore

_KEPT = 256


class Heads:
    """The configurations of versions in use, which never change."""

    def __init__(self, store: VersionStore) -> None:
        self._store = store
        self._known: dict[str, ModelConfig] = {}

    def config(self, record: VersionRecord) -> ModelConfig:
        """Of a version; raises DataCorrupt."""
        # By digest: a name may be used again after its version was removed.
        found = self._known.get(record.digest)
        if found is None:
            found = self._store.config(record.model_id, record.version, ModelConfig)
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[record.digest] = found
        return found

    def check_language(self, record: VersionRecord) -> None:
        """Raise InvalidField where a version has no words to say."""
        head = self.config(record).head
        if head != "language":
            raise InvalidField.of(
                "model",
                f"{record.name} gives {'labels' if head == 'classify' else 'a grade'}, not text; "
                f"call ClassifyText, or run: llmos classify {record.model_id}",
            )

    def check_labels(self, record: VersionRecord) -> ModelConfig:
        """The configuration of a version that gives labels or a grade; else InvalidField."""
        config = self.config(record)
        if config.head == "language":
            raise InvalidField.of(
                "model",
                f"{record.name} gives text, not labels; train a version of it with the objective "
                "classify or regress, or call Generate with constraint.choice",
            )
        return config
