"""Nothing in a saved model is used before it has been checked, and what was opened is closed."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from densebench import engines
from densebench.artifacts import signing
from densebench.artifacts.folder import hash_files
from densebench.artifacts.load import OtherOutputs, open_artifact, open_checked, read_manifest
from densebench.artifacts.manifest import MANIFEST, Manifest
from densebench.errors import RefusedArtifact
from tests.artifacts.test_manifest import CODE, PLAIN, content_of, make, rewrite

pytest_plugins = ["tests.fixtures"]
pytestmark = pytest.mark.usefixtures("own_key")


def test_an_edited_manifest_is_refused(tmp_path: Path) -> None:
    """A value that was changed by hand, and would still be valid, is noticed; files that others may read stay so."""
    folder = make(tmp_path / "a")
    content = content_of(folder)
    content["details"]["architecture"]["classes"] = 3
    (folder / MANIFEST).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(RefusedArtifact, match="was changed after it was written"):
        read_manifest(folder)


def test_a_cache_may_be_left_out(tmp_path: Path) -> None:
    """An artifact without its cache still loads; one with a damaged cache does not."""
    folder = make(tmp_path / "a", CODE, caches=("cache.tar",))
    (folder / "cache.tar").write_bytes(b"x" * 50)
    with pytest.raises(RefusedArtifact, match=r"cache\.tar"):
        read_manifest(folder)
    (folder / "cache.tar").unlink()
    assert read_manifest(folder).engine == CODE


@pytest.mark.parametrize("name", ["weights.bin", "sub/more.bin", "cache.tar"])
@pytest.mark.parametrize("damage", ["change", "append", "cut", "remove", "folder"])
def test_a_damaged_file_is_refused(tmp_path: Path, name: str, damage: str) -> None:
    """One byte changed, added or lost in any file, or the file gone, refuses the artifact and names the file."""
    folder = make(tmp_path / "a")
    path = folder / name
    whole = path.read_bytes()
    if damage == "change":
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif damage == "append":
        path.write_bytes(whole + b"\0")
    elif damage == "cut":
        path.write_bytes(whole[:-1])
    else:
        path.unlink()
        if damage == "folder":
            path.mkdir()
    with pytest.raises(RefusedArtifact, match=name):
        read_manifest(folder, trusted=True)


@pytest.mark.parametrize("version", [0, 2, 99, "1", None])
def test_another_format_is_refused(tmp_path: Path, version: object) -> None:
    """A newer or older format is not guessed at, though all else be as known."""
    folder = make(tmp_path / "a")
    rewrite(folder, content_of(folder) | {"format_version": version, "a new field": 1})
    with pytest.raises(RefusedArtifact, match=f"has format {version}, this densebench reads 1"):
        read_manifest(folder)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"3", b'"text"', b"null", b"\xff\xfe", b"[" * 100_000, b'{"format_version": 1}'],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: bytes) -> None:
    """Whatever bytes are in its place are refused as damage, in one line."""
    folder = make(tmp_path / "a")
    (folder / MANIFEST).write_bytes(text)
    with pytest.raises(RefusedArtifact, match="is damaged") as refusal:
        read_manifest(folder)
    assert "\n" not in str(refusal.value)


def test_what_is_no_artifact_is_refused(tmp_path: Path) -> None:
    """A folder without a manifest, a file, and nothing at all are told apart from damage."""
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file", tmp_path / "none"):
        with pytest.raises(RefusedArtifact, match="is no artifact"):
            read_manifest(path)


def paths(content: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to every value in a JSON document."""
    pairs: Any = ()
    if isinstance(content, dict):
        pairs = content.items()
    elif isinstance(content, list):
        pairs = enumerate(content)
    for key, value in pairs:
        yield (*at, key)
        yield from paths(value, (*at, key))


def parent_of(content: Any, at: tuple[str | int, ...]) -> Any:
    """What holds the value at the end of this way."""
    for key in at[:-1]:
        content = content[key]
    return content


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(st.characters(), max_size=300),
    st.sampled_from(["../weights.bin", "/etc/passwd", "\0", "x" * 5000, "\ud800", CODE, PLAIN, "é"]),
    st.just([]),
    st.just({}),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@pytest.mark.parametrize("engine", [PLAIN, CODE])
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_manifest_is_refused_and_nothing_worse(
    tmp_path_factory: pytest.TempPathFactory, engine: str, data: st.DataObject
) -> None:
    """Any one value replaced or removed: a signed artifact is refused; another one is refused or still valid."""
    folder = tmp_path_factory.getbasetemp() / f"corrupted {engine}"
    if not folder.exists() or not _reads(folder):
        make(folder, engine)
    before = content_of(folder)
    content = copy.deepcopy(before)
    at = data.draw(st.sampled_from(list(paths(content))))
    holder = parent_of(content, at)
    if data.draw(st.booleans()):
        del holder[at[-1]]
    else:
        holder[at[-1]] = data.draw(JUNK)
    same = json.dumps(content, sort_keys=True) == json.dumps(before, sort_keys=True)
    rewrite(folder, content)
    try:
        accepted = _reads(folder)
        unchanged = accepted and read_manifest(folder) == Manifest.model_validate(before)
    finally:
        rewrite(folder, before)
    assert accepted or not same
    assert engine == PLAIN or unchanged or not accepted, f"signed, and accepted with {at} changed"


def _reads(folder: Path) -> bool:
    try:
        read_manifest(folder)
    except RefusedArtifact:
        return False
    return True


OPTIONAL = {
    "activations",
    "batch_sizes",
    "largest_batch",
    "format_version",
    "content_sha256",
    "signature",
    "dtype",
    "layout",
    "cache",
}


def test_every_missing_field_of_a_manifest_is_refused(tmp_path: Path) -> None:
    """No field but those that were given a default can be absent."""
    folder = make(tmp_path / "a")
    before = content_of(folder)
    fixed = ("details", "host_settings", "environment", "files", "classes", "mean", "std", "outputs", "shape")
    for at in list(paths(before)):
        if at[-1] in OPTIONAL or any(name in at[:-1] for name in fixed):
            continue
        content = copy.deepcopy(before)
        del parent_of(content, at)[at[-1]]
        rewrite(folder, content)
        with pytest.raises(RefusedArtifact, match="is damaged"):
            read_manifest(folder)


@pytest.mark.parametrize(
    "name", ["../secret", "sub/../../secret", "/etc/passwd", "..", "", ".", "sub", "x" * 300, "\0"]
)
def test_no_file_outside_the_artifact_is_read(tmp_path: Path, name: str) -> None:
    """A manifest that names what is outside, or no file at all, is refused, whatever its hash says."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    folder = make(tmp_path / "a")
    content = content_of(folder)
    content["files"][name] = hash_files(tmp_path, ())["secret"].model_dump() | {"cache": True}
    rewrite(folder, content)
    with pytest.raises(RefusedArtifact):
        read_manifest(folder)


@pytest.mark.parametrize("target", ["file", "folder"])
def test_symbolic_links_are_not_followed(tmp_path: Path, target: str) -> None:
    """A link in place of a file, or of a folder on the way to it, is refused though its content is right."""
    folder = make(tmp_path / "a")
    moved, link = tmp_path / "elsewhere", folder / ("weights.bin" if target == "file" else "sub")
    shutil.move(link, moved)
    link.symlink_to(moved)
    with pytest.raises(RefusedArtifact, match="outside the artifact"):
        read_manifest(folder, trusted=True)


def test_an_artifact_may_be_reached_through_a_link(tmp_path: Path) -> None:
    """A results folder that is itself a link is no trick."""
    make(tmp_path / "real" / "a")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert read_manifest(tmp_path / "link" / "a").recipe == "some recipe"


def test_code_without_our_signature_is_refused_unless_trusted(tmp_path: Path) -> None:
    """An unsigned artifact with code needs the user's word; one without code needs none."""
    folder = make(tmp_path / "a", CODE)
    rewrite(folder, content_of(folder) | {"signature": ""})
    with pytest.raises(RefusedArtifact, match="did not sign: see --trust"):
        read_manifest(folder)
    assert read_manifest(folder, trusted=True).engine == CODE
    assert read_manifest(make(tmp_path / "b")).signature == ""


def test_the_signature_of_another_installation_is_refused(
    tmp_path: Path, own_key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code that was signed with another key is foreign; with our key back it is ours."""
    folder = make(tmp_path / "a", CODE)
    monkeypatch.setenv(signing.KEY_VARIABLE, str(tmp_path / "another.key"))
    with pytest.raises(RefusedArtifact, match="did not sign"):
        read_manifest(folder)
    monkeypatch.setenv(signing.KEY_VARIABLE, str(own_key))
    assert read_manifest(folder)


def test_a_signed_manifest_vouches_for_its_own_files_only(tmp_path: Path) -> None:
    """Our manifest beside somebody's files is refused, as is our signature in somebody's manifest."""
    ours, theirs = make(tmp_path / "ours", CODE), make(tmp_path / "theirs", CODE)
    (theirs / "weights.bin").write_bytes(b"evil" * 250)
    changed = content_of(theirs)
    changed["files"] = {
        name: file.model_dump() for name, file in hash_files(theirs, ()).items() if name != MANIFEST
    }
    changed["signature"] = content_of(ours)["signature"]
    shutil.copy(ours / MANIFEST, theirs / MANIFEST)
    with pytest.raises(RefusedArtifact, match=r"weights\.bin"):
        read_manifest(theirs)
    rewrite(theirs, changed)
    with pytest.raises(RefusedArtifact, match="did not sign"):
        read_manifest(theirs)


def test_a_manifest_can_not_deny_its_code(tmp_path: Path) -> None:
    """Whether loading runs code is the engine's to say: a manifest that says otherwise gains nothing."""
    folder = make(tmp_path / "a", CODE, contains_code=False)
    assert content_of(folder)["signature"] == ""
    with pytest.raises(RefusedArtifact, match="did not sign"):
        read_manifest(folder)


def test_an_unknown_engine_is_refused(tmp_path: Path) -> None:
    """An artifact of an engine that isn't installed here is refused with the engine's name."""
    folder = make(tmp_path / "a")
    rewrite(folder, content_of(folder) | {"engine": "warp drive"})
    with pytest.raises(RefusedArtifact, match="'warp drive'"):
        read_manifest(folder)


def test_an_engine_decides_what_is_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that starts to ship code makes its unsigned artifacts of before foreign."""
    folder = make(tmp_path / "a")
    more = engines.catalogue() | {PLAIN: replace(engines.catalogue()[PLAIN], contains_code=True)}
    monkeypatch.setattr(engines, "catalogue", lambda: more)
    with pytest.raises(RefusedArtifact, match="did not sign"):
        read_manifest(folder)


class Answering:
    """A session that gives the same logits for each image, and knows whether it was closed."""

    def __init__(self, *logits: float) -> None:
        self.logits = logits
        self.closed = 0

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        assert torch.is_inference_mode_enabled()
        if not self.logits:
            raise ValueError("no such operator\nin this library")
        return torch.tensor([self.logits] * len(images))

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answering]:
    """Makes the engine of the tests' artifacts load a session with these logits."""

    def load(*logits: float) -> Answering:
        session = Answering(*logits)
        engine = replace(engines.catalogue()[PLAIN], load=lambda *_: session)
        monkeypatch.setattr(engines, "catalogue", lambda: {PLAIN: engine})
        return session

    return load


def test_an_open_artifact_answers_until_it_is_closed(
    tmp_path: Path, answers: Callable[..., Answering]
) -> None:
    """It runs where it was built for, says what it is, gives the images of its probe, and closes its session once."""
    session = answers(0.1, 0.0)
    with open_artifact(make(tmp_path / "a")) as artifact:
        assert (artifact.device, artifact.manifest.recipe) == ("cpu", "some recipe")
        assert artifact.engine.name == PLAIN
        assert artifact.check_probe().shape == (1, 3, 16, 16)
        assert artifact(torch.zeros(2, 3, 16, 16)).shape == (2, 2)
        assert not session.closed
    assert session.closed == 1


@pytest.mark.parametrize(
    ("logits", "said"),
    [
        (
            (0.2, 0.0),
            "{}: reloaded, it gives other outputs than when it was built: .*: build the recipe again",
        ),
        (
            (),
            "{} can't be loaded here .ValueError: no such operator in this library.: build the recipe again",
        ),
    ],
    ids=["other outputs", "an error of the engine"],
)
def test_what_fails_its_probe_is_refused_in_one_line_and_closed(
    tmp_path: Path, answers: Callable[..., Answering], logits: tuple[float, ...], said: str
) -> None:
    """Whatever an engine makes of it: the artifact by its folder, and what to do."""
    session, folder = answers(*logits), make(tmp_path / "a")
    with pytest.raises(RefusedArtifact, match=f"^{said.format(re.escape(str(folder)))}$"):
        open_checked(folder)
    assert session.closed == 1


def test_a_measuring_process_tells_other_outputs_from_damage(
    tmp_path: Path, answers: Callable[..., Answering]
) -> None:
    """Its recipe is known: the difference alone is the reason of the row."""
    answers(0.2, 0.0)
    with (
        open_artifact(make(tmp_path / "a")) as artifact,
        pytest.raises(OtherOutputs, match="reloaded, it gives"),
    ):
        artifact.check_probe()
