#!/bin/bash
# python3: threads and their locks, child processes, signals, sockets and an event loop.
. "${0%/*}/common.sh"

python3 - <<'END'
import asyncio
import concurrent.futures
import gc
import hashlib
import multiprocessing
import os
import queue
import random
import selectors
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time


def threads():
    jobs, lock, total = queue.Queue(), threading.Lock(), [0]

    def work():
        while (number := jobs.get()) is not None:
            digest = hashlib.sha256(bytes(200_000)).digest()  # without the global lock
            with lock:
                total[0] += digest[0] * number

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for number in range(400):
        jobs.put(number)
    for _ in workers:
        jobs.put(None)
    for worker in workers:
        worker.join()
    event = threading.Event()
    threading.Timer(0.5, event.set).start()
    assert not event.wait(0.01) and event.wait(60)
    with lock:
        assert not lock.acquire(timeout=0.02)


def processes():
    assert subprocess.run(["/bin/true"]).returncode == 0
    done = subprocess.run("cat; exit 3", shell=True, input=b"x" * 200_000, capture_output=True)
    assert (done.returncode, len(done.stdout)) == (3, 200_000)
    try:
        subprocess.run(["sleep", "10"], timeout=0.1)
    except subprocess.TimeoutExpired:
        pass
    with subprocess.Popen(["sleep", "10"], start_new_session=True, cwd="/") as child:
        time.sleep(0.05)
        child.terminate()
    child = os.fork()
    if not child:
        os._exit(5)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
    with multiprocessing.Pool(2) as pool:
        assert pool.map(abs, range(-50, 0))[0] == 50
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        assert sum(pool.map(abs, range(-9, 0))) == 45


def signals():
    caught = []
    signal.signal(signal.SIGALRM, lambda number, _: caught.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    while len(caught) < 3:
        time.sleep(0.1)
    sum(range(3_000_000))
    signal.setitimer(signal.ITIMER_REAL, 0)
    os.kill(os.getpid(), signal.SIGALRM)
    assert len(caught) > 2


def sockets():
    with socket.create_server(("127.0.0.1", 0)) as server, selectors.DefaultSelector() as selector:
        selector.register(server, selectors.EVENT_READ)
        client = socket.create_connection(("localhost", server.getsockname()[1]), timeout=60)
        selector.select()
        accepted, _ = server.accept()
        client.sendall(b"hello")
        assert accepted.recv(5) == b"hello"
        accepted.close()
        client.close()

    async def loop():
        async def echo(reader, writer):
            writer.write(await reader.read(100))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]

        async def ask(number):
            reader, writer = await asyncio.open_connection("localhost", port)
            writer.write(str(number).encode())
            assert await reader.read(100) == str(number).encode()
            writer.close()

        await asyncio.gather(*map(ask, range(20)))
        child = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
        assert (await child.communicate(b"through a pipe"))[0] == b"through a pipe"
        assert await asyncio.to_thread(lambda: 7) == 7
        server.close()

    asyncio.run(loop())


def files():
    with tempfile.TemporaryDirectory() as directory:
        for number in range(50):
            with open(f"{directory}/{number}", "w") as file:
                file.write("text\n" * number)
        shutil.copytree(directory, f"{directory}/copy")
        assert sum(len(names) for _, _, names in os.walk(directory)) == 100
        with sqlite3.connect(f"{directory}/db") as base:
            base.execute("CREATE TABLE numbers (number)")
            base.executemany("INSERT INTO numbers VALUES (?)", ((random.random(),) for _ in range(1000)))
    kept = [[bytes(100)] * 100 for _ in range(20_000)]
    del kept
    gc.collect()


for part in (threads, processes, signals, sockets, files):
    part()
sys.exit(0)
END
finish python3 44
