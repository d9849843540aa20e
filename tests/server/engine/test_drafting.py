"""What is guessed, and when nothing is."""

from llmosd.engine.drafting import Drafter


def test_proposes_what_followed_last():
    """The newest continuation of the last three tokens, no longer than the history has it."""
    drafter = Drafter()
    assert drafter.propose([1, 2, 3, 9, 9, 1, 2, 3, 8, 7, 6, 1, 2, 3], 8) == [8, 7]
    assert Drafter().propose([1, 2, 3, 4, 1, 2, 3], 1) == [4]
    assert Drafter().propose([5, 5, 5, 5], 8) == [5]
    assert Drafter().propose([1, 2, 3, 4], 8) == []
    assert Drafter().propose([1, 2], 8) == []


def test_grows_while_right_and_pauses_when_wrong():
    """Longer after every right guess; after wrong ones silent for longer and longer."""
    history = [1, 2, 3, 4, 5, 6, 7, 8, 9] * 3
    drafter = Drafter()
    lengths = []
    for _ in range(4):
        proposed = drafter.propose(history, 8)
        lengths.append(len(proposed))
        drafter.learn(len(proposed), len(proposed))
    assert lengths == [2, 4, 6, 8]
    pauses = []
    for _ in range(4):
        drafter.learn(1, 0)
        silent = 0
        while not drafter.propose(history, 8):
            silent += 1
        pauses.append(silent)
    assert pauses == [2, 4, 8, 16]
    drafter.learn(1, 1)
    assert len(drafter.propose(history, 8)) == 3


def test_history_is_filed_once():
    """Tokens that come one by one are found like those that came at once."""
    history = [1, 2, 3, 4, 5, 1, 2, 3, 4, 6, 1, 2, 3, 4]
    drafter = Drafter()
    for end in range(1, len(history)):
        drafter.propose(history[:end], 8)
    assert drafter.propose(history, 8) == Drafter().propose(history, 8) == [6, 1]
