"""Everything a server reads: its user data and its bundle of configuration files.

Pure text: this package renders a :class:`topology.model.Topology` and creates nothing.
"""
