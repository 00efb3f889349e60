"""Training one replicate, on TensorFlow or JAX."""
