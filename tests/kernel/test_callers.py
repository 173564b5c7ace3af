"""The table of functions and their calls: each is made under strace, and the listed calls are seen."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seclude.analyse.callers import calls_of_function

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed"),
    pytest.mark.skipif(
        platform.machine() != "x86_64" or sys.version_info[:2] != (3, 11),
        reason="the table is of CPython 3.11 on x86_64; others make relatives of its calls",
    ),
]
PREAMBLE = """
import asyncio, concurrent.futures, fcntl, glob, http.server, mmap, multiprocessing, os, resource, secrets, select
import shutil, signal, socket, subprocess, tempfile, termios, threading, time, urllib.request

os.environ["no_proxy"] = "*"

def tolerant(function, *arguments):
    try:
        return function(*arguments)
    except (OSError, termios.error) as error:
        return error

def serve(client):
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    thread = threading.Thread(target=server.handle_request)
    thread.start(); client(server.server_port); thread.join()

open("f", "w").write("hello world"); os.symlink("f", "l")
F = os.open("f", os.O_RDWR); G = os.open("g0", os.O_RDWR | os.O_CREAT)
"""
SNIPPETS = {
    "open": "open('f').close()",
    "os.open": "os.close(os.open('f', 0))",
    "os.listdir": "os.listdir('.')",
    "os.walk": "list(os.walk('.'))",
    "glob.glob": "glob.glob('*')",
    "os.stat": "os.stat('f')",
    "os.path.exists": "os.path.exists('f')",
    "os.path.isdir": "os.path.isdir('f')",
    "os.access": "os.access('f', 4)",
    "shutil.which": "shutil.which('sh')",
    "os.readlink": "os.readlink('l')",
    "os.path.realpath": "os.path.realpath('l')",
    "os.mkdir": "os.mkdir('d1')",
    "os.makedirs": "os.makedirs('d2/d3')",
    "os.rmdir": "os.rmdir('d1')",
    "os.unlink": "open('g', 'w').close(); os.unlink('g')",
    "os.rename": "open('g', 'w').close(); os.rename('g', 'h')",
    "os.link": "os.link('f', 'k')",
    "os.symlink": "os.symlink('f', 'm')",
    "os.mkfifo": "os.mkfifo('p')",
    "os.chmod": "os.chmod('f', 0o600)",
    "os.fchmod": "os.fchmod(F, 0o600)",
    "os.chown": "os.chown('f', -1, -1)",
    "shutil.chown": "shutil.chown('f', 'root')",
    "os.lchown": "os.lchown('f', -1, -1)",
    "os.utime": "os.utime('f')",
    "os.truncate": "os.truncate('f', 9)",
    "os.ftruncate": "os.ftruncate(F, 9)",
    "os.posix_fallocate": "os.posix_fallocate(F, 0, 9)",
    "os.sync": "os.sync()",
    "os.fsync": "os.fsync(F)",
    "os.fdatasync": "os.fdatasync(F)",
    "os.sendfile": "os.sendfile(G, F, 0, 3)",
    "os.copy_file_range": "os.copy_file_range(F, G, 3)",
    "os.splice": "r, w = os.pipe(); os.splice(F, w, 3)",
    "os.pread": "os.pread(F, 1, 0)",
    "os.pwrite": "os.pwrite(F, b'x', 0)",
    "os.readv": "os.readv(F, [bytearray(1)])",
    "os.writev": "os.writev(F, [b'x'])",
    "os.dup": "os.dup(F)",
    "os.dup2": "os.dup2(F, 77, False)",
    "os.pipe": "os.pipe()",
    "os.statvfs": "os.statvfs('.')",
    "shutil.disk_usage": "shutil.disk_usage('.')",
    "os.setxattr": "tolerant(os.setxattr, 'f', 'user.a', b'1')",
    "os.getxattr": "tolerant(os.getxattr, 'f', 'user.a')",
    "os.listxattr": "os.listxattr('f')",
    "os.removexattr": "tolerant(os.removexattr, 'f', 'user.a')",
    "os.chdir": "os.chdir('.')",
    "os.fchdir": "d = os.open('.', 0); os.fchdir(d)",
    "os.chroot": "tolerant(os.chroot, 'nowhere')",
    "os.umask": "os.umask(0o22)",
    "os.fork": "p = os.fork()\nif not p: os._exit(0)",
    "os.execv": "tolerant(os.execv, 'nowhere', ['x'])",
    "os.system": "os.system('true')",
    "subprocess.run": "subprocess.run(['true'])",
    "subprocess.check_output": "subprocess.check_output(['true'])",
    "os.popen": "os.popen('true').close()",
    "os.posix_spawn": "os.posix_spawn('/bin/true', ['true'], {})",
    "multiprocessing.Process": "p = multiprocessing.Process(target=int); p.start(); p.join()",
    "os.waitpid": "tolerant(os.waitpid, -1, 0)",
    "os.waitid": "tolerant(os.waitid, os.P_ALL, 0, os.WEXITED)",
    "os.kill": "os.kill(os.getpid(), 0)",
    "os.killpg": "os.killpg(0, 0)",
    "os.pidfd_open": "os.close(os.pidfd_open(os.getpid()))",
    "os.setuid": "os.setuid(os.getuid())",
    "os.setgid": "os.setgid(os.getgid())",
    "os.setresuid": "os.setresuid(-1, -1, -1)",
    "os.setgroups": "tolerant(os.setgroups, os.getgroups())",
    "os.setsid": "tolerant(os.setsid)",
    "os.setpgid": "tolerant(os.setpgid, 0, 0)",
    "os.nice": "os.nice(0)",
    "os.sched_setaffinity": "os.sched_setaffinity(0, os.sched_getaffinity(0))",
    "os.sched_getaffinity": "os.sched_getaffinity(0)",
    "os.memfd_create": "os.memfd_create('x')",
    "os.eventfd": "os.eventfd(0)",
    "os.uname": "os.uname()",
    "socket.gethostname": "socket.gethostname()",
    "resource.setrlimit": "resource.setrlimit(resource.RLIMIT_CORE, resource.getrlimit(resource.RLIMIT_CORE))",
    "resource.getrusage": "resource.getrusage(resource.RUSAGE_SELF)",
    "time.sleep": "time.sleep(0.001)",
    "signal.alarm": "signal.alarm(0)",
    "signal.setitimer": "signal.setitimer(signal.ITIMER_REAL, 0)",
    "signal.signal": "signal.signal(signal.SIGUSR1, signal.SIG_IGN)",
    "signal.pthread_sigmask": "signal.pthread_sigmask(signal.SIG_BLOCK, [])",
    # Again and again, since the first one may come before it pauses.
    "signal.pause": "signal.signal(14, lambda *a: None); signal.setitimer(0, 0.05, 0.05)\n"
    "signal.pause(); signal.setitimer(0, 0)",
    "fcntl.fcntl": "fcntl.fcntl(F, fcntl.F_GETFD)",
    "fcntl.flock": "fcntl.flock(F, fcntl.LOCK_SH)",
    "fcntl.lockf": "fcntl.lockf(F, fcntl.LOCK_EX)",
    "fcntl.ioctl": "tolerant(fcntl.ioctl, F, 0x5413, bytes(8))",
    "termios.tcgetattr": "tolerant(termios.tcgetattr, F)",
    "os.get_terminal_size": "tolerant(os.get_terminal_size, F)",
    "mmap.mmap": "mmap.mmap(-1, 4096 * 100)",
    "select.select": "select.select([F], [], [], 0)",
    "select.poll": "select.poll().poll(0)",
    "select.epoll": "select.epoll()",
    "asyncio.run": "asyncio.run(asyncio.sleep(0.001))",
    "socket.socket": "socket.socket().close()",
    "socket.socketpair": "socket.socketpair()",
    "socket.create_connection": "tolerant(socket.create_connection, ('127.0.0.1', 1))",
    "socket.create_server": "socket.create_server(('127.0.0.1', 0))",
    "socket.getaddrinfo": "tolerant(socket.getaddrinfo, 'no.invalid', 80)",
    "urllib.request.urlopen": "serve(lambda port: urllib.request.urlopen(f'http://127.0.0.1:{port}/').read())",
    "shutil.copyfile": "shutil.copyfile('f', 'f2')",
    "shutil.copy2": "shutil.copy2('f', 'f3')",
    "shutil.copytree": "shutil.copytree('d2', 'd4'); open('d2/x', 'w').write('x'); shutil.copytree('d2', 'd5')",
    "shutil.move": "shutil.move('f3', 'f4')",
    "shutil.rmtree": "shutil.rmtree('d5')",
    "tempfile.mkstemp": "tempfile.mkstemp(dir='.')",
    "tempfile.mkdtemp": "tempfile.mkdtemp(dir='.')",
    "threading.Thread": "t = threading.Thread(target=int); t.start(); t.join()",
    "concurrent.futures.ThreadPoolExecutor": "list(concurrent.futures.ThreadPoolExecutor().map(int, '12'))",
    "os.urandom": "os.urandom(8)",
    "secrets.token_hex": "secrets.token_hex(8)",
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Function -> the calls between its mark, which is the look-up of a path, and the next."""
    place: Path = tmp_path_factory.mktemp("callers")
    steps = (f"tolerant(os.stat, '/MARK/{name}')\n{code}\n" for name, code in SNIPPETS.items())
    (place / "steps.py").write_text(PREAMBLE + "".join(steps))
    command = ["strace", "-f", "-o", "log", sys.executable, "steps.py"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, set[str]] = {}
    current: set[str] = set()
    for line in (place / "log").read_text(errors="replace").splitlines():
        if mark := re.search(r'"/MARK/([^"]+)"', line):
            current = found.setdefault(mark[1], set())
        elif call := re.match(r"\d+ +(\w+)\(", line):
            current.add(call[1])
    return found


@pytest.mark.parametrize("name", list(SNIPPETS))
def test_the_listed_calls_are_made(seen: dict[str, set[str]], name: str) -> None:
    listed = set(calls_of_function(name))
    assert listed
    assert listed <= seen[name]
