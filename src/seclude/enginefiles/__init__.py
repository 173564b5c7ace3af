"""The configuration files of engines, as far as they say which runtimes there are: one editor for each engine."""

from __future__ import annotations

from .containerd import ContainerdFile
from .crio import CrioFile
from .docker import DockerFile
from .editor import EngineFile

FILES: dict[str, EngineFile] = {file.engine: file for file in (DockerFile(), ContainerdFile(), CrioFile())}
