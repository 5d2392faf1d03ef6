"""`ccx test`: what a spec promises of its routing, checked by the engine that routes."""
