"""How long the items of uneven work take; `src/rivals/work/durations.rs` has the same ones."""


def uniform():
    state = 1
    while True:
        state = (state * 1_664_525 + 1_013_904_223) % (1 << 32)
        yield state / (1 << 32)


def skewed(items):
    numbers = uniform()
    return [abs(1e-6 + 1e-3 * (sum(next(numbers) for _ in range(12)) - 6.0)) for _ in range(items)]


def sawtooth(items):
    return [0.002 * (item % 50 + 1) for item in range(items)]
