"""The process pools of Python, each with the calls that the work needs."""

import collections
import concurrent.futures
import functools
import importlib.metadata
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.managers
import platform
import time

import image
import prefixes
import tasks
from tasks import square

CONCURRENT_CHUNK = 10


class NotOffered(Exception):
    """The system has no such call."""


class Manager(multiprocessing.managers.SyncManager):
    """Counts of prefixes in a process of their own, as in mpire's comparison of the pools that keep nothing."""


Manager.register("Counts", prefixes.Prefixes)


def drain(results):
    collections.deque(results, maxlen=0)


def stop_forkserver():
    """A server that is there already would be half of the work done."""
    multiprocessing.forkserver._forkserver._stop()


class Pool:
    """multiprocessing.Pool with the platform's default start method."""

    # With default chunks; more would take too long.
    most_items = 1_000_000

    version = f"multiprocessing.Pool of Python {platform.python_version()}, {multiprocessing.get_start_method()}"

    def __init__(self, workers):
        self.workers = workers
        self.pool = multiprocessing.Pool(workers)

    @functools.cached_property
    def sleepers(self):
        return multiprocessing.Pool(5)

    def apply(self, task, arg):
        return self.pool.apply(task, (arg,))

    def apply_async(self, items):
        handles = [self.pool.apply_async(square, (x,)) for x in range(items)]
        for handle in handles:
            handle.get()

    def map(self, items, chunk):
        assert len(self.pool.map(square, range(items), chunksize=chunk)) == items

    def map_uneven(self, task, items):
        self.pool.map(task, items)

    def sleep(self, items):
        self.sleepers.map(tasks.sleep_millis, items)

    def imap(self, items, chunk):
        drain(self.pool.imap(square, range(items), chunksize=chunk or 1))

    def imap_unordered(self, items):
        drain(self.pool.imap_unordered(square, range(items)))

    def start(self, method):
        if method == "forkserver":
            stop_forkserver()
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

    def concurrent_imap(self, items):
        with multiprocessing.Pool(2) as pool:
            drain(pool.imap(tasks.identity, range(items), CONCURRENT_CHUNK))

    def convolve(self, filters):
        picture = image.image()
        with multiprocessing.Pool(self.workers) as pool:
            drain(pool.imap(functools.partial(tasks.convolve, picture), filters))

    def with_constant(self, numbers):
        pool = multiprocessing.Pool(self.workers, tasks.set_constant, (numbers,))
        return pool, lambda items: pool.map(tasks.pick, range(items))

    def prefixes(self, documents):
        with Manager() as manager, multiprocessing.Pool(self.workers) as pool:
            counts = [manager.Counts() for _ in range(self.workers)]
            pairs = ((counts[i % self.workers], document) for i, document in enumerate(documents))
            pool.starmap(tasks.add_document, pairs)
            set().union(*(count.popular() for count in counts))

    def workers_map(self, count, items):
        with multiprocessing.Pool(count) as pool:
            pool.map(square, range(20 * count), chunksize=1)
            start = time.perf_counter()
            pool.map(square, range(items))
            return (time.perf_counter() - start) / items


class Executor:
    """concurrent.futures.ProcessPoolExecutor with the platform's default start method."""

    most_items = 10_000

    version = f"ProcessPoolExecutor of Python {platform.python_version()}, {multiprocessing.get_start_method()}"

    def __init__(self, workers):
        self.workers = workers
        self.pool = self.make(workers)

    @functools.cached_property
    def sleepers(self):
        return self.make(5)

    def make(self, workers, **settings):
        return concurrent.futures.ProcessPoolExecutor(workers, **settings)

    def apply(self, task, arg):
        return self.pool.submit(task, arg).result()

    def apply_async(self, items):
        for future in [self.pool.submit(square, x) for x in range(items)]:
            future.result()

    def map(self, items, chunk):
        assert len(list(self.pool.map(square, range(items), chunksize=chunk or 1))) == items

    def map_uneven(self, task, items):
        drain(self.pool.map(task, items))

    def sleep(self, items):
        drain(self.sleepers.map(tasks.sleep_millis, items))

    def imap(self, items, chunk):
        drain(self.pool.map(square, range(items), chunksize=chunk or 1))

    def imap_unordered(self, items):
        futures = [self.pool.submit(square, x) for x in range(items)]
        drain(future.result() for future in concurrent.futures.as_completed(futures))

    def start(self, method):
        if method == "forkserver":
            stop_forkserver()
        context = multiprocessing.get_context(method)
        start = time.perf_counter()
        pool = concurrent.futures.ProcessPoolExecutor(self.workers, mp_context=context)
        assert pool.submit(square, 3).result() == 9
        took = time.perf_counter() - start
        pool.shutdown()
        return took

    def replace(self):
        raise NotOffered("the next call fails")

    def concurrent_imap(self, items):
        with self.make(2) as pool:
            drain(pool.map(tasks.identity, range(items), chunksize=CONCURRENT_CHUNK))

    def convolve(self, filters):
        picture = image.image()
        with self.make(self.workers) as pool:
            drain(pool.map(functools.partial(tasks.convolve, picture), filters))

    def with_constant(self, numbers):
        pool = self.make(self.workers, initializer=tasks.set_constant, initargs=(numbers,))
        return pool, lambda items: drain(pool.map(tasks.pick, range(items), chunksize=max(items // 8, 1)))

    def prefixes(self, documents):
        with Manager() as manager, self.make(self.workers) as pool:
            counts = [manager.Counts() for _ in range(self.workers)]
            pairs = ((counts[i % self.workers], document) for i, document in enumerate(documents))
            drain(pool.map(tasks.add_document_of, pairs))
            set().union(*(count.popular() for count in counts))

    def workers_map(self, count, items):
        raise NotOffered("not measured")


class Loky(Executor):
    """loky's reusable executor's class, with its default start method."""

    def __init__(self, workers):
        import loky

        Loky.version = f"loky {loky.__version__}"
        self.loky = loky
        super().__init__(workers)

    def make(self, workers, **settings):
        return self.loky.ProcessPoolExecutor(workers, **settings)

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

    most_items = 10_000

    def __init__(self, workers):
        import mpire
        import mpire.utils

        Mpire.version = f"mpire {importlib.metadata.version('mpire')}"
        self.mpire = mpire
        self.workers = workers
        self.pool = self.make(workers)
        # Calls of different kinds on one kept pool fail with errors of its own.
        self.single = self.make(workers)
        self.unordered = self.make(workers)
        self.uneven = self.make(workers)

    def make(self, workers):
        return self.mpire.WorkerPool(workers, keep_alive=True)

    @functools.cached_property
    def sleepers(self):
        return self.make(5)

    def apply(self, task, arg):
        return self.single.apply(task, (arg,))

    def apply_async(self, items):
        for handle in [self.single.apply_async(square, (x,)) for x in range(items)]:
            handle.get()

    def map(self, items, chunk):
        assert len(self.pool.map(square, range(items), chunk_size=chunk)) == items

    def map_uneven(self, task, items):
        self.uneven.map(task, items)

    def sleep(self, items):
        self.sleepers.map(tasks.sleep_millis, items)

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

    def concurrent_imap(self, items):
        with self.mpire.WorkerPool(2) as pool:
            drain(pool.imap(tasks.identity, range(items), chunk_size=CONCURRENT_CHUNK))

    def convolve(self, filters):
        picture = image.image()
        with self.mpire.WorkerPool(self.workers, shared_objects=picture) as pool:
            drain(pool.imap(tasks.convolve, filters))

    def with_constant(self, numbers):
        pool = self.mpire.WorkerPool(self.workers, shared_objects=numbers, keep_alive=True)
        return pool, lambda items: pool.map(tasks.pick_of, range(items))

    def prefixes(self, documents):
        counter = tasks.Counter()
        with self.mpire.WorkerPool(self.workers, start_method="fork") as pool:
            pool.map_unordered(
                counter.add_document,
                self.mpire.utils.make_single_arguments(documents),
                iterable_len=len(documents),
                worker_exit=counter.popular,
            )
            set().union(*pool.get_exit_results())

    def workers_map(self, count, items):
        raise NotOffered("not measured")


SYSTEMS = {"pool": Pool, "executor": Executor, "loky": Loky, "mpire": Mpire}
