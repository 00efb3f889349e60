"""Images and networks on Keras 3: no tracking, no orchestration."""
