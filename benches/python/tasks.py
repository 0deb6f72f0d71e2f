"""The tasks that are measured; `src/tasks.rs` has the same ones. In a module of their own, so that every pool finds
them by name."""

import os
import time

import image
import prefixes


def square(x):
    return x * x


def identity(x):
    return x


def echo(data):
    return data


def last(data):
    return data[-1]


def own_pid():
    return os.getpid()


def sleep_millis(millis):
    time.sleep(millis / 1000)


def work_for(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def convolve(picture, small):
    return image.convolve(picture, small)


CONSTANT = None


def set_constant(numbers):
    """For pools whose workers are handed it when they start."""
    global CONSTANT
    CONSTANT = numbers


def pick(at):
    return CONSTANT[at % len(CONSTANT)]


def pick_of(numbers, at):
    """For mpire, which hands it to each item."""
    return numbers[at % len(numbers)]


def add_document(counts, document):
    """For pools that cannot keep anything in a worker: `counts` is a manager's, as in mpire's own comparison."""
    counts.add(document)


def add_document_of(arguments):
    """The same for pools that take one argument an item."""
    add_document(*arguments)


class Counter(prefixes.Prefixes):
    """For pools whose workers keep what they have: mpire's."""

    def add_document(self, document):
        self.add(document)
