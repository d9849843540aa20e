"""What the network answers to held-out prompts, judged by the answers that stand there."""

import numpy as np
import torch
from tokenizers import Tokenizer

from llmosd.architectures.trainable.network import Network
from llmosd.errors import InvalidField
from llmosd.jobs.data.tokenized import TokenizedDataset
from llmosd.metrics.metric import Settings
from llmosd.metrics.registry import METRICS
from llmosd.store.manifest import GenerationDefaults

_METRICS = ("bleu", "chrf", "rouge", "exact_match")
_TOKENS_AT_ONCE = 8192


class Answers:
    """The first rows of a dataset that have a prompt and an answer."""

    def __init__(
        self,
        data: TokenizedDataset | None,
        tokenizer: Tokenizer,
        defaults: GenerationDefaults,
        rows: int,
    ) -> None:
        """Take `rows` of them, or all there are.

        Raises:
            InvalidField: there is none.
        """
        self._tokenizer = tokenizer
        self._ends = frozenset(defaults.eos_token_ids)
        self._prompts: list[list[int]] = []
        self._references: list[str] = []
        self._most = 0
        if data is not None:
            for row in range(min(rows, len(data))):
                self._add(data, row)
        if not self._prompts:
            raise InvalidField.of(
                "parameters.answer_rows", "there is no validation row with a prompt and an answer"
            )

    def _add(self, data: TokenizedDataset, row: int) -> None:
        """The first answer of a row, and what comes before it."""
        own = slice(int(data.offsets[row]), int(data.offsets[row + 1]))
        ids, mask = data.ids[own], data.mask[own]
        first = int(mask.argmax())
        if not first:
            return
        last = first + int(np.append(mask[first:], 0).argmin())
        self._prompts.append(ids[:first].tolist())
        self._references.append(self._text(ids[first:last].tolist()))
        self._most = max(self._most, 2 * (last - first) + 8)

    def __call__(self, network: Network) -> dict[str, float]:
        """Answer greedily, and compare: BLEU, chrF, ROUGE's F1 and exact matches.

        Everything is read again for each token, all prompts side by side: no cache.
        """
        answers: list[list[int]] = [[] for _ in self._prompts]
        going = list(range(len(answers)))
        with torch.no_grad():
            for _ in range(self._most):
                tokens = self._next(network, [self._prompts[at] + answers[at] for at in going])
                for at, token in zip(going, tokens, strict=True):
                    answers[at].append(token)
                room = network.config.context_length
                going = [
                    at
                    for at in going
                    if answers[at][-1] not in self._ends
                    and len(self._prompts[at]) + len(answers[at]) < room
                ]
                if not going:
                    break
        texts = [self._text(answer) for answer in answers]
        return self._judged(texts)

    def _judged(self, texts: list[str]) -> dict[str, float]:
        references = [[reference] for reference in self._references]
        found: dict[str, float] = {}
        for name in _METRICS:
            found |= METRICS[name](Settings())(texts, references).values
        return found

    def _next(self, network: Network, rows: list[list[int]]) -> list[int]:
        """The likeliest next token of each row."""
        device = network.embedding.device
        tokens: list[int] = []
        while len(tokens) < len(rows):
            part: list[list[int]] = []
            size = 0
            for row in rows[len(tokens) :]:
                size += len(row)
                if part and size > _TOKENS_AT_ONCE:
                    break
                part.append(row)
            lengths = tuple(map(len, part))
            ids = torch.tensor([token for row in part for token in row], device=device)
            ends = torch.tensor(lengths, device=device).cumsum(0) - 1
            hidden = network(ids, lengths).index_select(0, ends)
            tokens += (hidden @ network.head.to(hidden.dtype).T).argmax(1).tolist()
        return tokens

    def _text(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text.strip()
