"""The daemon's tokens and log-probabilities against transformers, alone and in a batch."""

import threading

import pytest
import torch

from daemon import wait_for

PROMPTS = [
    "What is the capital of France?",
    "Write one sentence about the sea.",
    "List three colors.",
    "Translate to German: good morning",
    "What is 12 times 12?",
    "Who wrote Hamlet?",
    "Explain photosynthesis to a child.",
    "Give me a recipe for pancakes.",
    "What does HTTP stand for?",
    "Why is the sky blue?",
    "Name a mammal that can fly.",
    "Summarize: The cat sat on the mat and looked at the bird outside the window.",
    "Is the Earth flat?",
    "Write a haiku about autumn.",
    "def fibonacci(n):",
    "Complete: Once upon a time",
    "What is the boiling point of water in Celsius?",
    "Tell me a fact about Jupiter.",
    "How do I sort a list in Python?",
    "\u4f60\u597d! Caf\u00e9 na\u00efve \U0001f642 means what?",
]
TOKENS = 16
# Float32 on both sides, summed in different orders over 30 layers.
LOGPROB_TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def alone(daemon):
    """Each prompt answered greedily with nothing else running."""
    with daemon.client() as client:
        return [greedy(client, prompt) for prompt in PROMPTS]


def greedy(client, prompt):
    return client.generate(
        "smollm2", messages=[{"role": "user", "content": prompt}], temperature=0.0,
        max_tokens=TOKENS, logprobs=5,
    )  # fmt: skip


def ids(generation, choice=0):
    return [token.id for token in generation.choices[choice].tokens]


@torch.inference_mode()
def test_golden_prompts(client, alone, smollm2_reference):
    """Greedy tokens are transformers' greedy tokens, log-probabilities agree to 1e-3."""
    for prompt, generation in zip(PROMPTS, alone, strict=True):
        rendered = client.render_chat("smollm2", [{"role": "user", "content": prompt}])
        tokens = ids(generation)
        logits = smollm2_reference(torch.tensor([[*rendered.ids, *tokens]])).logits[0]
        logprobs = logits[len(rendered.ids) - 1 : -1].float().log_softmax(-1)

        assert logprobs.argmax(-1).tolist() == tokens, prompt
        for row, token in zip(logprobs, generation.choices[0].tokens, strict=True):
            assert token.logprob == pytest.approx(row[token.id].item(), abs=LOGPROB_TOLERANCE)
            top = row.topk(5)
            assert [each.id for each in token.top] == top.indices.tolist()
            assert [each.logprob for each in token.top] == pytest.approx(
                top.values.tolist(), abs=LOGPROB_TOLERANCE
            )


def test_golden_prompts_in_a_batch(daemon, alone):
    """In a batch of 16 others, tokens and log-probabilities are the same to the bit."""
    others = background(daemon, 16)
    with others, daemon.client() as client:
        for prompt, generation in list(zip(PROMPTS, alone, strict=True))[::3]:
            again = greedy(client, prompt)

            assert again.choices == generation.choices, prompt
        # At any moment one of them may be between its end and its next beginning.
        wait_for(lambda: daemon.residency("smollm2").running >= 16, 20)


def test_seeded_sampling_in_a_batch(daemon, client):
    """The same seed draws the same tokens alone and in a batch; another seed draws others."""
    options = {"temperature": 1.2, "top_k": 200, "top_p": 0.95, "max_tokens": 40, "n": 3}

    def draw(seed):
        return client.generate("smollm2", "The strangest thing about", seed=seed, **options)

    first = draw(7)
    with background(daemon, 16):
        again, other = draw(7), draw(8)

    assert first.choices == again.choices
    assert first.choices != other.choices
    assert len({choice.text for choice in first.choices}) == 3


class background:  # noqa: N801 - reads as a statement
    """`count` sampled generations of mixed lengths, restarted until the block ends."""

    def __init__(self, daemon, count):
        self._daemon = daemon
        self._stop = threading.Event()
        self._begun = threading.Semaphore(0)
        self._threads = [threading.Thread(target=self._run, args=(at,)) for at in range(count)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        for _ in self._threads:
            assert self._begun.acquire(timeout=60)

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, at):
        with self._daemon.client() as client:
            while not self._stop.is_set():
                prompt = "word " * (3 + 11 * at)
                with client.stream("smollm2", prompt, seed=at, max_tokens=200) as events:
                    for number, _ in enumerate(events):
                        if number == 1:
                            self._begun.release()
                        if self._stop.is_set():
                            break
