"""evmesh."""
