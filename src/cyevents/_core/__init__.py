"""The core: the tables of connections, and the emission."""
