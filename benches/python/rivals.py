"""Python's process pools do the work of `src/rivals/work.rs` and time it.

    python3 rivals.py SYSTEM WORKERS

SYSTEM is `pool` (multiprocessing.Pool), `executor` (concurrent.futures.ProcessPoolExecutor), `loky` or `mpire`.
The first line of the answer is `ready VERSION` or `missing REASON`. Then every line of input, `WORK ITEMS`, is
answered by one line: `ok SECONDS...`, one figure for each row of that work, or `none REASON`. Times are taken in
here, so what the interpreter needs to start is not in them.
"""

import array
import collections
import concurrent.futures
import importlib.metadata
import multiprocessing
import multiprocessing.forkserver
import platform
import sys
import time

from tasks import echo, last_number, square

MAP_CHUNK = 10_000
IMAP_CHUNK = 1_000
MIB = 1 << 20


class NotOffered(Exception):
    """The system has no such call."""


def quantile(ordered, part):
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def middle(samples):
    return quantile(sorted(samples), 0.5)


class Pool:
    """multiprocessing.Pool with the platform's default start method."""

    version = f"multiprocessing.Pool of Python {platform.python_version()}, {multiprocessing.get_start_method()}"

    def __init__(self, workers):
        self.workers = workers
        self.pool = multiprocessing.Pool(workers)

    def apply(self, task, arg):
        return self.pool.apply(task, (arg,))

    def apply_async(self, items):
        handles = [self.pool.apply_async(square, (x,)) for x in range(items)]
        for handle in handles:
            handle.get()

    def map(self, items, chunk):
        assert len(self.pool.map(square, range(items), chunksize=chunk)) == items

    def imap(self, items, chunk):
        drain(self.pool.imap(square, range(items), chunksize=chunk or 1))

    def imap_unordered(self, items):
        drain(self.pool.imap_unordered(square, range(items)))

    def start(self, method):
        if method == "forkserver":
            # A server that is there already would be half of the work done.
            multiprocessing.forkserver._forkserver._stop()
        context = multiprocessing.get_context(method)
        start = time.perf_counter()
        pool = context.Pool(self.workers)
        assert pool.apply(square, (3,)) == 9
        took = time.perf_counter() - start
        pool.terminate()
        pool.join()
        return took

    def replace(self):
        raise NotOffered("the call in hand never returns")


class Executor:
    """concurrent.futures.ProcessPoolExecutor with the platform's default start method."""

    version = f"ProcessPoolExecutor of Python {platform.python_version()}, {multiprocessing.get_start_method()}"

    def __init__(self, workers):
        self.workers = workers
        self.pool = self.make(workers)

    def make(self, workers):
        return concurrent.futures.ProcessPoolExecutor(workers)

    def apply(self, task, arg):
        return self.pool.submit(task, arg).result()

    def apply_async(self, items):
        for future in [self.pool.submit(square, x) for x in range(items)]:
            future.result()

    def map(self, items, chunk):
        assert len(list(self.pool.map(square, range(items), chunksize=chunk or 1))) == items

    def imap(self, items, chunk):
        drain(self.pool.map(square, range(items), chunksize=chunk or 1))

    def imap_unordered(self, items):
        futures = [self.pool.submit(square, x) for x in range(items)]
        drain(future.result() for future in concurrent.futures.as_completed(futures))

    def start(self, method):
        if method == "forkserver":
            multiprocessing.forkserver._forkserver._stop()
        context = multiprocessing.get_context(method)
        start = time.perf_counter()
        pool = concurrent.futures.ProcessPoolExecutor(self.workers, mp_context=context)
        assert pool.submit(square, 3).result() == 9
        took = time.perf_counter() - start
        pool.shutdown()
        return took

    def replace(self):
        raise NotOffered("the next call fails")


class Loky(Executor):
    """loky's reusable executor's class, with its default start method."""

    def __init__(self, workers):
        import loky

        Loky.version = f"loky {loky.__version__}"
        self.loky = loky
        super().__init__(workers)

    def make(self, workers):
        return self.loky.ProcessPoolExecutor(workers)

    def start(self, method):
        # Its default, `loky`, starts a fresh interpreter for every worker, as `spawn` does.
        if method != "spawn":
            raise NotOffered("starts as `spawn` does")
        start = time.perf_counter()
        pool = self.make(self.workers)
        assert pool.submit(square, 3).result() == 9
        took = time.perf_counter() - start
        pool.shutdown()
        return took


class Mpire:
    """mpire's WorkerPool with the platform's default start method; its workers are kept between calls."""

    def __init__(self, workers):
        import mpire

        Mpire.version = f"mpire {importlib.metadata.version('mpire')}"
        self.mpire = mpire
        self.workers = workers
        self.pool = mpire.WorkerPool(workers, keep_alive=True)
        # Calls of different kinds on one kept pool fail with errors of its own.
        self.single = mpire.WorkerPool(workers, keep_alive=True)
        self.unordered = mpire.WorkerPool(workers, keep_alive=True)

    def apply(self, task, arg):
        return self.single.apply(task, (arg,))

    def apply_async(self, items):
        for handle in [self.single.apply_async(square, (x,)) for x in range(items)]:
            handle.get()

    def map(self, items, chunk):
        assert len(self.pool.map(square, range(items), chunk_size=chunk)) == items

    def imap(self, items, chunk):
        drain(self.pool.imap(square, range(items), chunk_size=chunk))

    def imap_unordered(self, items):
        drain(self.unordered.imap_unordered(square, range(items)))

    def start(self, method):
        if method == "forkserver":
            # Its processes hang when the server they share is started anew.
            raise NotOffered("not measured")
        start = time.perf_counter()
        pool = self.mpire.WorkerPool(self.workers, start_method=method, keep_alive=True)
        assert pool.apply(square, (3,)) == 9
        took = time.perf_counter() - start
        pool.terminate()
        return took

    def replace(self):
        raise NotOffered("the next call fails")


def drain(results):
    collections.deque(results, maxlen=0)


def timed(work, items):
    start = time.perf_counter()
    work()
    return [(time.perf_counter() - start) / items]


def each(call, items):
    """The times of single calls, in order of length."""
    samples = []
    for x in range(items):
        start = time.perf_counter()
        call(x)
        samples.append(time.perf_counter() - start)
    samples.sort()
    return samples


def measure(system, work, items):
    name, _, parameter = work.partition(":")
    if name == "apply":
        samples = each(lambda x: system.apply(square, x), items)
        return [quantile(samples, 0.5), quantile(samples, 0.99)]
    if name == "apply_async":
        return timed(lambda: system.apply_async(items), items)
    if name == "map":
        return timed(lambda: system.map(items, None), items)
    if name == "map_chunks":
        return timed(lambda: system.map(items, MAP_CHUNK), items)
    if name == "map_one":
        return timed(lambda: system.map(items, 1), items)
    if name == "imap":
        return timed(lambda: system.imap(items, None), items)
    if name == "imap_chunks":
        return timed(lambda: system.imap(items, IMAP_CHUNK), items)
    if name == "imap_unordered":
        return timed(lambda: system.imap_unordered(items), items)
    if name in ("bytes", "numbers", "numbers_in"):
        mebibytes = int(parameter)
        size = mebibytes * MIB
        data = b"\1" * size if name == "bytes" else array.array("d", [1.0]) * (size // 8)
        task = last_number if name == "numbers_in" else echo
        return [middle(each(lambda _: system.apply(task, data), items)) / mebibytes]
    if name == "start":
        return [middle([system.start(parameter) for _ in range(items)])]
    if name == "replace":
        return system.replace()
    raise NotOffered("unknown work")


def main():
    makers = {"pool": Pool, "executor": Executor, "loky": Loky, "mpire": Mpire}
    try:
        system = makers[sys.argv[1]](int(sys.argv[2]))
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


if __name__ == "__main__":
    main()
