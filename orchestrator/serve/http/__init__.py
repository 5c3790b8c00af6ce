"""HTTP as all faces of the server use it: requests, answers, refusals, and what clients are known to do."""
