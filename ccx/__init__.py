"""ccx: a declarative AI gateway compiled from config."""

__version__ = "0.1.0"
