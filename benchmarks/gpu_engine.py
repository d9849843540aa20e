"""An engine around random weights on a device, and how fast it is. Needs no file and no network."""

import statistics
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch

from llmosd.architectures.config import ModelConfig, RopeConfig
from llmosd.architectures.families.table import block_bytes, expected_shapes
from llmosd.architectures.torch_ops import TorchOps
from llmosd.engine.choices import RunnerChoice, choose, with_ops
from llmosd.engine.engine import Engine
from llmosd.engine.kv_cache import BLOCK_TOKENS, KVCache
from llmosd.engine.loader import assemble
from llmosd.engine.runner import Runner
from llmosd.engine.torch_sampler import TorchSampler
from llmosd.ipc.messages import LoadEngine, SamplingSpec, Submit

# The shape of Llama 3.1 8B, with a shorter context.
LARGE = ModelConfig(
    "llama", "llama", 128256, 4096, 14336, 32, 32, 8, 128, 16384, 1e-5, rope=RopeConfig(500000.0)
)
# Small enough to compare arithmetics on, deep enough for them to differ.
SMALL = ModelConfig("llama", "llama", 4096, 512, 1408, 6, 8, 2, 64, 1024, 1e-5)
TINY = ModelConfig("llama", "llama", 512, 64, 128, 2, 4, 2, 16, 512, 1e-5)
GREEDY = SamplingSpec(0.0, 0, 1.0, 0.0, 1.0, 0.0, 0.0, 0, {})


@dataclass(frozen=True)
class Run:
    """One batch: seconds to each request's first token, and to the last one of all."""

    first: list[float]
    seconds: float
    tokens: list[list[int]]

    @property
    def decode_rate(self) -> float:
        """Tokens per second after the last first token."""
        count = sum(len(answer) - 1 for answer in self.tokens)
        return count / (self.seconds - max(self.first))

    @property
    def rate(self) -> float:
        """Tokens per second, prompts' computation included."""
        return sum(map(len, self.tokens)) / self.seconds


def plain(device: str, dtype: str) -> RunnerChoice:
    """The reference on any device: plain torch, nothing fused, nothing captured."""
    where = torch.device(device)

    def runner(_order, _config, network, cache):
        return Runner(network, cache, where, 16)

    kind = {"float32": torch.float32, "bfloat16": torch.bfloat16}[dtype]
    return RunnerChoice(
        "torch",
        with_ops(TorchOps),
        kind,
        KVCache,
        runner,
        TorchSampler,
        torch.set_num_threads,
        lambda _report: nullcontext(),
    )


def make(config: ModelConfig, device: str, dtype: str, *, reference=False, positions=0) -> Engine:
    """An engine whose cache holds `positions`; the GPU's own, or on a CPU the plain one."""
    choice = plain(device, dtype) if reference or device == "cpu" else choose(device, dtype)
    blocks = -(-positions // BLOCK_TOKENS) + 1
    size = blocks * block_bytes(config, BLOCK_TOKENS, choice.cache_dtype.itemsize)
    order = LoadEngine("", device, dtype, "", size, 64, 2048, 0, torch.get_num_threads(), 1.0)

    @contextmanager
    def opened():
        yield random_weights(config, device, choice.cache_dtype)

    with torch.inference_mode():
        network = choice.build(order, config, opened)
    engine, _ = assemble(order, config, choice, network)
    return engine


def random_weights(config: ModelConfig, device: str, dtype: torch.dtype):
    """Weights by name, the same for a name in every run on a device; norms near one."""
    shapes = expected_shapes(config)

    def weight(name: str) -> torch.Tensor:
        generator = torch.Generator(device).manual_seed(zlib.crc32(name.encode()))
        shape = shapes[name]
        values = torch.randn(shape, generator=generator, device=device, dtype=torch.float32)
        scaled = 1 + 0.1 * values if len(shape) == 1 else values * shape[-1] ** -0.5
        # Rounded in any case, so that float32 and bfloat16 have the same weights.
        return scaled.bfloat16().to(dtype)

    return weight


def prompts(config: ModelConfig, count: int, length: int, seed: int = 1) -> list[list[int]]:
    """Random tokens."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(config.vocab_size, (count, length), generator=generator).tolist()


def run(engine: Engine, batch: list[list[int]], max_tokens: int, num_logprobs: int = -1) -> Run:
    """All prompts at once, greedily, each to `max_tokens`."""
    return _watched(engine, batch, max_tokens, num_logprobs)[0]


def top_gaps(engine: Engine, prompt: list[int], max_tokens: int) -> tuple[list[int], list[float]]:
    """A greedy answer, and by how much each token was likelier (log) than the second one."""
    measured, tops = _watched(engine, [prompt], max_tokens, 2)
    return measured.tokens[0], [first[1] - second[1] for first, second in tops]


def _watched(engine, batch, max_tokens, num_logprobs):
    start = time.perf_counter()
    for at, prompt in enumerate(batch):
        engine.submit(
            Submit(at, prompt, 1, max_tokens, 0, [], GREEDY, num_logprobs, f"{start}")
        )  # a tenant of its own: no run finds another one's prompts
    first, tokens, tops = {}, [[] for _ in batch], []
    while engine.has_work:
        for out in engine.step().tokens:
            first.setdefault(out.id, time.perf_counter() - start)
            tokens[out.id].append(out.token)
            tops.append(out.top)
    return Run(list(first.values()), time.perf_counter() - start, tokens), tops


def median(measure, times: int = 3) -> float:
    """Of some runs, after one that does not count."""
    measure()
    return statistics.median(measure() for _ in range(times))


def copy_bandwidth(device: str, size: int) -> float:
    """Bytes per second read and written by copying `size` bytes on the device."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def seconds() -> float:
        synchronize(device)
        start = time.perf_counter()
        for _ in range(5):
            target.copy_(source)
        synchronize(device)
        return (time.perf_counter() - start) / 5

    return 2 * size / median(seconds)


def bytes_per_token(config: ModelConfig, width: int, context: int) -> int:
    """What decoding one token must read: all weights but the embedding's, keys and values."""
    shapes = expected_shapes(config)
    table = shapes.pop("model.embed_tokens.weight")
    numbers = sum(int(torch.Size(shape).numel()) for shape in shapes.values())
    if config.tie_embeddings:
        numbers += int(torch.Size(table).numel())
    kind = {2: torch.bfloat16, 4: torch.float32}[width]
    return numbers * width + context * block_bytes(config, 1, kind.itemsize)


def product_rates(config: ModelConfig, device: str) -> Iterator[tuple[str, float, float]]:
    """Per matrix of a layer: bytes per second for one row, by our kernel and by cuBLAS."""
    from llmosd.engine.cuda.matvec import matvec

    heads = (config.num_heads + 2 * config.num_kv_heads) * config.head_dim
    hidden, inner = config.hidden_size, config.intermediate_size
    for name, outputs, inputs in (
        ("queries, keys, values", heads, hidden),
        ("attention output", hidden, config.num_heads * config.head_dim),
        ("gate and up", 2 * inner, hidden),
        ("down", hidden, inner),
        ("head", config.vocab_size, hidden),
    ):
        x = torch.randn((1, inputs), device=device, dtype=torch.bfloat16)
        # Several, so that the cache of the device does not hold the one that comes next.
        count = max(2, 2**29 // (2 * outputs * inputs))
        weights = [torch.randn((outputs, inputs), device=device).bfloat16() for _ in range(count)]

        def rate(product, x=x, weights=weights, size=2 * outputs * inputs):
            def seconds() -> float:
                synchronize(device)
                start = time.perf_counter()
                for weight in weights:
                    product(x, weight, None)
                synchronize(device)
                return (time.perf_counter() - start) / len(weights)

            return size / median(seconds)

        yield name, rate(matvec), rate(torch.nn.functional.linear)


def synchronize(device: str) -> None:
    """Wait for the device."""
    if device == "cuda":
        torch.cuda.synchronize()
