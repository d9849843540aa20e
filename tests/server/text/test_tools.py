"""Calls as text: read however they are cut, told to templates that know no tools, held by grammar."""

import json

import pytest
from llguidance import LLMatcher, LLTokenizer

from factory import tiny_tokenizer
from llmosd.text.tools import (
    HERMES,
    LLAMA,
    Call,
    ToolCallReader,
    call_grammar,
    native_format,
    without_tools,
)

CITY = {"type": "object", "properties": {"city": {"$ref": "#/$defs/c"}}, "required": ["city"]}
CITY |= {"$defs": {"c": {"type": "string"}}, "additionalProperties": False}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "", "parameters": CITY}},
    {"type": "function", "function": {"name": "now", "description": "", "parameters": {}}},
]
ROME = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'
NOW = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'


def read(text, size, form=HERMES):
    """All text and calls, given `size` characters at a time."""
    reader, shown, calls = ToolCallReader(form), "", []
    for at in range(0, len(text), size):
        more, found = reader.add(text[at : at + size])
        shown += more
        calls += found
    return shown + reader.flush(), calls


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_calls_are_read_however_cut(size):
    """Text around calls is text, and what only looks like the beginning of one, too."""
    text = f"Let me see. <tool_cal {ROME} and <{NOW}<tool_"
    shown, calls = read(text, size)
    assert shown == "Let me see. <tool_cal  and <<tool_"
    assert calls == [Call("weather", '{"city": "Rome"}'), Call("now", "{}")]


@pytest.mark.parametrize("size", [1, 1000])
def test_arguments_may_hold_the_mark(size):
    """What parses is the call."""
    arguments = json.dumps({"city": "</tool_call> <tool_call>"})
    text = f'<tool_call>\n{{"name": "weather", "arguments": {arguments}}}\n</tool_call>'
    assert read(text, size) == ("", [Call("weather", arguments)])


def test_numbers_stay_as_written():
    """Arguments are the model's own text: no number is rounded on the way."""
    text = '{"name": "f", "parameters": {"x": 12345678901234567890123, "y": 1.10}}'
    expected = Call("f", '{"x": 12345678901234567890123, "y": 1.10}')
    assert read(text, 3, LLAMA) == ("", [expected])


@pytest.mark.parametrize("size", [1, 1000])
def test_a_call_that_was_cut_off_is_text(size):
    """Nothing is lost, and nothing that does not parse is a call."""
    assert read(ROME[:30], size) == (ROME[:30], [])
    assert read('{"name": "f"', size, LLAMA) == ('{"name": "f"', [])
    assert read("No {call}", size, LLAMA) == ("No {call}", [])


def test_formats_of_templates():
    """By what a template contains."""
    assert native_format("{{ messages }}") is None
    assert native_format("{% if tools %}<tool_call>{% endif %}") is HERMES
    assert native_format('{% if tools %}{"name": n, "parameters": p}{% endif %}') is LLAMA
    assert native_format("{% if tools %}[CALLS]{% endif %}") is None


def test_templates_without_tools_are_told():
    """Functions go into the system message, calls and results into content."""
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant", "content": "",
            "tool_calls": [{"id": "1", "function": {"name": "now", "arguments": {}}}],
        },
        {"role": "tool", "content": "noon", "tool_call_id": "1"},
    ]  # fmt: skip
    told = without_tools(messages, TOOLS)
    assert [message["role"] for message in told] == ["system", "user", "assistant", "user"]
    assert told[0]["content"].startswith("Be kind.\n\n# Tools")
    assert json.dumps(TOOLS[0]) in told[0]["content"]
    assert told[2]["content"] == NOW
    assert told[3]["content"] == "<tool_response>\nnoon\n</tool_response>"
    assert without_tools(messages[1:2], TOOLS)[0]["role"] == "system"
    assert without_tools(messages[:2], None) == messages[:2]


@pytest.fixture(scope="module")
def tokenizer():
    return LLTokenizer(tiny_tokenizer().to_str(), n_vocab=304, eos_token=278)


LLAMA_ROME = '{"name": "weather", "parameters": {"city": "Rome"}}'
WRONG = ROME.replace("weather", "whether"), ROME.replace("city", "town"), ROME[:-1] + "!"


@pytest.mark.parametrize(
    ("form", "options", "good", "bad"),
    [
        (HERMES, (True, False), [ROME, NOW], ["Hi", f"{ROME}{NOW}", f"{ROME}\n{NOW}", *WRONG]),
        (HERMES, (True, True), [ROME, f"{ROME}\n{NOW}\n{ROME}"], ["Hi", *WRONG]),
        (HERMES, (False, False), ["Hi", "", f"Hi {ROME}", "<tool"], [f"{ROME}{NOW}", *WRONG]),
        (HERMES, (False, True), ["Hi", f"Hi {ROME} and {NOW} so"], WRONG),
        (LLAMA, (True, False), [LLAMA_ROME], ["Hi", LLAMA_ROME.replace("city", "town")]),
        (LLAMA, (False, False), ["Hi {", LLAMA_ROME], ["{x", LLAMA_ROME + "x"]),
    ],
)
def test_grammar(tokenizer, form, options, good, bad):
    """What may be answered, and what may not."""
    required, parallel = options
    lark = call_grammar(TOOLS, form, required=required, parallel=parallel)
    grammar = LLMatcher.grammar_from_lark(lark)
    assert LLMatcher.validate_grammar(grammar, tokenizer) == ""

    def accepts(text):
        matcher = LLMatcher(tokenizer, grammar)
        ids = tokenizer.tokenize_str(text)
        return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()

    assert [text for text in good if not accepts(text)] == []
    assert [text for text in bad if accepts(text)] == []
