"""Runs ``docker buildx build`` for one platform and says in the field's words how it went."""
