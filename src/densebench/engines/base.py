"""What an engine is: it builds an artifact from a model, and loads that artifact as a session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, runtime_checkable

from densebench.schema import Caveat, Effect
from densebench.techniques.base import DEVICES, Options

if TYPE_CHECKING:
    from torch import Tensor

Details = Mapping[str, Any]  # JSON with keys of the engine's own: what its `build` says to its `load`


class TraceEvent(TypedDict):
    """An event of a Chrome trace, by the names of that format; times in microseconds."""

    ph: str
    cat: str
    name: str
    pid: int
    tid: int
    ts: float
    dur: float
    args: Mapping[str, object]


class Session(Protocol):
    """A loaded artifact, ready to run on its device."""

    def __call__(self, images: Tensor) -> Tensor:
        """Images (n, c, h, w), float32, on the device -> logits (n, classes), float32, on the device."""
        ...

    def effect(self, images: Tensor) -> Effect:
        """What is seen to differ from plain FP32 execution, or why nothing does."""
        ...

    def trace(self, images: Tensor) -> list[TraceEvent] | None:
        """Chrome trace events of a few inferences, from the engine's own profiler.

        None where PyTorch's profiler sees what the engine runs. Times in microseconds from the first event;
        `name` is the operator's (`Conv`, `Concat`), `args` says which layer it was. Each inference lies in an event
        `ProfilerStep#k`.
        """
        ...

    def close(self) -> None:
        """Give back what outlives the object: threads, temporary folders."""
        ...


@runtime_checkable
class Streaming(Session, Protocol):
    """A session that can answer several batches at once, each in a stream with threads of its own."""

    @property
    def streams(self) -> int:
        """How many batches are answered at once; 1 for a session like any other."""
        ...

    def answer(self, images: Tensor, count: int) -> list[float]:
        """Answer the images `count` times, in all streams at once.

        Returns:
            When each answer was there, in seconds of `time.perf_counter`, in any order.

        """
        ...


@dataclass(frozen=True)
class Target:
    """What an artifact is built for.

    `model` tells the model that is given apart from all others of a sweep, for what its builds share (`once.py`);
    empty where nobody knows.
    """

    device: str
    batch_sizes: tuple[int, ...]
    threads: int
    model: str = ""


@dataclass(frozen=True)
class Built:
    """What an engine put into the folder, beside the files themselves.

    `details` is what `load` needs to know (JSON); `claims` are added to it, what the recipe should be seen to do:
    `precision` and, of a PyTorch model, its `layers` and `channels` as constructed. `caches` names the files that
    only make loading faster. `rounds` says that the artifact computes in another precision than the model that was
    given, by the engine's own doing: the probe that reloads are checked against is then the artifact's, not the
    model's. `largest_batch` is the largest that the artifact takes, None for any. `spared_s` are seconds that an
    earlier build's work saved this one, as `once` says: they are part of what it takes to build.
    """

    details: Details = field(default_factory=dict)
    caches: tuple[str, ...] = ()
    cold_start_s: float | None = None
    rounds: bool = False
    largest_batch: int | None = None
    spared_s: float = 0.0


def claimed(details: Details) -> str:
    """The precision that the recipe says most multiplications run in; older artifacts don't say."""
    precision: str = details.get("claims", {}).get("precision", "float32")
    return precision


@dataclass(frozen=True)
class Triton:
    """How NVIDIA's Triton Inference Server takes an engine's artifacts.

    Args:
        backend: Triton's name for what runs the model.
        files: file of the artifact -> its name in the model's version folder.
        input: name of the tensor of images (n, c, h, w), float32.
        output: name of the tensor of logits (n, classes), float32.
        parameters: `(details, threads) -> names and values` that the backend documents, to run as was measured.
        more: `details -> lines of config.pbtxt` that say what the backend has no parameter for, or "".
        lost: `(details, device) -> what can't be said there`, in a sentence, or "".

    """

    backend: str
    files: Mapping[str, str]
    input: str
    output: str
    parameters: Callable[[Details, int], Mapping[str, str]] = lambda details, threads: {}
    more: Callable[[Details], str] = lambda details: ""
    lost: Callable[[Details, str], str] = lambda details, device: ""


@dataclass(frozen=True, eq=False)  # a registration is itself alone, and can be a key
class Engine:
    """One way to run a model.

    Args:
        name: how recipes call it.
        about: one line for `densebench list`.
        build: `(model, workload, folder, target, **options) -> Built`; the model is behind `Served`.
        load: `(folder, details, device) -> Session`, with nothing but what is in the folder.
        refuses: word that a technique `gives` -> why such a model can't be built here, whatever the options.
        refuses_with: options -> what is refused besides, because of them.
        usage: `(details, device) -> Python code`, about ten lines, that loads the files without densebench onto the
            device, in the artifact's folder. It defines `infer`, from a float32 NumPy array of images (n, c, h, w)
            to an array of logits (n, classes), and ends with `logits = infer(images)`.
        precision: options -> what most multiplications run in (`float32`, `bfloat16`, `float16` or `int8`), or
            None where that is as the model has it.
        ceilings: precision -> options for it, where the engine can run large convolutions at about the speed of
            the hardware, whatever module they are in, and builds within seconds.
        calibrates_on: options -> images that they ask for by number, which the data must have to calibrate on; 0 for
            none, or for as many as there are.
        own_memory: whether it takes a GPU's memory past PyTorch's allocator, which then can't tell its peak.
        takes_onnx: whether `build` takes an `OnnxFile`, which is a model of the user's own, in the module's place.
        default: whether it runs the recipes that name no engine.
        contains_code: whether loading the artifact may run code that is in it. Such artifacts are signed, and foreign
            ones are refused. An engine says False only where its artifact is nothing but data.
        tolerance: relative L2 difference that the engine may add between build and reload.
        typical_build_s: seconds that a DenseNet-121 build is known to take, for estimates only.
        devices: options -> devices that it can run on with them, whatever is installed.
        unavailable: device -> what to install or why not, or None. It imports nothing heavy.
        uses: what the library says that it uses of this processor, in a few words; may import the library.
        caveat: what a deployer should know, or None.
        triton: how Triton takes its artifacts, or None where it doesn't.

    """

    name: str
    about: str
    build: Callable[..., Built]
    load: Callable[[Path, Details, str], Session]
    aliases: tuple[str, ...] = ()
    options: type[Options] = Options
    refuses: Mapping[str, str] = field(default_factory=dict)
    refuses_with: Callable[[Mapping[str, object]], Mapping[str, str]] = lambda options: {}
    usage: Callable[[Details, str], str] = lambda details, device: ""
    precision: Callable[[Mapping[str, object]], str | None] = lambda options: None
    ceilings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    calibrates_on: Callable[[Mapping[str, object]], int] = lambda options: 0
    own_memory: bool = False
    takes_onnx: bool = False
    default: bool = False
    any_batch: bool = False
    contains_code: bool = True
    tolerance: float = 0.0
    typical_build_s: float = 1.0
    devices: Callable[[Mapping[str, object]], tuple[str, ...]] = lambda options: DEVICES
    unavailable: Callable[[str], str | None] = lambda device: None
    uses: Callable[[], str] = lambda: ""
    caveat: Caveat | None = None
    triton: Triton | None = None
