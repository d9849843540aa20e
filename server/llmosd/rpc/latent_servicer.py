"""llmos.v1.LatentService: translate, call, translate."""

import asyncio
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from llmos.v1 import generation_service_pb2, latent_service_pb2_grpc
from llmos.v1 import latent_service_pb2 as pb
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import families, family_of
from llmosd.errors import FeatureUnavailable, InvalidField
from llmosd.rpc import latent_space
from llmosd.rpc.answer import Outcome
from llmosd.rpc.caller import Caller
from llmosd.rpc.encoder import Encoder
from llmosd.rpc.generator import Generator, Running
from llmosd.store.catalog import Catalog
from llmosd.store.names import ModelRef
from llmosd.store.records import VersionRecord
from llmosd.store.versions import VersionStore
from llmosd.supervisor.pool import ModelPool

_STEPS, _BITS = 7, 8
_NATS = math.log(2)


class _Model(NamedTuple):
    record: VersionRecord
    start_id: int
    latent_size: int


class LatentServicer(latent_service_pb2_grpc.LatentServiceServicer):
    """Encodes and decodes on the pool's engines."""

    def __init__(
        self,
        catalog: Catalog,
        store: VersionStore,
        pool: ModelPool,
        generator: Generator,
        encoder: Encoder,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._pool = pool
        self._generator = generator
        self._encoder = encoder

    async def EncodeText(
        self, request: pb.EncodeTextRequest, context: Any
    ) -> pb.EncodeTextResponse:
        """A text's posterior."""
        model = self._model(request.model)
        mean, log_variance = await self._encode(model, "text", request.text, context)
        return pb.EncodeTextResponse(
            model_version=model.record.name,
            mean=pb.LatentVector(values=mean),
            log_variance=log_variance,
            kl=latent_space.kl_divergence(mean, log_variance),
        )

    async def DecodeLatents(
        self, request: pb.DecodeLatentsRequest, context: Any
    ) -> pb.DecodeLatentsResponse:
        """The texts of latent vectors."""
        model = self._model(request.model)
        for at, latent in enumerate(request.latents):
            if len(latent.values) != model.latent_size:
                raise InvalidField.of(
                    f"latents[{at}].values",
                    f"has {len(latent.values)} numbers; {model.record.name} has latent vectors of "
                    f"{model.latent_size}",
                )
        vectors = [list(latent.values) for latent in request.latents]
        texts, seed = await self._decode(model, vectors, request.decoding, context)
        return pb.DecodeLatentsResponse(model_version=model.record.name, texts=texts, seed=seed)

    async def SampleTexts(
        self, request: pb.SampleTextsRequest, context: Any
    ) -> pb.SampleTextsResponse:
        """The texts of draws from the prior: the engine's answers to a prompt of no words."""
        model = self._model(request.model)
        asked = _generation(model, request.decoding)
        asked.sampling.n = request.count or 1
        running = await self._generator.start(asked, Caller.of(context))
        try:
            texts = await _texts(running)
        finally:
            self._generator.end(running.generation)
        return pb.SampleTextsResponse(
            model_version=model.record.name, texts=texts, seed=running.parameters.sampling.seed
        )

    async def InterpolateTexts(
        self, request: pb.InterpolateTextsRequest, context: Any
    ) -> pb.InterpolateTextsResponse:
        """The texts between two texts' means."""
        model = self._model(request.model)
        begin, _ = await self._encode(model, "from_text", request.from_text, context)
        end, _ = await self._encode(model, "to_text", request.to_text, context)
        steps = request.steps or _STEPS
        shares = [at / (steps - 1) for at in range(steps)]
        between = latent_space.linear
        if request.path == pb.InterpolateTextsRequest.PATH_SPHERICAL:
            between = latent_space.spherical
        vectors = [between(begin, end, share) for share in shares]
        texts, seed = await self._decode(model, vectors, request.decoding, context)
        response = pb.InterpolateTextsResponse(model_version=model.record.name, seed=seed)
        for share, vector, text in zip(shares, vectors, texts, strict=True):
            response.points.add(share=share, latent=pb.LatentVector(values=vector), text=text)
        return response

    async def CompressTexts(
        self, request: pb.CompressTextsRequest, context: Any
    ) -> pb.CompressTextsResponse:
        """Texts through rounded means, and what that takes and costs."""
        model, bits = self._model(request.model), request.bits or _BITS
        found = [
            await self._encode(model, f"texts[{at}]", text, context)
            for at, text in enumerate(request.texts)
        ]
        vectors = [latent_space.rounded(mean, bits) for mean, _ in found]
        texts, _ = await self._decode(model, vectors, pb.LatentDecoding(), context)
        response = pb.CompressTextsResponse(model_version=model.record.name)
        sums = [0.0, 0.0, 0.0]
        for text, again, posterior in zip(request.texts, texts, found, strict=True):
            kl = latent_space.kl_divergence(*posterior) / _NATS
            own = [bits * model.latent_size, latent_space.edits(text, again), kl]
            response.results.add(text=text, reconstruction=again, **_rates(own, len(text)))
            sums = [total + value for total, value in zip(sums, own, strict=True)]
        characters = sum(map(len, request.texts))
        for name, value in _rates(sums, characters).items():
            setattr(response, name, value)
        return response

    def _model(self, name: str) -> _Model:
        """Raises FeatureUnavailable for a model without a latent vector."""
        record = self._catalog.resolve(ModelRef.parse(name))
        self._pool.pins.hold(record)
        if not family_of(record.architecture).latent:
            fit = ", ".join(each.name for each in families().values() if each.latent)
            raise FeatureUnavailable(
                f"{record.name} is of family {record.architecture}, which has no latent vector; "
                f"models of family {fit} have"
            )
        config = self._store.config(record.model_id, record.version, ModelConfig)
        return _Model(record, config.start_id, config.latent_size)

    async def _encode(
        self, model: _Model, field: str, text: str, context: Any
    ) -> tuple[list[float], list[float]]:
        found = await self._encoder.encode(model.record, field, text, Caller.of(context))
        return found[: model.latent_size], found[model.latent_size :]

    async def _decode(
        self,
        model: _Model,
        vectors: Sequence[list[float]],
        decoding: pb.LatentDecoding,
        context: Any,
    ) -> tuple[list[str], int]:
        """Texts of the vectors, and the seed; all at once, each a generation of its own."""
        asked, caller = _generation(model, decoding), Caller.of(context)
        running: list[Running] = []
        try:
            for vector in vectors:
                running.append(await self._generator.start(asked, caller, [vector]))
                # All texts of one call have one seed.
                asked.sampling.seed = running[0].parameters.sampling.seed
            found = await asyncio.gather(*map(_texts, running))
        finally:
            for each in running:
                self._generator.end(each.generation)
        return [texts[0] for texts in found], asked.sampling.seed


def _generation(
    model: _Model, decoding: pb.LatentDecoding
) -> generation_service_pb2.GenerateRequest:
    """A request for an answer to no prompt."""
    request = generation_service_pb2.GenerateRequest(model=model.record.name)
    request.tokens.ids.append(model.start_id)
    request.sampling.temperature = decoding.temperature
    if decoding.HasField("seed"):
        request.sampling.seed = decoding.seed
    if decoding.HasField("max_tokens"):
        request.stopping.max_tokens = decoding.max_tokens
    return request


async def _texts(running: Running) -> list[str]:
    """The answers of a generation, once they are whole."""
    async for step in running.generation.events():
        if isinstance(step, Outcome):
            break
    return [running.generation.text(at) for at in range(running.parameters.num_choices)]


def _rates(sums: Sequence[float], characters: int) -> dict[str, float]:
    names = ("bits_per_character", "character_error_rate", "kl_bits_per_character")
    return {name: value / characters for name, value in zip(names, sums, strict=True)}
