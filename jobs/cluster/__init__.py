"""A sweep on a Slurm cluster: site files, images, packing, submission, and how a run stands."""
