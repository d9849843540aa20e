"""A full queue is shared out among tenants; a plain bound, the control, refuses whoever comes last."""

import pytest

from llmosd.errors import QueueFull
from llmosd.ipc.messages import HIGH, LOW, NORMAL
from llmosd.supervisor.admission import Admission


def filled(count, *, weights=None):
    """`count` of one tenant, in a queue for so many; the first one runs."""
    admission = Admission(count, weights or {})
    for number in range(1, count + 1):
        assert admission.enter(number, "heavy", NORMAL) is None
    admission.begin(1)
    return admission


def test_the_one_with_most_loses_its_latest():
    admission = filled(5)
    assert admission.enter(6, "light", NORMAL) == 5
    assert admission.enter(7, "light", NORMAL) == 4
    with pytest.raises(QueueFull) as caught:  # two of each: nobody is put out for an equal
        admission.enter(8, "light", NORMAL)
    assert caught.value.retry_after
    with pytest.raises(QueueFull):
        admission.enter(8, "heavy", NORMAL)
    admission.leave(2)
    assert admission.enter(8, "heavy", NORMAL) is None


def test_a_plain_bound_would_refuse_the_light_one(monkeypatch):
    monkeypatch.setattr(Admission, "_loser", lambda *_: None)
    with pytest.raises(QueueFull):
        filled(5).enter(6, "light", NORMAL)


def test_what_runs_is_not_put_out():
    admission = filled(3)
    admission.begin(2)
    admission.begin(3)
    with pytest.raises(QueueFull):
        admission.enter(4, "light", HIGH)


def test_a_weight_is_a_share_of_the_queue():
    admission = filled(9, weights={"heavy": 3.0})
    assert admission.enter(10, "light", NORMAL) == 9
    assert admission.enter(11, "light", NORMAL) == 8
    with pytest.raises(QueueFull):  # six waiting and three would be as two and three
        admission.enter(12, "light", NORMAL)


def test_a_higher_one_takes_the_place_of_the_tenants_own_lower_one():
    admission = Admission(3, {})
    for number, priority in enumerate((LOW, LOW, NORMAL), 1):
        admission.enter(number, "one", priority)
    assert admission.enter(4, "one", HIGH) == 2
    assert admission.enter(5, "one", NORMAL) == 1
    assert admission.enter(6, "one", HIGH) == 5
    with pytest.raises(QueueFull):
        admission.enter(7, "one", LOW)
