"""What a run will need, before it starts: memory by kind, and arithmetic. Imports nothing heavy."""

from typing import NamedTuple

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import expected_shapes, family_of, parameter_count
from llmosd.jobs.specs import TrainSpec

PROCESS_BYTES = 350 << 20
"""Of an interpreter with torch, before it has done anything."""

_SCORES_BYTES = 2 * (32 << 20)
"""The pieces of scores that objectives.cross_entropy has at a time, and their gradient."""

_MOMENTS = {"adamw": 2, "adam": 2, "sgd": 0, "rmsprop": 1, "muon": 1}


class Estimate(NamedTuple):
    """Bytes at the worst moment, and floating-point operations of a step.

    `total` counts what is in memory at once.
    """

    process: int
    weights: int
    gradients: int
    optimizer: int
    activations: int
    scores: int
    operations: int

    @property
    def total(self) -> int:
        """Of the process, in bytes."""
        return sum(self[:6])

    def seconds(self, steps: int, operations_per_second: float) -> float:
        """How long `steps` take at the machine's speed."""
        return steps * self.operations / operations_per_second


def estimate(spec: TrainSpec, config: ModelConfig, teacher: ModelConfig | None = None) -> Estimate:
    """Of training `config` as `spec` says; `teacher` is the one of objective distill."""
    whole = parameter_count(config)
    trained = adapter_parameters(config, spec) if spec.method == "lora" else whole
    narrow = spec.method == "lora" and spec.lora.base_precision == "bfloat16"
    weights = whole * (2 if narrow else 4) + (4 * trained if spec.method == "lora" else 0)
    if spec.objective in {"dpo", "kto"} and (spec.method == "full" or spec.adapter):
        weights += 4 * whole
    if teacher is not None:
        weights += 4 * parameter_count(teacher)
    moments = _MOMENTS[spec.optimizer.name]
    if spec.optimizer.momentum and spec.optimizer.name in {"sgd", "rmsprop"}:
        moments += 1
    tokens = _tokens(spec)
    return Estimate(
        process=PROCESS_BYTES,
        weights=weights,
        gradients=4 * trained,
        optimizer=4 * moments * trained,
        activations=tokens // spec.accumulation * _bytes_per_token(spec, config),
        scores=_scores(spec, config, tokens // spec.accumulation),
        operations=_operations(spec, config, tokens),
    )


def adapter_parameters(config: ModelConfig, spec: TrainSpec) -> int:
    """Weights of the adapters: rank times inputs and outputs of every target."""
    total = 0
    for name, shape in expected_shapes(config).items():
        product = f".{name.removesuffix('.weight')}"
        if len(shape) == 2 and product.endswith(tuple(f".{each}" for each in spec.lora.targets)):
            total += spec.lora.rank * sum(shape)
    return total


def _tokens(spec: TrainSpec) -> int:
    """Of a step at most: pairs have two answers."""
    pairs = 2 if spec.objective == "dpo" else 1
    return spec.batch_size * spec.sequence_length * pairs


def _bytes_per_token(spec: TrainSpec, config: ModelConfig) -> int:
    """What the forward pass leaves for the backward pass, and what that needs itself."""
    hidden, inner = config.hidden_size, config.intermediate_size
    layer = _saved_floats(spec, config)
    # The last layers' gradients, while their inputs are still there.
    working = 4 * hidden + 3 * inner
    layers = config.num_layers + config.encoder_layers
    if spec.gradient_checkpointing:
        floats = layers * hidden + layer + working
    else:
        floats = layers * layer + working
    # Autocast leaves norms and sums as they are, and halves what products are given.
    share = 0.65 if spec.precision == "bfloat16" else 1.0
    return int(4 * share * floats)


def _saved_floats(spec: TrainSpec, config: ModelConfig) -> int:
    """Of one layer, per token: inputs of norms, of trained products, of attention."""
    hidden, inner = config.hidden_size, config.intermediate_size
    if not family_of(config.architecture).memory(config).layers:
        # Gates and states of the layer, its input in both orders, and its output.
        return (4 + 2 + 3) * hidden
    queries = config.num_heads * config.head_dim
    keys = config.num_kv_heads * config.head_dim
    dropped = int(spec.dropout > 0) * 3 * hidden
    if config.architecture == "gpt2":
        inputs = {"c_attn": hidden, "c_proj": hidden + inner, "c_fc": hidden}
        always = 2 * hidden + 4 * hidden + 2 * inner
    else:
        inputs = {"q_proj": hidden, "o_proj": queries, "gate_proj": hidden, "down_proj": inner}
        always = 2 * hidden + 2 * queries + 2 * keys + 2 * inner
    if spec.method == "full":
        return always + sum(inputs.values()) + dropped
    shared = {"k_proj": "q_proj", "v_proj": "q_proj", "up_proj": "gate_proj"}
    targets = {shared.get(target, target) for target in spec.lora.targets}
    return always + sum(inputs[each] for each in targets if each in inputs) + dropped


def _scores(spec: TrainSpec, config: ModelConfig, tokens: int) -> int:
    if config.head != "language":
        return 0
    piece = min(_SCORES_BYTES, 2 * 4 * tokens * config.vocab_size)
    # The head's gradient is made apart, and then added to the embedding's.
    head = 4 * config.vocab_size * config.hidden_size if spec.method == "full" else 0
    return piece + head


def _operations(spec: TrainSpec, config: ModelConfig, tokens: int) -> int:
    """Two per weight and token forward, two for inputs' gradients, two for weights'."""
    tables = config.vocab_size * config.hidden_size
    products = parameter_count(config) - (0 if config.tie_embeddings else tables)
    layers = config.num_layers + config.encoder_layers
    attends = family_of(config.architecture).memory(config).layers
    attended = spec.sequence_length if attends else 0
    forward = 2 * products + 4 * layers * config.hidden_size * attended
    passes = 3 if spec.method == "full" else 2
    passes += int(spec.gradient_checkpointing) + int(spec.objective in {"dpo", "distill"})
    passes += 3 * int(spec.objective == "kto")
    if spec.adversarial_epsilon:
        passes *= 2
    return tokens * forward * passes
