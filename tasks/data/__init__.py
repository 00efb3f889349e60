"""Pictures: finding, measuring, judging and decoding them."""
