"""A real Elasticsearch for the tests: downloaded once by Maven, one node on loopback, removed afterwards.

The archive is kept unpacked in a cache folder (`MEDSEARCH_TEST_CACHE`, by default `~/.cache/medsearch`), which may
outlive the checkout. `Missing` is raised when the machine lacks Maven or a JDK: callers skip, or fail under CI.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from cluster.servers import unprivileged

VERSION = "9.2.4"
ARTIFACT = f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{VERSION}:zip"
LEAST_JAVA = 21
START_SECONDS = 120

CONFIGURATION = """\
cluster.name: medsearch-test
node.name: test
discovery.type: single-node
network.host: 127.0.0.1
http.port: 0
transport.port: 0
xpack.security.enabled: false
cluster.routing.allocation.disk.threshold_enabled: false
path.data: {folder}/data
path.logs: {folder}/logs
"""


class Missing(RuntimeError):
    """Something the server needs is not on this machine."""


@contextmanager
def running_elasticsearch() -> Iterator[str]:
    """Start one node on fresh folders and yield its URL; raises `Missing` when it cannot be had."""
    home, java = _unpacked(), _java_home()
    folder = Path(tempfile.mkdtemp(prefix="medsearch-es-"))
    try:
        unprivileged.own(folder, 0o755)
        process = _start(home, java, folder)
        try:
            url = _address(process, folder / "output.log")
            _make_an_index(url)
            yield url
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=60)
    finally:
        shutil.rmtree(folder)


def _start(cached: Path, java: Path, folder: Path) -> subprocess.Popen[bytes]:
    home = folder / cached.name
    shutil.copytree(
        cached, home
    )  # the cache may lie below a folder that the unprivileged account may not enter
    for name in ("data", "logs", "tmp"):
        unprivileged.own(folder / name)
    shutil.copytree(home / "config", folder / "config")
    (folder / "config" / "elasticsearch.yml").write_text(CONFIGURATION.format(folder=folder))
    for path in (folder / "config", *(folder / "config").rglob("*")):
        unprivileged.own(path) if path.is_dir() else path.chmod(0o644)
    environment = {
        "PATH": os.environ["PATH"],
        "ES_JAVA_HOME": str(java),
        "ES_JAVA_OPTS": "-Xms256m -Xmx256m -XX:TieredStopAtLevel=1",  # tests end before more pays off
        "ES_PATH_CONF": str(folder / "config"),
        "ES_TMPDIR": str(folder / "tmp"),
        "HOME": str(folder),
    }
    with (folder / "output.log").open("wb") as output:
        return subprocess.Popen(
            unprivileged.command([str(home / "bin" / "elasticsearch")]),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """The URL from the log, once the node has said that it is started."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        text = log.read_text(errors="replace")
        found = re.search(r"HttpServerTransport.*publish_address \{([\d.:]+)\}", text)
        if found and "] started" in text:
            return f"http://{found.group(1)}"
        time.sleep(0.2)
    raise RuntimeError(f"Elasticsearch did not start: {log.read_text(errors='replace')[-2000:]}")


def _make_an_index(url: str) -> None:
    """The first one takes longer than a client waits on a busy machine."""
    with httpx.Client(base_url=url, timeout=START_SECONDS, trust_env=False) as client:
        for method in ("PUT", "DELETE"):
            client.request(method, "/first").raise_for_status()


def _unpacked() -> Path:
    """The unpacked distribution in the cache folder, downloaded when it is not there yet."""
    cache = Path(os.environ.get("MEDSEARCH_TEST_CACHE") or Path.home() / ".cache" / "medsearch")
    home = cache / f"elasticsearch-{VERSION}"
    if home.exists():
        return home
    maven = shutil.which("mvn")
    if maven is None:
        raise Missing("Maven ('mvn') is needed once, to download Elasticsearch")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as work:
        archive = _download(maven, Path(work))
        with zipfile.ZipFile(archive) as content:
            content.extractall(work)
        unpacked = Path(work) / home.name
        for script in (unpacked / "bin").iterdir():
            script.chmod(0o755)
        try:
            unpacked.rename(home)
        except OSError:
            if not home.exists():  # else another session was first
                raise
    return home


def _download(maven: str, folder: Path) -> Path:
    done = subprocess.run(
        [maven, "-B", "-q", "dependency:copy", f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={folder}"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    if done.returncode:
        raise Missing(f"Maven could not download {ARTIFACT}: {done.stdout[-300:]}")
    return next(folder.glob("elasticsearch-*.zip"))


def _java_home() -> Path:
    """The newest JDK on this machine, of at least `LEAST_JAVA`."""
    named = [os.environ[name] for name in ("ES_JAVA_HOME", "JAVA_HOME") if os.environ.get(name)]
    java = shutil.which("java")
    beside = [Path(java).resolve().parents[1]] if java else []
    homes = [*map(Path, named), *beside, *Path("/usr/lib/jvm").glob("*"), *Path("/opt").glob("*jdk*")]
    versions = {home: _java_version(home) for home in homes}
    best = max(versions, key=lambda home: versions[home], default=None)
    if best is None or versions[best] < LEAST_JAVA:
        raise Missing(f"a JDK of version {LEAST_JAVA} or newer is needed for Elasticsearch")
    return best


def _java_version(home: Path) -> int:
    """The major version by the JDK's `release` file; 0 when it is no JDK."""
    try:
        found = re.search(r'^JAVA_VERSION="(\d+)', (home / "release").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found.group(1)) if found else 0
