"""Training from nothing to a folder that loads: the small model stage by stage, a describer, a ControlNet, full size.

Every part is kept in the run's folder and found there again, so a run that was stopped at any moment goes on.
"""
