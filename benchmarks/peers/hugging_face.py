"""transformers' generate(), on the dequantized weights of the same file, one static batch."""

import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.peer import Request, Timing, missing, processors


class HuggingFace:
    """float32 or bfloat16 weights and arithmetic."""

    def __init__(self, dtype: str) -> None:
        self.name = f"transformers-{'fp32' if dtype == 'float32' else 'bf16'}"
        self._dtype = dtype

    def available(self) -> str:
        return missing("transformers", "transformers gguf torch") or missing("gguf", "gguf")

    def load(self, gguf: str) -> str:
        import torch
        from transformers import AutoModelForCausalLM, GenerationConfig

        torch.set_num_threads(processors())
        dtype = getattr(torch, self._dtype)
        self._model = AutoModelForCausalLM.from_pretrained(dense(gguf), dtype=dtype).eval()
        self._model.generation_config = GenerationConfig(pad_token_id=0)  # its own has an end
        assert {weight.dtype for weight in self._model.parameters()} == {dtype}
        return f"{self._dtype}, torch"

    def generate(self, batch: list[Request]) -> list[Timing]:
        import torch
        from transformers import GenerationConfig, LogitsProcessorList

        clock = _Clock()
        ids = torch.tensor([request.ids for request in batch])
        tokens = batch[0].tokens
        config = GenerationConfig(
            max_new_tokens=tokens, do_sample=False, eos_token_id=None, pad_token_id=0
        )
        began = time.perf_counter()
        out = self._model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            generation_config=config,
            logits_processor=LogitsProcessorList([clock]),
        )
        total = time.perf_counter() - began
        drawn = out.shape[1] - ids.shape[1]
        return [Timing(clock.first - began, total, drawn) for _ in batch]

    def close(self) -> None:
        pass


class _Clock:
    """Called with the logits of every step; notes the first one."""

    first = 0.0

    def __call__(self, _ids: Any, scores: Any) -> Any:
        self.first = self.first or time.perf_counter()
        return scores


def dense(gguf: str) -> Path:
    """A folder with the GGUF file's weights in float32; made once, kept under build/."""
    path = Path(gguf)
    folder = Path("build", "bench-model", path.name[:12]).absolute()
    if folder.exists():
        return folder
    import torch
    import transformers

    # transformers asks for accelerate on this path, and then does not use it.
    with patch("transformers.modeling_utils.is_accelerate_available", lambda: True):
        read = transformers.AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32, local_files_only=True
        )
    # Anew: what was read from GGUF counts as quantized, and would be saved as such.
    fields = read.config.to_dict()
    fields.pop("quantization_config", None)
    model = transformers.AutoModelForCausalLM.from_config(type(read.config)(**fields))
    model.load_state_dict(read.state_dict())
    partial = folder.with_suffix(".partial")
    model.save_pretrained(partial)
    partial.rename(folder)
    return folder
