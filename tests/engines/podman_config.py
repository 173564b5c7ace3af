"""Where a podman of the tests keeps what it has: its configuration, the environment that selects it, its images."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "test-images.sh"
IMAGES = ("debian", "workloads")
"""The images that a bed always has."""
LARGE = ("programs",)
"""Those that it has once somebody asks for them: they take half a minute to make and seconds to import."""


def cache_dir() -> Path:
    """Where the images of the tests are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "seclude" / "images"


def missing() -> str:
    """Why there can be no bed here; empty if there can."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("podman", "conmon", "unshare", "nsenter"):
        if not shutil.which(program, path=_path()):
            return f"{program} is not installed"
    return ""


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"


def runtime_path(name: str) -> str | None:
    """Where the OCI runtime `name` is; None if it is not installed."""
    return shutil.which(name, path=_path())


def _limit(kind: int, wanted: int) -> int:
    """A limit that we may set without CAP_SYS_RESOURCE."""
    hard = resource.getrlimit(kind)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def podman_environment(directory: Path, graphroot: Path, image_store: Path | None = None) -> dict[str, str]:
    """Writes podman's configuration below `directory`; gives the environment that makes podman use it alone."""
    hooks = directory / "hooks.d"
    for path in (hooks, graphroot, directory / "run", directory / "network"):
        path.mkdir(parents=True, exist_ok=True)
    # `podman container cleanup`, which conmon starts with --root, looks for the database in libpod below it.
    # The cached store must have no database: that would tie it to the directories it was first used with.
    static = graphroot / "libpod" if image_store else directory / "static"
    nofile, nproc = _limit(resource.RLIMIT_NOFILE, 20000), _limit(resource.RLIMIT_NPROC, 9000)
    (directory / "containers.conf").write_text(
        f"""[containers]
default_ulimits = ["nofile={nofile}:{nofile}", "nproc={nproc}:{nproc}"]
netns = "none"
log_driver = "k8s-file"

[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
pull_policy = "never"
lock_type = "file"
hooks_dir = ["{hooks}"]
static_dir = "{static}"
tmp_dir = "{directory}/tmp"
volume_path = "{directory}/volumes"

[network]
network_config_dir = "{directory}/network"
"""
    )
    stores = f'"{image_store}"' if image_store else ""
    (directory / "storage.conf").write_text(
        f"""[storage]
driver = "overlay"
graphroot = "{graphroot}"
runroot = "{directory}/run"

[storage.options]
additionalimagestores = [{stores}]
"""
    )
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CONTAINER", "DOCKER", "XDG_RUNTIME"))
    }
    return kept | {
        "PATH": _path(),
        "CONTAINERS_CONF": str(directory / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(directory / "storage.conf"),
    }


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory with a short path, removed at the end of the block."""
    # Not pytest's own temporary directory: the sockets below have paths of at most 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix="seclude-bed-", dir="/tmp"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def import_images(cache: Path, names: Sequence[str] = IMAGES) -> dict[str, str]:
    """Makes the images of these names that are missing, imports them into the store of `cache`; name -> image."""
    subprocess.run([SCRIPT, cache, *names], check=True, stdin=subprocess.DEVNULL)
    keys = {name: (cache / f"{name}.key").read_text().strip() for name in names}
    images = {name: f"localhost/seclude/{name}:{key}" for name, key in keys.items()}
    imported = cache / "store.json"
    with open(cache / ".store.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known: dict[str, str] = json.loads(imported.read_text()) if imported.exists() else {}
        if images.items() <= known.items() and (cache / "store").exists():
            return images
        with scratch() as directory:
            environment = podman_environment(directory, cache / "store")
            # First, and what is left asked for: it also removes images of today's names that are old.
            prune = ["podman", "image", "prune", "--all", "--force", "--filter", "until=168h"]
            subprocess.run(prune, check=True, env=environment, stdout=subprocess.DEVNULL)
            known = {name: image for name, image in known.items() if _exists(image, environment)}
            for name, image in images.items():
                if known.get(name) != image:
                    command: list[str | Path] = ["podman", "import", "--quiet", cache / f"{name}.tar", image]
                    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        imported.write_text(json.dumps(known | images))
    return images


def _exists(image: str, environment: Mapping[str, str]) -> bool:
    return subprocess.run(["podman", "image", "exists", image], env=environment).returncode == 0


class Images(dict[str, str]):
    """Short name -> image in the store of a cache: IMAGES from the beginning, one of LARGE when it is asked for."""

    def __init__(self, cache: Path) -> None:
        super().__init__(import_images(cache))
        self._cache = cache

    def __missing__(self, name: str) -> str:
        if name not in LARGE:
            raise KeyError(name)
        self.update(import_images(self._cache, (name,)))
        return self[name]

    def named(self, name: str) -> str:
        """The image of that short name; any other name as it is."""
        return self[name] if name in IMAGES + LARGE else name
