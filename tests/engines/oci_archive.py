"""Root file systems in, an archive of images out that `ctr image import` and `podman load` read (OCI image-layout)."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"


def write_archive(path: Path, images: Mapping[str, tuple[Path, Mapping[str, Any]]]) -> None:
    """Writes an archive of `images`: full name -> (tar of its only layer, configuration such as {"Cmd": [...]})."""
    with tarfile.open(path, "w") as archive:

        def add(name: str, raw: bytes) -> None:
            entry = tarfile.TarInfo(name)
            entry.size = len(raw)
            archive.addfile(entry, io.BytesIO(raw))

        def blob(raw: bytes, media: str) -> dict[str, Any]:
            digest = hashlib.sha256(raw).hexdigest()
            if (digest, media) not in added:
                added.add((digest, media))
                add(f"blobs/sha256/{digest}", raw)
            return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(raw)}

        added: set[tuple[str, str]] = set()
        manifests = []
        for name, (layer_path, config) in images.items():
            layer = blob(layer_path.read_bytes(), _LAYER)
            described = {
                "architecture": "amd64",
                "os": "linux",
                "config": dict(config),
                "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
            }
            manifest = {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": blob(json.dumps(described).encode(), _CONFIG),
                "layers": [layer],
            }
            names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
            manifests.append(blob(json.dumps(manifest).encode(), _MANIFEST) | {"annotations": names})
        add("oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": manifests}
        add("index.json", json.dumps(index).encode())
