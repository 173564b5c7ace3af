"""Profiles as other programs read or enforce them: one module a format. A new one is a file here and a line below."""

from __future__ import annotations

WRITERS = {
    "oci": "seclude.formats.engines:OciFormat",
    "docker": "seclude.formats.engines:DockerFormat",
    "podman": "seclude.formats.engines:PodmanFormat",
    "label": "seclude.formats.engines:LabelFormat",
    "spo": "seclude.formats.spo:SpoFormat",
    "kubernetes": "seclude.formats.engines:OciFormat",
    "systemd": "seclude.formats.systemd:SystemdFormat",
    "minijail": "seclude.formats.minijail:MinijailFormat",
    "c": "seclude.formats.csource:CFormat",
}
"""Name -> where the class is that writes it, imported when it is chosen: made with Settings, it has
`written(profile) -> Written`."""

READERS = {
    "spo": "seclude.formats.spo:SpoFormat",
    "systemd": "seclude.formats.unit:UnitFormat",
    "minijail": "seclude.formats.policy:PolicyFormat",
    "strace-log": "seclude.formats.strace:StraceFormat",
}
"""Name -> where the class is that reads it: made with Settings, it has `read(text, source) -> Read`. Profiles as
engines read them are read by formats.oci, which every command does anyway."""
