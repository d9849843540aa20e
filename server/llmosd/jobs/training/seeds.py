"""Seeds of a step's random numbers, made from the run's seed: nothing has to be carried along."""

DROPOUT, MASKING, EVALUATION, WEIGHTS, SAMPLES, GAME, NOISE = range(7)
"""What randomness is for: each purpose has draws of its own."""

_MASK = (1 << 64) - 1


def seed_of(seed: int, purpose: int, number: int = 0) -> int:
    """A seed for torch that depends on these three numbers alone, well mixed.

    SplitMix64's finalizer (Steele et al., 2014), over each number in turn.
    """
    state = 0
    for value in (seed, purpose, number):
        state = (state + value + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state >> 1
