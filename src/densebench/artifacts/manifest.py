"""The manifest of a saved model: what it is, what it was made from, how to check it, and a hash of all that."""

from __future__ import annotations

import hashlib
import json

from densebench.engines.base import Details
from densebench.schema import Frozen

FORMAT_VERSION = 1
MANIFEST = "manifest.json"


class File(Frozen):
    """One file of the payload."""

    sha256: str
    bytes: int
    cache: bool = False  # only makes loading faster: a deployer may leave it out


class Input(Frozen):
    """What a caller feeds: FP32 NCHW images.

    The batch in `shape` is None where it may differ from call to call: any, or up to `largest_batch`.
    """

    shape: tuple[int | None, int, int, int]
    largest_batch: int | None = None
    dtype: str = "float32"
    layout: str = "NCHW"
    resize: int
    crop: int
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Probe(Frozen):
    """A batch of images drawn from a seed, and the logits that the first of them gave at build."""

    seed: int
    batch_size: int
    outputs: tuple[tuple[float, ...], ...]
    tolerance: float  # relative L2 difference allowed on reload


class Facts(Frozen):
    """What was counted while building."""

    parameters: int
    macs_g: float
    activations: int | None = None  # see `record.Record`; manifests of older builds don't say
    zero_fraction: float
    build_s: float
    cold_start_s: float | None


class Manifest(Frozen):
    """What an artifact is, what it was made from, and what its files must hash to."""

    format_version: int = FORMAT_VERSION
    recipe: str
    steps: str
    engine: str
    details: Details
    model: str
    input: Input
    classes: tuple[str, ...]
    device: str
    batch_sizes: tuple[int, ...] = ()  # that it was built for; manifests of older builds don't say
    host_settings: dict[str, str | int]
    probe: Probe
    files: dict[str, File]
    contains_code: bool
    facts: Facts
    source_weights_sha256: str
    environment: dict[str, str]
    created: str
    content_sha256: str = ""  # of all the above
    signature: str = ""

    def signed_content(self) -> bytes:
        """The bytes that hash and signature cover: everything but these two, the files by their hashes."""
        # as the file has it: a manifest from before a field was added says nothing of it
        content = self.model_dump(mode="json", exclude={"content_sha256", "signature"}, exclude_unset=True)
        return json.dumps(content, sort_keys=True).encode()

    def content_hash(self) -> str:
        """The hash of all that, as `content_sha256` must have it."""
        return hashlib.sha256(self.signed_content()).hexdigest()

    @property
    def threads(self) -> int:
        """How many it was built and measured with."""
        return int(self.host_settings["threads"])

    @property
    def variables(self) -> dict[str, str]:
        """What must stand in the environment of a process before it starts to run this."""
        return {name: str(value) for name, value in self.host_settings.items() if name.isupper()}

    @property
    def size_bytes(self) -> int:
        """What a deployer ships: all files but the caches."""
        return sum(file.bytes for file in self.files.values() if not file.cache)
