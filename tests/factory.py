"""Tiny random models for every package's tests; `import factory` finds it from any test.

    tiny_llama_folder(dir), tiny_mistral, tiny_qwen2, tiny_qwen3, tiny_gpt2
                            a Hugging Face folder: 2 layers, hidden 64, 4 heads on 2, vocabulary 304
    tiny_gguf(path, folder) the same model as llama.cpp's converter would write it
    write_gguf(path, ...)   any GGUF, valid or not
    tiny_version(folder)    a version folder as the store has it, imported from a folder
    tiny_adapter(version, ...)
                            the peft library's files of an adapter to it

Weights are random and well away from zero, biases and norms included, so that nothing that is left
out goes unnoticed. The same seed gives the same bytes.
"""

import json
import struct
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

VOCAB_SIZE = 304
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_MERGES = "Ġ t,h e,Ġt he,i n,e r,o n,Ġ a,a n,r e,in g,Ġ s,o u,Ġ w,n d,Ġa nd,Ġ c,Ġ o,i t,e n,Ġ f"
_COMMON = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
    "bos_token_id": 276,
    "eos_token_id": 278,
}


def tiny_llama_folder(folder, *, dtype=torch.float32, seed=0, **overrides):
    """A LlamaForCausalLM; `overrides` are fields of its transformers config."""
    config = transformers.LlamaConfig(**(_COMMON | overrides))
    return _save(folder, config, dtype, seed)


def tiny_mistral(folder, *, dtype=torch.float32, seed=0, **overrides):
    """A MistralForCausalLM, by default without a sliding window."""
    config = transformers.MistralConfig(**(_COMMON | {"sliding_window": None} | overrides))
    return _save(folder, config, dtype, seed)


def tiny_qwen2(folder, *, dtype=torch.float32, seed=0, **overrides):
    """A Qwen2ForCausalLM: biases on Q, K and V; tied embeddings."""
    config = transformers.Qwen2Config(**(_COMMON | {"tie_word_embeddings": True} | overrides))
    return _save(folder, config, dtype, seed)


def tiny_qwen3(folder, *, dtype=torch.float32, seed=0, **overrides):
    """A Qwen3ForCausalLM: norms on Q and K; heads of 32, so that 4 x 32 is not the hidden size."""
    values = _COMMON | {"head_dim": 32, "tie_word_embeddings": True} | overrides
    return _save(folder, transformers.Qwen3Config(**values), dtype, seed)


def tiny_gpt2(folder, *, dtype=torch.float32, seed=0, **overrides):
    """A GPT2LMHeadModel: learned positions, Conv1D weights in the files."""
    values = {
        "vocab_size": VOCAB_SIZE,
        "n_embd": 64,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 256,
        "bos_token_id": 276,
        "eos_token_id": 276,
    }
    return _save(folder, transformers.GPT2Config(**(values | overrides)), dtype, seed)


TINY = {
    "llama": tiny_llama_folder,
    "mistral": tiny_mistral,
    "qwen2": tiny_qwen2,
    "qwen3": tiny_qwen3,
    "gpt2": tiny_gpt2,
}


def tiny_tokenizer():
    """Byte-level BPE: 256 bytes, 20 merges, three special tokens from id 276 on."""
    tokens = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [tuple(merge.split(" ")) for merge in _MERGES.split(",")]
    tokens += ["".join(merge) for merge in merges]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in SPECIAL])
    return tokenizer


def files_of(folder):
    """Name to path, as a job's spec has it."""
    return {path.name: str(path) for path in sorted(Path(folder).iterdir())}


class Silent:
    """A Progress nobody watches."""

    def report(self, stage, completed=0, total=0, unit=""):
        pass

    def check_cancelled(self):
        pass


def tiny_version(folder, output, **changes):
    """Import a Hugging Face folder into the empty folder `output`; returns the ImportResult."""
    from llmosd.jobs.importing.convert import import_model
    from llmosd.jobs.messages import ImportSpec

    values = {"files": files_of(folder), "format": "hugging_face", "output": str(output)}
    return import_model(ImportSpec(**(values | changes)), Silent())


def tiny_adapter(version, output, targets, *, rank=4, seed=0, extra=()):
    """An adapter to a version folder's products, as the peft library saves it; large enough to hear.

    `extra` are further tensors by name.
    """
    import msgspec
    from safetensors.torch import save_file

    from llmosd.architectures.config import ModelConfig
    from llmosd.architectures.families.table import expected_shapes
    from llmosd.architectures.peft_files import PREFIX, peft_config

    config = msgspec.json.decode((version / "config.json").read_bytes(), type=ModelConfig)
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in expected_shapes(config).items():
        product = name.removesuffix(".weight")
        if product.rpartition(".")[2] in targets:
            down = 0.3 * torch.randn(rank, shape[1], generator=generator)
            up = 0.1 * torch.randn(shape[0], rank, generator=generator)
            weights[f"{PREFIX}{product}.lora_A.weight"] = down
            weights[f"{PREFIX}{product}.lora_B.weight"] = up
    output.mkdir(exist_ok=True)
    save_file(weights | dict(extra), output / "adapter_model.safetensors")
    values = peft_config(config, targets, rank=rank, alpha=2.0 * rank, dropout=0)
    (output / "adapter_config.json").write_bytes(msgspec.json.encode(values))


def _save(folder, config, dtype, seed):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            values = 0.15 * torch.randn(parameter.shape, generator=generator)
            if "norm" in name or ".ln_" in name:
                values += 1.0
            parameter.copy_(values)
    model.save_pretrained(folder)
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    names = {"bos_token": SPECIAL[0], "eos_token": SPECIAL[config.eos_token_id - 276]}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    (folder / "chat_template.jinja").write_text(CHATML)
    return folder


def tiny_gguf(path, folder, *, kind=gguf.GGMLQuantizationType.F32, metadata=(), extra=None):
    """Write a saved folder's model as llama.cpp's converter does; returns `path`.

    Matrices become `kind` where their rows divide into its blocks; norms and biases stay F32.
    `metadata` are further (key, gguf.GGUFValueType, value), `extra` further tensors by name.
    """
    config = transformers.AutoConfig.from_pretrained(folder)
    arch = "llama" if config.model_type == "mistral" else config.model_type
    writer = gguf.GGUFWriter(path, arch)
    _write_sizes(writer, config)
    _write_vocabulary(writer, folder, config)
    for key, value_type, value in metadata:
        writer.add_key_value(key, value, value_type)
    names = gguf.get_tensor_name_map(_ARCHES[arch], config.num_hidden_layers)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tied = config.tie_word_embeddings
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and tied:
            continue
        values = _reordered(arch, config, name, tensor.numpy())
        new = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if values.ndim == 1 or values.shape[-1] % gguf.GGML_QUANT_SIZES[kind][0]:
            writer.add_tensor(new, values)
        else:
            writer.add_tensor(new, gguf.quantize(values, kind), raw_dtype=kind)
    for name, values in (extra or {}).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


_ARCHES = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
    "gpt2": gguf.MODEL_ARCH.GPT2,
}


def _reordered(arch, config, name, values):
    if arch == "gpt2" and name.split(".")[-2] in {"c_attn", "c_proj", "c_fc"} and values.ndim == 2:
        return np.ascontiguousarray(values.T)
    heads = {"q_proj": config.num_attention_heads, "k_proj": None}
    part = name.split(".")[-2]
    if arch == "llama" and part in heads:
        count = heads[part] or config.num_key_value_heads
        # LlamaModel.permute of llama.cpp's convert_hf_to_gguf.py.
        shape = (count, 2, values.shape[0] // count // 2, *values.shape[1:])
        return np.ascontiguousarray(values.reshape(shape).swapaxes(1, 2).reshape(values.shape))
    return values


def _write_sizes(writer, config):
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    if config.model_type == "gpt2":
        writer.add_feed_forward_length(config.n_inner or 4 * config.n_embd)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        return
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)


def _write_vocabulary(writer, folder, config):
    tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    size = config.vocab_size
    tokens = [tokenizer.id_to_token(i) or f"[PAD{i}]" for i in range(size)]
    special = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    unused = gguf.TokenType.UNUSED
    kinds = [
        gguf.TokenType.CONTROL if i in special else unused if tokens[i][:4] == "[PAD" else 1
        for i in range(size)
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(_MERGES.split(","))
    writer.add_bos_token_id(config.bos_token_id)
    writer.add_eos_token_id(config.eos_token_id)
    writer.add_chat_template(CHATML)


def gguf_string(text):
    """A string as GGUF has it: its length in 8 bytes, then the bytes."""
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def write_gguf(
    path,
    *,
    magic=b"GGUF",
    version=3,
    metadata=(),
    tensors=(),
    data=b"",
    tensor_count=None,
    key_count=None,
    alignment=32,
):
    """Write a GGUF file from raw parts, as wrong as the caller likes; returns `path`.

    `metadata` are bytes of whole entries (see `gguf_key`), `tensors` are (name, dimensions
    innermost first, kind, offset). The counts are those of the lists unless given.
    """
    out = magic + struct.pack("<I", version)
    out += struct.pack("<Q", len(tensors) if tensor_count is None else tensor_count)
    out += struct.pack("<Q", len(metadata) if key_count is None else key_count)
    out += b"".join(metadata)
    for name, dimensions, kind, offset in tensors:
        out += gguf_string(name) + struct.pack("<I", len(dimensions))
        out += struct.pack(f"<{len(dimensions)}Q", *dimensions)
        out += struct.pack("<IQ", kind, offset)
    if tensors:
        out += b"\0" * (-len(out) % alignment)
    Path(path).write_bytes(out + data)
    return path


def gguf_key(name, kind, payload):
    """One metadata entry from its type number and its raw value."""
    return gguf_string(name) + struct.pack("<I", kind) + payload


def write_safetensors(path, header, data=b"", *, length=None):
    """Write a safetensors file from a header (text, bytes, or an object) and raw data."""
    if not isinstance(header, bytes):
        header = (header if isinstance(header, str) else json.dumps(header)).encode()
    size = len(header) if length is None else length
    Path(path).write_bytes(struct.pack("<Q", size) + header + data)
    return path
