"""The rehearsal: a stack's program, files and firewall on one Linux machine, without an AWS account.

The data plane (image, network, machine, volume, cleanup) runs real hosts in network namespaces;
the control plane (cloud, program) holds the emulated AWS and makes its state real with the data plane.
"""
