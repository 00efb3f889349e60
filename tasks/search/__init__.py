"""The stages of a study, each from MLflow's runs to the next cells."""
