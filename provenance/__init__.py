"""What others can read about a model version: statement, signature, model card, export. Knows nothing of prefect, torch or jax."""

from provenance.attestation import attest, stored_document
from provenance.keys import SigningKey, configured_key

__all__ = ["SigningKey", "attest", "configured_key", "stored_document"]
