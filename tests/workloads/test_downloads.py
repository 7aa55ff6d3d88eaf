"""What comes over the network, from a local stand-in for torchvision's servers."""

from __future__ import annotations

import fcntl
import hashlib
import http.server
import io
import socket
import tarfile
import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
import pytest
import torch
from torchvision import datasets, models

from densebench import workloads
from densebench.errors import InputError, UsageError
from densebench.workloads import WorkloadRequest, open_workload
from densebench.workloads.base import cache_folder
from densebench.workloads.downloads import DownloadFailed, fetch
from densebench.workloads.folder import IMAGENETTE
from densebench.workloads.imagenet import cached_path, open_imagenet_weights
from densebench.workloads.imagenette import open_imagenette

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Server:
    """Serves `files` by path; `/slow` sends a byte a second; `/cut` stops half-way."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                body = outer.files.get(self.path)
                if body is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    if self.path == "/slow":
                        for byte in body:
                            self.wfile.write(bytes([byte]))
                            self.wfile.flush()
                            time.sleep(0.2)
                    else:
                        self.wfile.write(body[: len(body) // 2] if self.path == "/cut" else body)
                except OSError:
                    pass

            def log_message(self, *_: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """End the thread too: on a closed socket it would spin."""
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of its own for each test."""
    running = Server()
    yield running
    running.stop()


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection is refused at once."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)


def sha(body: bytes) -> str:
    """The SHA-256 of what a server sends."""
    return hashlib.sha256(body).hexdigest()


def test_a_file_arrives_whole(server: Server, tmp_path: Path) -> None:
    """The file has its content, its folder is made, and no part of a download stays beside it."""
    body = server.files["/a"] = bytes(range(256)) * 5000
    fetch(server.url + "/a", tmp_path / "new" / "a.bin", "sha256", sha(body)[:8], 20)
    assert (tmp_path / "new" / "a.bin").read_bytes() == body
    assert len(list((tmp_path / "new").iterdir())) == 1


@pytest.mark.parametrize(
    ("path", "hash_of", "why"),
    [("/missing", b"x", "Not Found"), ("/a", b"other", "another sha256"), ("/cut", b"yy" * 50, "broke off")],
)
def test_what_fails_leaves_nothing(
    server: Server, tmp_path: Path, path: str, hash_of: bytes, why: str
) -> None:
    """A missing file, wrong content and a broken connection are named, and what was there stays."""
    server.files |= {"/a": b"x" * 100, "/cut": b"yy" * 50}
    (tmp_path / "a").write_text("old")
    with pytest.raises(DownloadFailed, match=why):
        fetch(server.url + path, tmp_path / "a", "sha256", sha(hash_of)[:8], 20)
    assert (tmp_path / "a").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_killed_processes_left_goes_with_the_next_try(server: Server, tmp_path: Path) -> None:
    """Half files of this one that nobody writes any more: hundreds of megabytes would stay for ever."""
    server.files["/a"] = b"x"
    left, held, other = (tmp_path / name for name in (".a.1.part", ".a.2.part", ".b.3.part"))
    for file in (left, held, other):
        file.touch()
    with held.open("rb") as writing:
        fcntl.flock(writing, fcntl.LOCK_EX)
        fetch(server.url + "/a", tmp_path / "a", "sha256", sha(b"x")[:8], 20)
    assert {*tmp_path.iterdir()} == {tmp_path / "a", held, other}


def test_the_deadline_holds_for_the_whole_transfer(server: Server, tmp_path: Path) -> None:
    """A server that trickles is given up on in time, and the half file is removed."""
    body = server.files["/slow"] = b"0123456789" * 100
    started = time.monotonic()
    with pytest.raises(DownloadFailed, match=r"within 0\.5 s"):
        fetch(server.url + "/slow", tmp_path / "slow", "sha256", sha(body)[:8], 0.5)
    assert time.monotonic() - started < 5


def test_the_deadline_holds_for_the_name_look_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking a name up has no time limit of its own; the deadline covers it too."""
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(20) and [])
    started = time.monotonic()
    with pytest.raises(DownloadFailed, match="didn't arrive"):
        fetch("http://nowhere.invalid/a", tmp_path / "a", "sha256", "00", 0.3)
    assert time.monotonic() - started < 5
    release.set()


def publish(server: Server, monkeypatch: pytest.MonkeyPatch, name: str = "resnet18") -> str:
    """Put weights for the model on the server, in the place of torchvision's; the file's name."""
    torch.manual_seed(0)
    buffer = io.BytesIO()
    torch.save(models.get_model(name).state_dict(), buffer)
    file_name = f"{name}-{sha(buffer.getvalue())[:8]}.pth"
    server.files[f"/{file_name}"] = buffer.getvalue()
    entry = models.get_model_weights(name).DEFAULT
    monkeypatch.setattr(entry.value, "url", f"{server.url}/{file_name}")
    return file_name


def test_imagenet_weights_are_fetched_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """They come with names, normalization and a scaled resize; the second time from torch's own cache."""
    name = publish(server, monkeypatch)
    weights = open_imagenet_weights("resnet18", 112)
    assert weights.label == "imagenet"
    assert weights.classes[0] == "tench"
    assert len(weights.classes) == 1000
    assert (weights.preprocessing.resize, weights.preprocessing.crop) == (128, 112)
    assert "224 pixels, not 112" in weights.notes[0]
    assert weights.sha256.startswith(name[9:17])
    assert open_imagenet_weights("resnet18", 224).notes == ()
    assert server.asked == [f"/{name}"]


def test_a_damaged_cached_file_is_fetched_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A half file in the cache doesn't stand in the way for ever."""
    path = cached_path(publish(server, monkeypatch))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")
    assert open_imagenet_weights("resnet18", 224).label == "imagenet"


def test_without_a_network_imagenet_says_what_to_do(no_network: None) -> None:
    """Explicit ImageNet weights that can't be had name the file, its folder and the way without."""
    with pytest.raises(InputError) as caught:
        open_workload(WorkloadRequest(weights="imagenet"))
    line = str(caught.value)
    assert "\n" not in line
    assert "network is unreachable" in line
    assert "--weights digits" in line
    assert "put the file densenet121-a639ec97.pth in" in line
    assert line.count("checkpoints") == 1


def test_auto_falls_back_to_digits_with_a_note(no_network: None) -> None:
    """Without a network DenseNet-121 has its digits and data to match; the note says why."""
    request = WorkloadRequest(image_size=64)
    workload = open_workload(request)
    assert (workload.weights.label, workload.data.label) == ("digits", "digits")
    assert "network is unreachable" in workload.notes[0]
    assert "digits" in workload.notes[0]


def test_auto_of_another_model_falls_back_to_random(no_network: None) -> None:
    """Only DenseNet-121 has embedded weights; for the rest the notes say that accuracy means nothing."""
    workload = open_workload(WorkloadRequest("resnet18", image_size=64))
    assert (workload.weights.label, workload.data.label) == ("random", "none")
    assert "random weights are used" in workload.notes[0]
    assert "means nothing" in workload.notes[1]


def test_auto_keeps_its_deadline(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that is too slow costs `auto` no more than its deadline."""
    server.files["/slow"] = b"0" * 1000
    monkeypatch.setattr(
        models.ResNet18_Weights.DEFAULT.value, "url", f"{server.url}/slow?resnet18-00000000.pth"
    )
    monkeypatch.setattr(workloads, "AUTO_DEADLINE_S", 0.4)
    monkeypatch.setattr(
        "densebench.workloads.imagenet.cached_path", lambda _: cache_folder() / "r-00000000.pth"
    )
    monkeypatch.setattr(models.ResNet18_Weights.DEFAULT.value, "url", f"{server.url}/slow")
    started = time.monotonic()
    assert open_workload(WorkloadRequest("resnet18", image_size=32)).weights.label == "random"
    assert time.monotonic() - started < 8


def imagenette_archive() -> bytes:
    """An archive with the layout of the real one: ten classes, two images each to train on, one held out."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for index, wnid in enumerate(IMAGENETTE):
            for part, count in (("train", 2), ("val", 1)):
                for number in range(count):
                    picture = io.BytesIO()
                    pixels = np.full((40, 50, 3), index * 20 + number, dtype=np.uint8)
                    PIL.Image.fromarray(pixels).save(picture, "JPEG")
                    entry = tarfile.TarInfo(f"imagenette2-160/{part}/{wnid}/{number}.JPEG")
                    entry.size = len(picture.getvalue())
                    archive.addfile(entry, io.BytesIO(picture.getvalue()))
    return buffer.getvalue()


def publish_imagenette(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a small Imagenette on the server, in the place of the real one."""
    body = server.files["/imagenette2-160.tgz"] = imagenette_archive()
    md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
    address = f"{server.url}/imagenette2-160.tgz"
    sources = {size: (address.replace("160", size[:3]), md5) for size in ("full", "320px", "160px")}
    monkeypatch.setattr(datasets.Imagenette, "_ARCHIVES", sources)


def test_imagenette_comes_with_the_models_classes(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is fetched and unpacked once, and its ten classes are ten of ImageNet's thousand."""
    publish_imagenette(server, monkeypatch)
    request = WorkloadRequest("resnet18", "random", "imagenette", 32)
    data = open_workload(request).data
    assert data.label == "imagenette"
    assert data.validation is not None
    assert data.training is not None
    assert (len(data.training), len(data.validation)) == (20, 8)
    assert set(data.training.labels) == {0, 217, 482, 491, 497, 566, 569, 571, 574, 701}
    for position in range(20):  # the picture's shade shows its class
        images = data.training.read([position])
        shade = float(images.mean() * 0.226 + 0.449) * 255
        wanted = list(IMAGENETTE.values()).index(data.training.labels[position]) * 20
        assert abs(shade - wanted) < 4
    assert [p.name for p in cache_folder().glob("*imagenette*")] == ["imagenette2-160"]
    open_workload(request)
    assert server.asked == ["/imagenette2-160.tgz"]


def test_an_archive_put_there_by_hand_is_used(monkeypatch: pytest.MonkeyPatch, no_network: None) -> None:
    """Without a network, the archive from elsewhere in the cache folder is enough."""
    stand_in = Server()
    publish_imagenette(stand_in, monkeypatch)
    cache_folder().mkdir(parents=True)
    (cache_folder() / "imagenette2-160.tgz").write_bytes(stand_in.files["/imagenette2-160.tgz"])
    stand_in.stop()
    assert open_workload(WorkloadRequest("resnet18", "random", "imagenette", 32)).data.validation is not None


def test_without_a_network_imagenette_says_what_to_do(no_network: None) -> None:
    """Explicit Imagenette that can't be had names the file and its folder."""
    with pytest.raises(InputError, match=r"put the file imagenette2-320.tgz in .*--data none"):
        open_workload(WorkloadRequest("resnet18", "random", "imagenette"))


def test_auto_data_does_without_imagenette(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With ImageNet weights but no Imagenette there is no data, and a note says so."""
    publish(server, monkeypatch)
    gone = {size: (f"{server.url}/gone-{size}.tgz", "0") for size in ("full", "320px", "160px")}
    monkeypatch.setattr(datasets.Imagenette, "_ARCHIVES", gone)
    workload = open_workload(WorkloadRequest("resnet18", image_size=32))
    assert (workload.weights.label, workload.data.label) == ("imagenet", "none")
    assert "accuracy is not measured" in workload.notes[-1]


def test_auto_data_takes_imagenette_for_imagenet(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """ImageNet weights bring Imagenette with them where it can be had."""
    publish(server, monkeypatch)
    publish_imagenette(server, monkeypatch)
    workload = open_workload(WorkloadRequest("resnet18", image_size=32))
    assert (workload.weights.label, workload.data.label) == ("imagenet", "imagenette")


def test_imagenette_needs_a_thousand_classes(resnet_file: Path) -> None:
    """A model with other classes can't be validated on it."""
    with pytest.raises(UsageError, match="1000 classes"):
        open_workload(WorkloadRequest("resnet18", str(resnet_file), "imagenette"))


def test_a_damaged_imagenette_folder_names_what_to_delete(monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-unpacked folder of the user's is refused, not silently used."""
    weights = open_workload(WorkloadRequest("resnet18", "random", "none", 32)).weights
    for part in ("train", "val"):
        (cache_folder() / "imagenette2-160" / part / "n01440764").mkdir(parents=True)
    with pytest.raises(InputError, match="delete"):
        open_imagenette(weights, 0)
    for part in ("train", "val"):
        (cache_folder() / "imagenette2-160" / part / "n01440764").rmdir()
    (cache_folder() / "imagenette2-160" / "val").rmdir()
    with pytest.raises(InputError, match="delete"):
        open_imagenette(weights, 0)
