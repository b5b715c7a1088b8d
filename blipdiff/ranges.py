"""Names and limits that requests are checked against; importing them loads no library."""

LARGEST_SEED = 2**63 - 1

AS_CONFIGURED = "as configured"
SCHEDULER_NAMES = ("pndm", "ddim", "dpm++2m", "dpm++2m-karras", "unipc", "euler", "euler-a", "lcm")
