"""The peft library's files, as far as torch has no part in them.

adapter_model.safetensors has "base_model.model.NAME.lora_A.weight", [rank, inputs], and
"….lora_B.weight", [outputs, rank], for each adapted product; adapter_config.json says the rest.
"""

from collections.abc import Iterable

from llmosd.architectures.config import ModelConfig

PREFIX = "base_model.model."


def peft_config(
    config: ModelConfig, targets: Iterable[str], *, rank: int, alpha: float, dropout: float
) -> dict[str, object]:
    """adapter_config.json, with the fields that peft needs and no name of a base."""
    classify = config.head != "language"
    return {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS" if classify else "CAUSAL_LM",
        "base_model_name_or_path": None,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": dropout,
        "target_modules": sorted(targets),
        "modules_to_save": ["score"] if classify else None,
        "bias": "none",
        "fan_in_fan_out": config.architecture == "gpt2",
        "inference_mode": True,
    }
