"""Prefect on this machine: its environment, its server and worker, and what is set up on the server."""
