"""Saved models in processes that have seen nothing of what made them."""

from __future__ import annotations

import json
import math
import shutil

import pytest

from tests.conftest import RECIPES

LOAD = """
import json, subprocess, sys
from pathlib import Path
import densebench, torch
torch.set_num_threads(1)
started, start = [], subprocess.Popen.__init__
def noted(self, command, *others, **more):
    started.append(str(command))
    start(self, command, *others, **more)
subprocess.Popen.__init__ = noted
said = {}
for folder in map(Path, sys.argv[1:]):
    model = densebench.load(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    probe, shape = manifest["probe"], manifest["input"]["shape"]
    generator = torch.Generator().manual_seed(probe["seed"])
    logits = model(torch.randn(probe["batch_size"], *shape[1:], generator=generator))
    said[manifest["recipe"]] = {"logits": logits.double().tolist(), "dtype": str(logits.dtype)}
modules = [name for name in sys.modules if name.startswith("densebench.")]
compiled = [one for one in started if "compile_worker" in one or " -o " in one or "'-o'" in one]
print(json.dumps({"said": said, "modules": modules, "compiled": compiled}))
"""
# these need imports or files that others might bring
ALONE = (
    "channels_last+bf16+compile",
    "jit",
    "dynamic_quantization",
    "onnx",
    "openvino",
)
PROCESSES = [*([recipe] for recipe in ALONE), [recipe for recipe in RECIPES if recipe not in ALONE]]


@pytest.mark.parametrize("recipes", PROCESSES, ids=lambda recipes: recipes[0])
def test_saved_models_give_their_outputs_in_a_fresh_process(sweep, recipes):
    """Loaded by `densebench.load` elsewhere, a model gives the probe's FP32 outputs within its tolerance.

    The process never imports a technique: what a model was made with is not needed to run it. A compiler finds
    its kernels in the artifact, by keys that this process and the one that built it agree on.
    """
    found = sweep.program.python(LOAD, *(sweep.artifact(recipe) for recipe in recipes))
    assert list(found["said"]) == recipes
    for recipe, said in found["said"].items():
        probe = sweep.manifest(recipe)["probe"]
        assert said["dtype"] == "torch.float32"
        wanted = [value for row in probe["outputs"] for value in row]
        given = [value for row in said["logits"] for value in row]
        difference = math.dist(given[: len(wanted)], wanted) / math.hypot(*wanted)
        assert difference <= probe["tolerance"], recipe
    techniques = {name for name in found["modules"] if name.startswith("densebench.techniques.")}
    assert techniques <= {"densebench.techniques.base"}
    assert "densebench.worker.build" not in found["modules"]
    assert found["compiled"] == []


def test_measuring_processes_know_no_technique(sweep):
    """What every child imports before its job has no technique in it, so a measurement can't depend on one."""
    script = (
        "import json, sys\nfrom densebench.worker import jobs\njobs.preload()\n"
        "print(json.dumps([name for name in sys.modules if name.startswith('densebench.techniques.')]))"
    )
    assert set(sweep.program.python(script)) <= {"densebench.techniques.base"}


def test_a_damaged_artifact_is_refused(sweep, tmp_path):
    """A byte changed in the payload is found before anything is loaded."""
    copy = shutil.copytree(sweep.artifact("baseline"), tmp_path / "copy")
    payload = copy / "weights.safetensors"
    content = bytearray(payload.read_bytes())
    content[-1] ^= 1
    payload.write_bytes(content)
    script = (
        "import densebench, json, sys\ntry: densebench.load(sys.argv[1])\n"
        "except Exception as error: print(json.dumps([type(error).__name__, str(error)]))"
    )
    kind, message = sweep.program.python(script, copy)
    assert kind == "RefusedArtifact"
    assert "weights.safetensors" in message


def test_code_from_elsewhere_is_refused_until_it_is_trusted(sweep, tmp_path):
    """An artifact with code whose signature isn't this installation's is loaded only on request."""
    copy = shutil.copytree(sweep.artifact("jit"), tmp_path / "copy")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["signature"] = "0" * 64
    (copy / "manifest.json").write_text(json.dumps(manifest))
    script = (
        "import densebench, json, sys\nsaid = []\nfor trust in (False, True):\n"
        "    try: densebench.load(sys.argv[1], trust=trust); said.append('loaded')\n"
        "    except Exception as error: said.append(str(error))\nprint(json.dumps(said))"
    )
    refusal, trusted = sweep.program.python(script, copy)
    assert "--trust" in refusal
    assert trusted == "loaded"
