"""An OCI image of glm-aria from packages of Debian and wheels, without a container engine."""
