"""What a receiver is told to refuse, and what it keeps of refusals: rulings, bounded tables, the hook's questions."""

import errno
import json
import os
import struct
import sys

import pytest

from seclude import syscalls
from seclude.analyse.verify import NotRecorded, verification
from seclude.compilation import compiled
from seclude.errors import EngineError, TraceError
from seclude.formats import bpf, oci
from seclude.model.decision import decide
from seclude.model.environment import Environment
from seclude.model.recording import Recording
from seclude.notify import precreate
from seclude.notify.judging import Judging
from seclude.notify.precreate import JUDGED, UNSEEN
from seclude.trace import notify_denials
from seclude.trace import notify_page as page_of
from seclude.trace.notify_denials import KeptDenials, Refused
from seclude.trace.notify_page import Denied, Journal, Page
from seclude.trace.notify_rulings import AT_A_LOSS, GO_ON, Judgement, Rulings, questions
from seclude.trace.receiver import Order, _Receiver
from seclude.trace.seccomp_notify import ANSWERED, NOTIFICATION, PREFIX_LENGTH

ALLOW, ASK, DENY = "SCMP_ACT_ALLOW", "SCMP_ACT_NOTIFY", "SCMP_ACT_ERRNO"
KILL = "SCMP_ACT_KILL_PROCESS"
X86_64 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the profile is compiled for x86_64")
HERE = Environment(machine="x86_64", kernel="6.1", capabilities=())


def condition(index, value, op="SCMP_CMP_EQ", value_two=0):
    return {"index": index, "value": value, "valueTwo": value_two, "op": op}


def rule(action, *names, **more):
    return {"names": list(names), "action": action, **more}


PROFILE = {
    "defaultAction": DENY,
    "defaultErrnoRet": 1,
    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "syscalls": [
        rule(ALLOW, "read", "getsid", "clone3"),
        rule("SCMP_ACT_LOG", "mkdir"),
        rule(DENY, "bpf", errnoRet=38),
        rule("SCMP_ACT_TRACE", "getppid"),
        rule(KILL, "reboot"),
        rule(ALLOW, "socket", args=[condition(0, 1)]),
        rule(DENY, "socket", errnoRet=97, args=[condition(0, 2), condition(1, 3, "SCMP_CMP_GE")]),
        rule(ALLOW, "personality", args=[condition(0, 0xFF, "SCMP_CMP_MASKED_EQ", 8)]),
        rule(DENY, "lseek", errnoRet=29, args=[condition(1, 1 << 40, "SCMP_CMP_GT")]),
    ],
}


def made(value):
    return oci.loads(json.dumps(value), "it")


def notification(abi, number, arguments=(0,) * 6):
    words = bpf.call_data(abi, number, arguments, pointer=0x1234)
    return memoryview(bytearray(struct.pack("=QII16I", 7, 9, 0, *words)))


@X86_64
class TestRulings:
    @pytest.mark.parametrize("abi", ["x86_64", "x86", "x32"])
    def test_they_are_the_profile_s_decisions(self, abi):
        profile = made(PROFILE)
        rulings = Rulings(Judgement(program=compiled(profile, HERE)))
        values = (0, 1, 2, 3, 8, 0x108, 1 << 40, (1 << 40) + 1, 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF)
        for name in ("read", "mkdir", "bpf", "getppid", "socket", "personality", "lseek", "mount", "futex"):
            number = syscalls.number_of(abi, name)
            if number is None:
                continue
            for first in values:
                for second in values:
                    arguments = (first, second, 0, 0, 0, 0)
                    if abi != "x86_64":
                        arguments = tuple(value & 0xFFFF_FFFF for value in arguments)
                    ruling = rulings.of(notification(abi, number, arguments), abi, number)
                    decision = decide(profile, HERE, abi, name, arguments)
                    assert (ruling.action, ruling.data) == (decision.action, decision.data), (name, arguments)
                    assert ruling.constant == (name not in ("socket", "personality", "lseek"))

    def test_answers(self):
        rulings = Rulings(Judgement(program=compiled(made(PROFILE), HERE)))

        def answer(name, *arguments):
            number = syscalls.number_of("x86_64", name)
            call = notification("x86_64", number, (*arguments, *(0,) * (6 - len(arguments))))
            return rulings.of(call, "x86_64", number).answer

        assert answer("read") == answer("mkdir") == answer("socket", 1) == GO_ON
        assert answer("bpf") == answer("getppid") == AT_A_LOSS == ANSWERED.pack(0, 0, -errno.ENOSYS, 0)[8:]
        assert answer("mount") == ANSWERED.pack(0, 0, -1, 0)[8:]
        assert answer("socket", 2, 3) == ANSWERED.pack(0, 0, -97, 0)[8:]

    def test_what_is_newer_than_the_profile(self):
        newest = {"x86_64": syscalls.number_of("x86_64", "clone3")}
        rulings = Rulings(Judgement(program=compiled(made(PROFILE), HERE), newest=newest))
        for name, action, data in (
            ("clone3", ALLOW, 0),
            ("openat2", DENY, errno.ENOSYS),
            ("mount", DENY, 1),
        ):
            number = syscalls.number_of("x86_64", name)
            ruling = rulings.of(notification("x86_64", number), "x86_64", number)
            assert (ruling.action, ruling.data) == (action, data)

    def test_questions_ask_instead_of_permitting_and_refusing(self):
        program = compiled(made(PROFILE), HERE)
        asking = bpf.Machine(bpf.loads(questions(program)))
        for name, wanted in (("read", ASK), ("mount", ASK), ("bpf", ASK), ("mkdir", ASK), ("reboot", KILL)):
            number = syscalls.number_of("x86_64", name)
            assert asking(bpf.call_data("x86_64", number, (0,) * 6))[0] == wanted

    def test_a_filter_that_does_not_fit_beside_the_rest(self):
        length = bpf.LARGEST_FILTER - PREFIX_LENGTH
        program = bpf.Program(instructions=((0x20, 0, 0, 0),) * (length - 1) + ((0x06, 0, 0, 0x7FFF0000),))
        assert len(questions(program)) == 8 * length
        longer = bpf.Program(instructions=((0x20, 0, 0, 0), *program.instructions))
        with pytest.raises(TraceError, match=f"of {length + 1} instructions, of which notify takes {length}"):
            questions(longer)


class TestJudging:
    def judged(self, tmp_path, runtime, profile=None):
        path = tmp_path / "profile"
        path.write_text(json.dumps(profile or PROFILE))
        return Judging(str(path)).by(runtime)

    @X86_64
    def test_runc_answers_what_is_newer_with_enosys(self, tmp_path):
        found = self.judged(tmp_path, "runc").newest
        assert found["x86_64"] == syscalls.number_of("x86_64", "clone3")
        assert set(found) == {"x86_64", "x86", "x32"}
        assert self.judged(tmp_path, "crun").newest == {}

    @X86_64
    @pytest.mark.parametrize(
        "more",
        [{"defaultAction": ALLOW}, {"defaultErrnoRet": 38}, {"architectures": []}],
        ids=["permissive", "ENOSYS", "no architecture"],
    )
    def test_where_it_does_not(self, tmp_path, more):
        assert self.judged(tmp_path, "runc", PROFILE | more).newest == {}

    @X86_64
    def test_what_crun_calls_to_deliver_is_let_go(self, tmp_path):
        assert "kill" in self.judged(tmp_path, "crun").exempt
        assert not self.judged(tmp_path, "runc").exempt


class TestKept:
    @pytest.fixture
    def kept(self):
        page, journal = Page(), Journal()
        yield KeptDenials(page, journal, lambda thread: ("c", "/c", thread // 10 * 10), None), page, journal
        journal.close()

    def call(self, thread, number=39, context=""):
        return Refused(
            abi="x86_64", number=number, context=context, thread=thread, pointer=0, arguments=(1,) * 6
        )

    def counts(self, page, journal):
        facts = [fact for fact in journal.facts() if isinstance(fact, Denied)]
        return [(fact.pid, fact.number, page.denials[2 * fact.index]) for fact in facts]

    def test_one_line_for_a_process_and_a_call(self, kept):
        denials, page, journal = kept
        ruling = Rulings(Judgement(program=_always(0x50001))).of(notification("x86_64", 39), "x86_64", 39)
        for thread, number in ((10, 39), (11, 39), (10, 39), (20, 39), (10, 40)):
            denials.add(self.call(thread, number), ruling)
        assert self.counts(page, journal) == [(10, 39, 3), (20, 39, 1), (10, 40, 1)]
        assert page.words[page_of.LOST_DENIALS] == 0
        [first, *_] = list(journal.facts())
        assert (first.action, first.data, first.arguments, first.tid) == (DENY, 1, (1,) * 6, 10)
        assert page.denials[2 * first.index + 1] > first.time

    def test_beyond_the_limit_processes_are_merged_and_then_lost(self, kept, monkeypatch):
        monkeypatch.setattr(notify_denials, "PROCESSES", 3)
        monkeypatch.setattr(notify_denials, "DENIALS", 5)
        denials, page, journal = kept
        ruling = Rulings(Judgement(program=_always(0x50001))).of(notification("x86_64", 39), "x86_64", 39)
        for thread in range(10, 100, 10):
            denials.add(self.call(thread), ruling)
        denials.add(self.call(10), ruling)  # known, and still told apart
        for number in (40, 41, 42):
            denials.add(self.call(10, number), ruling)
        assert self.counts(page, journal) == [(10, 39, 2), (20, 39, 1), (30, 39, 1), (0, 39, 6), (0, 40, 1)]
        assert page.words[page_of.LOST_DENIALS] == 2

    def test_a_number_that_is_given_to_another(self, kept):
        denials, page, journal = kept
        ruling = Rulings(Judgement(program=_always(0x50001))).of(notification("x86_64", 39), "x86_64", 39)
        parents = {15: 10}
        denials._who = lambda thread: ("c", "/c", parents.get(thread, thread))
        denials.add(self.call(15), ruling)
        denials.forget(15, whole=False)
        parents.clear()
        denials.add(self.call(15), ruling)
        assert self.counts(page, journal) == [(10, 39, 1), (15, 39, 1)]


def _always(answer):
    return bpf.Program(instructions=((0x06, 0, 0, answer),))


class TestReceiver:
    def receiver(self, program, page, journal, **order):
        told = Order(
            from_exec=False,
            counts=False,
            arguments={},
            started=0,
            judgement=Judgement(program=program),
            **order,
        )
        page.words[page_of.APP] = 1
        return _Receiver(page, journal, told, -1)

    def put(self, page, number, architecture=0xC000003E):
        page.notification[: NOTIFICATION.size] = NOTIFICATION.pack(
            1, os.getpid(), 0, number, architecture, 0, *range(6)
        )

    def test_what_goes_wrong_refuses_and_is_counted(self, monkeypatch):
        page, journal = Page(), Journal()
        receiver = self.receiver(_always(0x7FFF0000), page, journal)
        self.put(page, 39)
        monkeypatch.setattr(Rulings, "of", lambda *_: 1 / 0)
        assert receiver.look() == AT_A_LOSS
        assert (page.words[page_of.LOST_DENIALS], page.words[page_of.LOST_CALLS]) == (1, 0)
        journal.close()

    def test_a_denial_that_cannot_be_written_down_is_refused_and_counted(self, monkeypatch):
        page, journal = Page(), Journal()
        receiver = self.receiver(_always(0x50001), page, journal)
        self.put(page, 39)
        monkeypatch.setattr(Journal, "add", lambda *_: 1 / 0)
        assert receiver.look() == ANSWERED.pack(0, 0, -1, 0)[8:]
        assert (page.words[page_of.LOST_DENIALS], page.words[page_of.LOST_CALLS]) == (1, 0)
        journal.close()

    def test_a_call_that_cannot_be_written_down_goes_on_and_is_counted(self, monkeypatch):
        page, journal = Page(), Journal()
        receiver = self.receiver(_always(0x7FFF0000), page, journal)
        self.put(page, 39)
        monkeypatch.setattr(Journal, "add", lambda *_: 1 / 0)
        assert receiver.look() == GO_ON
        assert (page.words[page_of.LOST_DENIALS], page.words[page_of.LOST_CALLS]) == (0, 1)
        journal.close()

    def test_an_architecture_without_a_table_is_refused(self):
        page, journal = Page(), Journal()
        receiver = self.receiver(_always(0x7FFF0000), page, journal)
        self.put(page, 39, architecture=5)
        assert receiver.look() == AT_A_LOSS
        assert page.words[page_of.LOST_DENIALS] == 1
        journal.close()

    def test_only_what_depends_on_nothing_is_known_for_good(self):
        page, journal = Page(), Journal()
        # The first argument is loaded for getpid alone, whose answer is the same for all that.
        program = bpf.Program(
            instructions=(
                (0x20, 0, 0, 0),
                (0x15, 0, 1, 39),
                (0x20, 0, 0, 16),
                (0x06, 0, 0, 0x7FFF0000),
            )
        )
        receiver = self.receiver(program, page, journal)
        for number in (39, 110):
            self.put(page, number)
            assert receiver.look() == GO_ON
        assert [struct.unpack("=iI", call)[0] for call in receiver.others] == [110]
        journal.close()


class TestQuestionsOfTheHook:
    def changed(self, profile):
        config = {"linux": {"seccomp": profile}}
        return precreate.notified(config, "/run/listener.sock", "x86_64", judged=True)

    def rules(self, config):
        return {
            (name, rule["action"], bool(rule.get("args")))
            for rule in config["linux"]["seccomp"]["syscalls"]
            for name in rule["names"]
        }

    def test_refusals_are_asked_about(self):
        config = self.changed(
            {
                "defaultAction": DENY,
                "syscalls": [
                    rule(ALLOW, "read", "write"),
                    rule(ALLOW, "socket", args=[condition(0, 1)]),
                    rule(DENY, "bpf", errnoRet=38),
                ],
            }
        )
        found = self.rules(config)
        asked = {("read", ASK, False), ("socket", ASK, False), ("bpf", ASK, False), ("mount", ASK, False)}
        assert asked <= found
        assert {each for each in found if each[0] == "write"} == {("write", ALLOW, False)}
        assert config["annotations"][UNSEEN] == "write"

    def test_what_kills_stays_the_kernel_s(self):
        config = self.changed(
            {
                "defaultAction": DENY,
                "syscalls": [
                    rule(ALLOW, "read", "socket"),
                    rule(KILL, "socket", args=[condition(0, 40)]),
                    rule("SCMP_ACT_TRAP", "reboot"),
                ],
            }
        )
        found = self.rules(config)
        assert {each for each in found if each[0] in ("socket", "reboot")} == {
            ("socket", ALLOW, False),
            ("socket", KILL, True),
            ("reboot", "SCMP_ACT_TRAP", False),
        }
        assert config["annotations"][UNSEEN] == "reboot,socket,write"

    def test_a_default_that_kills(self):
        config = self.changed(
            {
                "defaultAction": KILL,
                "syscalls": [
                    rule(ALLOW, "read", "write"),
                    rule(DENY, "mkdir", errnoRet=1),
                    rule(ALLOW, "socket", args=[condition(0, 1)]),
                ],
            }
        )
        assert self.rules(config) == {
            ("read", ASK, False),
            ("write", ALLOW, False),
            ("mkdir", ASK, False),
            ("socket", ASK, True),
        }
        assert not any("errnoRet" in rule for rule in config["linux"]["seccomp"]["syscalls"])

    def test_the_profile_is_left_for_who_answers(self, monkeypatch, tmp_path, capsys):
        listener = tmp_path / "listener.sock"
        left = tmp_path / f"listener.sock{JUDGED}"
        left.touch()
        monkeypatch.setattr(sys, "argv", ["-c", "--listener", str(listener)])
        self.run(monkeypatch, {"linux": {"seccomp": PROFILE}}, 0)
        assert json.loads(left.read_text()) == PROFILE
        assert json.loads(capsys.readouterr().out)["linux"]["seccomp"]["listenerPath"] == str(listener)
        self.run(monkeypatch, {"linux": {}}, 1)
        assert "nothing can be proved" in (tmp_path / "listener.sock.refused").read_text()

    def run(self, monkeypatch, config, status):
        import io

        text = json.dumps(config).encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        assert precreate.main() == status

    def test_an_agent_of_its_own_is_refused(self):
        with pytest.raises(EngineError, match="agent of its own"):
            self.changed({"defaultAction": ALLOW, "listenerPath": "/run/agent"})


class TestUnnamed:
    def proved(self, profile, unseen=("write",), tracer="notify", status=0):
        recording = Recording(
            created="",
            duration=1,
            seclude="",
            tracer=tracer,
            kernel="6.1",
            machine="x86_64",
            engine="podman",
            calls=(),
            unseen=unseen,
        )
        return verification(
            made(profile), HERE, [recording], [], known=["read", "write"], statuses=[status], expected=0
        )

    @pytest.mark.parametrize(
        ("profile", "said"),
        [
            (PROFILE, ("calls that are answered with SCMP_ACT_KILL_PROCESS", "write, which can be refused")),
            ({"defaultAction": DENY, "syscalls": [rule(ALLOW, "write")]}, ()),
            ({"defaultAction": ALLOW}, ()),
            (
                {"defaultAction": ALLOW, "syscalls": [rule(DENY, "write", args=[condition(0, 9)])]},
                ("write, which can be refused",),
            ),
        ],
    )
    def test_what_notify_does_not_name(self, profile, said):
        assert self.proved(profile).unnamed == said
        assert self.proved(profile, tracer="ebpf", unseen=()).unnamed == ()

    def test_an_architecture_that_is_not_there(self):
        assert self.proved({"defaultAction": ALLOW}, status=159).unnamed == (
            "calls of an architecture that is not in the profile",
        )

    def test_what_was_not_seen_is_neither_used_nor_unused(self):
        usage = self.proved({"defaultAction": ALLOW}).usage
        assert not isinstance(usage, NotRecorded)
        assert (usage.made, usage.never) == ((), ("read",))
