"""The steps of the loop: pure functions, and the Prefect tasks around them."""
