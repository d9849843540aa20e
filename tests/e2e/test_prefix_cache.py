"""Prompts that begin alike are computed once: counted, exact, and apart for each tenant."""

import pytest

from llmos_client import Client, InvalidFieldError

STORY = "A young woman sat at the harbour and drew the ships that went out. " * 20


def ask(client, text, **options):
    given = {"temperature": 0.0, "max_tokens": 12, "logprobs": 2} | options
    return client.generate("smollm2", text, **given)


def test_second_prompt_finds_the_first(client):
    """All full blocks but the last token's are found; the answer has the same bits."""
    first = ask(client, STORY)
    again = ask(client, STORY)
    longer = ask(client, STORY + "Then it began to rain.")

    assert first.usage.cached_prompt_tokens == 0
    assert again.usage.cached_prompt_tokens == (again.usage.prompt_tokens - 1) // 16 * 16
    assert longer.usage.cached_prompt_tokens >= again.usage.cached_prompt_tokens - 16
    assert again.choices == first.choices


def test_second_turn_of_a_chat(client):
    """A chat's next turn finds the turns before it."""
    messages = [{"role": "user", "content": STORY + "Who walked?"}]
    answer = client.generate("smollm2", messages=messages, temperature=0.0, max_tokens=24)
    messages += [
        {"role": "assistant", "content": answer.choices[0].text},
        {"role": "user", "content": "And where?"},
    ]
    second = client.generate("smollm2", messages=messages, temperature=0.0, max_tokens=4)
    assert second.usage.cached_prompt_tokens >= answer.usage.prompt_tokens - 16


def test_tenants_are_apart(daemon):
    """Another tenant finds nothing of it, and says the same."""
    prompt = "For tenants only. " + STORY
    with Client(daemon.address, tenant="one") as one, Client(daemon.address, tenant="two") as two:
        first, other, again = ask(one, prompt), ask(two, prompt), ask(one, prompt)
    assert (first.usage.cached_prompt_tokens, other.usage.cached_prompt_tokens) == (0, 0)
    assert again.usage.cached_prompt_tokens > 300
    assert first.choices == other.choices == again.choices


def test_a_tenant_is_a_name(daemon):
    """Anything else is refused, by the metadata's name."""
    with Client(daemon.address, tenant="a b") as client, pytest.raises(InvalidFieldError) as error:
        ask(client, "Hello")
    assert [violation.field for violation in error.value.violations] == ["llmos-tenant"]
