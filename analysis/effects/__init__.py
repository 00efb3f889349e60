"""The effects of two-level designs: fitting and judging them."""
