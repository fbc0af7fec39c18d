"""The same grades from a Dask cluster of two processes as from one process here."""

import re
import shutil
import subprocess
import sys
import time

import classes
import nbformat
import pytest

from classroom import pool, releases, sandbox

NAMES = ["full", "half", "loose", "dies", "cut", "markdown"]
SETTINGS = {"isolated": not sandbox.why_not(), "cell_time": 60, "total": 300}


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    root = tmp_path_factory.mktemp("version")
    for name in ("solutions", "quizzes"):
        shutil.copytree(classes.ROOT / name, root / name)
    return releases.keep(root, classes.CHAPTER)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The address of a scheduler with two worker processes."""
    folder = tmp_path_factory.mktemp("cluster")
    log = folder / "log"
    with log.open("w") as file:
        options = {"cwd": folder, "stdout": file, "stderr": file}
        command = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
        command += ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        scheduler = subprocess.Popen(command, **options)
        workers = []
        try:
            address = None
            for _ in range(600):
                found = re.search(r"Scheduler at: +(tcp://\S+)", log.read_text())
                if found:
                    address = found[1]
                    break
                assert scheduler.poll() is None, log.read_text()
                time.sleep(0.5)
            command = [sys.executable, "-m", "distributed.cli.dask_worker", address]
            command += ["--nthreads", "1", "--no-dashboard", "--no-nanny"]
            workers = [subprocess.Popen(command, **options) for _ in range(2)]
            yield address
        finally:
            for process in [*workers, scheduler]:
                process.terminate()
                process.wait(30)


def points(results):
    return {
        learner: {
            kind: (part["status"], part["scores"], part["letters"])
            for kind, part in result["notebooks"].items()
        }
        for learner, result in results
    }


def test_a_cluster_gives_the_same_grades(version, cluster):
    jobs = []
    for name in NAMES:
        files = classes.SUBMISSIONS[name][3]
        data = {}
        for file, content in files.items():
            text = content if isinstance(content, str) else nbformat.writes(content)
            data[file.removesuffix(".ipynb")] = text.encode()
        jobs.append((name, data))
    here = points(pool.local([version], jobs, 1, **SETTINGS))
    there = points(pool.distributed([version], jobs, cluster, **SETTINGS))
    assert set(here) == set(NAMES)
    assert here == there


def test_a_scheduler_that_is_not_there_is_named(version, monkeypatch):
    import distributed

    def refuse(address, timeout):
        raise OSError("Timed out")

    monkeypatch.setattr(distributed, "Client", refuse)
    monkeypatch.setattr("dask.distributed.Client", refuse)
    with pytest.raises(ValueError, match="No Dask scheduler answers at tcp://127.0.0.1:1"):
        list(pool.distributed([version], [], "tcp://127.0.0.1:1", **SETTINGS))
