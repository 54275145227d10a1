#!/usr/bin/env python3
"""Makes an image of files of this machine, as an OCI archive, and prints the archive's path. No registry is asked.

usage: image.py FOLDER NAME ENTRYPOINT SOURCE:PATH... [--libraries PROGRAM]... [--env NAME=VALUE]... [--user ID]

The archive's file name in FOLDER is made of what is in it: equal content is equal files, and is not written again.
"""

import argparse
import hashlib
import io
import json
import os
import platform
import re
import subprocess
import tarfile

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def options():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("folder")
    parser.add_argument("name")
    parser.add_argument("entrypoint")
    parser.add_argument("files", nargs="+", metavar="SOURCE:PATH")
    parser.add_argument("--libraries", action="append", default=[], metavar="PROGRAM", help="those it loads, too")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--user", default="0")
    return parser.parse_args()


def libraries(program):
    """The shared libraries of a program, where it looks for them."""
    listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    missing = re.findall(r"(\S+) => not found", listed)
    if missing:
        raise SystemExit(f"{program} needs libraries that are not here: {', '.join(missing)}")
    return re.findall(r"(/\S+) \(0x", listed)


def entry(path, kind=tarfile.REGTYPE, mode=0o755, size=0):
    """Without times and owners: equal files are an equal layer."""
    info = tarfile.TarInfo(path.lstrip("/"))
    info.type, info.mode, info.size = kind, mode, size
    return info


def layer(files):
    """One layer: the files by their paths in the image, and a /tmp."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(entry("/tmp", tarfile.DIRTYPE, 0o1777))
        for path, source in sorted(files.items()):
            with open(source, "rb") as content:
                archive.addfile(entry(path, size=os.path.getsize(source)), content)
    return buffer.getvalue()


class Layout:
    """The blobs of an image, and what refers to them."""

    def __init__(self):
        self.blobs = {}

    def add(self, content, media_type):
        if not isinstance(content, bytes):
            content = json.dumps(content, sort_keys=True).encode()
        digest = hashlib.sha256(content).hexdigest()
        self.blobs[digest] = content
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def write(self, path, manifest, name):
        index = {"schemaVersion": 2, "manifests": [{**manifest, "annotations": {"io.containerd.image.name": name}}]}
        files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": json.dumps(index).encode()}
        files |= {f"blobs/sha256/{digest}": content for digest, content in self.blobs.items()}
        with tarfile.open(path, "w") as archive:
            for name, content in files.items():
                archive.addfile(entry(name, size=len(content)), io.BytesIO(content))


def main():
    asked = options()
    files = {path: source for source, path in (file.split(":", 1) for file in asked.files)}
    for program in asked.libraries:
        files |= {path: path for path in libraries(program)}
    content = Layout()
    files = content.add(layer(files), "application/vnd.oci.image.layer.v1.tar")
    config = {
        "architecture": ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": {
            "Entrypoint": [asked.entrypoint],
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", *asked.env],
            "User": asked.user,
        },
        "rootfs": {"type": "layers", "diff_ids": [files["digest"]]},
    }
    config = content.add(config, "application/vnd.oci.image.config.v1+json")
    manifest = "application/vnd.oci.image.manifest.v1+json"
    manifest = content.add({"schemaVersion": 2, "mediaType": manifest, "config": config, "layers": [files]}, manifest)

    short = re.sub(r"[^a-z0-9.]+", "-", asked.name.rsplit("/", 1)[-1])
    path = os.path.join(asked.folder, f"{short}-{manifest['digest'].removeprefix('sha256:')[:16]}.tar")
    if not os.path.exists(path):
        content.write(path + ".new", manifest, asked.name)
        os.replace(path + ".new", path)
    print(path)


main()
