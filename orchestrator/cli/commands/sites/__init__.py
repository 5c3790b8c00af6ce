"""Commands about the sites that are asked."""
