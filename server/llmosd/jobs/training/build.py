"""From a spec to a network and its objective."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import family_of
from llmosd.architectures.trainable.lora import adapters_off, add_adapters, narrow_base
from llmosd.architectures.trainable.network import Network
from llmosd.architectures.trainable.registry import from_scratch, from_weights
from llmosd.errors import FeatureUnavailable, InvalidDataset, InvalidField
from llmosd.jobs.data.tokenized import TokenizedDataset
from llmosd.jobs.specs import TrainSpec
from llmosd.jobs.training.adapter_weights import fill_adapters, merge_adapter
from llmosd.jobs.training.seeds import WEIGHTS as WEIGHTS_SEED
from llmosd.jobs.training.seeds import seed_of
from llmosd.jobs.training.shape import fresh_config
from llmosd.objectives.objective import Objective, Settings
from llmosd.objectives.registry import OBJECTIVES, REFERENCED, SCORED
from llmosd.quantizers.stored import logical, read_stored
from llmosd.store.files import read_regular
from llmosd.store.manifest import ADAPTER_WEIGHTS, CONFIG, WEIGHTS

_LARGEST_CONFIG = 1 << 20
_MASKS = ("[MASK]", "<mask>")
# What stands for a word that a decoder does not see, in tokenizers of ours and of others.
_HIDDEN = ("<|mask|>", *_MASKS, "<|unk|>", "[UNK]", "<unk>")


class Parts:
    """What a run trains, and with what; `mask_id` is the token that hides others."""

    def __init__(
        self, spec: TrainSpec, data: TokenizedDataset, tokenizer: bytes, start_id: int = -1
    ) -> None:
        """Read or draw the weights; `start_id` is the token that ends prompts.

        Raises:
            InvalidField, InvalidDataset, FeatureUnavailable, DataCorrupt.
        """
        words = Tokenizer.from_str(tokenizer.decode())
        found = (words.token_to_id(name) for name in _MASKS)
        self.mask_id = next((each for each in found if each is not None), -1)
        self.config = model_config(spec, data, words.get_vocab_size(), start_id)
        if self.mask_id < 0:
            # A word more than the tokenizer has; see `model_config`.
            self.mask_id = self.config.vocab_size - 1
        if spec.latent.word_dropout:
            self.mask_id = _hidden_word(words)
        _check_words(data, self.config)
        self.network = _network(spec, self.config).to(spec.device)
        self.objective = self._objective(spec)
        self.oracle = _teacher(spec, self.config) if spec.adversarial and spec.teacher else None

    def _objective(self, spec: TrainSpec) -> Objective:
        other: Any = None
        if spec.objective in REFERENCED:
            other = _reference(spec, self.network, self.config)
        elif spec.objective == "distill":
            other = _teacher(spec, self.config)
        settings = Settings(
            vocab_size=self.config.vocab_size,
            labels=len(self.config.labels),
            mask_id=self.mask_id,
            label_smoothing=spec.label_smoothing,
            mask_share=spec.mask_share,
            beta=spec.beta,
            distill_temperature=spec.distill_temperature,
            distill_share=spec.distill_share,
            **msgspec.structs.asdict(spec.latent),
        )
        return OBJECTIVES[spec.objective](settings, other)


def model_config(
    spec: TrainSpec, data: TokenizedDataset, words: int, start_id: int = -1
) -> ModelConfig:
    """Of the network: the start's own, or what `spec.shape` says; with the objective's head.

    From scratch, masked words get a word of their own where the tokenizer has none.

    Raises:
        InvalidField: for a field that ModelConfig does not have, or values that do not fit.
    """
    if spec.init_from:
        config = _own_config(spec)
    else:
        extra = int(spec.objective == "masked_language_model")
        config = fresh_config(spec, words + extra)
        config = msgspec.structs.replace(config, start_id=start_id)
    if spec.sequence_length > config.context_length:
        raise InvalidField.of(
            "sequence_length", f"the model reads {config.context_length} tokens at most"
        )
    if spec.objective not in family_of(config.architecture).objectives:
        raise InvalidField.of("objective", f"{spec.objective} is not for {config.architecture}")
    if spec.objective not in SCORED:
        return config
    labels = data.label_names if spec.objective == "classify" else ("grade",)
    if data.labels is None or not labels:
        raise InvalidDataset(f"{spec.objective} needs a dataset with labels")
    return msgspec.structs.replace(config, head=SCORED[spec.objective], labels=labels)


def _own_config(spec: TrainSpec) -> ModelConfig:
    """Of the version to start from."""
    text = read_regular(Path(spec.init_from), CONFIG, _LARGEST_CONFIG)
    return msgspec.json.decode(text, type=ModelConfig)


def _network(spec: TrainSpec, config: ModelConfig) -> Network:
    seed = seed_of(spec.seed, WEIGHTS_SEED)
    if spec.init_from:
        weights = read_weights(spec.init_from)
        if config.labels != _own_config(spec).labels:
            # Scores of other labels, or of the same in another order, mean nothing here.
            weights = {n: each for n, each in weights.items() if not n.startswith("score.")}
        network = from_weights(config, weights, spec.dropout, seed)
    else:
        network = from_scratch(config, seed, spec.dropout)
    network.checkpointing = spec.gradient_checkpointing
    if spec.method == "lora":
        if not spec.init_from:
            raise InvalidField.of("method", "an adapter needs a model to start from")
        lora = spec.lora
        torch.manual_seed(seed_of(spec.seed, WEIGHTS_SEED, 1))
        add_adapters(network, lora.targets, rank=lora.rank, alpha=lora.alpha, dropout=lora.dropout)
        if spec.adapter:
            fill_adapters(network, Path(spec.adapter))
        narrow_base(network, getattr(torch, lora.base_precision))
    elif spec.adapter:
        merge_adapter(network, Path(spec.adapter))
    return network


def read_weights(folder: str) -> dict[str, Tensor]:
    """The weights of a version folder; raises FeatureUnavailable where it is an adapter's."""
    if (Path(folder) / ADAPTER_WEIGHTS).exists():
        raise FeatureUnavailable("it has to have whole weights: merge the adapter first")
    return folder_weights(Path(folder))


def folder_weights(folder: Path) -> dict[str, Tensor]:
    """The weights in a version folder's own file, those that are kept quantized as float32."""
    tensors = load_file(folder / WEIGHTS)
    return {name: read_stored(name, tensors, tensors.__getitem__) for name in logical(tensors)}


def _reference(spec: TrainSpec, network: Network, config: ModelConfig) -> Any:
    """The network as it was before: its base alone, or a second one."""
    if spec.method == "lora" and not spec.adapter:
        return _Base(network, resting=spec.dropout + spec.lora.dropout > 0)
    before = from_weights(config, read_weights(spec.init_from))
    if spec.adapter:
        merge_adapter(before, Path(spec.adapter))
    return _frozen(before, spec)


def _teacher(spec: TrainSpec, config: ModelConfig) -> Network:
    text = read_regular(Path(spec.teacher), CONFIG, _LARGEST_CONFIG)
    own = msgspec.json.decode(text, type=ModelConfig)
    if own.vocab_size != config.vocab_size:
        raise InvalidField.of("teacher", "teacher and student must have one vocabulary")
    if own.context_length < spec.sequence_length:
        raise InvalidField.of("teacher", f"it reads {own.context_length} tokens at most")
    return _frozen(from_weights(own, read_weights(spec.teacher)), spec)


def _frozen(network: Network, spec: TrainSpec) -> Network:
    network.requires_grad_(requires_grad=False)
    return network.eval().to(spec.device)


class _Base:
    """An adapted network without its adapters, and without dropout."""

    def __init__(self, network: Network, *, resting: bool) -> None:
        self._network = network
        self._resting = resting

    def __call__(
        self, ids: Tensor, lengths: tuple[int, ...], perturbation: Tensor | None = None
    ) -> Tensor:
        # Threads share the network: its mode is changed only where they take turns.
        mode = _resting(self._network) if self._resting else nullcontext()
        with adapters_off(), mode:
            out: Tensor = self._network(ids, lengths, perturbation)
            return out

    @property
    def head(self) -> Tensor:
        return self._network.head


@contextmanager
def _resting(network: Network) -> Iterator[None]:
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)


def _hidden_word(words: Tokenizer) -> int:
    """The token of `_HIDDEN` that a tokenizer has; raises InvalidField where it has none."""
    for name in _HIDDEN:
        found = words.token_to_id(name)
        if found is not None:
            return int(found)
    raise InvalidField.of(
        "latent.word_dropout", "the tokenizer has no token for a word that is hidden or unknown"
    )


def _check_words(data: TokenizedDataset, config: ModelConfig) -> None:
    largest = int(data.ids.max()) if len(data.ids) else 0
    if largest >= config.vocab_size:
        raise InvalidDataset(
            f"the data has token {largest}, and the model knows {config.vocab_size}: it was made "
            "with another tokenizer"
        )
