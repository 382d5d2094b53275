"""Which file system a path lies on: memory-mapped stores and network mounts do not go together."""

from __future__ import annotations

import os
from pathlib import Path

from store.errors import UserError

NETWORK = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "beegfs", "gpfs")
)
NETWORK_FUSE = frozenset(
    f"fuse.{name}"
    for name in ("sshfs", "s3fs", "gcsfuse", "rclone", "glusterfs", "ceph-fuse", "juicefs", "blobfuse2")
)
ALLOW = "BABELSCENE_NETWORK_STORES"
"""Environment variable that, set to 1, accepts stores on network file systems."""
_MOUNTS = Path("/proc/self/mountinfo")


def file_system(path: Path, mounts: str | None = None) -> str:
    """The type of the file system below `path` (`ext4`, `nfs4`), or "" where it cannot be told.

    Args:
        mounts: text of `/proc/self/mountinfo`; read when None.
    """
    if mounts is None:
        if not _MOUNTS.exists():
            return ""
        mounts = _MOUNTS.read_text("utf-8", "surrogateescape")
    resolved = path.resolve()
    found, depth = "", -1
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        point = Path(_unescape(fields.split()[4]))
        # A later mount on the same point hides an earlier one.
        if len(point.parts) >= depth and (resolved == point or point in resolved.parents):
            found, depth = rest.split()[0], len(point.parts)
    return found


def refuse_network(path: Path, mounts: str | None = None) -> None:
    """Refuse a path on a network mount: page faults there hang without an error when the server does.

    Raises:
        UserError: it is one, and the environment does not say BABELSCENE_NETWORK_STORES=1.
    """
    if os.environ.get(ALLOW) == "1":
        return
    kind = file_system(path, mounts)
    if kind in NETWORK | NETWORK_FUSE:
        raise UserError(
            f"{path} lies on a network file system ({kind}), where a memory-mapped store can hang",
            f"copy it to a local disk, or set {ALLOW}=1",
        )


def _unescape(field: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, char)
    return field
