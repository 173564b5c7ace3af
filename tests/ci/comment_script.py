"""action/comment/comment.py as a module, which it is not where it runs."""

from __future__ import annotations

import importlib.util

from runner import ROOT

_specification = importlib.util.spec_from_file_location("comment", ROOT / "action" / "comment" / "comment.py")
assert _specification
assert _specification.loader
comment = importlib.util.module_from_spec(_specification)
_specification.loader.exec_module(comment)
