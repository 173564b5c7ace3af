"""Registrations: the machine's lock, ids that stay within the directory, and files of other makers."""

import json
import os
import subprocess
import sys

import pytest

from seclude.bundle import Container
from seclude.errors import TraceError
from seclude.model.frozen import replace
from seclude.registrations import Registration, Registrations, Request, start_of

KNOWN = Container(
    created="2026-01-01T00:00:00Z",
    engine="podman",
    runtime="crun",
    runtime_path="/usr/bin/crun",
    image="debian",
    container="0123abc",
    command=("ls", "/"),
    confined=True,
    no_new_privileges=False,
    capabilities=("CAP_CHOWN", "CAP_KILL"),
)


def registration(container="0123abc", **fields):
    values = {
        "number": 7,
        "pid": os.getpid(),
        "started": start_of(os.getpid()),
        "request": Request(profile="/p"),
    }
    return Registration(known=replace(KNOWN, container=container), **(values | fields))


@pytest.fixture
def place(tmp_path):
    return str(tmp_path / "state")


def test_round_trip(place):
    added = registration(request=Request(profile="/p", base="/b", recording="/r", counts=True, denials=True))
    with Registrations(place) as registrations:
        registrations.add(added)
        registrations.add(registration("other"))
    assert Registrations(place).get("0123abc") == added
    assert Registrations(place).containers() == ("0123abc", "other")
    assert [item.known.container for item in Registrations(place)] == ["0123abc", "other"]
    with Registrations(place) as registrations:
        registrations.remove("0123abc")
        registrations.remove("0123abc")
        assert registrations.get("0123abc") is None
    assert Registrations(place).containers() == ("other",)


def test_before_there_is_a_directory(place):
    assert Registrations(place).containers() == ()
    assert Registrations(place).get("x") is None
    assert not os.path.exists(place)


def test_no_directory_that_can_be_read(tmp_path):
    (tmp_path / "state").touch()
    with pytest.raises(TraceError, match="state cannot be read: Not a directory"):
        Registrations(str(tmp_path / "state")).containers()


def test_private_to_us(place):
    with Registrations(place):
        assert os.stat(place).st_mode & 0o777 == 0o700
        assert os.stat(f"{place}/lock").st_mode & 0o777 == 0o600


def test_text_of_a_container_is_escaped(place):
    hostile = '\x1b[31m\n"</script>\u202e'
    with Registrations(place) as registrations:
        item = Registration(
            number=1,
            pid=1,
            started=1,
            request=Request(),
            known=replace(KNOWN, command=(hostile,), image=hostile),
        )
        registrations.add(item)
        assert registrations.get(KNOWN.container) == item
    with open(f"{place}/{KNOWN.container}.json", "rb") as file:
        assert file.read().decode("ascii").isprintable()


@pytest.mark.parametrize("container", ["a", "A-b_c.d+e", "0" * 128, "..", ".hidden", "a.json"])
def test_ids(container, place):
    with Registrations(place) as registrations:
        registrations.add(registration(container))
        assert registrations.containers() == (container,)
        assert registrations.get(container) is not None
        registrations.remove(container)
    assert sorted(os.listdir(place)) == ["lock"]


@pytest.mark.parametrize(
    "container", ["", "a/b", "../x", "a b", "a\n", "\N{LATIN SMALL LETTER E WITH ACUTE}", "0" * 129]
)
def test_what_is_no_id(container, place):
    with Registrations(place) as registrations:
        for call in (
            registrations.get,
            registrations.remove,
            lambda name: registrations.add(registration(name)),
        ):
            with pytest.raises(TraceError, match="is no container id") as failure:
                call(container)
            assert failure.value.message.isprintable()


def test_other_files_are_no_containers(place):
    with Registrations(place) as registrations:
        for name in ("session-x", "unsaved", "a b.json", ".json", "half.json.new"):
            open(f"{place}/{name}", "w").close()
        assert registrations.containers() == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a JSON value is expected"),
        ("[]", "another version"),
        ("{}", "another version"),
        ('{"version": 2}', "another version"),
        ('{"version": 1}', "is no registration: 'known'"),
        ('{"version": 1, "known": 3}', "is no registration"),
        ('{"version": 1, "known": {}}', "is no registration: Container: created is missing"),
        ("\xff", "cannot be read"),
    ],
)
def test_files_that_cannot_be_understood(text, message, place):
    with Registrations(place) as registrations:
        with open(f"{place}/x.json", "wb") as file:
            file.write(text.encode("latin-1"))
        with pytest.raises(TraceError, match=message):
            registrations.get("x")


@pytest.mark.parametrize(
    "change",
    [
        {"number": "7"},
        {"number": True},
        {"more": 1},
        {"request": {"other": 1}},
        {"request": None},
        {"known": {"a": 1}},
    ],
)
def test_members_that_do_not_fit(change, place):
    with Registrations(place) as registrations:
        registrations.add(registration("x"))
        with open(f"{place}/x.json") as file:
            values = json.load(file)
        with open(f"{place}/x.json", "w") as file:
            json.dump(values | change, file)
        with pytest.raises(TraceError, match="is no registration"):
            registrations.get("x")


class TestDirectory:
    def test_that_others_can_write_to(self, place):
        os.mkdir(place)
        os.chmod(place, 0o777)
        with pytest.raises(TraceError, match="nobody else can write to"), Registrations(place):
            pass

    def test_that_is_a_link(self, place, tmp_path):
        (tmp_path / "real").mkdir(mode=0o700)
        os.symlink(tmp_path / "real", place)
        with pytest.raises(TraceError, match="must be a directory of ours"), Registrations(place):
            pass

    def test_whose_lock_is_a_link(self, place, tmp_path):
        os.mkdir(place, 0o700)
        os.symlink(tmp_path / "elsewhere", f"{place}/lock")
        with pytest.raises(TraceError, match="lock cannot be opened"), Registrations(place):
            pass
        assert not (tmp_path / "elsewhere").exists()

    def test_that_cannot_be_made(self, tmp_path):
        with (
            pytest.raises(TraceError, match="cannot be made: No such file"),
            Registrations(str(tmp_path / "a" / "b")),
        ):
            pass


def test_alive():
    assert registration().alive()
    assert not registration(started=1).alive()
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert not registration(pid=ended.pid).alive()


def test_start_of_a_process_with_an_odd_name():
    program = "import ctypes; ctypes.CDLL(None).prctl(15, b') R 1 (x', 0, 0, 0); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        assert 0 < start_of(os.getpid()) <= start_of(process.pid)
        process.communicate(b"\n")
    assert start_of(0) == 0


COUNT = """
import sys
sys.path.insert(0, sys.argv[1])
from seclude.registrations import Registrations
for _ in range(50):
    with Registrations(sys.argv[2]):
        with open(sys.argv[3]) as file: number = int(file.read())
        with open(sys.argv[3], "w") as file: file.write(str(number + 1))
"""


def test_one_holder_of_the_lock_at_a_time(place, tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    source = os.path.join(os.path.dirname(__file__), "..", "..", "src")
    words = [sys.executable, "-c", COUNT, source, place, str(counter)]
    started = [subprocess.Popen(words) for _ in range(4)]
    assert [each.wait() for each in started] == [0] * 4
    assert counter.read_text() == "200"


def test_the_lock_of_a_killed_holder_is_free(place):
    program = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from seclude.registrations import Registrations\n"
        "with Registrations(sys.argv[2]): print(flush=True); time.sleep(600)"
    )
    source = os.path.join(os.path.dirname(__file__), "..", "..", "src")
    with subprocess.Popen([sys.executable, "-c", program, source, place], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.kill()
        process.wait()
    with Registrations(place):
        pass  # it would wait for ever
