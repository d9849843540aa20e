"""What versions answer with: text, labels or grades."""

from typing import cast

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import families, family_of
from llmosd.errors import FeatureUnavailable, InvalidField
from llmosd.ipc.messages import Pooling
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

    def check_scorable(self, record: VersionRecord) -> None:
        """Raise where a version gives no token a probability after those before it.

        Raises:
            InvalidField: it gives labels or grades, or its tokens see what comes after them.
            FeatureUnavailable: its probabilities hang on a latent vector.
        """
        self.check_language(record)
        family = family_of(record.architecture)
        if family.latent:
            raise FeatureUnavailable(
                "a text's probability is a sum over all latent vectors, which nobody can compute; "
                "EncodeText tells what a text is to this model"
            )
        if not family.causal:
            raise InvalidField.of(
                "model",
                f"{record.name} sees what comes after a token, too: its scores are no "
                "probability of the text; call EmbedText, or score with a language model",
            )

    def check_embeds(self, record: VersionRecord) -> Pooling:
        """How a version's texts become vectors by default; raises FeatureUnavailable."""
        default = family_of(record.architecture).embeds
        if not default:
            fit = ", ".join(each.name for each in families().values() if each.embeds)
            raise FeatureUnavailable(
                f"{record.name} is of family {record.architecture}, which has no hidden state for "
                f"each token of a text; models of family {fit} have"
            )
        return cast("Pooling", default)

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
