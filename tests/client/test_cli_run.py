"""llmos run against the fake daemon."""

import io
import signal

import pytest


class Typed(io.StringIO):
    """Standard input that says it is a terminal."""

    def isatty(self):
        return True


def test_run_streams_the_answer(cli, daemon):
    ran = cli("run", "smollm2", "How", "are", "you?", "-v", "--system", "Be brief")
    assert (ran.code, ran.out) == (0, "Hello world\n")
    wanted = "ttft 21 ms · 30.0 tok/s · 4 tokens · finish stop_token · models/smollm2/versions/1"
    assert ran.err.splitlines()[-1] == wanted
    chat = daemon.seen("StreamGenerate")[0].chat
    assert [m.content for m in chat.messages] == ["Be brief", "How are you?"]
    assert daemon.seen("LoadModel")


def test_run_passes_every_flag(cli, daemon):
    flags = (
        "--temperature 0.5 --top-k 3 --top-p 0.9 --min-p 0.1 --seed 7 --max-tokens 9 --stop END"
        " --repetition-penalty 1.1 --presence-penalty 0.2 --frequency-penalty 0.3"
        " --priority high --timeout 30"
    )
    cli("run", "smollm2", "--raw", "x", *flags.split())
    request = daemon.seen("StreamGenerate")[0]
    assert request.text.text == "x"
    sampling = request.sampling
    assert (sampling.top_k, sampling.seed) == (3, 7)
    assert sampling.temperature == 0.5
    assert sampling.min_p == pytest.approx(0.1)
    assert sampling.frequency_penalty == pytest.approx(0.3)
    assert request.stopping.max_tokens == 9
    assert list(request.stopping.stop) == ["END"]
    assert request.priority == 3
    assert cli("run", "smollm2", "--raw", "x", "--priority", "urgent").code == 2


def test_run_reads_what_is_piped(cli, daemon):
    cli("run", "smollm2", "--raw", stdin=io.StringIO("piped"))
    cli("run", "smollm2", "--raw", "before", "-", "after", stdin=io.StringIO("piped"))
    texts = [request.text.text for request in daemon.seen("StreamGenerate")]
    assert texts == ["piped", "before piped after"]


def test_run_without_a_prompt_is_a_usage_error(cli):
    ran = cli("run", "smollm2", stdin=Typed())
    assert ran.code == 2
    assert "llmos chat" in ran.err
    assert cli("run", "smollm2", "--raw", "--system", "x", "y").code == 2


def test_run_json(cli, daemon):
    ran = cli("-o", "json", "run", "smollm2", "Hi")
    assert ran.json["text"] == "Hello world"
    assert ran.json["generation"]["choices"][0]["finish_reason"] == "stop_token"
    events = cli("run", "smollm2", "Hi", "-o", "json", "--stream").lines
    kinds = [event["event"] for event in events]
    assert kinds == ["started", *["delta"] * 4, "finished", "completed"]


def test_run_many_answers_and_logprobs(cli):
    ran = cli("run", "smollm2", "Hi", "--n", "2", "--logprobs", "1", "-v")
    assert ran.out.count("Hello world") == 2
    assert "Hel  -0.500  | Hel -0.500" in ran.out
    assert "finish stop_token,stop_token" in ran.err


def test_run_of_an_unknown_model(cli, daemon):
    ran = cli("run", "smollm", "Hi")
    assert ran.code == 1
    assert ran.err.startswith(
        'error: model "smollm" is not installed (NOT_FOUND/MODEL_NOT_FOUND).'
        " Try: llmos list, or llmos pull smollm."
        ' Did you mean "smollm2"? [request '
    )
    daemon.versions.clear()
    assert "Try: llmos pull smollm2." in cli("run", "smollm2", "Hi").err


def test_ctrl_c_cancels_the_generation(daemon, start):
    daemon.hold_after = 2
    process = start("run", "smollm2", "Hi")
    assert process.stdout.read(5) == b"Hello"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 130
    assert b"Traceback" not in errors
    assert daemon.cancelled_event.wait(5)


def test_a_reader_that_leaves_is_no_error_message(daemon, start):
    daemon.answer = ["x" * 1000] * 1000
    process = start("run", "smollm2", "Hi")
    process.stdout.read(10)
    process.stdout.close()
    assert process.wait(timeout=10) == 1
    assert process.stderr.read() == b"convert 2 tensors\n"
    process.stderr.close()
    assert daemon.cancelled_event.wait(5)


def test_run_passes_the_form(cli, daemon, tmp_path):
    """Inline or from a file; one form at most."""
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object"}')
    cli("run", "smollm2", "x", "--json-schema", f"@{schema}")
    cli("run", "smollm2", "x", "--regex", "[0-9]+")
    cli("run", "smollm2", "x", "--choice", "a", "--choice", "b")
    forms = [request.constraint for request in daemon.seen("StreamGenerate")]
    assert [form.WhichOneof("kind") for form in forms] == ["json_schema", "regex", "choice"]
    assert (forms[0].json_schema, list(forms[2].choice.texts)) == ('{"type": "object"}', ["a", "b"])
    clash = cli("run", "smollm2", "x", "--regex", "a", "--choice", "b")
    missing = cli("run", "smollm2", "x", "--grammar", "@/nowhere")
    assert (clash.code, missing.code) == (2, 2)
    assert "give one of" in clash.err
    assert "--grammar" in missing.err
