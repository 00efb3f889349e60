"""Response surfaces: second-order models and where they lead."""
