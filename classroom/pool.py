"""Grade many submissions at once: a fresh process for each, forked from one that is warm.

On one machine that is all there is to it. With a Dask scheduler's address the same function runs
on its workers; they need this repository's environment, and no shared folder.
"""

import io
import json
import multiprocessing
import os
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterable, Iterator
from multiprocessing.connection import wait
from pathlib import Path

from classroom.execute import Grader, empty, is_quiz
from classroom.releases import Release, load
from classroom.states import FAULT

ATTEMPTS = 3
FORK = multiprocessing.get_context("fork")


def local(
    releases: list[Release],
    jobs: Iterable[tuple[str, dict]],
    workers: int = 1,
    **settings,
) -> Iterator[tuple[str, dict]]:
    """Grade (learner, files) pairs in `workers` processes; yield (learner, result) as they come."""
    graders = [Grader(releases, **settings) for _ in range(workers)]
    jobs, free, running, again = iter(jobs), list(graders), {}, []
    try:
        while True:
            while free and (job := again.pop() if again else next(jobs, None)):
                learner, files, attempt = job if len(job) == 3 else (*job, 1)
                grader = free.pop()
                try:
                    ready(grader, files)
                except Exception as error:  # the sandbox does not start: said for this learner
                    free.append(grader)
                    yield learner, fault(releases, f"{error}")
                    continue
                ours, theirs = FORK.Pipe(duplex=False)
                process = FORK.Process(target=_child, args=(grader, files, theirs))
                process.start()
                theirs.close()
                limit = time.monotonic() + 3 * grader.total + 120
                running[ours] = (process, grader, learner, files, attempt, limit)
            if not running:
                return
            for connection in wait(list(running), timeout=5) or _overdue(running):
                process, grader, learner, files, attempt, _ = running.pop(connection)
                result = _result(connection, process, releases)
                free.append(grader)
                faults = [p for p in result["notebooks"].values() if p["status"] == FAULT]
                if faults and attempt < ATTEMPTS:
                    grader.close()
                    grader.warm.clear()
                    again.append((learner, files, attempt + 1))
                else:
                    yield learner, result
    finally:
        for process, *_ in running.values():
            process.kill()
        for grader in graders:
            grader.close()


def ready(grader: Grader, files: dict) -> None:
    """Warm up what these files need, in the process that will be forked."""
    release = grader.releases[0]
    for kind in release.notebooks:
        if files.get(kind) and not is_quiz(release, kind):
            grader.warm_up(release, kind)


def fault(releases: list[Release], reason: str) -> dict:
    """The result of a submission that could not be graded for a reason of ours."""
    release = releases[0]
    parts = {kind: empty(release, kind, FAULT, reason) for kind in release.notebooks}
    return {"version": release.version, "notebooks": parts, "repairs": [], "flags": [],
            "seconds": 0.0, "cpu": 0.0}  # fmt: skip


def distributed(
    releases: list[Release], jobs: Iterable[tuple[str, dict]], address: str, **settings
) -> Iterator[tuple[str, dict]]:
    """The same on the workers of a Dask scheduler, at an address such as tcp://host:8786.

    Raises ValueError if dask.distributed is not installed or the scheduler does not answer.
    """
    try:
        from dask.distributed import Client, as_completed
    except ImportError:
        raise ValueError("--scheduler needs dask: pip install 'distributed>=2026.1'.") from None
    try:
        client = Client(address, timeout=20)
    except OSError as error:
        raise ValueError(f"No Dask scheduler answers at {address} ({error}).") from None
    with client:
        bundle = client.scatter(pack(releases), broadcast=True)
        futures = as_completed(with_results=True, raise_errors=False)
        learners, waiting = {}, iter(jobs)

        def submit():
            job = next(waiting, None)
            if job is not None:
                future = client.submit(remote, bundle, job[1], settings, pure=False, retries=2)
                learners[future.key] = job[0]
                futures.add(future)

        for _ in range(4 * max(1, len(client.scheduler_info()["workers"]))):
            submit()
        for future, result in futures:
            submit()
            if future.status == "error":
                result = fault(releases, f"a worker failed: {future.exception()}")
            yield learners.pop(future.key), result


def pack(releases: list[Release]) -> bytes:
    """The versions of an assignment as one archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for release in releases:
            for path in sorted(p for p in release.folder.rglob("*") if p.is_file()):
                name = Path(release.assignment, release.version, path.relative_to(release.folder))
                archive.write(path, name.as_posix())
    return file.getvalue()


_ONE_AT_A_TIME = threading.Lock()
_KEPT = {}  # on a worker: the grader of each bundle, warm from the first submission on


def remote(bundle: bytes, files: dict, settings: dict) -> dict:
    """Grade one submission on a worker."""
    key = (hash(bundle), json.dumps(settings, sort_keys=True))
    with _ONE_AT_A_TIME:
        return _kept(key, bundle, settings).grade(files)


def _kept(key, bundle, settings):
    if key not in _KEPT:
        folder = Path(tempfile.mkdtemp(prefix="releases-"))
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
            archive.extractall(folder)
        versions = sorted(folder.glob("*/*"), reverse=True)
        _KEPT[key] = Grader([load(version) for version in versions], **settings)
    return _KEPT[key]


def _child(grader, files, connection):
    result = grader.grade(files)
    connection.send_bytes(json.dumps(result).encode())
    connection.close()
    os._exit(0)


def _result(connection, process, releases):
    try:
        data = connection.recv_bytes() if connection.poll() else b""
    except (EOFError, OSError):
        data = b""
    if not data:
        process.kill()
    process.join(10)
    connection.close()
    if not data:
        return fault(releases, f"the grading process ended (exit status {process.exitcode})")
    return json.loads(data)


def _overdue(running):
    return [c for c, (*_, limit) in running.items() if time.monotonic() > limit]
