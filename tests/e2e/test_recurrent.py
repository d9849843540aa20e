"""Recurrent models through a real daemon: trained, served, and served to a crowd.

LLMOS_STREAMS says how many streams run at once; `make acceptance` runs 1,000.
"""

import json
import os
import threading

import pytest

from daemon import DaemonProcess
from llmos_client import Client, Completed, Delta, Finished, InvalidFieldError, Started

STREAMS = int(os.environ.get("LLMOS_STREAMS", "100"))
TOKENS = 40
SETTINGS = {
    "tokenizer_kind": "character",
    "shape.num_layers": 2,
    "shape.hidden_size": 64,
    "sequence_length": 64,
    "batch_size": 8,
    "optimizer.learning_rate": 1e-2,
    "steps": 120,
    "checkpoint_every": 50,
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    process = DaemonProcess(
        tmp_path_factory.mktemp("recurrent"),
        keep_alive_seconds=-1,
        max_sequences=max(STREAMS, 8),
        max_queue=2 * STREAMS,
    )
    file = process.folder / "rhyme.txt"
    file.write_text("one two buckle my shoe three four knock at the door " * 300)
    with process.client() as client:
        client.wait_operation(client.upload_dataset("rhyme", [file], kind="text")).result()
    yield process
    process.stop()


@pytest.fixture(scope="module")
def model(daemon):
    """An LSTM that knows a rhyme."""
    with daemon.client() as client:
        done = client.wait_operation(
            client.train_model("rhymer", "rhyme", family="lstm", settings=SETTINGS)
        ).result()
        client.load_model("rhymer").result()
    assert done.metrics["loss"] < 0.5
    return "rhymer"


def test_says_what_it_learned(daemon, model):
    """The rhyme goes on for longer than any piece it was trained on."""
    with daemon.client() as client:
        answer = client.generate(model, "one two buckle", temperature=0.0, max_tokens=150)
        assert answer.choices[0].text.startswith(" my shoe three four knock at the door one two")
        assert answer.usage.completion_tokens == 150
        right, wrong = (client.score(model, text).logprob for text in ("my shoe", "my shqz"))
        assert right > wrong + 3


def test_memory_is_of_states(daemon, model):
    """Two vectors of 64 for each layer and answer at once, however long the answers are."""
    residency = daemon.residency(model)
    assert residency.kv_blocks_total == max(STREAMS, 8)


def say(client, ats, **more):
    """{at: {choice: text}}; every stream complete and in order."""
    said = {at: {} for at in ats}
    sequences, ended = dict.fromkeys(ats, 0), set()
    with client.converse() as stream:
        for at in ats:
            prompt = f"{'one two three four'[: 3 + at % 15]}"
            stream.start(
                str(at),
                "rhymer",
                prompt=prompt,
                temperature=1.2,
                seed=at,
                max_tokens=TOKENS,
                **more,
            )
        stream.done_sending()
        for event in stream:
            assert not hasattr(event, "error"), event
            at = int(event.generation_id)
            assert event.sequence == sequences[at] + 1
            sequences[at] = event.sequence
            if isinstance(event, Delta):
                said[at][event.choice] = said[at].get(event.choice, "") + event.text
            elif isinstance(event, Completed):
                ended.add(at)
            else:
                assert isinstance(event, Started | Finished)
    assert ended == set(ats)
    return said


@pytest.mark.usefixtures("model")
def test_crowd(daemon):
    """All at once, prompts and answers mixed in every step: what some of them say alone."""
    largest, over, together = 0, threading.Event(), {}

    def watch():
        nonlocal largest
        while not over.wait(0.02):
            largest = max(largest, daemon.residency("rhymer").running)

    def work(ats):
        with Client(daemon.address) as client:
            together.update(say(client, ats))

    watcher = threading.Thread(target=watch)
    workers = [threading.Thread(target=work, args=(range(k, STREAMS, 10),)) for k in range(10)]
    for thread in [watcher, *workers]:
        thread.start()
    for thread in workers:
        thread.join()
    over.set()
    watcher.join()
    with daemon.client() as client:
        alone = {}
        for at in range(0, STREAMS, STREAMS // 10):
            alone |= say(client, [at])
    assert len(together) == STREAMS
    assert {at: together[at] for at in alone} == alone
    print(f"{STREAMS} streams: {largest} at once at most")
    assert largest > STREAMS // 10


@pytest.mark.usefixtures("model")
def test_several_answers(daemon):
    """Answers of one prompt begin with copies of its state: each is the one it is alone."""
    with daemon.client() as client:
        answers = client.generate("rhymer", "three four", temperature=0.0, n=3, max_tokens=TOKENS)
        alone = client.generate("rhymer", "three four", temperature=0.0, max_tokens=TOKENS)
        assert {each.text for each in answers.choices} == {alone.choices[0].text}
        drawn = say(client, [7], n=5)[7]
        assert len(set(drawn.values())) > 1
        assert drawn[0] == say(client, [7])[7][0]


@pytest.mark.usefixtures("model")
def test_refused(daemon):
    """Sizes that recurrent layers do not have; adapters; arithmetic that nobody wrote."""
    with daemon.client() as client:
        for field, more in [
            ("shape.num_heads", {"shape.num_heads": 2}),
            ("objective", {"objective": "classify"}),
        ]:
            settings = {**SETTINGS, **more}
            objective = settings.pop("objective", "")
            with pytest.raises(InvalidFieldError) as caught:
                client.train_model(
                    "no", "rhyme", family="gru", objective=objective, settings=settings
                )
            assert field in str(caught.value)
        with pytest.raises(InvalidFieldError, match="method: adapters are for Transformers"):
            client.train_model("rhymer", "rhyme", init_from="rhymer", method="lora")
        client.unload_model("rhymer").result()
        with pytest.raises(InvalidFieldError, match="float32, bfloat16"):
            client.load_model("rhymer", dtype="int8").result()


def test_a_game_ends_in_a_model(daemon):
    """SeqGAN as a job: both figures are reported, and what comes of it is served like the others."""
    file = daemon.folder / "lines.jsonl"
    lines = ("one two buckle my shoe", "three four knock at the door", "five six pick up sticks")
    file.write_text("\n".join(json.dumps({"text": lines[at % 3]}) for at in range(60)))
    settings = {
        "tokenizer_kind": "word",
        "sequence_length": 16,
        "batch_size": 16,
        "packing": False,
        "shape.num_layers": 1,
        "shape.hidden_size": 32,
        "optimizer.learning_rate": 1e-2,
        "steps": 48,
        "adversarial.likelihood_steps": 40,
        "adversarial.discriminator_steps": 5,
        "adversarial.rollouts": 2,
        "adversarial.discriminator": "lstm",
    }
    with daemon.client() as client:
        client.wait_operation(client.upload_dataset("lines", [file], kind="text")).result()
        options = {"family": "lstm", "objective": "seqgan", "validation_dataset": "lines"}
        operation = client.train_model("liner", "lines", settings=settings, **options)
        done = client.wait_operation(operation).result()
        assert done.metrics["loss"] < 1.5
        client.load_model("liner").result()
        answer = client.generate("liner", "one", temperature=0.0, max_tokens=8)
        assert answer.choices[0].text.startswith(" two")
        with pytest.raises(InvalidFieldError, match=r"adversarial.*objective seqgan"):
            client.train_model(
                "liner", "lines", family="lstm", settings={"adversarial.rollouts": 2}
            )
        with pytest.raises(InvalidFieldError, match=r"seqgan trains.*lstm"):
            client.train_model("liner", "lines", family="llama", objective="seqgan")
