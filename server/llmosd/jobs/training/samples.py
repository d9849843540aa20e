"""What the network says while it learns: short answers, computed the simple way."""

import torch
from tokenizers import Tokenizer
from torch import Tensor

from llmosd.architectures.trainable.network import Network
from llmosd.store.manifest import GenerationDefaults


def sample(
    network: Network,
    tokenizer: Tokenizer,
    prompt: list[int],
    *,
    tokens: int,
    generation: GenerationDefaults,
    seed: int,
) -> str:
    """Continue the ids of `prompt` by at most `tokens` tokens, or until the model ends its answer.

    Every token is drawn from the whole distribution at the author's temperature, 0.8 where none
    is given; at 0 it is the likeliest. The whole text is read again for each: no cache.
    """
    ids = prompt or [generation.bos_token_id or 0]
    temperature = 0.8 if generation.temperature is None else generation.temperature
    generator = torch.Generator().manual_seed(seed)
    context = network.config.context_length
    answer: list[int] = []
    training = network.training
    network.eval()
    with torch.no_grad():
        for _ in range(tokens):
            read = (ids + answer)[-context:]
            scores = _next_scores(network, read)
            token = _drawn(scores, temperature, generator)
            if token in generation.eos_token_ids:
                break
            answer.append(token)
    network.train(training)
    text: str = tokenizer.decode(answer, skip_special_tokens=True)
    return text


def _next_scores(network: Network, ids: list[int]) -> Tensor:
    """(vocabulary,) float32 on the CPU."""
    device = network.embedding.device
    hidden = network(torch.tensor(ids, device=device), (len(ids),))[-1]
    scores: Tensor = (network.head.to(hidden.dtype) @ hidden).float().cpu()
    return scores


def _drawn(scores: Tensor, temperature: float, generator: torch.Generator) -> int:
    if temperature <= 0:
        return int(scores.argmax())
    chances = torch.softmax(scores / temperature, 0)
    return int(torch.multinomial(chances, 1, generator=generator))
