"""Everything at once, in all classes and for two tenants, against everything alone: the same bytes.

LLMOS_MIXED says how many requests; `make acceptance` sends 1,000 and prints the counters.
"""

import os
import random
import threading

from llmos_client import Client, Completed, Delta, Finished, Started

COUNT = int(os.environ.get("LLMOS_MIXED", "40"))
STORY = "The old man walked along the shore and counted the boats that came back. "
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "maximum": 99, "minimum": 0},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}


def request(at):
    """One of seven kinds, of its own length and seed."""
    rng = random.Random(at)
    length = rng.randrange(8, 40)
    plain = {"prompt": f"{at} {STORY[: rng.randrange(8, 70)]}", "max_tokens": length, "seed": at}
    plain["priority"] = rng.choice(["low", "normal", "high"])
    kinds = [
        {"temperature": 0.0},
        {"temperature": 1.1, "top_p": 0.9, "logprobs": 1},
        {"temperature": 0.9, "top_k": 40, "repetition_penalty": 1.2, "n": 2},
        {"json_schema": SCHEMA, "max_tokens": 80},
        {"regex": "[a-z ]{10,30}[.]"},
        {"stop": [" the", "."], "temperature": 0.7},
        # Found in the cache, and guessed ahead.
        {"prompt": STORY * 6 + str(at % 5), "temperature": 0.0, "max_tokens": 24},
        {"prompt": "Count: " + "one two three four " * 4, "temperature": 0.0, "max_tokens": 30},
    ]
    return plain | kinds[at % len(kinds)]


def run(client, ats):
    """{at: {choice: [text, finish, stop, tokens]}}."""
    said = {at: {} for at in ats}
    with client.converse() as stream:
        for at in ats:
            stream.start(str(at), "m", **request(at))
        stream.done_sending()
        for event in stream:
            assert not hasattr(event, "error"), event
            at = int(event.generation_id)
            if isinstance(event, Delta):
                answer = said[at].setdefault(event.choice, ["", "", "", []])
                answer[0] += event.text
                answer[3] += [(token.id, token.logprob) for token in event.tokens]
            elif isinstance(event, Finished):
                answer = said[at].setdefault(event.choice, ["", "", "", []])
                answer[1:3] = [str(event.finish_reason), event.stop]
            else:
                assert isinstance(event, Started | Completed)
    return said


def cancel_some(client, count):
    """Generations that begin, say something, and are cancelled; what they said."""
    said = {}
    for at in range(count):
        with client.stream("m", **(request(8 * at) | {"max_tokens": 200})) as events:
            text = ""
            for event in events:
                if isinstance(event, Delta):
                    text += event.text
                    if len(text) > 5:
                        break
            said[8 * at] = text
    return said


def test_together_as_alone(new_daemon, smollm2_gguf):
    """Greedy, seeded, constrained, stopped, cancelled, cached, guessed and preempted: as alone."""
    # Alone: one at a time, nothing guessed, and a new process, so that nothing is cached at first.
    quiet = new_daemon(draft_tokens=0, keep_alive_seconds=-1)
    quiet.install("m", smollm2_gguf)
    quiet.load("m", dtype="int8")
    alone = {}
    with quiet.client() as client:
        for at in range(COUNT):
            alone |= run(client, [at])
        whole = {
            8 * at: client.generate("m", **(request(8 * at) | {"max_tokens": 200})).choices[0].text
            for at in range(4)
        }
    quiet.stop()
    # Together: a cache of 40 blocks, 23,040 bytes for each of their 16 positions.
    busy = new_daemon(keep_alive_seconds=-1, kv_cache_bytes=40 * 16 * 23_040, max_sequences=24)
    busy.install("m", smollm2_gguf)
    busy.load("m", dtype="int8")
    largest, over, cancelled = 0, threading.Event(), {}

    def watch():
        nonlocal largest
        while not over.wait(0.02):
            largest = max(largest, busy.residency("m").running)

    def disturb():
        with busy.client() as other:
            cancelled.update(cancel_some(other, 4))

    together = {}
    ats = random.Random(1).sample(range(COUNT), COUNT)

    def work(tenant, own):
        with Client(busy.address, tenant=tenant) as client:
            for first in range(0, len(own), 130):  # 24 run and 256 wait, of both
                together.update(run(client, own[first : first + 130]))

    helpers = [threading.Thread(target=watch), threading.Thread(target=disturb)]
    workers = [
        threading.Thread(target=work, args=("one", ats[::3])),
        threading.Thread(target=work, args=("two", ats[1::3] + ats[2::3])),
    ]
    for thread in helpers + workers:
        thread.start()
    for thread in workers:
        thread.join()
    over.set()
    for thread in helpers:
        thread.join()
    assert len(together) == COUNT
    wrong = [at for at in range(COUNT) if together[at] != alone[at]]
    assert wrong == [], (together[wrong[0]], alone[wrong[0]])
    assert len(cancelled) == 4
    assert all(whole[at].startswith(text) for at, text in cancelled.items())
    counters = busy.residency("m").counters
    print(f"{COUNT} requests: {largest} at once at most; {counters}")
    assert largest > 4
    assert counters.preemptions > 0
    assert counters.cached_prompt_tokens > 0
    assert 0 < counters.accepted_tokens <= counters.drafted_tokens
