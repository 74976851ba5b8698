"""What runs the graphs of a bundle; installed as `magtkd_rt.engines`."""
