"""The networks that can be built, one module each."""
