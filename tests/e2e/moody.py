"""An engine and a technique from another package: plain execution, until a batch size brings out a mood."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from densebench.engines import eager
from densebench.engines.base import Built, Engine, Session, Target
from densebench.model.adapter import served
from densebench.schema import Effect
from densebench.techniques.base import Options, Technique


class Moods(Options):
    """The batch size at which each thing goes wrong; 0: never."""

    hang: int = 0
    memory: int = 0
    slow: int = 0
    crash: int = 0


class MoodySession(eager.EagerSession):
    """An eager session that goes wrong at some batch sizes."""

    moods: Mapping[str, int]

    def __call__(self, images):
        size = len(images)
        if size == self.moods["hang"]:
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            ctypes.PyDLL(None).sleep(120)  # in native code, with the interpreter's lock held
        if size == self.moods["memory"]:
            resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
            torch.empty(16 << 30, dtype=torch.uint8)
        if size == self.moods["slow"]:
            time.sleep(1.3)
        if size == self.moods["crash"]:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().__call__(images)

    def effect(self, images) -> Effect:
        """Run nothing: a check before the measurements has to go well."""
        return Effect(none_because="moods change no layer")


def build(model, workload, folder: Path, target: Target, **moods: int) -> Built:
    """What the eager engine saves, and the moods."""
    built = eager.build(model, workload, folder, target)
    return Built(details=built.details | {"moods": moods})


def load(folder: Path, details: Mapping[str, Any], device: str) -> Session:
    """A session with the saved moods."""
    session = MoodySession(eager.load_module(folder, details, device))
    session.moods = details["moods"]
    return session


def lethargy(model, workload=None):
    """Change nothing."""
    return served(model)


ENGINE = Engine(
    "moody",
    "goes wrong at some batch sizes",
    build,
    load,
    options=Moods,
    contains_code=False,
    tolerance=1e-5,
)
TECHNIQUE = Technique(
    "lethargy",
    "changes nothing",
    lethargy,
    changes="mood",
    slow=lambda device: f"lethargy sets in on {device}",
)
