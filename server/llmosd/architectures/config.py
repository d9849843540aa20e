"""The shape of a model, in our own words: what config.json in the store holds.

Importers translate into it once; the engine reads nothing else.
"""

import msgspec


class RopeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rotary position embedding (Su et al., 2021) and its scaling.

    `kind` is "default", "linear", "llama3" or "yarn"; the fields below `theta` are read by the
    kinds that name them, with the meaning they have in transformers' `rope_parameters`.
    """

    theta: float = 10000.0
    kind: str = "default"
    factor: float = 1.0  # linear, llama3, yarn
    original_context: int = 0  # llama3, yarn
    low_freq_factor: float = 1.0  # llama3
    high_freq_factor: float = 4.0  # llama3
    beta_fast: float = 32.0  # yarn
    beta_slow: float = 1.0  # yarn
    attention_factor: float | None = None  # yarn: None computes it from factor


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes and switches of a decoder; weights have Hugging Face's parameter names.

    `architecture` is a key of `families.table`: "llama" for the Llama family (Llama,
    SmolLM, Mistral, Qwen2, Qwen3 are switches of one network), "gpt2" for the GPT-2 shape; "rnn",
    "gru", "lstm" for recurrent layers of `hidden_size` cells, to which heads, norms and the
    intermediate size mean nothing; "encoder": the Llama network that also sees what comes after
    a token; "cnn" and "naive-bayes", which know texts as wholes alone.

    With `head` "classify" or "regress" there is `score.weight` instead of a head over the
    vocabulary: one row for each of `labels`, or one row for a grade.
    """

    architecture: str
    family: str  # what the importer read: "llama", "mistral", "qwen2", "qwen3", "gpt2"
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    context_length: int
    norm_eps: float
    activation: str = "silu"  # "silu", "gelu_new"
    rope: RopeConfig = RopeConfig()
    tie_embeddings: bool = False
    qkv_bias: bool = False
    output_bias: bool = False  # of the attention's output projection
    mlp_bias: bool = False
    qk_norm: bool = False
    sliding_window: int = 0  # 0: none
    norm_bias: bool = True  # of LayerNorm, gpt2
    head: str = "language"  # "classify", "regress"
    labels: tuple[str, ...] = ()
    encoder_layers: int = 0  # of an encoder-decoder, whose decoder has num_layers
    start_id: int = -1  # of an encoder-decoder: ends the prompt, and begins the answer
    latent_size: int = 0  # of a variational autoencoder: numbers that stand for a sentence
