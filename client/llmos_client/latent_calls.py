"""The calls about latent vectors; see `calls`."""

from collections.abc import Sequence
from typing import Any

from llmos.v1 import latent_service_pb2 as pb
from llmos_client import latents
from llmos_client.calls import Call
from llmos_client.requests import enum_value

_RATES = ("bits_per_character", "character_error_rate", "kl_bits_per_character")


def decoding(
    max_tokens: int | None, temperature: float | None, seed: int | None
) -> pb.LatentDecoding:
    """Build how texts are to be written."""
    return pb.LatentDecoding(max_tokens=max_tokens, temperature=temperature, seed=seed)


def encode_text(model: str, text: str, timeout: float | None) -> Call[latents.Posterior]:
    """Call EncodeText."""

    def parse(response: Any) -> latents.Posterior:
        mean, log_variance = tuple(response.mean.values), tuple(response.log_variance)
        return latents.Posterior(response.model_version, mean, log_variance, response.kl)

    request = pb.EncodeTextRequest(model=model, text=text)
    return Call("latent", "EncodeText", request, parse, small=False, timeout=timeout)


def decode_latents(
    model: str,
    vectors: Sequence[Sequence[float]],
    how: pb.LatentDecoding,
    timeout: float | None,
) -> Call[latents.LatentTexts]:
    """Call DecodeLatents."""
    request = pb.DecodeLatentsRequest(
        model=model, latents=[pb.LatentVector(values=each) for each in vectors], decoding=how
    )
    return Call("latent", "DecodeLatents", request, _texts, small=False, timeout=timeout)


def sample_texts(
    model: str, count: int | None, how: pb.LatentDecoding, timeout: float | None
) -> Call[latents.LatentTexts]:
    """Call SampleTexts."""
    request = pb.SampleTextsRequest(model=model, count=count, decoding=how)
    return Call("latent", "SampleTexts", request, _texts, small=False, timeout=timeout)


def interpolate_texts(
    model: str,
    ends: tuple[str, str],
    steps: int | None,
    path: str | None,
    how: pb.LatentDecoding,
    timeout: float | None,
) -> Call[latents.Interpolation]:
    """Call InterpolateTexts."""

    def parse(response: Any) -> latents.Interpolation:
        points = tuple(
            latents.LatentPoint(each.share, tuple(each.latent.values), each.text)
            for each in response.points
        )
        return latents.Interpolation(response.model_version, points, response.seed)

    request = pb.InterpolateTextsRequest(
        model=model, from_text=ends[0], to_text=ends[1], steps=steps, decoding=how
    )
    if path is not None:
        request.path = enum_value(pb.InterpolateTextsRequest.Path, "PATH_", path)
    return Call("latent", "InterpolateTexts", request, parse, small=False, timeout=timeout)


def compress_texts(
    model: str, texts: Sequence[str], bits: int | None, timeout: float | None
) -> Call[latents.Compression]:
    """Call CompressTexts."""

    def parse(response: Any) -> latents.Compression:
        results = tuple(
            latents.CompressedText(each.text, each.reconstruction, **_rates(each))
            for each in response.results
        )
        return latents.Compression(response.model_version, results, **_rates(response))

    request = pb.CompressTextsRequest(model=model, texts=texts, bits=bits)
    return Call("latent", "CompressTexts", request, parse, small=False, timeout=timeout)


def _texts(response: Any) -> latents.LatentTexts:
    return latents.LatentTexts(response.model_version, tuple(response.texts), response.seed)


def _rates(proto: Any) -> dict[str, float]:
    return {name: getattr(proto, name) for name in _RATES}
