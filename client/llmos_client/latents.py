"""What comes back about latent vectors."""

from dataclasses import dataclass

Vector = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Posterior:
    """The Gaussian that a text is to a model: `kl` is its divergence from N(0, I), in nats."""

    model_version: str
    mean: Vector
    log_variance: Vector
    kl: float


@dataclass(frozen=True, slots=True)
class LatentTexts:
    """Texts of latent vectors, and the seed that they were drawn with."""

    model_version: str
    texts: tuple[str, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class LatentPoint:
    """A text on the way between two: at `share`, from 0 to 1."""

    share: float
    latent: Vector
    text: str


@dataclass(frozen=True, slots=True)
class Interpolation:
    """Texts on the way from one to another, both ends included."""

    model_version: str
    points: tuple[LatentPoint, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class CompressedText:
    """A text kept as nothing but a rounded latent vector, and what comes back of it.

    Rates are by characters of the text; `character_error_rate` counts those that are inserted,
    deleted or replaced.
    """

    text: str
    reconstruction: str
    bits_per_character: float
    character_error_rate: float
    kl_bits_per_character: float


@dataclass(frozen=True, slots=True)
class Compression:
    """Texts one by one, and the rates of all of them together."""

    model_version: str
    results: tuple[CompressedText, ...]
    bits_per_character: float
    character_error_rate: float
    kl_bits_per_character: float
