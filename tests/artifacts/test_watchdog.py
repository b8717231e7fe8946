"""Work in processes with bounds: whatever an item does, it costs that item."""

import faulthandler
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from stages.artifacts import watchdog
from stages.artifacts.watchdog import Failure

# Well above what the machine may delay a process that does nothing wrong.
TIMEOUT_S = 4.0


def run(work, bundles, num_workers=2, timeout_s=TIMEOUT_S, memory_bytes=2**30):
    found = watchdog.run(work, bundles, num_workers=num_workers, timeout_s=timeout_s, memory_bytes=memory_bytes)
    return [results for _, results in sorted(found)]


class Panic(BaseException):
    """What a library in Rust raises."""


def act(item):
    """Do what an item says and answer with it."""
    if item == "crash":
        faulthandler.disable()
        os.kill(os.getpid(), signal.SIGSEGV)
    if item == "end":
        os._exit(0)
    if item == "hang":
        time.sleep(1000)
    if item == "spin":
        while True:
            pass
    if item == "bloat":
        return bytearray(2**31)
    if item == "panic":
        raise Panic
    if item == "oom":
        os.kill(os.getpid(), signal.SIGKILL)
    return item


@pytest.mark.parametrize("num_workers", [1, 3])
def test_results_come_in_the_order_of_the_items(num_workers):
    bundles = [list(range(10 * n, 10 * n + n)) for n in range(8)]
    assert run(lambda item: item * 2, bundles, num_workers) == [[2 * item for item in bundle] for bundle in bundles]


@pytest.mark.parametrize(
    ("deed", "kind"),
    [
        ("crash", "crash"),
        ("end", "crash"),
        ("panic", "crash"),
        ("hang", "time"),
        ("spin", "time"),
        ("bloat", "memory"),
        ("oom", "memory"),
    ],
)
def test_what_an_item_does_costs_that_item(deed, kind):
    bundles = [["a", "b", deed, "c"], ["d"], [deed], ["e", "f"]]
    failure = Failure(kind)
    assert run(act, bundles) == [["a", "b", failure, "c"], ["d"], [failure], ["e", "f"]]


def test_several_bad_items_of_a_bundle_cost_themselves():
    failure = Failure("crash")
    assert run(act, [["crash", "a", "crash", "crash", "b", "crash"]]) == [
        [failure, "a", failure, failure, "b", failure]
    ]


def test_a_crash_that_does_not_come_again_is_no_loss(tmp_path):
    def crash_once(item):
        if item == "bad" and not (tmp_path / "seen").exists():
            (tmp_path / "seen").touch()
            act("crash")
        return item

    assert run(crash_once, [["a", "bad", "b"]]) == [["a", "bad", "b"]]


def test_a_long_item_that_shows_signs_of_life_is_let_be():
    def work_on(_item):
        for _ in range(6):
            time.sleep(TIMEOUT_S / 5)
            watchdog.keep_alive()
        return "done"

    assert run(work_on, [["long"]], timeout_s=TIMEOUT_S) == [["done"]]


def test_a_fault_of_the_program_is_raised():
    def fail(item):
        raise KeyError(item)

    with pytest.raises(KeyError, match="what is wrong"):
        run(fail, [["what is wrong"]])


def test_processes_that_a_hanging_item_started_end_with_it(tmp_path):
    def start(_item):
        child = subprocess.Popen(["sleep", "1000"])
        (tmp_path / "pid").write_text(str(child.pid))
        child.wait()

    assert run(start, [["x"]], timeout_s=0.5) == [[Failure("time")]]
    assert wait_until(partial(is_gone, int((tmp_path / "pid").read_text())))


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    script = (
        "import os, pathlib, sys, time\n"
        "from stages.artifacts import watchdog\n"
        "def work(item):\n"
        "    pathlib.Path(sys.argv[1], str(os.getpid())).touch()\n"
        "    time.sleep(1000)\n"
        "list(watchdog.run(work, [[1], [2]], num_workers=2, timeout_s=1000, memory_bytes=2**30))\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) as parent:
        assert wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
        parent.kill()
    assert wait_until(lambda: all(is_gone(int(path.name)) for path in tmp_path.iterdir()))


def is_gone(pid):
    try:
        # A dead process whose parent has not asked for it yet is gone too.
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until(is_true, timeout_s=120):
    end = time.monotonic() + timeout_s
    while not is_true() and time.monotonic() < end:
        time.sleep(0.02)
    return is_true()
