"""Names of hosts: the name servers that are asked, and how well they answered."""
