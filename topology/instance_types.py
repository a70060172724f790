"""What the name of an EC2 instance type tells: its architecture, and whether it can be a server of a stack.

Source: EC2 instance types guide, "Instance type naming conventions" and "Instances built on the AWS Nitro System"; the
facts are those of the EC2 API, DescribeInstanceTypes (Hypervisor, MemoryInfo), which tests compare with.
"""

from __future__ import annotations

import re

SHAPE = re.compile(r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$")

# Families of the Xen hypervisor. Sizes called metal have none, and are of the Nitro System (i3.metal).
XEN = frozenset(
    "t1 t2 m1 m2 m3 m4 c1 c3 c4 cc1 cc2 r3 r4 cr1 x1 x1e d2 h1 hi1 hs1 i2 i3 f1 g2 g3 g3s cg1 p2 p3".split()  # noqa: SIM905
)

# What the buffer pool of every database server is sized for (userdata/mysql/files.py).
DATABASE_MEMORY_GIB = 4


def architecture(instance_type: str) -> str:
    """`arm64` for Graviton families (a `g` right after the generation: t4g, m7gd; and a1), else `x86_64`."""
    return "arm64" if re.match(r"^([a-z]+\d+g|a1\.)", instance_type) else "x86_64"


def burstable(instance_type: str) -> bool:
    """Whether it earns and spends CPU credits: the families t3, t3a and t4g (not t8i, not trn1)."""
    return re.match(r"t[34]", instance_type) is not None


def obstacle(instance_type: str) -> str | None:
    """Why no server can be of this type; None when one can, or when the name is not known.

    Programs on a server find its data volume by the name that NVMe gives it (userdata/host/volume.py). On Xen an EBS
    volume is no NVMe device.
    """
    family, _, size = instance_type.partition(".")
    if family in XEN and size != "metal":
        return "is not of the AWS Nitro System, so the data volume would not be found"
    return "runs only macOS" if re.match(r"mac\d|mac-", family) else None


def short_of_memory(instance_type: str) -> bool:
    """Whether it has less memory than DATABASE_MEMORY_GIB: nano, micro, small, and medium where that is 2 GiB."""
    family, _, size = instance_type.partition(".")
    return size in ("nano", "micro", "small") or (size == "medium" and (family[:1] == "c" or family == "a1"))
