"""The runner of a GPU: prompts as they come, decoding as CUDA graphs."""

from collections.abc import Callable

import torch
from torch import Tensor

from llmosd.architectures.architecture import Architecture, ForwardBatch
from llmosd.engine.cuda.decode_step import DecodeStep
from llmosd.engine.kv_cache import KVCache
from llmosd.engine.runner import Runner
from llmosd.engine.slices import Slice

_LONG_BLOCKS = 32  # enough for attention to split a context among programs


class CudaRunner(Runner):
    """See Runner. Nothing here waits for the device.

    A step that only decodes is one launch of a graph; its hundreds of kernels would take the host
    longer to launch one by one than the device to compute. Steps with parts of prompts compute long
    enough to hide that.
    """

    def __init__(
        self,
        network: Architecture,
        cache: KVCache,
        device: torch.device,
        rows_per_tile: int,
        *,
        max_sequences: int,
        max_blocks: int,
    ) -> None:
        """Capture decoding of up to `max_sequences` sequences of up to `max_blocks` blocks each.

        On a CPU, where Triton interprets its kernels, the same steps are computed uncaptured.
        """
        super().__init__(network, cache, device, rows_per_tile)
        with torch.inference_mode():
            _compile_long_prompts(network, cache, device)
            self._step = DecodeStep(network, cache, device, max_sequences, max_blocks)
            self._decode = self._step.compute if device.type == "cpu" else capture(self._step)

    @torch.inference_mode()
    def run(self, slices: list[Slice]) -> Tensor:
        """See Runner.run."""
        if not self._step.takes(slices):
            return super().run(slices)
        return self._decode(self._step.fill(slices))[: len(slices)]


def _compile_long_prompts(network: Architecture, cache: KVCache, device: torch.device) -> None:
    """Attend from two rows as if to a long context, and store nothing.

    The engine's own warm-up has short prompts, which take another form of the kernel.
    """
    rows = torch.zeros(2, dtype=torch.int64, device=device)
    blocks = torch.zeros((1, _LONG_BLOCKS), dtype=torch.int32, device=device)
    tiles = torch.tensor([[0, 2, 0]], dtype=torch.int32, device=device)
    batch = ForwardBatch(rows, rows, tiles, rows - 1, blocks, [(0, 2)])
    network.forward(batch, cache)


def capture(step: DecodeStep) -> Callable[[int], Tensor]:
    """Capture `step.compute` once per bucket; the result replays instead of computing.

    What it returns for a bucket is overwritten by the next call for the same one.
    """
    graphs: dict[int, torch.cuda.CUDAGraph] = {}
    outputs: dict[int, Tensor] = {}
    pool = torch.cuda.graph_pool_handle()
    side = torch.cuda.Stream()
    # The largest first: the others find room in what it left in the pool.
    for bucket in reversed(step.buckets):
        # Kernels are compiled, and cuBLAS makes up its mind, before anything is recorded.
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            step.compute(bucket)
        torch.cuda.current_stream().wait_stream(side)
        graphs[bucket] = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graphs[bucket], pool=pool):
            outputs[bucket] = step.compute(bucket)

    def replay(bucket: int) -> Tensor:
        graphs[bucket].replay()
        return outputs[bucket]

    return replay
