"""Models of the Hugging Face Hub, through huggingface_hub where it is installed."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmos_client.errors import FeatureUnavailableError, InvalidFieldError, LlmosError

_REFERENCE = re.compile(
    r"^hf:(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?(?::(?P<file>[\w./-]+\.gguf))?$"
)
_PATTERNS = ["*.json", "*.safetensors", "*.jinja", "merges.txt"]


@dataclass(frozen=True, slots=True)
class HubReference:
    """hf:ORG/MODEL[@REVISION][:FILE.gguf]."""

    repo: str
    revision: str | None
    file: str | None

    @classmethod
    def parse(cls, text: str) -> "HubReference":
        """Read a reference."""
        match = _REFERENCE.match(text)
        if match is None:
            raise InvalidFieldError(
                f'"{text}" is not hf:ORG/MODEL, hf:ORG/MODEL@REVISION or hf:ORG/MODEL:FILE.gguf',
                code="INVALID_ARGUMENT",
            )
        return cls(match["repo"], match["revision"], match["file"])


@dataclass(frozen=True, slots=True)
class HubModel:
    """What the Hub says of a model: `commit` is the revision resolved, for good."""

    reference: HubReference
    commit: str
    license: str

    @property
    def source(self) -> str:
        """What a version made from it has in ModelVersion.source."""
        file = f":{self.reference.file}" if self.reference.file else ""
        return f"hf:{self.reference.repo}@{self.commit}{file}"


def look_up(reference: HubReference) -> HubModel:
    """Ask the Hub which commit and which licence that is."""
    hub = _hub()
    try:
        info = hub.HfApi().model_info(reference.repo, revision=reference.revision)
    except Exception as error:
        raise _failed(reference, error) from error
    card = getattr(info, "card_data", None)
    license_ = getattr(card, "license", None)
    return HubModel(reference, info.sha, license_ if isinstance(license_, str) else "")


def download(model: HubModel) -> Path:
    """Download the model, or find it in the Hub's own cache; a folder, or one GGUF file."""
    hub, reference = _hub(), model.reference
    try:
        if reference.file:
            return Path(hub.hf_hub_download(reference.repo, reference.file, revision=model.commit))
        return Path(
            hub.snapshot_download(reference.repo, revision=model.commit, allow_patterns=_PATTERNS)
        )
    except Exception as error:
        raise _failed(reference, error) from error


def _hub() -> Any:
    try:
        import huggingface_hub  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        raise FeatureUnavailableError(
            "hf: needs huggingface_hub; try: pip install 'llmos[hub]'", code="FAILED_PRECONDITION"
        ) from None
    return huggingface_hub


def _failed(reference: HubReference, error: Exception) -> LlmosError:
    # Whatever the Hub's client raises: its first line says it well enough.
    first = str(error).strip().partition("\n")[0]
    return LlmosError(
        f"the Hub did not give {reference.repo}: {first or type(error).__name__}", code="FAILED"
    )
