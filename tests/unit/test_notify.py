"""The precreate hook's change to a configuration: what was permitted is asked about, what was refused stays refused."""

import io
import json
import sys

import pytest

from seclude.errors import EngineError
from seclude.notify import precreate, stranded
from seclude.notify.precreate import ALWAYS_UNSEEN, CONFINED, UNSEEN
from seclude.notify.stranded import Stranded

LISTENER = "/run/user/1000/seclude-x/listener.sock"
ALLOW, ASK, DENY = "SCMP_ACT_ALLOW", "SCMP_ACT_NOTIFY", "SCMP_ACT_ERRNO"


def changed(profile, **more):
    config = {"linux": {"seccomp": profile, "sysctl": {"a": "b"}}, "annotations": {"k": "v"}, **more}
    return precreate.notified(config, LISTENER, "x86_64")


def rules(config):
    return {
        (name, rule["action"], bool(rule.get("args")))
        for rule in config["linux"]["seccomp"]["syscalls"]
        for name in rule["names"]
    }


def test_what_is_permitted_is_asked_about():
    condition = [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]
    profile = {
        "defaultAction": DENY,
        "defaultErrnoRet": 38,
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [
            {"names": ["read", "write"], "action": ALLOW},
            {"names": ["personality"], "action": ALLOW, "args": condition},
            {"names": ["getpid"], "action": "SCMP_ACT_LOG"},
            {"names": ["bpf"], "action": DENY, "errnoRet": 1},
        ],
    }
    config = changed(profile)
    assert rules(config) == {
        ("read", ASK, False),
        ("write", ALLOW, False),
        ("personality", ASK, True),
        ("getpid", ASK, False),
        ("bpf", DENY, False),
    }
    seccomp = config["linux"]["seccomp"]
    assert (seccomp["listenerPath"], seccomp["defaultAction"], seccomp["defaultErrnoRet"]) == (
        LISTENER,
        DENY,
        38,
    )
    assert config["linux"]["sysctl"] == {"a": "b"}
    assert config["annotations"] == {"k": "v", CONFINED: "true", UNSEEN: "write"}
    assert profile["syscalls"][0]["action"] == ALLOW  # the original is as it was


def test_a_default_that_permits_becomes_rules():
    condition = [{"index": 0, "value": 40, "op": "SCMP_CMP_EQ"}]
    profile = {
        "defaultAction": ALLOW,
        "syscalls": [
            {"names": ["mkdir"], "action": DENY},
            {"names": ["socket"], "action": DENY, "args": condition},
        ],
    }
    config = changed(profile)
    found = rules(config)
    assert {("mkdir", DENY, False), ("socket", DENY, True), ("openat", ASK, False)} <= found
    assert not {("mkdir", ASK, False), ("socket", ASK, False), ("write", ASK, False)} & found
    assert config["annotations"][UNSEEN] == "socket,write"


def test_without_a_filter_everything_is_permitted():
    config = changed(None)
    seccomp = config["linux"]["seccomp"]
    assert seccomp["defaultAction"] == ALLOW
    assert seccomp["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    asked = {name for name, action, _ in rules(config) if action == ASK}
    assert {"mount", "waitpid", "mseal"} <= asked
    assert not asked & set(ALWAYS_UNSEEN)
    assert config["annotations"][CONFINED] == "false"


@pytest.mark.parametrize(
    "profile",
    [
        {"defaultAction": ALLOW, "listenerPath": "/run/agent"},
        {"defaultAction": ALLOW, "syscalls": [{"names": ["mkdir"], "action": ASK}]},
    ],
)
def test_an_agent_of_its_own_is_refused(profile):
    with pytest.raises(EngineError, match="agent of its own"):
        changed(profile)


class TestEntryPoint:
    def run(self, monkeypatch, tmp_path, text):
        listener = tmp_path / "listener.sock"
        monkeypatch.setattr(sys, "argv", ["-c", "--listener", str(listener)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        return precreate.main()

    def test_it_leaves_word_of_the_container(self, monkeypatch, tmp_path, capsys):
        assert self.run(monkeypatch, tmp_path, b'{"linux":{}}') == 0
        assert json.loads(capsys.readouterr().out)["linux"]["seccomp"]["defaultAction"] == ALLOW
        assert (tmp_path / "listener.sock.confined").read_text() == "false"

    @pytest.mark.parametrize("text", [b"", b"[]", b"\xff", b'{"linux":{"seccomp":{"listenerPath":"/a"}}}'])
    def test_it_leaves_the_reason_why_not(self, monkeypatch, tmp_path, capsys, text):
        assert self.run(monkeypatch, tmp_path, text) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert (tmp_path / "listener.sock.refused").read_text() in captured.err


class TestStranded:
    @pytest.fixture
    def fake(self, tmp_path, monkeypatch):
        """A /proc without processes, a bundle, and a clock that stands still between looks."""
        proc, bundle = tmp_path / "proc", tmp_path / "userdata"
        proc.mkdir()
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps({"linux": {"seccomp": {"listenerPath": LISTENER}}}))
        clock = iter(range(100))
        monkeypatch.setattr(stranded.time, "monotonic", lambda: next(clock))
        monkeypatch.setattr(stranded, "fetched", lambda process, descriptor: 1000 * process + descriptor)
        return proc, bundle

    def put(self, proc, process, name, bundle, link="anon_inode:seccomp notify"):
        (proc / f"{process}/fd").mkdir(parents=True)
        (proc / f"{process}/fd/7").symlink_to(link)
        (proc / f"{process}/comm").write_text(f"{name}\n")
        (proc / f"{process}/status").write_text(f"Name:\t{name}\nPPid:\t{process + 1}\n")
        (proc / f"{process + 1}").mkdir()
        (proc / f"{process + 1}/cmdline").write_text(f"runc\0--log\0{bundle}/oci-log\0exec\0")

    def test_an_init_that_waits_is_found_once(self, fake):
        proc, bundle = fake
        found = Stranded(LISTENER, str(proc))
        assert found.look() == []
        self.put(proc, 20, "runc:[2:INIT]", bundle)
        assert found.look() == []  # it may yet deliver
        assert found.look() == [(20, 20007)]
        assert found.look() == []

    def test_one_that_delivered_before_it_was_seen_is_left_alone(self, fake):
        proc, bundle = fake
        found = Stranded(LISTENER, str(proc))
        self.put(proc, 20, "runc:[2:INIT]", bundle)
        found.delivered(20)
        assert [found.look() for _ in range(3)] == [[], [], []]

    def test_others_are_left_alone(self, fake):
        proc, bundle = fake
        self.put(proc, 10, "runc:[2:INIT]", bundle)  # there before us
        found = Stranded(LISTENER, str(proc))
        other = bundle.parent / "other" / "userdata"
        self.put(proc, 20, "sh", bundle)
        self.put(proc, 30, "runc:[2:INIT]", other)
        self.put(proc, 40, "runc:[2:INIT]", bundle, "pipe:[1]")
        self.put(proc, 50, "runc:[2:INIT]", bundle)
        assert found.look() == []
        found.delivered(50)
        assert [found.look() for _ in range(3)] == [[], [], []]
