"""Int8 and int4 through the daemon: loading, exactness, packed weights, and what is refused."""

import pytest

from llmos_client import InvalidFieldError

PROMPTS = ["The capital of France is", "Once upon a time", "def fibonacci(n):", "One, two, three,"]


@pytest.fixture(scope="module", params=["int8", "int4"])
def quantized(request, daemon, smollm2_gguf):
    """A version of SmolLM2 of its own, loaded as int8 or int4, and deleted in the end."""
    name = f"smollm2-{request.param}"
    daemon.install(name, smollm2_gguf)
    daemon.load(name, dtype=request.param)
    yield name, request.param
    with daemon.client() as client:
        client.delete_model(name, force=True)


def test_served_as_asked(daemon, client, quantized):
    """The residency says so, and the tokens are those of float32 at first."""
    name, dtype = quantized
    residency = daemon.residency(name)
    assert (residency.dtype, residency.runner) == (dtype, "numba-fused")
    for prompt in PROMPTS:
        reference = client.generate("smollm2", prompt, temperature=0.0, max_tokens=3, logprobs=1)
        answer = client.generate(name, prompt, temperature=0.0, max_tokens=3, logprobs=1)
        assert answer.choices[0].text == reference.choices[0].text
        pairs = zip(answer.choices[0].tokens, reference.choices[0].tokens, strict=True)
        assert all(abs(a.logprob - b.logprob) < 0.5 for a, b in pairs)


def test_batch_equals_alone(client, quantized):
    """Eight at once say, to the bit, what each says alone."""
    name, _ = quantized
    options = {"temperature": 1.1, "seed": 5, "max_tokens": 24, "logprobs": 2}
    alone = [client.generate(name, prompt, **options).choices for prompt in PROMPTS]
    with client.converse() as conversation:
        for at in range(8):
            conversation.start(str(at), name, PROMPTS[at % 4], **options)
        tokens = {str(at): [] for at in range(8)}
        conversation.done_sending()
        for event in conversation:
            tokens[event.generation_id] += getattr(event, "tokens", ())
    for at in range(8):
        assert tuple(tokens[str(at)]) == alone[at % 4][0].tokens


def test_packed_once(daemon, client, quantized):
    """A second load reads the packed weights, and says the same."""
    name, dtype = quantized
    said = client.generate(name, PROMPTS[0], temperature=0.0, max_tokens=8, logprobs=1).choices
    folders = set((daemon.folder / "state" / "packed").glob(f"*-{dtype}-*"))
    assert len(folders) == 1
    client.unload_model(name).result()
    daemon.load(name, dtype=dtype)
    again = client.generate(name, PROMPTS[0], temperature=0.0, max_tokens=8, logprobs=1).choices
    assert again == said
    assert set((daemon.folder / "state" / "packed").glob(f"*-{dtype}-*")) == folders


def test_what_has_no_runner_is_refused(daemon, client, tiny_folders):
    """GPT-2 has no int8 runner: the field, the choices, and nothing loaded."""
    daemon.install("gpt2-int8", tiny_folders["tiny-gpt2"])
    with pytest.raises(InvalidFieldError, match="float32, bfloat16") as caught:
        client.load_model("gpt2-int8", dtype="int8").result()
    assert [violation.field for violation in caught.value.violations] == ["dtype"]
    assert daemon.residency("gpt2-int8").state == "unloaded"
    client.delete_model("gpt2-int8")


def test_other_versions_are_served_in_the_same_type(daemon, client, tiny_folders):
    """Who says nothing gets what the version before is served in; of a model alone, float32."""
    name = "kin"
    daemon.install(name, tiny_folders["tiny-llama"])
    daemon.install(name, tiny_folders["tiny-llama"])
    one, two = (f"models/{name}/versions/{number}" for number in (1, 2))
    client.load_model(one, dtype="int8").result()
    client.load_model(two).result()
    assert daemon.residency(two).dtype == "int8"
    for each in (one, two):
        client.unload_model(each).result()
    client.load_model(two).result()
    assert daemon.residency(two).dtype == "float32"
    client.delete_model(name, force=True)
