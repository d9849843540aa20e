"""Answers to held-out prompts: greedy, all side by side, judged by what stands there."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from llmosd.architectures.trainable.registry import from_scratch
from llmosd.errors import InvalidField
from llmosd.jobs.data.tokenized import TokenizedDataset
from llmosd.jobs.training.answers import Answers
from llmosd.store.manifest import GenerationDefaults
from tiny_training import WORDS, tiny_config, tiny_files

ENDS = list(range(0, WORDS, 4))
DEFAULTS = GenerationDefaults(eos_token_ids=ENDS)


def words():
    return Tokenizer.from_str(tiny_files().tokenizer.decode())


def data_of(rows):
    """Rows of (prompt, answer) ids."""
    ids = np.concatenate([np.array(prompt + answer) for prompt, answer in rows])
    mask = np.concatenate([[0] * len(prompt) + [1] * len(answer) for prompt, answer in rows])
    offsets = np.cumsum([0, *(len(prompt) + len(answer) for prompt, answer in rows)])
    return TokenizedDataset(ids.astype(np.uint16), offsets, mask.astype(np.uint8))


def answered(network, prompt):
    """One prompt alone."""
    ids = list(prompt)
    for _ in range(60):
        hidden = network(torch.tensor(ids), (len(ids),))[-1]
        ids.append(int((network.head @ hidden).argmax()))
        if ids[-1] in ENDS:
            break
    return ids[len(prompt) :]


@pytest.mark.parametrize("family", ["llama", "seq2seq"])
def test_its_own_answers_are_right(family):
    """What the network says to each alone is what it says beside others; all else is wrong."""
    network = from_scratch(
        tiny_config(family, encoder_layers=1, start_id=1, tie_embeddings=False), 0
    ).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter.mul_(6)
    rng = np.random.default_rng(0)
    prompts = [[*rng.integers(2, WORDS, size=size).tolist(), 1] for size in (1, 9, 3, 17, 5)]
    rows = [(prompt, answered(network, prompt)) for prompt in prompts]
    assert len({tuple(answer) for _, answer in rows}) > 1
    found = Answers(data_of(rows), words(), DEFAULTS, 5)(network)
    assert found["exact_match"] == 1, found
    assert found["chrf"] == pytest.approx(100)
    wrong = [(prompt, [(each + 1) % WORDS for each in answer]) for prompt, answer in rows]
    assert Answers(data_of(wrong), words(), DEFAULTS, 5)(network)["exact_match"] == 0


def test_the_first_answer_of_a_row():
    """Of several turns; rows without a prompt have none."""
    data = data_of([([3, 4], [5, 0]), ([], [7, 8]), ([6], [9, 0])])
    answers = Answers(data, words(), DEFAULTS, 9)
    assert answers._prompts == [[3, 4], [6]]
    tokenizer = words()
    assert answers._references == [
        tokenizer.decode(each, skip_special_tokens=True).strip() for each in ([5, 0], [9, 0])
    ]


@pytest.mark.parametrize("data", [None, data_of([([], [4, 5])])])
def test_nothing_to_answer(data):
    """The field is named."""
    with pytest.raises(InvalidField, match=r"answer_rows.*no validation row"):
        Answers(data, words(), DEFAULTS, 5)
