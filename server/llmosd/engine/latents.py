"""Latent vectors that no prompt has said anything of: draws from the prior N(0, I)."""

import msgspec
import numpy as np

from llmos_kernels.random import normals
from llmosd.architectures.config import ModelConfig
from llmosd.ipc.messages import Submit


class Prior:
    """Gives every answer to an empty prompt, the start token alone, a latent vector of its own.

    It is a function of the request's seed and the answer's number: the same seed, the same vector,
    whatever else runs. See llmos_kernels.random.normals.
    """

    def __init__(self, config: ModelConfig) -> None:
        """Of a family with `latent`."""
        self._empty = [config.start_id]
        self._size = config.latent_size

    def complete(self, request: Submit) -> Submit:
        """The request with what it lacks."""
        if request.passive or request.latents or request.prompt != self._empty:
            return request
        # All beginnings of a search are of one answer.
        count = 1 if request.sampling.beams else request.num_choices
        latents = [self._draw(request.sampling.seed, at) for at in range(count)]
        return msgspec.structs.replace(request, latents=latents)

    def _draw(self, seed: int, choice: int) -> list[float]:
        out = np.empty(self._size, np.float32)
        normals(np.uint64(seed), choice, out)
        drawn: list[float] = out.tolist()
        return drawn
