"""The child's whole story: load generator and system under test in one fresh process, as LoadGen wants it."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from densebench.loadtest import generator, scenarios
from densebench.loadtest.desk import Desk
from densebench.loadtest.plan import Found, Request
from densebench.measure.answering import Elsewhere, Here, Stream
from densebench.processes import messages
from densebench.processes.child import end_with_parent


class Child:
    """A request on its way to an answer, told to the descriptor `results` in lines of JSON."""

    def __init__(self, request: Request, results: int) -> None:
        self._request = request
        self._results = results

    def run(self) -> None:
        """Do it, and say what came of it."""
        try:
            runs, best = self._direct() if self._request.scenario == "single-stream" else self._queued()
            found = Found(runs=tuple(runs), best=best, loadgen=generator.version())
            self._send(messages.Message(result=found.model_dump(mode="json")))
        except BaseException as error:  # noqa: BLE001 - whatever it was, the parent is told
            self._fail(error)

    def _direct(self) -> scenarios.Answer:
        """Queries are answered within LoadGen's call: between two threads each would be handed over twice."""
        stream = Here(self._request)
        stream.open()

        def answer(samples: Sequence[Any]) -> None:
            try:
                for sample in samples:
                    stream.run([sample.index])
                    generator.complete([sample])
            except BaseException as error:  # noqa: BLE001 - it can't pass through LoadGen
                self._fail(error)

        answered = scenarios.run(self._request, answer, self._say)
        stream.close()
        return answered

    def _queued(self) -> scenarios.Answer:
        asked = self._request
        many = asked.streams > 1
        streams: list[Stream] = [
            Elsewhere(asked, number) if many else Here(asked) for number in range(asked.streams)
        ]
        desk = Desk(streams, asked.batch_size, generator.complete, self._fail)
        answered = scenarios.run(asked, desk.issue, self._say)
        desk.close()
        return answered

    def _say(self, stage: str) -> None:
        self._send(messages.Message(stage=stage))

    def _fail(self, error: BaseException) -> None:
        """Tell the parent and end at once: LoadGen waits for ever for what isn't answered."""
        traceback.print_exception(error)
        self._send(messages.Message(problem=messages.problem_of(error)))
        sys.stderr.flush()
        os._exit(1)

    def _send(self, message: messages.Message) -> None:
        os.write(self._results, message.model_dump_json(exclude_defaults=True).encode() + b"\n")


def main() -> None:
    """Do the request in the first argument; the second is the descriptor for what comes of it."""
    end_with_parent()
    Child(Request.model_validate_json(sys.argv[1]), int(sys.argv[2])).run()


if __name__ == "__main__":
    main()
