"""llmos chat against the fake daemon: through a pipe, and at a pseudo-terminal."""

import io
import json
import os
import signal
import subprocess
import threading
import time

import pytest
from fake_status import make_status


def test_chat_answers_line_by_line(cli, daemon):
    ran = cli("chat", "smollm2", "--system", "Be brief", stdin=io.StringIO("one\n\ntwo\n"))
    assert (ran.code, ran.out) == (0, "Hello world\nHello world\n")
    (start, append) = daemon.seen("ConverseRequest")
    assert [m.content for m in start.start.chat.messages] == ["Be brief", "one"]
    assert [m.content for m in append.append.messages] == ["two"]
    assert start.generation_id == append.generation_id


def test_chat_commands(cli, daemon, tmp_path):
    script = [
        "one",
        "/set temperature 0.5",
        "two\\",
        "lines",
        "/set",
        "/regenerate",
        '"""',
        "quoted",
        'text"""',
        f"/save {tmp_path}/talk.json",
        "/system Be rude",
        "/clear",
        "last",
        "/nonsense",
        "/set top_p x",
        "/set nope 1",
        "/set seed",
        "/save",
        "/help",
        "/exit",
        "never sent",
    ]
    ran = cli("chat", "smollm2", stdin=io.StringIO("\n".join(script)))
    assert ran.code == 0, ran.err
    assert ran.out == "Hello world\n" * 5
    begun = [r for r in daemon.seen("ConverseRequest") if r.HasField("start")]
    said = [[m.content for m in r.start.chat.messages] for r in begun]
    assert said == [
        ["one"],
        ["one", "Hello world", "two\nlines"],
        ["one", "Hello world", "two\nlines"],
        ["Be rude", "last"],
    ]
    assert begun[1].start.sampling.temperature == 0.5
    saved = json.loads((tmp_path / "talk.json").read_text())["messages"]
    assert [m["content"] for m in saved[-2:]] == ["quoted\ntext", "Hello world"]
    for part in ("no command /nonsense", "takes a number", "no parameter nope", "give a file"):
        assert part in ran.err


def test_chat_json(cli):
    ran = cli("chat", "smollm2", "-o", "json", stdin=io.StringIO("one\n"))
    assert ran.lines[0]["text"] == "Hello world"
    assert ran.lines[0]["usage"]["completion_tokens"] == 4


def test_chat_goes_on_after_the_daemon_forgot(cli, daemon, monkeypatch):
    act, forgotten = daemon._act, []

    def forget(request, turns, context):
        if request.HasField("append") and not forgotten:
            forgotten.append(turns.requests.pop(request.generation_id))
        return act(request, turns, context)

    monkeypatch.setattr(daemon, "_act", forget)
    ran = cli("chat", "smollm2", stdin=io.StringIO("one\ntwo\n"))
    assert (ran.code, ran.out) == (0, "Hello world\nHello world\n")
    again = daemon.seen("ConverseRequest")[-1].start.chat.messages
    assert [m.content for m in again] == ["one", "Hello world", "two"]


def test_chat_in_a_pipe_ends_with_the_error(cli, daemon):
    daemon.fail["Converse"] = make_status("RESOURCE_EXHAUSTED", "full", "QUEUE_FULL", retry_after=3)
    ran = cli("chat", "smollm2", stdin=io.StringIO("one\n"))
    assert ran.code == 75
    assert "Try again in 3 s." in ran.err


def test_ctrl_c_in_chat_ends_the_answer_only(daemon, start):
    daemon.hold_after = 2
    process = start("chat", "smollm2", stdin=subprocess.PIPE)
    process.stdin.write(b"one\n")
    process.stdin.flush()
    assert process.stdout.read(5) == b"Hello"
    process.send_signal(signal.SIGINT)
    assert daemon.cancelled_event.wait(5)
    assert process.stdout.read(1) == b"\n"
    daemon.hold_after = None
    out, errors = process.communicate(b"two\n", timeout=10)
    assert (process.returncode, out) == (0, b"Hello world\n"), errors
    restarted = daemon.seen("ConverseRequest")[-1].start.chat.messages
    assert [m.content for m in restarted] == ["one", "Hello", "two"]


def test_chat_at_a_terminal(daemon, home, start):
    """A pseudo-terminal: prompt_toolkit, an answer, history in the state folder, Ctrl-D."""
    main, other = os.openpty()
    process = start("chat", "smollm2", stdin=other, stdout=other, stderr=other)
    os.close(other)
    seen = bytearray()

    def read():
        try:
            while data := os.read(main, 4096):
                seen.extend(data)
        except OSError:
            pass

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    _await(lambda: b">>>" in seen, seen)
    os.write(main, b"first\x1b\rline\r")
    _await(lambda: b">>>" in seen.partition(b"Hello world")[2], seen)
    os.write(main, b"\x04")
    assert process.wait(timeout=10) == 0
    reader.join(5)
    os.close(main)
    history = home / "state" / "llmos" / "chat_history"
    assert "first" in history.read_text()
    assert history.stat().st_mode & 0o077 == 0
    assert daemon.seen("ConverseRequest")[0].start.chat.messages[0].content == "first\nline"


def _await(condition, seen):
    for _ in range(200):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail(f"never came; so far: {bytes(seen)!r}")
