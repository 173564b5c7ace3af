"""Families: every member is a call that some ABI has, each in one family."""

from seclude import syscalls
from seclude.families import FAMILIES, family_of, members, relatives


def test_every_member_is_a_call_and_in_one_family():
    known = syscalls.all_names()
    seen = {}
    for family in FAMILIES:
        for name in members(family):
            assert name in known
            assert seen.setdefault(name, family) == family, name
            assert family_of(name) == family


def test_relatives():
    assert relatives("openat2") == ("openat", "open", "creat")
    assert set(relatives("clone")) == {"fork", "vfork", "clone3"}
    assert relatives("frobnicate") == ()
    assert relatives("") == ()
    assert members("frobnicate") == ()
    assert family_of("#575") == ""
