"""What durable jobs are asked to do: spec.json of their run directories.

Imports nothing heavy: the front writes them, the job's process reads them.
"""

from typing import Literal

import msgspec

Objective = Literal[
    "language_model",
    "masked_language_model",
    "classify",
    "regress",
    "sft",
    "dpo",
    "kto",
    "distill",
    "seqgan",
    "vae",
]
Method = Literal["full", "lora"]
OptimizerName = Literal["adamw", "adam", "sgd", "rmsprop", "muon"]
ScheduleName = Literal["constant", "linear", "cosine", "wsd"]
KlScheduleName = Literal["constant", "linear", "logistic", "cyclical"]
Precision = Literal["float32", "bfloat16"]


class LoraSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Low-rank adaptation (Hu et al., 2021): W + alpha / rank * B A on the target products.

    `targets` are the last parts of parameter names, as "q_proj".
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    merge: bool = False  # publish whole weights instead of an adapter
    base_precision: Precision = "float32"  # in which the frozen weights are kept in memory


class OptimizerSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The optimizer; what an optimizer has no use for is left alone.

    `weight_decay` is decoupled (Loshchilov and Hutter, 2019), and skips vectors and embeddings;
    `l2` is added to the gradient.
    """

    name: OptimizerName = "adamw"
    learning_rate: float = 3e-4
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    momentum: float = 0.0  # sgd, rmsprop, muon
    alpha: float = 0.99  # rmsprop
    weight_decay: float = 0.0
    l2: float = 0.0


class ScheduleSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The learning rate as a function of the step: warm-up, then `name` down to the minimum.

    `minimum` is a share of the learning rate; `decay_share` the part of all steps that "wsd"
    decays in.
    """

    name: ScheduleName = "cosine"
    warmup_steps: int = 0
    minimum: float = 0.1
    decay_share: float = 0.2


class LatentSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The objective vae: what weight the KL divergence has, and what keeps it from vanishing.

    Attributes:
        kl_weight: beta at the end of its schedule.
        kl_schedule: see objectives.annealing.
        kl_warmup_steps: until the weight is reached, in each cycle; 0: half of the run, or cycle.
        kl_cycles: of "cyclical".
        free_bits: nats of each sentence's dimension that cost nothing (Kingma et al., 2016).
        word_dropout: share of the decoder's inputs that are hidden (Bowman et al., 2016).
        importance_samples: draws of each sentence in an evaluation.
    """

    kl_weight: float = 1.0
    kl_schedule: KlScheduleName = "linear"
    kl_warmup_steps: int = 0
    kl_cycles: int = 4
    free_bits: float = 0.0
    word_dropout: float = 0.0
    importance_samples: int = 8


class StoppingSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stop when `metric` has not improved by `min_delta` for `patience` evaluations."""

    metric: str = "loss"
    patience: int = 3
    min_delta: float = 0.0
    maximize: bool = False


class PrivacySpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Differential privacy of the training's examples; see jobs.training.privacy.

    Attributes:
        noise_multiplier: standard deviation of the noise over `max_grad_norm`.
        max_grad_norm: what an example's gradient is clipped to.
        delta: of (epsilon, delta).
    """

    noise_multiplier: float
    max_grad_norm: float = 1.0
    delta: float = 1e-5


class AdversarialSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The game of objective seqgan (Yu et al., 2017).

    Attributes:
        likelihood_steps: of the generator, from the data, before the game.
        discriminator_steps: of the discriminator, after these.
        rollouts: endings that are drawn for each token of a sequence.
        round_discriminator_steps: of the discriminator, in each round.
        discriminator: family of the classifier, "cnn" or "lstm".
        discriminator_size: its hidden_size.
        discriminator_dropout: its dropout.
        generator_rate, discriminator_rate: learning rates (Adam) in the game.
        most_rise: by how much the loss of real data, nats per token, may rise in the game.
    """

    likelihood_steps: int = 1000
    discriminator_steps: int = 200
    rollouts: int = 16
    round_discriminator_steps: int = 5
    discriminator: Literal["cnn", "lstm"] = "cnn"
    discriminator_size: int = 64
    discriminator_dropout: float = 0.25
    generator_rate: float = 1e-3
    discriminator_rate: float = 1e-3
    most_rise: float = 0.5


class TrainSpec(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="train-model"
):
    """One training run. Paths are folders of the store, resolved by the front.

    Attributes:
        model_id: the model that gets the new version.
        family: architecture of a network from scratch: "llama", "gpt2", "encoder",
            "rnn", "gru", "lstm", "seq2seq", "seq2seq-lstm", "vae", "cnn", "naive-bayes".
        shape: sizes from scratch, by the names of ModelConfig; what is missing has a default.
        init_from: version folder to start from; empty: from scratch.
        base: resource name of the version behind `init_from`, for lineage.
        adapter: version folder of an adapter to `init_from` that is trained on, or, by method
            "full", merged before the first step; adapter_name: its resource name.
        dataset, validation: dataset version folders; validation may be empty: then rows that the
            dataset's split calls validation.
        tokenizer: version folder whose tokenizer.json is used from scratch; empty: trained on the
            dataset, `tokenizer_kind` with `vocabulary_size` at most.
        teacher: version folder, objective distill; of seqgan, an oracle that judges samples.
        sequence_length: tokens of a row at most; longer documents are cut (language_model) or
            refused (the rest).
        batch_size: rows of a step of the optimizer; `accumulation` splits it into that many parts.
        packing: a step takes as many whole examples as make about batch_size x sequence_length
            tokens, end to end, and they see nothing of each other; else it takes batch_size
            examples. No step has padding, packed or not.
        sampling: "examples" goes through all of them in a new order each epoch; "windows" draws
            batch_size pieces of sequence_length tokens anywhere in the text, as nanoGPT does
            (language_model only); "tracks" cuts the text into batch_size tracks, reads them side by
            side, and carries a recurrent network's state from step to step; "auto": windows for
            language_model where there are fewer examples than batch_size.
        steps: of the optimizer; 0: `epochs` times the dataset.
        threads: of the worker; fixed for the run, results depend on it in bits.
        evaluate_every, checkpoint_every, log_every: in steps; 0 of the first: at the end only.
        evaluate_rows: of the validation rows; 0: all.
        answer_rows: of the validation rows, how many are answered at every evaluation, and judged
            by their own answers (sft).
        keep_checkpoints: newest ones that stay, beside the best.
        label_smoothing: share of the target spread evenly (Szegedy et al., 2016).
        adversarial_epsilon: norm of the perturbation of embeddings (FGM, Miyato et al., 2017).
        mask_share: of the tokens, objective masked_language_model.
        beta: of DPO and KTO.
        distill_temperature, distill_share: share of the teacher's loss beside the labels'.
        samples: prompts answered at every evaluation.
    """

    model_id: str
    objective: Objective = "language_model"
    method: Method = "full"
    family: str = ""
    shape: dict[str, int | float | bool] = {}
    init_from: str = ""
    base: str = ""
    adapter: str = ""
    adapter_name: str = ""
    dataset: str
    dataset_name: str = ""
    dataset_digest: str = ""
    validation: str = ""
    tokenizer: str = ""
    tokenizer_kind: Literal["character", "word", "bpe"] = "bpe"
    vocabulary_size: int = 8192
    teacher: str = ""
    sequence_length: int = 256
    batch_size: int = 8
    accumulation: int = 1
    packing: bool = True
    sampling: Literal["auto", "examples", "windows", "tracks"] = "auto"
    steps: int = 0
    epochs: float = 1.0
    optimizer: OptimizerSpec = OptimizerSpec()
    schedule: ScheduleSpec = ScheduleSpec()
    lora: LoraSpec = LoraSpec()
    latent: LatentSpec = LatentSpec()
    clip_norm: float = 1.0
    dropout: float = 0.0
    label_smoothing: float = 0.0
    adversarial_epsilon: float = 0.0
    mask_share: float = 0.15
    beta: float = 0.1
    distill_temperature: float = 1.0
    distill_share: float = 0.5
    precision: Precision = "float32"
    gradient_checkpointing: bool = False
    seed: int = 0
    threads: int = 0
    device: str = "cpu"
    log_every: int = 10
    evaluate_every: int = 0
    evaluate_rows: int = 0
    answer_rows: int = 0
    checkpoint_every: int = 100
    keep_checkpoints: int = 2
    early_stopping: StoppingSpec | None = None
    adversarial: AdversarialSpec | None = None
    privacy: PrivacySpec | None = None
    samples: tuple[str, ...] = ()
    sample_tokens: int = 32
    license: str = ""
