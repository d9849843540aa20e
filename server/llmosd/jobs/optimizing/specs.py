"""What the front asks of a process that optimizes. Imports nothing heavy."""

from typing import Literal

import msgspec

from llmosd.store.manifest import Manifest


class Quantize(msgspec.Struct, frozen=True, kw_only=True, tag="quantize"):
    """Keep the layers' matrices in int8 or int4, the embedding and the head in int8."""

    dtype: Literal["int8", "int4"]


class Prune(msgspec.Struct, frozen=True, kw_only=True, tag="prune"):
    """Take away what matters least.

    Attributes:
        sparsity: share of the layers' weights that become zero, of each output by itself.
        neurons: share of the inner neurons of each layer's MLP that go, so that it is smaller.
    """

    sparsity: float = 0.0
    neurons: float = 0.0


class Merge(msgspec.Struct, frozen=True, kw_only=True, tag="merge"):
    """Add an adapter to the weights of its base."""


class Average(msgspec.Struct, frozen=True, kw_only=True, tag="average"):
    """The weighted mean of a version and others of its shape: (folder, resource name, weight).

    `weight` is the first version's own (Izmailov et al., 2018; Wortsman et al., 2022).
    """

    weight: float = 1.0
    others: list[tuple[str, str, float]]


class OptimizeSpec(msgspec.Struct, frozen=True, kw_only=True, tag="optimize-model"):
    """Make a version of another one.

    Attributes:
        source, name, digest: folder, resource name and digest of the version.
        base: folder of the version that it is an adapter to; "": it is none.
        output: empty folder to fill.
        calibration: folder of a dataset of which `calibration_rows` rows say what weights are
            multiplied with; "": nothing does.
    """

    source: str
    name: str
    digest: str
    base: str = ""
    output: str
    method: Quantize | Prune | Merge | Average
    calibration: str = ""
    calibration_name: str = ""
    calibration_rows: int = 128
    threads: int = 1


class Optimized(msgspec.Struct, frozen=True, kw_only=True, tag="optimize-model"):
    """The filled folder: "sha256:…" of its manifest.json, the manifest, bytes of all files.

    `report` are figures of what was done, as "zeros" or "squared_error".
    """

    digest: str
    manifest: Manifest
    byte_size: int
    report: dict[str, float] = {}
