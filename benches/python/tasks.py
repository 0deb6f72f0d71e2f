"""The tasks that are measured; `src/tasks.rs` has the same ones. In a module of their own, so that every pool finds
them by name."""

import os


def square(x):
    return x * x


def echo(data):
    return data


def last_number(data):
    return data[-1]


def own_pid():
    return os.getpid()
