"""Chat templates that are programs of strangers (T46, T47)."""

import json
import time

import jinja2
import pytest
from google.protobuf.descriptor import FieldDescriptor

import threats
from factory import CHATML, tiny_llama_folder
from llmos_client import ChatTemplateFailedError
from threats import fields, raw, start

SECRET = "the whispered prompt"
CHAT = [{"role": "user", "content": SECRET}]
# The daemon's own limit is 0.8 s; ten times that says that there is one.
SECONDS = 8.0
HOSTILE = {
    "classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "classes by filter": "{{ ''|attr('__class__') }}",
    "globals": "{{ raise_exception.__globals__ }}",
    "cycler": "{{ cycler.__init__.__globals__.os.system('touch canary') }}",
    "format": "{{ '{0.__class__.__mro__}'.format('') }}",
    "format by json": "{{ namespace | tojson(default='{0.__class__}'.format) }}",
    "import": "{% import 'os' as os %}{{ os.listdir('/') }}",
    "include": "{% include '/etc/passwd' %}",
    "change": "{{ messages.append(messages[0]) }}",
    "loop": "{% for i in range(10**9) %}{% endfor %}",
    "power": "{{ 10**(10**10) }}",
    "text": "{{ 'x' * 10**10 }}",
    "much text": "{% for i in range(90000) %}{{ 'x' * 1000 }}{% endfor %}",
    "padding": "{{ '%1000000000d' | format(1) }}",
    "indent": "{{ messages | tojson(indent=10**10) }}",
    "recursion": "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
    "deep ifs": "{% if 1 %}" * 300 + "{% endif %}" * 300,
    "zero": "{{ 1 / 0 }}",
    "syntax": "{% for %}",
    "half a character": "{{ '\\ud800' }}",
    "refusal": "{{ raise_exception('no') }}",
    "refusal without words": "{{ raise_exception('') }}",
    "refusal in colour": "{{ raise_exception('\\x1b[31m') }}",
    "refusal with the prompt": "{{ raise_exception('no: ' ~ messages[0].content) }}",
}

pytestmark = pytest.mark.usefixtures("unharmed")


@pytest.fixture(scope="module")
def models(daemon, tmp_path_factory):
    """A model for each template, versions of one; none is loaded."""
    folder = tiny_llama_folder(tmp_path_factory.mktemp("hostile"))
    names = {}
    for number, (what, template) in enumerate({**HOSTILE, "honest": CHATML}.items(), 1):
        (folder / "chat_template.jinja").write_text(template)
        daemon.install("hostile", folder)
        names[what] = f"hostile/versions/{number}"
    yield names
    with daemon.client() as client:
        client.delete_model("hostile")


# They reach nothing, and make an empty text.
HARMLESS = {"classes by filter", "globals"}


@pytest.mark.parametrize("what", HOSTILE)
def test_rendering(client, models, what):
    """CHAT_TEMPLATE_FAILED soon, saying nothing it should not; the next model's chat renders."""
    began = time.monotonic()
    if what in HARMLESS:
        assert client.render_chat(models[what], CHAT).text == ""
    else:
        with pytest.raises(ChatTemplateFailedError) as error:
            client.render_chat(models[what], CHAT)
        threats.check_text(error.value.message, [SECRET])
        assert error.value.message.isprintable()
        assert error.value.code == "INVALID_ARGUMENT"
    assert time.monotonic() - began < SECONDS

    assert SECRET in client.render_chat(models["honest"], CHAT).text
    assert SECRET in client.render_chat("smollm2", CHAT).text


def test_generating(client, models):
    """Generate and CountTokens refuse alike, before a model is loaded for it."""
    for call in (client.count_tokens, client.generate):
        with pytest.raises(ChatTemplateFailedError):
            call(models["loop"], messages=CHAT)


def test_without_the_sandbox_they_run(tmp_path, monkeypatch):
    """The control: plain jinja2 runs the same templates."""
    monkeypatch.chdir(tmp_path)
    environment = jinja2.Environment()
    assert "<class" in environment.from_string(HOSTILE["classes"]).render()
    environment.from_string(HOSTILE["cycler"]).render()
    assert (tmp_path / "canary").exists()


def test_templates_come_with_models_only(daemon):
    """T47: no request has a field for a template or its arguments."""
    with raw(daemon) as channel:
        names = {
            field.full_name
            for method in threats.methods(channel)
            for _, field in fields(method.request.DESCRIPTOR)
            if field.type in {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES}
        }
    assert len(names) > 20
    assert not {name for name in names if "template" in name or "kwargs" in name}


def test_a_template_of_the_callers_changes_nothing(daemon):
    """T47: sent as an unknown field, in tool arguments, or as a message's, it is data."""
    from llmos.v1 import tokenization_service_pb2 as pb

    method = threats.method("RenderChat")
    request = pb.RenderChatRequest(model="smollm2")
    request.chat.messages.add(role="ROLE_USER", content="{{ 7 * 191 }}{% raw %}")
    extended = request.SerializeToString() + b"\xca\x3e\x0e{{ messages }}"
    with raw(daemon) as channel:
        texts = [
            pb.RenderChatResponse.FromString(start(channel, method, data).result()).text
            for data in (request.SerializeToString(), extended)
        ]
        assert texts[0] == texts[1]
        assert "{{ 7 * 191 }}{% raw %}" in texts[0]
        request.chat.tools.add(name="f", parameters_json_schema=json.dumps({"{{ 7 * 191 }}": 1}))
        data = request.SerializeToString()
        told = pb.RenderChatResponse.FromString(start(channel, method, data).result()).text
    assert '{"{{ 7 * 191 }}": 1}' in told
    assert "{{ 7 * 191 }}{% raw %}" in told
    assert "1337" not in told
