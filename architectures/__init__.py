"""The zoo: one module per paper, each reading like the paper's table."""
