"""OpenVINO as the engine of the networks on processors; torch keeps the runs that look into them."""
