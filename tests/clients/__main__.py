"""Make the environments of the clients that are not there yet."""

from tests.clients.installs import install_all

install_all()
