"""Turns of a job and of engines: waited for, ended early, and no longer than they may be."""

import struct
import time

from llmosd.ipc.turns import Turns


def waited(turns):
    began = time.monotonic()
    turns.wait()
    return time.monotonic() - began


def test_an_engine_waits_for_a_turn_and_no_longer(tmp_path):
    job, engine = Turns(tmp_path / "turns"), Turns(tmp_path / "turns")
    assert waited(engine) < 0.05
    job.take(0.3)
    assert waited(engine) > 0.2
    assert waited(engine) < 0.05  # it ended by itself: nobody need be alive to end it


def test_a_turn_that_is_over_early(tmp_path):
    job, engine = Turns(tmp_path / "turns"), Turns(tmp_path / "turns")
    job.take(0.4)
    job.release()
    assert waited(engine) < 0.2


def test_what_was_left_before_the_machine_started_holds_up_nobody(tmp_path):
    """The monotonic clock begins anew: an end far in the future is none."""
    engine = Turns(tmp_path / "turns")
    (tmp_path / "turns").write_bytes(struct.pack("<q", time.monotonic_ns() + 10**15))
    assert waited(engine) < 0.05
