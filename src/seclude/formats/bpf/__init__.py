"""Seccomp filters in the kernel's form, classic BPF: bytes in; a checked program, its answers and its listing out."""

from .listing import disassemble
from .machine import Machine, call_data, run
from .program import LARGEST_FILTER, Instruction, Program, loads

__all__ = ["LARGEST_FILTER", "Instruction", "Machine", "Program", "call_data", "disassemble", "loads", "run"]
