"""Extract what TensorRT's Python bindings take from their wheels, on a machine without TensorRT's libraries.

    pip download --no-deps -d wheels tensorrt-cu13-bindings "tensorrt-cu12-bindings==10.*"
    python scripts/tensorrt_signatures.py wheels/*.whl > tests/engines/tensorrt_signatures.json

The bindings need nine C functions of those libraries to be loaded. Here they are empty ones, compiled with gcc:
every class then tells its methods' signatures, and none can be used.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
FUNCTIONS = (
    *("createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL"),
    *("createNvOnnxParser_INTERNAL", "createNvOnnxParserRefitter_INTERNAL", "getNvOnnxParserVersion"),
    *("getBuilderPluginRegistry", "getPluginRegistry", "initLibNvInferPlugins"),
)
# Runs in a process of its own, one for each version: class -> name -> its overloads as parameter lists, or null
# for what is no method (a property, an enumeration's member).
TELL = r"""
import json, re, sys
import tensorrt_bindings as library

CLASSES = '''Builder BuilderFlag EngineInspector IBuilderConfig ICudaEngine IExecutionContext IHostMemory ILogger
INetworkDefinition IOptimizationProfile IProfiler ITensor ITimingCache LayerInformationFormat Logger MemoryPoolType
NetworkDefinitionCreationFlag OnnxParser ParserError ProfilingVerbosity Runtime'''.split()

def parameters(text):
    depth, parts = 0, [""]
    for letter in text:
        depth += (letter in "[(<{") - (letter in "])>}")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    names = (part.partition(":")[0].partition("=")[0].strip() for part in parts)
    return ", ".join(n + ("=None" if "=" in p else "") for n, p in zip(names, parts, strict=True))

def overloads(name, value):
    found = re.findall(rf"^(?:\d+\. )?{re.escape(name)}\((self: .*)\) -> ", value.__doc__ or "", re.MULTILINE)
    return [parameters(text) for text in found] or None

told = {}
for kind in CLASSES:
    members = vars(getattr(library, kind))
    told[kind] = {
        name: overloads(name, value) if callable(getattr(getattr(library, kind), name)) else None
        for name, value in sorted(members.items())
        if name == "__init__" or not name.startswith(("_", "add_")) or name == "add_optimization_profile"
    }
told["library"] = {name: None for name in (*CLASSES, "__version__")}
json.dump({library.__version__: told}, sys.stdout)
"""


def signatures(wheel: Path) -> dict[str, object]:
    """The version of the bindings in the wheel -> what `TELL` says of them."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        zipfile.ZipFile(wheel).extractall(folder)
        version = next(folder.glob("*.dist-info")).name.partition("-")[2].partition(".")[0]
        source = folder / "empty.c"
        source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in FUNCTIONS), "ascii")
        for library in LIBRARIES:
            target = folder / "tensorrt_bindings" / f"lib{library}.so.{version}"
            subprocess.run(["gcc", "-shared", "-fPIC", source, "-o", target], check=True)  # noqa: S607
        told = subprocess.run([sys.executable, "-c", TELL], cwd=folder, stdout=subprocess.PIPE, check=True)
    found: dict[str, object] = json.loads(told.stdout)
    return found


if __name__ == "__main__":
    everything: dict[str, object] = {}
    for given in sys.argv[1:]:
        everything |= signatures(Path(given))
    print(json.dumps(everything, indent=1, sort_keys=True))
