"""Several processes and machines that draw the same jobs: Ray where it is asked for."""
