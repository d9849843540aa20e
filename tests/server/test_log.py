"""What the log says when something crashes, and what it does not."""

import json
import subprocess
import sys

CODE = """
import structlog
from llmosd.log import configure_logging
configure_logging("info")
def answer(prompt):
    raise ValueError("it broke")
try:
    answer("words of a person")
except ValueError:
    structlog.get_logger().exception("call_crashed")
"""


def test_a_crash_is_told_without_what_was_asked():
    """The traceback has files, lines and the error, and no local variables."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    line = json.loads(done.stdout)
    assert line["exception"][0]["exc_value"] == "it broke"
    assert [frame["name"] for frame in line["exception"][0]["frames"]] == ["<module>", "answer"]
    assert "words of a person" not in done.stdout
