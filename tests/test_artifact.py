"""Artifacts: whole or not at all, and nothing in them is used before it has been checked."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from densebench import artifact, engines, trust
from densebench.artifact import MANIFEST, Manifest, hash_files, new_folder, read_manifest, write_manifest
from densebench.errors import RefusedArtifact
from tests.factory import input_of

pytest_plugins = ["tests.fixtures"]
pytestmark = pytest.mark.usefixtures("own_key")

PLAIN = next(e.name for e in engines.catalogue().values() if not e.contains_code)
CODE = next(e.name for e in engines.catalogue().values() if e.contains_code)


def make(folder: Path, engine: str = PLAIN, *, caches: tuple[str, ...] = (), **changes: Any) -> Path:
    """An artifact with three files, as `building` writes one."""
    with new_folder(folder) as part:
        (part / "weights.bin").write_bytes(b"w" * 1000)
        (part / "sub").mkdir()
        (part / "sub" / "more.bin").write_bytes(b"more")
        (part / "cache.tar").write_bytes(b"c" * 50)
        facts: dict[str, Any] = {
            "recipe": "some recipe",
            "steps": engine,
            "engine": engine,
            "details": {"architecture": {"model": "tiny", "classes": 2}},
            "model": "tiny",
            "input": input_of(16, 16),
            "classes": ("cat", "dog"),
            "device": "cpu",
            "host_settings": {"threads": 2},
            "probe": {"seed": 1, "batch_size": 1, "outputs": ((0.1, -1e-17),), "tolerance": 1e-4},
            "files": hash_files(part, caches),
            "contains_code": engine == CODE,
            "facts": {
                "parameters": 3,
                "macs_g": 0.1,
                "zero_fraction": 0.0,
                "build_s": 1.5,
                "cold_start_s": None,
            },
            "source_weights_sha256": "0" * 64,
            "environment": {"cpu": "some"},
            "created": "2026-01-02T03:04:05+00:00",
        }
        write_manifest(part, Manifest.model_validate(facts | changes))
    return folder


def content_of(folder: Path) -> dict[str, Any]:
    """The manifest as JSON."""
    return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))


def rewrite(folder: Path, content: object) -> None:
    """Put another manifest in its place, with a hash that fits, as whoever wants to deceive would."""
    if isinstance(content, dict):
        with contextlib.suppress(ValidationError):
            whole = Manifest.model_validate(content).signed_content()
            content = content | {"content_sha256": hashlib.sha256(whole).hexdigest()}
    (folder / MANIFEST).write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize("engine", [PLAIN, CODE])
def test_what_is_written_is_read(tmp_path: Path, engine: str) -> None:
    """A new artifact is accepted, with every fact it was written with."""
    folder = make(tmp_path / "a", engine)
    manifest = read_manifest(folder)
    assert manifest.engine == engine
    assert set(manifest.files) == {"weights.bin", "sub/more.bin", "cache.tar"}
    assert manifest.probe.outputs == ((0.1, -1e-17),)
    assert bool(manifest.signature) == (engine == CODE)
    assert manifest.model_dump(exclude={"signature"}) == Manifest.model_validate(
        content_of(folder)
    ).model_dump(exclude={"signature"})


def test_an_edited_manifest_is_refused(tmp_path: Path) -> None:
    """A value that was changed by hand, and would still be valid, is noticed; files that others may read stay so."""
    folder = make(tmp_path / "a")
    content = content_of(folder)
    content["details"]["architecture"]["classes"] = 3
    (folder / MANIFEST).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(RefusedArtifact, match="was changed after it was written"):
        read_manifest(folder)


def test_a_manifest_from_before_a_field_was_added_is_read(tmp_path: Path) -> None:
    """Hash and signature cover what the file says; a field that it doesn't know of is left at its default."""
    folder = make(tmp_path / "a")
    content = content_of(folder)
    del content["facts"]["activations"]
    covered = {name: content[name] for name in content if name not in ("content_sha256", "signature")}
    assert json.loads(Manifest.model_validate(content).signed_content()) == covered
    rewrite(folder, content)
    assert read_manifest(folder).facts.activations is None


def test_the_manifest_has_the_fields_of_the_contract(tmp_path: Path) -> None:
    """Readers outside this code find the names that were promised."""
    promised = (
        "format_version recipe engine model input classes device host_settings probe files contains_code "
        "source_weights_sha256 environment created content_sha256 signature"
    )
    content = content_of(make(tmp_path / "a"))
    assert set(promised.split()) <= set(content)
    assert {"sha256", "bytes"} <= set(content["files"]["weights.bin"])
    assert content["input"]["shape"] == [None, 3, 16, 16]
    assert (content["input"]["dtype"], content["input"]["layout"]) == ("float32", "NCHW")


def test_the_size_leaves_out_caches(tmp_path: Path) -> None:
    """What a deployer ships is every file but those that only make loading faster."""
    manifest = read_manifest(make(tmp_path / "a", caches=("cache.tar",)))
    assert manifest.size_bytes == 1004
    assert read_manifest(make(tmp_path / "b")).size_bytes == 1054


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
    accepted = _reads(folder)
    unchanged = accepted and read_manifest(folder) == Manifest.model_validate(before)
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
    monkeypatch.setenv(trust.KEY_VARIABLE, str(tmp_path / "another.key"))
    with pytest.raises(RefusedArtifact, match="did not sign"):
        read_manifest(folder)
    monkeypatch.setenv(trust.KEY_VARIABLE, str(own_key))
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


def test_a_failure_in_the_middle_leaves_the_old_artifact(tmp_path: Path) -> None:
    """A build that fails leaves what was there before, and no folder beside it."""
    folder = make(tmp_path / "models" / "a")
    before = content_of(folder)

    def build() -> None:
        with new_folder(folder) as part:
            (part / "weights.bin").write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        build()
    assert content_of(folder) == before
    assert read_manifest(folder)
    assert list(folder.parent.iterdir()) == [folder]


def test_a_failure_at_the_last_step_brings_the_old_artifact_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the new folder can't take its name, the old one has it still."""
    folder = make(tmp_path / "models" / "a")
    rename = Path.rename

    def fail_for_parts(path: Path, target: Path) -> Path:
        if ".part-" in path.name:
            raise OSError("no")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_for_parts)
    with pytest.raises(OSError, match="no"):
        make(folder, recipe="new")
    assert read_manifest(folder).recipe == "some recipe"
    assert list(folder.parent.iterdir()) == [folder]


def test_a_new_artifact_replaces_the_old_one_whole(tmp_path: Path) -> None:
    """Files of the earlier artifact don't stay among those of the new one."""
    folder = make(tmp_path / "models" / "a")
    (folder / "stray").touch()
    make(folder, recipe="new")
    assert read_manifest(folder).recipe == "new"
    assert not (folder / "stray").exists()
    assert list(folder.parent.iterdir()) == [folder]


def test_before_it_is_whole_it_has_no_name(tmp_path: Path) -> None:
    """While a folder is being filled nobody finds it under its final name."""
    final = tmp_path / "models" / "a"
    with new_folder(final) as part:
        assert not final.exists()
        assert part.parent == final.parent
    assert final.is_dir()


def test_files_are_synced_before_the_name_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut after the rename can't leave a named folder with empty files."""
    synced: list[str] = []
    sync = artifact._sync

    def note(path: Path) -> None:
        synced.append(path.name)
        sync(path)

    monkeypatch.setattr(artifact, "_sync", note)
    make(tmp_path / "models" / "a")
    assert set(synced[:-1]) == {"weights.bin", "more.bin", "cache.tar", MANIFEST}
    assert synced[-1] == "models"


def test_an_engine_decides_what_is_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that starts to ship code makes its unsigned artifacts of before foreign."""
    folder = make(tmp_path / "a")
    more = engines.catalogue() | {PLAIN: replace(engines.catalogue()[PLAIN], contains_code=True)}
    monkeypatch.setattr(engines, "catalogue", lambda: more)
    with pytest.raises(RefusedArtifact, match="did not sign"):
        read_manifest(folder)
