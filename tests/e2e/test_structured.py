"""Answers held to a form, and calls of functions: valid every time, whatever the model would say.

LLMOS_STRUCTURED says how many schemas and calls are tried; `make acceptance` tries 200 and 50.
"""

import json
import os
import random
import re

import jsonschema
import pytest

from llmos_client import Delta, Finished, InvalidFieldError, LlmosError, Started
from schemas import schemas, tools

SCHEMAS = int(os.environ.get("LLMOS_STRUCTURED", "12"))
CALLS = max(4, SCHEMAS // 4)
DONE = {"complete", "stop_token"}
PLAIN = {
    "prompt": "The sea is",
    "temperature": 0.9,
    "seed": 3,
    "max_tokens": 40,
    "ignore_eos": True,
}
PLAIN["logprobs"] = 1


def run(client, requests):
    """All at once on one stream: [(text, tool calls, finish reason, tokens)], in order."""
    answers = [["", [], "", []] for _ in requests]
    with client.converse() as stream:
        for at, request in enumerate(requests):
            stream.start(str(at), "smollm2", **request)
        stream.done_sending()
        for event in stream:
            answer = answers[int(event.generation_id)]
            if isinstance(event, Delta):
                answer[0] += event.text
                answer[1] += event.tool_calls
                answer[3] += event.tokens
            elif isinstance(event, Finished):
                answer[2] = event.finish_reason
            elif isinstance(event, Started):
                assert event.turn == 1
    return answers


def ask(text):
    return [{"role": "user", "content": text}]


def test_schemas(client):
    """Every answer is JSON that keeps its schema; plain streams beside them say what they say."""
    alone = run(client, [PLAIN])[0]
    wanted = schemas(SCHEMAS)
    requests = [
        {
            "messages": ask(f"Describe thing number {at} as JSON."), "json_schema": each,
            "temperature": (0.0, 0.8, 1.5)[at % 3], "seed": at, "max_tokens": 600,
        }
        for at, each in enumerate(wanted)
    ]  # fmt: skip
    answers = run(client, [*requests, PLAIN, PLAIN])
    for (text, _, finish, _), each in zip(answers, wanted, strict=False):
        assert finish in DONE, (each, text)
        jsonschema.validate(json.loads(text), each)
    assert answers[-2:] == [alone, alone]


def test_the_form_does_not_depend_on_the_batch(client):
    """Constrained answers have the same bytes alone."""
    wanted = schemas(6, seed=9)
    requests = [
        {
            "prompt": "JSON: ", "json_schema": each, "seed": 1, "temperature": 1.0,
            "max_tokens": 400, "logprobs": 2,
        }
        for each in wanted
    ]  # fmt: skip
    together = run(client, [*requests, PLAIN])
    assert together[:-1] == [run(client, [request])[0] for request in requests]


@pytest.mark.parametrize("choice", ["required", "auto", "NAME"])
def test_calls(client, choice):
    """Every call is of a tool, with arguments that keep its schema; text is text."""
    rng = random.Random(choice)
    offered = [tools(rng) for _ in range(CALLS)]
    requests = [
        {
            "messages": ask(f"Please call {each[0]['name']} for me."), "tools": each,
            "tool_choice": each[0]["name"] if choice == "NAME" else choice,
            "temperature": (0.0, 1.0)[at % 2], "seed": at, "max_tokens": 200 if choice == "auto" else 500,
        }
        for at, each in enumerate(offered)
    ]  # fmt: skip
    answers = run(client, [*requests, PLAIN])[:-1]
    ids = set()
    for (text, calls, finish, _), each in zip(answers, offered, strict=True):
        # A call that the limit cut off is told as it stands.
        assert "<tool_call>" not in text or finish == "max_tokens"
        assert finish in {"tool_calls"} | (DONE | {"max_tokens"} if choice == "auto" else set())
        assert len(calls) == (finish == "tool_calls")
        by_name = {tool["name"]: tool["parameters"] for tool in each}
        for call in calls:
            ids.add(call.id)
            jsonschema.validate(json.loads(call.arguments), by_name[call.name])
            assert choice != "NAME" or call.name == each[0]["name"]
    assert len(ids) == sum(len(calls) for _, calls, _, _ in answers)
    if choice != "auto":
        assert len(ids) == CALLS


def test_a_call_and_its_result(client):
    """The call, its result and the model's next words are one conversation, by stream and by hand."""
    tool = {"name": "add", "description": "Adds everything up."}
    options = {"tools": [tool], "temperature": 0.0, "max_tokens": 60}
    messages = ask("What is the sum?")
    answer = client.generate("smollm2", messages=messages, tool_choice="required", **options)
    (call,) = answer.choices[0].tool_calls
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("", "tool_calls")
    messages += [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "content": "42", "tool_call_id": call.id},
    ]
    rendered = client.render_chat("smollm2", messages, tools=[tool]).text
    assert (
        f'<tool_call>\n{{"name": "add", "arguments": {call.arguments}}}\n</tool_call>' in rendered
    )
    assert "<tool_response>\n42\n</tool_response>" in rendered
    after = client.generate("smollm2", messages=messages, tool_choice="none", **options)
    assert after.choices[0].tool_calls == ()
    assert after.choices[0].text


def test_other_forms(client):
    """Regular expressions, grammars and choices; several answers each go their own way."""
    regex = client.generate("smollm2", "My number is ", regex="[0-9]{3}-[0-9]{4}", n=4, seed=1)
    assert all(re.fullmatch("[0-9]{3}-[0-9]{4}", c.text) for c in regex.choices)
    assert len({choice.text for choice in regex.choices}) > 1
    assert {choice.finish_reason for choice in regex.choices} == {"complete"}

    lark = 'start: "(" [start] ")"'
    nested = client.generate("smollm2", "(", grammar=lark, max_tokens=200, temperature=2.0, seed=5)
    text = nested.choices[0].text
    assert text == "(" * (len(text) // 2) + ")" * (len(text) // 2)

    moods = ["positive", "negative", "nai\u0308ve \U0001f642", 'a "quoted"\nline']
    for seed in range(8):
        chosen = client.generate(
            "smollm2", "Mood: ", choices=moods, seed=seed, temperature=5.0, ignore_eos=True
        )
        assert chosen.choices[0].text in moods


BAD = {
    "json_schema": ["{", "[]", '{"type": "thing"}', '{"not": {}}', '{"$ref": "http://x/y"}'],
    "regex": ["(((", "(?=a)b", "a{99999}{99999}"],
    "grammar": ["start: foo", "nothing", "start: " + "(" * 2000],
}


@pytest.mark.parametrize(("kind", "text"), [(k, t) for k, texts in BAD.items() for t in texts])
def test_bad_forms_are_refused(client, kind, text):
    """By the field, with what is wrong; whoever else generates notices nothing."""
    with client.stream("smollm2", **(PLAIN | {"max_tokens": 10})) as beside:
        with pytest.raises(InvalidFieldError) as caught:
            client.generate("smollm2", "x", max_tokens=5, timeout=20, **{kind: text})
        assert [v.field for v in caught.value.violations] == [f"constraint.{kind}"]
        assert sum(isinstance(event, Delta) for event in beside) > 0


def test_forms_that_clash(client):
    """A constraint beside tools, and a choice that names none of them."""
    tool = {"name": "f"}
    with pytest.raises(InvalidFieldError, match="leave one out"):
        client.generate("smollm2", messages=ask("x"), tools=[tool], regex="a")
    with pytest.raises(InvalidFieldError, match="none of the tools"):
        client.generate("smollm2", messages=ask("x"), tools=[tool], tool_choice="g")


def test_a_stop_text_and_max_tokens_cut(client):
    """Both still end an answer; a call that was cut off is text, not a call."""
    tool = {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}
    options = {"messages": ask("x"), "tools": [tool], "tool_choice": "required", "seed": 1}
    cut = client.generate("smollm2", max_tokens=9, **options).choices[0]
    assert (cut.finish_reason, cut.tool_calls) == ("max_tokens", ())
    assert cut.text.startswith('<tool_call>\n{"name":')
    stopped = client.generate("smollm2", max_tokens=60, stop=['"name"'], **options).choices[0]
    assert (stopped.finish_reason, stopped.text) == ("stop_text", "<tool_call>\n{")


def test_cancelled_while_compiling(daemon, client):
    """A grammar that nobody waits for any more starts nothing."""
    heavy = {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(500)}}
    for _ in range(5):
        with pytest.raises(LlmosError):
            client.generate("smollm2", "x", json_schema=heavy, timeout=0.01)
    assert client.generate("smollm2", "x", regex="ab", max_tokens=5).choices[0].text == "ab"
    residency = daemon.residency("smollm2")
    assert (residency.running, residency.waiting) == (0, 0)
