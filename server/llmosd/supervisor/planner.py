"""What an engine will be given: device, type, memory, limits; and whether there is room for it."""

from collections.abc import Callable, Iterable
from pathlib import Path

from llmosd import device
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.dtypes import QUANTIZED, check_served
from llmosd.architectures.families.table import family_of
from llmosd.config import Config
from llmosd.errors import InvalidField
from llmosd.ipc.messages import LoadEngine
from llmosd.store.adapter_config import read_config
from llmosd.store.manifest import ADAPTER_CONFIG, ADAPTER_WEIGHTS, TOKENIZER
from llmosd.store.names import ModelRef
from llmosd.store.records import VersionRecord
from llmosd.store.versions import VersionStore
from llmosd.supervisor.engine_handle import HandleLimits
from llmosd.supervisor.memory import Estimate, estimate
from llmosd.supervisor.resident import Resident

_HEARTBEAT_SECONDS = 0.5


class Planner:
    """Settings and measurements, made into orders for engines."""

    def __init__(
        self, config: Config, store: VersionStore, resident_bytes: Callable[[], int]
    ) -> None:
        """`resident_bytes` measures the daemon with all its processes."""
        self._config = config
        self._store = store
        self._resident_bytes = resident_bytes
        cuda = config.device == "cuda" or (config.device == "auto" and device.has_cuda())
        self.device = "cuda" if cuda else "cpu"

    def configure(self, config: Config) -> None:
        """Plan by these settings from now on; the device stays."""
        self._config = config

    def dtype_of(self, record: VersionRecord, residents: Iterable[Resident]) -> str:
        """Of the arithmetic, where nobody asks for one.

        The weights' own, if they are quantized; else that of the model's version that was used last
        and can be told: a candidate is compared with what is live, and takes its place.
        """
        if self.device == "cuda":
            return "bfloat16"
        if record.dtype in QUANTIZED:
            return record.dtype
        kin = [
            each
            for each in residents
            if each.record.model_id == record.model_id
            and each.record.dtype not in QUANTIZED
            and self._may_be(record, each.dtype)
        ]
        return max(kin, key=lambda each: each.last_use).dtype if kin else "float32"

    def _may_be(self, record: VersionRecord, dtype: str) -> bool:
        config = self._store.config(record.model_id, record.version, ModelConfig)
        try:
            check_served(config, self.device, dtype)
        except InvalidField:
            return False
        return True

    @property
    def room(self) -> int:
        """Bytes that a model may take now."""
        free = device.available_memory()
        if self._config.memory_limit_bytes:
            free = min(free, self._config.memory_limit_bytes - self._resident_bytes())
        return max(0, free - self._config.memory_reserve_bytes)

    def estimate(self, record: VersionRecord, dtype: str, *, beside: bool = False) -> Estimate:
        """Bytes that a version would take, used to the full; an adapter `beside` its base.

        Raises:
            InvalidField: when it cannot be served as `dtype`.
        """
        config = self._store.config(record.model_id, record.version, ModelConfig)
        check_served(config, self.device, dtype)
        if beside:
            # Twice its file: half may be zeros between products that share their input.
            return Estimate(2 * self._file_size(record, ADAPTER_WEIGHTS), 0, 0)
        return estimate(
            config,
            record.parameter_count,
            device=self.device,
            dtype=dtype,
            kv_bytes=self._config.kv_cache_bytes,
            available=device.available_memory(),
            sequences=self._config.max_sequences,
        )

    def order(self, resident: Resident, need: Estimate) -> LoadEngine:
        """The first frame of an engine."""
        record, config = resident.record, self._config
        return LoadEngine(
            model_dir=str(self._store.path(record.model_id, record.version)),
            base_dir=self.base_dir(record),
            turns=str(config.state / "turns") if self.device == "cpu" else "",
            device=self.device,
            dtype=resident.dtype,
            packed_dir=str(config.state / "packed"),
            kv_cache_bytes=need.kv_cache,
            max_sequences=config.max_sequences,
            step_tokens=config.step_tokens,
            # Torch's bits on a GPU depend on the number of rows: guesses could change the answer.
            draft_tokens=config.draft_tokens if self.device == "cpu" else 0,
            threads=config.threads or device.cpu_count(),
            heartbeat_seconds=min(_HEARTBEAT_SECONDS, config.heartbeat_timeout_seconds / 4),
            tenant_weights=config.tenant_weights,
        )

    def base_dir(self, record: VersionRecord) -> str:
        """Where the weights are that an adapter is for; "": the version has weights of its own."""
        base = self._base(record)
        return str(self._store.path(*base)) if base else ""

    def _base(self, record: VersionRecord) -> tuple[str, int] | None:
        """Model and number of the version that an adapter is for."""
        name = self._store.manifest(record.model_id, record.version).adapter_base
        if not name:
            return None
        ref = ModelRef.parse(name)
        assert ref.version is not None, "manifests name versions"
        return ref.model_id, ref.version

    def shared_base(self, record: VersionRecord) -> ModelRef | None:
        """The version in whose process an adapter can be served; None where it needs its own.

        Versions with weights of their own need it, and adapters with a head or words of their own,
        or to what a step cannot change row by row.
        """
        base, store = self._base(record), self._store
        if base is None:
            return None
        config = store.config(record.model_id, record.version, ModelConfig)
        words = [
            store.manifest(model_id, version).files[TOKENIZER].sha256
            for model_id, version in ((record.model_id, record.version), base)
        ]
        told = read_config(store.read_file(record.model_id, record.version, ADAPTER_CONFIG))
        adapted = {target.rpartition(".")[2] for target in told.target_modules}
        products = family_of(config.architecture).products.values()
        known = {part.rpartition(".")[2] for parts in products for part in parts}
        shared = config.head == "language" and words[0] == words[1] and adapted <= known
        return ModelRef(*base) if shared else None

    def _file_size(self, record: VersionRecord, name: str) -> int:
        return self._store.manifest(record.model_id, record.version).files[name].bytes

    def path(self, record: VersionRecord) -> Path:
        """Where a version's files are."""
        return self._store.path(record.model_id, record.version)

    def limits(self) -> HandleLimits:
        """What an engine may take, and how long it may be silent."""
        return HandleLimits(
            max_generations=self._config.max_sequences + self._config.max_queue,
            heartbeat_timeout=self._config.heartbeat_timeout_seconds,
            load_timeout=self._config.load_timeout_seconds,
        )
