"""What a client does with latent vectors; the methods of `latent_methods`, awaited."""

from collections.abc import Sequence

from llmos_client import latent_calls, latents
from llmos_client.aio_connection import AsyncConnection


class AsyncLatentMethods(AsyncConnection):
    """The part of AsyncClient about models with a latent vector: variational autoencoders.

    Texts are the likeliest ones unless a `temperature` is given.
    """

    async def encode_text(
        self,
        model: str,
        text: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - gRPC's deadline
    ) -> latents.Posterior:
        """Find the mean and the log-variance of a text's latent vector."""
        return await self._call(latent_calls.encode_text(model, text, timeout))

    async def decode_latents(
        self,
        model: str,
        vectors: Sequence[Sequence[float]],
        *,
        max_tokens: int | None = None,
        temperature: float | None = None,
        seed: int | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - gRPC's deadline
    ) -> latents.LatentTexts:
        """Write the texts of latent vectors."""
        how = latent_calls.decoding(max_tokens, temperature, seed)
        return await self._call(latent_calls.decode_latents(model, vectors, how, timeout))

    async def sample_texts(
        self,
        model: str,
        count: int | None = None,
        *,
        max_tokens: int | None = None,
        temperature: float | None = None,
        seed: int | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - gRPC's deadline
    ) -> latents.LatentTexts:
        """Write texts of latent vectors drawn from N(0, I) by the seed."""
        how = latent_calls.decoding(max_tokens, temperature, seed)
        return await self._call(latent_calls.sample_texts(model, count, how, timeout))

    async def interpolate_texts(
        self,
        model: str,
        from_text: str,
        to_text: str,
        *,
        steps: int | None = None,
        path: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        seed: int | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - gRPC's deadline
    ) -> latents.Interpolation:
        """Write `steps` texts on the way; `path` is "linear" (the default) or "spherical"."""
        how = latent_calls.decoding(max_tokens, temperature, seed)
        ends = from_text, to_text
        call = latent_calls.interpolate_texts(model, ends, steps, path, how, timeout)
        return await self._call(call)

    async def compress_texts(
        self,
        model: str,
        texts: Sequence[str],
        *,
        bits: int | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - gRPC's deadline
    ) -> latents.Compression:
        """Tell what is left of texts whose latent vectors have `bits` for each number."""
        return await self._call(latent_calls.compress_texts(model, texts, bits, timeout))
