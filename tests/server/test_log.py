"""What the log says, whatever is in a string; what it does not say; and that nobody waits for it."""

import json
import os
import pty
import subprocess
import sys
import threading

import pytest

from daemon import wait_for
from llmosd.log_writer import LogWriter

BEGIN = """
import logging, os, sys, structlog
from llmosd import log
log.configure_logging("info")
logger = structlog.get_logger()
"""
CRASH = """
def answer(prompt):
    raise ValueError("it broke")
try:
    answer("words of a person")
except ValueError:
    logger.exception("call_crashed")
"""
HOSTILE = 'one\r\ntwo\x1b[2J\x00\u2028\x85\udc80 <3>{"event": "forged"}'


def run(code, **options):
    command = [sys.executable, "-c", BEGIN + code]
    return subprocess.run(command, capture_output=True, check=True, **options).stdout


def lines(code, **options):
    return [json.loads(line) for line in run(code, **options).split(b"\n")[:-1]]


def test_a_crash_is_told_without_what_was_asked():
    """The traceback has files, lines and the error, and no local variables."""
    out = run(CRASH)
    line = json.loads(out)
    assert line["exception"][0]["exc_value"] == "it broke"
    assert [frame["name"] for frame in line["exception"][0]["frames"]] == ["<module>", "answer"]
    assert b"words of a person" not in out


def test_one_line_of_json_whatever_is_in_a_string():
    """Line ends, terminal commands, NUL, half a surrogate: ASCII on one line, and all of it there."""
    out = run(
        f"logger.info({HOSTILE!r}, value={HOSTILE!r}, odd={{1: object()}}, **{{{HOSTILE!r}: 1}})"
    )
    assert out.count(b"\n") == 1
    assert all(32 <= byte < 127 for byte in out[:-1])
    line = json.loads(out)
    assert line["event"] == line["value"] == HOSTILE
    assert line["level"] == "info"


def test_a_terminal_is_not_commanded():
    """Readable lines have the text, and none of its control characters."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-c", BEGIN + f"logger.info('x', value={HOSTILE!r})"]
    environment = {**os.environ, "NO_COLOR": "1"}
    subprocess.run(command, stdout=follower, check=True, env=environment)
    shown = os.read(leader, 65536)
    os.close(leader)
    os.close(follower)
    assert b"\\x1b[2J" in shown
    assert b"\x1b[2J" not in shown
    assert b"\x00" not in shown
    assert shown.count(b"\r\n") == 1


def test_priorities_for_the_journal(tmp_path):
    """<N> only where JOURNAL_STREAM names what stdout is."""
    code = "logger.info('a'); logger.warning('b'); logger.error('c')"
    path = tmp_path / "journal"
    for inode, prefixes in ((0, [b"<6>", b"<4>", b"<3>"]), (1, [b'{"e'] * 3)):
        with path.open("wb") as file:
            state = os.fstat(file.fileno())
            stream = f"{state.st_dev}:{state.st_ino + inode}"
            environment = {**os.environ, "JOURNAL_STREAM": stream}
            command = [sys.executable, "-c", BEGIN + code]
            subprocess.run(command, stdout=file, check=True, env=environment)
        assert [line[:3] for line in path.read_bytes().splitlines()] == prefixes


def test_a_line_that_the_journal_would_cut_is_cut_by_us():
    """Two halves would be no JSON: what it is about is kept, and its length."""
    (line,) = lines("logger.info('call', method='/a/B', text='x' * 100_000)")
    assert line["event"] == "call"
    assert line["method"] == "/a/B"
    assert line["cut"] > 100_000
    assert "text" not in line


def test_level_at_run_time():
    """Loggers that were used before follow, too."""
    found = lines(
        "logger.debug('a'); logger.info('b'); log.set_level('debug'); logger.debug('c')\n"
        "log.set_level('error'); logger.warning('d'); logger.error('e')\n"
        "print_level = log.current_level(); logger.error(print_level)"
    )
    assert [line["event"] for line in found] == ["b", "c", "e", "error"]
    with pytest.raises(subprocess.CalledProcessError):
        run("log.set_level('loud')")


def test_libraries_speak_json_too():
    """What asyncio and others log by logging is a line of ours."""
    (line,) = lines("logging.getLogger('asyncio').error('it %s', 'failed'); logging.info('no')")
    expected = {"event": "library", "logger": "asyncio", "message": "it failed", "level": "error"}
    assert line.items() >= expected.items()


@pytest.mark.parametrize("blocking", [True, False])
def test_nobody_waits_for_a_reader(blocking):
    """A pipe that is not read costs lines, which are counted; what was taken comes in order."""
    reader, writer = os.pipe()
    os.set_blocking(writer, blocking)
    log = LogWriter(writer, lambda count: f"dropped {count}", most_bytes=200_000)
    total = 0
    while not log.dropped:  # would hang here, were a line written where it is logged
        log.write(f"{total:06} {'x' * 1000}")
        total += 1
    for _ in range(4):
        log.write("x" * 5000)
    assert log.dropped == 5

    found = bytearray()

    def read():
        while data := os.read(reader, 65536):
            found.extend(data)

    thread = threading.Thread(target=read)
    thread.start()
    wait_for(lambda: not log._bytes, 10)
    log.write("after")
    log.close()
    os.close(writer)
    thread.join()
    os.close(reader)
    got = found.decode().splitlines()
    assert [int(line[:6]) for line in got[:-2]] == list(range(total - 1))
    assert got[-2:] == ["dropped 5", "after"]
