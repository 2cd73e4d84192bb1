"""The emr driver with a plain process for each barrier task, for tests that need not wait for Spark."""

import json
import os
import subprocess
import sys
from typing import Any

from tzx_schedulers import _emr_driver as driver


class Context:
    """As much of a SparkContext as the driver uses."""

    def __init__(self, argument: str, board: driver.Board) -> None:
        self.argument, self.board, self.attempts = argument, board, 0
        self.nodes = range(0)

    def parallelize(self, nodes: range, _: int) -> "Context":
        self.nodes = nodes
        return self

    def barrier(self) -> "Context":
        return self

    def mapPartitions(self, _: Any) -> "Context":  # noqa: N802
        return self

    def collect(self) -> list[dict[str, Any]]:
        tasks = []
        for node in self.nodes:
            words = [json.dumps([node, self.board.place, self.board.token, self.attempts]), self.argument]
            tasks.append(subprocess.Popen([sys.executable, __file__, "task", *words], stdout=subprocess.PIPE))
        self.attempts += 1
        return [json.loads(task.communicate()[0]) for task in tasks]


def task(place_and_token: str, argument: str) -> None:
    node, place, token, number = json.loads(place_and_token)
    job = driver.decode(argument)
    me = {"node": node, "host": "127.0.0.1", "token": token}
    result = driver.keep(job, tuple(place), me, driver.environment(job, me, ["127.0.0.1", 4711], number))
    print(json.dumps(result))


if __name__ == "__main__":
    if sys.argv[1] == "task":
        task(*sys.argv[2:])
    else:
        board = driver.Board("127.0.0.1", "127.0.0.1")
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        os._exit(driver.run(Context(sys.argv[-1], board), board, driver.decode(sys.argv[-1])))
