"""Studies on the tomography problem beyond the paper's table: an ablation and a race."""
