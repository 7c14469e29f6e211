"""What others can check of a model version: statement, signature, card, export. Needs no prefect or torch."""

from provenance.attestation import attest, stored_document
from provenance.keys import SigningKey, configured_key

__all__ = ["SigningKey", "attest", "configured_key", "stored_document"]
