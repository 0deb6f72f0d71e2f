"""Python's process pools do the work of `src/rivals/work` and time it.

    python3 rivals.py SYSTEM WORKERS

SYSTEM is `pool` (multiprocessing.Pool), `executor` (concurrent.futures.ProcessPoolExecutor), `loky` or `mpire`.
The first line of the answer is `ready VERSION` or `missing REASON`. Then every line of input, `WORK ITEMS`, is
answered by one line: `ok SECONDS...`, one figure for each row of that work, or `none REASON`. Times are taken in
here, so what the interpreter needs to start is not in them.
"""

import os
import signal
import sys
import threading
import time

import durations
import image
import payloads
import prefixes
import tasks
from systems import SYSTEMS, NotOffered
from tasks import square

MAP_CHUNK = 10_000
IMAP_CHUNK = 1_000
# KiB of the constant that all items use.
CONSTANT = 195_313


def quantile(ordered, part):
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def middle(samples):
    return quantile(sorted(samples), 0.5)


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def each(call, items, between=lambda: None):
    """The times of single calls, in order of length."""
    samples = []
    for x in range(items):
        between()
        start = time.perf_counter()
        call(x)
        samples.append(time.perf_counter() - start)
    samples.sort()
    return samples


def single(system, items, between=lambda: None):
    samples = each(lambda x: system.apply(square, x), items, between)
    return [quantile(samples, 0.5), quantile(samples, 0.99)]


def payload(system, name, kibibytes, items):
    data = payloads.make(name, kibibytes)
    task = tasks.last if name.endswith("_in") else tasks.echo
    return [middle(each(lambda _: system.apply(task, data), items)) / max(kibibytes >> 10, 1)]


def submit_from(system, threads, items):
    if threads > 1 and sys.argv[1] == "mpire":
        raise NotOffered("mixes up the calls of several threads")
    share = max(items // threads, 1)
    all_threads = [threading.Thread(target=system.apply_async, args=(share,)) for _ in range(threads)]
    start = time.perf_counter()
    for thread in all_threads:
        thread.start()
    for thread in all_threads:
        thread.join()
    return [(time.perf_counter() - start) / (share * threads)]


def convolve(system, items):
    try:
        filters = image.filters(items)
    except ImportError:
        raise NotOffered("needs numpy") from None
    return [seconds(lambda: system.convolve(filters)) / items]


def constant(system, items):
    """From the value in hand to the first result, for a MiB; then an item, in few chunks where that can be said."""
    numbers = payloads.make("numbers", CONSTANT)
    start = time.perf_counter()
    pool, run = system.with_constant(numbers)
    with pool:
        run(1)
        first = time.perf_counter() - start
        run(100)
        return [first / (CONSTANT >> 10), seconds(lambda: run(items)) / items]


def count_prefixes(system, items):
    documents = [prefixes.document(number) for number in range(items)]
    return [seconds(lambda: system.prefixes(documents)) / items]


# Work whose figure is the time an item.
SMALL = {
    "apply_async": lambda system, items: system.apply_async(items),
    "map": lambda system, items: system.map(items, None),
    "map_chunks": lambda system, items: system.map(items, MAP_CHUNK),
    "map_one": lambda system, items: system.map(items, 1),
    "imap": lambda system, items: system.imap(items, None),
    "imap_chunks": lambda system, items: system.imap(items, IMAP_CHUNK),
    "imap_unordered": lambda system, items: system.imap_unordered(items),
}

# Work whose figure is the time of all of it.
WHOLE = {
    "skewed": lambda system, items: system.map_uneven(tasks.work_for, durations.skewed(items)),
    "sawtooth": lambda system, items: system.map_uneven(tasks.work_for, durations.sawtooth(items)),
    "concurrent_imap": lambda system, items: system.concurrent_imap(items),
}


def measure(system, work, items):
    name, _, parameter = work.partition(":")
    if name in SMALL:
        return [seconds(lambda: SMALL[name](system, items)) / items]
    if name in WHOLE:
        return [seconds(lambda: WHOLE[name](system, items))]
    if name == "apply":
        return single(system, items)
    if name == "apply_paused":
        return single(system, items, lambda: time.sleep(0.001))
    if name in ("bytes", "bytes_in", "numbers", "numbers_in", "strings", "nested"):
        return payload(system, name, int(parameter), items)
    if name == "start":
        return [middle([system.start(parameter) for _ in range(items)])]
    if name == "replace":
        return system.replace()
    if name == "sleep":
        # All workers are there before time is taken.
        system.sleep([1] * 10)
        return [seconds(lambda: system.sleep([int(parameter)] * items))]
    if name == "convolve":
        return convolve(system, items)
    if name == "constant":
        return constant(system, items)
    if name == "prefixes":
        return count_prefixes(system, items)
    if name == "workers":
        return [system.workers_map(int(parameter), items)]
    if name == "items":
        if items > system.most_items:
            raise NotOffered("not measured")
        calls = min(max(10_000 // items, 1), 20)
        return [middle([seconds(lambda: system.map(items, None)) for _ in range(calls)]) / items]
    if name == "submitters":
        return submit_from(system, int(parameter), items)
    raise NotOffered("unknown work")


def end_all(*_):
    """Not all of these pools end with their program. Run by hand, the group may be a shell's."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)


def main():
    # A program that is killed leaves a stopped group behind, which gets this from the kernel.
    signal.signal(signal.SIGHUP, end_all)
    try:
        system = SYSTEMS[sys.argv[1]](int(sys.argv[2]))
    except ImportError as error:
        print(f"missing {error}", flush=True)
        return
    print(f"ready {system.version}", flush=True)
    for line in sys.stdin:
        work, items = line.split()
        try:
            figures = measure(system, work, int(items))
            print("ok", *figures, flush=True)
        except NotOffered as reason:
            print(f"none {reason}", flush=True)
        except Exception as error:
            print(f"none {type(error).__name__}: {error}".replace("\n", " "), flush=True)
    end_all()


if __name__ == "__main__":
    main()
