"""Data sheets of machines, one YAML file each, named like the machine."""
