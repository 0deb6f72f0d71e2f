"""mpire's second public workload; `src/rivals/work/prefixes.rs` has the same one and says what is smaller than theirs."""

import collections

WORDS = 100
MORE_OR_LESS = 50
BYTES = 20


def document(number):
    """A list of words."""
    count = WORDS + MORE_OR_LESS if number % 2 == 0 else WORDS - MORE_OR_LESS
    state = number + 1
    data = bytearray()
    for _ in range(count * BYTES):
        state = (state * 1_664_525 + 1_013_904_223) % (1 << 32)
        data.append(state >> 24)
    return [bytes(data[start : start + BYTES]) for start in range(0, len(data), BYTES)]


class Prefixes:
    def __init__(self):
        self.counts = collections.defaultdict(int)

    def add(self, document):
        counts = self.counts
        for word in document:
            for end in range(1, len(word)):
                counts[word[:end]] += 1

    def popular(self):
        return {prefix for prefix, count in self.counts.items() if count > 3}
