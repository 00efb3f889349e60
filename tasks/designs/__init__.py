"""Making a design of experiments, for anyone's runs."""
