"""What a recorder costs a server under load, as it attaches and from then on: requests with and without it."""

from __future__ import annotations

import csv
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from figures import Table, compared
from programs import ROOT, Unmeasurable

sys.path.insert(0, str(ROOT / "tests" / "engines"))
from podman_bed import Bed, open_bed
from podman_config import missing

from seclude.engines.tree import Tree

SLICES = 8
"""Loads of each kind in a run; the lower quartile counts, as a shared machine is slower at times, never faster."""

SECONDS, LONG = 1, 5
"""How long a load lasts, about; and one in which a recorder starts, which for itself takes half a second of a CPU."""

CONNECTIONS = 8
LIMIT = 1.15
ALONE, RECORDED = "not recorded", "recorded, attached before"
ALONE_LONG, ATTACHING = "not recorded, a longer load", "a recorder attaches in the middle of it"
TRIES = 5
"""On a busy machine a load may be over before the recorder is there: so often it is tried again."""

COMMAND = [sys.executable, "-c", "import sys; from seclude.cli import main; sys.exit(main())"]

NGINX = """
mkdir -p /tmp/www && head -c 600 /dev/zero >/tmp/www/index.html && chmod -R a+rX /tmp/www
cat >/tmp/nginx.conf <<END
worker_processes 1; daemon off; pid /tmp/pid; error_log /tmp/error.log;
events { worker_connections 256; }
http { access_log off; keepalive_requests 100000000; client_body_temp_path /tmp/b; proxy_temp_path /tmp/p;
fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
server { listen 127.0.0.1:8080; root /tmp/www; } }
END
exec nginx -e /tmp/error.log -c /tmp/nginx.conf
"""
REDIS = "exec redis-server --bind 127.0.0.1 --port 6379 --save '' --dir /tmp"

UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6}


Figures = tuple[float, float, float]
WHAT = ("one request", "99 % of the requests stay below", "the server on a processor, for one request")
"""What the three are, in us."""


class TooLate(Exception):
    """The recorder came after the load."""


class Load:
    """A server in a container, and what a client in another one measures of it; raises Unmeasurable."""

    def __init__(self, bed: Bed, name: str, script: str) -> None:
        self.name = name
        self._bed = bed
        self._server = bed.start("sh", "-c", script, image="programs")
        image = bed.images.named("programs")
        shared = ("--network", f"container:{self._server}", image, "sleep", "3600")
        self._client = bed.podman("run", "--detach", *shared).succeeded().out.strip()
        self._rate = 1000.0
        self._await()
        first = bed.podman("inspect", "--format", "{{.State.Pid}}", self._server).succeeded().out
        self._processes = Tree(first=int(first)).processes()

    def measured(self, seconds: int, attaching: bool = False) -> Figures:
        """The figures of one load, all of whose requests were answered."""
        load = self._redis if self.name == "redis" else self._nginx
        for _ in range(TRIES):
            try:
                before = self._processor_time()
                requests, each, late = load(seconds, self.recorded() if attaching else nullcontext())
            except TooLate:
                continue
            self._rate = 1e6 / each
            return each, late, (self._processor_time() - before) / requests
        raise Unmeasurable(f"{self.name}: the recorder comes after a load of {seconds} s")

    def remove(self) -> None:
        self._bed.podman("rm", "--force", "--time", "0", self._client, self._server)

    def _processor_time(self) -> float:
        """us that the server has been on a processor: a busy machine makes it wait, which is not counted here."""
        return (
            sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in self._processes) / 1e3
        )

    def _await(self) -> None:
        ask = {"redis": ("redis-cli", "ping"), "nginx": ("curl", "-sf", "http://127.0.0.1:8080/")}[self.name]
        deadline = time.monotonic() + 30
        while self._bed.podman("exec", self._client, *ask).status:
            if time.monotonic() > deadline:
                raise Unmeasurable(f"{self.name} does not answer")
            time.sleep(0.1)

    def _nginx(self, seconds: int, meanwhile: AbstractContextManager[None]) -> Figures:
        options = ("-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds}s", "--latency")
        text = self._run(meanwhile, "wrk", *options, "http://127.0.0.1:8080/")
        if "Socket errors" in text or "Non-2xx" in text:
            raise Unmeasurable(f"requests were lost:\n{text}")
        rate = float(re.findall(r"Requests/sec: +([\d.]+)", text)[0])
        [(late, unit)] = re.findall(r"99% +([\d.]+)(us|ms|s)\b", text)
        requests = float(re.findall(r"(\d+) requests in", text)[0])
        return requests, 1e6 / rate, float(late) * UNITS[unit]

    def _redis(self, seconds: int, meanwhile: AbstractContextManager[None]) -> Figures:
        # It ends with an error if one of its connections breaks or is refused.
        requests = int(seconds * self._rate)
        options = ("-c", str(CONNECTIONS), "-n", str(requests), "-t", "set", "--csv")
        text = self._run(meanwhile, "redis-benchmark", *options)
        [row] = csv.DictReader(text.splitlines())
        return requests, 1e6 / float(row["rps"]), float(row["p99_latency_ms"]) * 1e3

    def _run(self, meanwhile: AbstractContextManager[None], *command: str) -> str:
        """What a client says that runs in the server's network; `meanwhile` is entered once it runs."""
        with subprocess.Popen(
            self._bed.command("podman", "exec", self._client, *command),
            env=self._bed.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as client:
            time.sleep(0.5)
            with meanwhile:
                said, _ = client.communicate()
        if client.returncode:
            raise Unmeasurable(f"{' '.join(command)}: {said}")
        return said

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """`seclude record --container` of the server, which is attached, from here to the end of the block."""
        profile = self._bed.directory / "attached.json"
        words = ("record", "--container", self._server, "-o", profile, "--state-dir", self._bed.state)
        environment = self._bed.environment | {"PYTHONPATH": str(ROOT / "src")}
        with subprocess.Popen(
            self._bed.command(*COMMAND, *words), env=environment, stderr=subprocess.PIPE, text=True
        ) as recorder:
            assert recorder.stderr is not None
            first = recorder.stderr.readline()
            try:
                yield
            finally:
                recorder.send_signal(signal.SIGTERM)
                rest = recorder.stderr.read()
        if "no system call was recorded" in rest:
            raise TooLate
        if recorder.returncode or "attached to" not in first or " 0 lost" not in rest:
            raise Unmeasurable(f"seclude record: {first}{rest}")


def tables(runs: int, progress: Callable[[str], None]) -> list[Table]:
    """Three tables for each server; raises Unmeasurable."""
    reason = missing()
    if reason:
        raise Unmeasurable(f"podman: {reason}")
    measured: list[Table] = []
    with open_bed() as bed:
        for name, script, client in (("nginx", NGINX, "wrk"), ("redis", REDIS, "redis-benchmark -t set")):
            load = Load(bed, name, script)
            try:
                measured += _tables(load, client, runs, progress)
            finally:
                load.remove()
    return measured


def _tables(load: Load, client: str, runs: int, progress: Callable[[str], None]) -> Sequence[Table]:
    for _ in range(2):
        load.measured(SECONDS)  # caches are warm, and the rate is known
    samples: list[dict[str, list[float]]] = [{}, {}, {}]
    for run in range(runs):
        progress(f"{load.name} under load: run {run + 1} of {runs}")
        for name, values in _taken(load).items():
            for place, each in enumerate(samples):
                each.setdefault(name, []).append(_lower(value[place] for value in values))
    return [
        Table(
            f"{load.name} under {client}, {CONNECTIONS} connections: {what}",
            "us",
            (
                compared(ALONE, each),
                compared(RECORDED, each, (ALONE, LIMIT)),
                compared(ALONE_LONG, each),
                compared(ATTACHING, each, (ALONE_LONG, LIMIT)),
            ),
            ("every request was answered",),
        )
        for what, each in zip(WHAT, samples, strict=True)
    ]


def _taken(load: Load) -> dict[str, list[Figures]]:
    """The figures of each load of one run, by kind; the kinds in turn."""
    taken: dict[str, list[Figures]] = {name: [] for name in (ALONE, RECORDED, ALONE_LONG, ATTACHING)}
    for number in range(SLICES):
        taken[ALONE].append(load.measured(SECONDS))
        with load.recorded():
            taken[RECORDED].append(load.measured(SECONDS))
        if number % 2:
            taken[ALONE_LONG].append(load.measured(LONG))
            taken[ATTACHING].append(load.measured(LONG, attaching=True))
    return taken


def _lower(values: Iterable[float]) -> float:
    return statistics.quantiles(values, n=4)[0]
